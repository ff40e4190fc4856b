"""A registry that keeps the contract of `SessionRegistry` with `exec()`: for the adapter's own rules."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from ci_integrations._core.conversation.memory import Memory
from ci_integrations.results import ExecutionError, ExecutionResult


@dataclass
class Told:
    """An `OutputEvent`."""

    kind: str
    text: str
    timestamp: float = field(default_factory=time.time)
    artifacts: tuple[Any, ...] = ()


class Files(dict[str, bytes]):
    """The SDK's `files`, as far as it is used."""

    def write(self, path: str, data: bytes) -> None:
        self[path] = data


class FakeInterpreter:
    """Runs code with `exec()`. `give(result)` in the code adds artifacts; `fail` is raised instead of running."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"give": self._given}
        self.ran: list[dict[str, Any]] = []
        self.fail: Exception | None = None
        self.restarts = 0
        self.artifacts: list[Any] = []
        self.files = Files()
        self.uploads: list[str] = []
        self.fail_upload: Exception | None = None
        self.sandbox_id: str | None = None
        self.memory = Memory()
        self.pauses = 0

    def open(self) -> Any:
        return self

    def as_sync(self) -> FakeInterpreter:
        return self

    def as_async(self) -> FakeAsyncInterpreter:
        return FakeAsyncInterpreter(self)

    @property
    def state(self) -> Any:
        return SimpleNamespace(backend="fake", memory=self.memory)

    def pending_events(self) -> tuple[Any, ...]:
        return ()

    def pause(self) -> None:
        self.pauses += 1

    def identity(self) -> dict[str, Any]:
        return {"sandbox_id": self.sandbox_id}

    def upload(self, data: bytes, path: str) -> str:
        if self.fail_upload is not None:
            raise self.fail_upload
        self.sandbox_id = self.sandbox_id or f"sandbox-of-{id(self)}"
        self.files[path] = data
        self.uploads.append(path)
        return path

    def _given(self, *artifacts: Any) -> None:
        self.artifacts.extend(artifacts)

    def run(self, code: str, *, language: str | None = None, on_output: Any = None, **options: Any) -> ExecutionResult:
        self.ran.append({"code": code, "language": language, **options})
        self.sandbox_id = f"sandbox-of-{id(self)}"
        if self.fail is not None:
            raise self.fail
        self.artifacts = []
        tell = on_output or (lambda event: None)
        out = io.StringIO()
        value, error = None, None
        try:
            with contextlib.redirect_stdout(out):
                value = self._value(code)
        except Exception as caught:
            error = ExecutionError(name=type(caught).__name__, value=str(caught), traceback=f"line\n{caught}")
        if out.getvalue():
            tell(Told("stdout", out.getvalue()))
        text = None if value is None else repr(value)
        return ExecutionResult(
            code=code, text=text, stdout=out.getvalue(), error=error, artifacts=tuple(self.artifacts), sandbox_id="fake"
        )

    def _value(self, code: str) -> Any:
        tree = ast.parse(code)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), self.names)
        return eval(compile(ast.Expression(last.value), "cell", "eval"), self.names) if last else None

    def restart_context(self) -> None:
        self.restarts += 1
        self.names = {"give": self._given}


class FakeAsyncInterpreter:
    def __init__(self, blocking: FakeInterpreter) -> None:
        self._blocking = blocking

    async def run(self, code: str, *, on_output: Any = None, **options: Any) -> ExecutionResult:
        events: list[Told] = []
        await asyncio.sleep(0)
        result = self._blocking.run(code, on_output=events.append, **options)
        for event in events:
            if on_output:
                await on_output(event)
        return result

    async def restart_context(self) -> None:
        self._blocking.restart_context()

    async def upload(self, data: bytes, path: str) -> str:
        return self._blocking.upload(data, path)

    async def open(self) -> Any:
        return self

    @property
    def files(self) -> Any:
        async def write(path: str, data: bytes) -> None:
            self._blocking.files.write(path, data)

        return SimpleNamespace(write=write)

    async def pause(self) -> None:
        self._blocking.pause()

    @property
    def sandbox_id(self) -> str | None:
        return self._blocking.sandbox_id

    @property
    def state(self) -> Any:
        return self._blocking.state

    def pending_events(self) -> tuple[Any, ...]:
        return ()


class FakeRegistry:
    def __init__(self) -> None:
        self.sessions: dict[str, FakeInterpreter] = {}
        self.closed: list[str] = []
        self.prewarmed: list[str] = []
        self._lock = threading.Lock()

    def session(self, key: str) -> FakeInterpreter:
        with self._lock:
            return self.sessions.setdefault(key, FakeInterpreter())

    def asession(self, key: str) -> FakeAsyncInterpreter:
        return FakeAsyncInterpreter(self.session(key))

    def keys(self) -> list[str]:
        return list(self.sessions)

    def identity(self, key: str) -> dict[str, Any]:
        return self.session(key).identity()

    def prewarm(self, key: str) -> None:
        self.prewarmed.append(key)

    def close_session(self, key: str) -> None:
        self.closed.append(key)
        self.sessions.pop(key, None)

    async def aclose_session(self, key: str) -> None:
        self.close_session(key)

    def close(self) -> None:
        self.sessions.clear()

    async def aclose(self) -> None:
        self.sessions.clear()
