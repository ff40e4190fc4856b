"""Fakes for the adapter's own rules (real code, no sandbox), and the real local sandbox for everything else."""

from __future__ import annotations

import ast
import asyncio
import base64
import contextlib
import io
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ci_integrations.results import ExecutionError, ExecutionResult, ImageArtifact

with warnings.catch_warnings():  # old cores warn about their own pydantic fields while they are imported
    warnings.simplefilter("ignore")
    import llama_index.core.agent.workflow
    import llama_index.core.query_engine
    import llama_index.core.workflow  # noqa: F401

HERE = Path(__file__).parent
LLAMAINDEX_OWN_WARNINGS = (
    "ignore:The `(__fields__|__fields_set__|model_fields|model_computed_fields|__signature__)`",
    "ignore:Accessing the 'model_(computed_)?fields' attribute on the instance",
    "ignore:The 'validate_default' attribute",
    "ignore:Skipping serialization of known unserializable key",
    "ignore:ServiceManager is deprecated",
    "ignore:is_running called from within a step",
    "ignore:Deprecated in favor of `to_openai_tool`",
    "ignore:Implementing implicit namespace packages",
    "ignore:.*coroutine 'Context.*' was never awaited",
    "ignore:Call to deprecated class:DeprecationWarning:llama_index",
)
"""What llama-index-core of one version or another says about itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            for rule in LLAMAINDEX_OWN_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(rule))


PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415478da63f8cfc000000301"
        "0100c9fe92ef0000000049454e44ae426082"
    )
).decode()


@dataclass
class Told:
    """An `OutputEvent`."""

    kind: str
    text: str
    timestamp: float = field(default_factory=time.time)
    artifacts: tuple[Any, ...] = ()


class FakeKernel:
    """Runs code with exec() in a dict: enough for the adapter's rules. `picture()` draws one pixel."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"picture": self._picture}
        self.pictures = 0
        self.ran: list[str] = []
        self.call_ids: list[str | None] = []
        self.uploads: list[tuple[str, bytes]] = []
        self.sandbox_id = "fake-sandbox"
        self.refuses: Exception | None = None
        self.interrupts = 0
        self.fail: Exception | None = None
        self.active = 0
        self.most_active = 0

    def _picture(self) -> None:
        self.pictures += 1

    def _value(self, code: str) -> str | None:
        body = ast.parse(code).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "<cell>", "exec"), self.names)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), self.names) if last else None
        return None if value is None else repr(value)

    def execute(self, code: str, on_output: Any) -> ExecutionResult:
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        self.ran.append(code)
        before = self.pictures
        out = io.StringIO()
        error = text = None
        try:
            with contextlib.redirect_stdout(out):
                text = self._value(code)
        except Exception as problem:
            error = ExecutionError(
                name=type(problem).__name__, value=str(problem), traceback=traceback.format_exc(limit=-1)
            )
        if on_output and out.getvalue():
            on_output(Told("stdout", out.getvalue()))
        pictures = tuple(
            ImageArtifact(id=f"a{n}", mime="image/png", data=PNG, sha256=f"{n}") for n in range(self.pictures - before)
        )
        return ExecutionResult(
            code=code, stdout=out.getvalue(), error=error, text=text, artifacts=pictures, sandbox_id="fake-sandbox"
        )


class FakeInterpreter:
    """`name`: goes on in the sandbox that a Context names, as a session does. True when that is another one."""

    def __init__(self, kernel: FakeKernel, name: Callable[[Mapping[str, Any]], bool] = lambda _: False) -> None:
        self.kernel, self.name = kernel, name

    @property
    def state(self) -> SimpleNamespace:
        memory = SimpleNamespace(name=lambda identity, current: self.name(identity), conversation=None)
        return SimpleNamespace(backend="local", memory=memory)

    def run(self, code: str, *, on_output: Any = None, tool_call_id: str | None = None, **_: Any) -> ExecutionResult:
        self.kernel.call_ids.append(tool_call_id)
        self.kernel.active += 1
        self.kernel.most_active = max(self.kernel.most_active, self.kernel.active)
        try:
            return self.kernel.execute(code, on_output)
        finally:
            self.kernel.active -= 1

    @property
    def sandbox_id(self) -> str:
        return self.kernel.sandbox_id

    def upload(self, data: bytes, path: str) -> str:
        if self.kernel.refuses is not None:
            raise self.kernel.refuses
        self.kernel.uploads.append((path, data))
        return path

    def as_async(self) -> FakeAsyncInterpreter:
        return FakeAsyncInterpreter(self.kernel)

    def as_sync(self) -> FakeInterpreter:
        return FakeInterpreter(self.kernel)

    def pending_events(self) -> tuple[()]:
        return ()

    def identity(self) -> dict[str, Any]:
        return {"sandbox_id": "fake-sandbox", "context_id": "fake-context"}


class FakeAsyncInterpreter(FakeInterpreter):
    async def run(
        self, code: str, *, on_output: Any = None, tool_call_id: str | None = None, **_: Any
    ) -> ExecutionResult:
        self.kernel.call_ids.append(tool_call_id)
        try:
            await asyncio.sleep(0.005 if "sleep" not in code else 30)
        except asyncio.CancelledError:
            self.kernel.interrupts += 1
            raise
        return self.kernel.execute(code, on_output)


class FakeRegistry:
    """Section 5 of the contract, as far as the adapter uses it. `cloud` outlives registries, as sandboxes do."""

    cloud: dict[str, FakeKernel]

    def __init__(self, cloud: dict[str, FakeKernel] | None = None) -> None:
        self.cloud = {} if cloud is None else cloud
        self.kernels: dict[str, FakeKernel] = {}
        self.adopted: list[str] = []
        self.refuses: Exception | None = None
        self.closed = False

    def _kernel(self, key: str) -> FakeKernel:
        if key not in self.kernels:
            self.kernels[key] = FakeKernel()
            self.cloud.setdefault(f"sb-{key}", self.kernels[key])
            self.kernels[key].refuses = self.refuses
        return self.kernels[key]

    def session(self, key: str) -> FakeInterpreter:
        return FakeInterpreter(self._kernel(key), partial(self._named, key))

    def asession(self, key: str) -> FakeAsyncInterpreter:
        return FakeAsyncInterpreter(self._kernel(key), partial(self._named, key))

    def _named(self, key: str, identity: Mapping[str, Any]) -> bool:
        known = self.cloud.get(identity["sandbox_id"])
        if known is None or known is self.kernels[key]:
            return False
        self.adopt(key, dict(identity))
        return True

    def identity(self, key: str) -> dict[str, Any] | None:
        return {"sandbox_id": f"sb-{key}"} if key in self.kernels else None

    def adopt(self, key: str, identity: dict[str, Any]) -> None:
        self.adopted.append(key)
        self.kernels[key] = self.cloud[identity["sandbox_id"]]

    def keys(self) -> list[str]:
        return list(self.kernels)

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()
