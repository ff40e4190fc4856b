"""`CodeInterpreterTool`: what a LlamaIndex agent is given. `FunctionAgent(tools=[CodeInterpreterTool()], llm=llm)`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llama_index.core.async_utils import asyncio_run
from llama_index.core.base.llms.types import TextBlock
from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import Context
from pydantic import BaseModel, Field

from ci_integrations._errors import ConfigurationError
from ci_integrations.llamaindex import _run, approval
from ci_integrations.llamaindex._sessions import STATE_KEY, Scope, Session, Sessions
from ci_integrations.llamaindex.approval import Approval
from ci_integrations.llamaindex.output import Images, to_tool_output
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import MAX_CHARS

DEFAULT_NAME = "code_interpreter"
DESCRIPTION = (
    "Runs Python code in an isolated sandbox and returns what it printed, the value of its last expression, and the "
    "charts, tables and files it made. Variables, imports and files stay from call to call, also after an error, so "
    "build on earlier calls instead of repeating them. pandas, numpy and matplotlib are there; install more with "
    "%pip install NAME. Draw charts with matplotlib: every figure is shown to the user, do not save it for that. "
    "Use print() or a last expression to see a value."
)


class _Arguments(BaseModel):
    code: str = Field(description="Python code. Runs as one notebook cell; top-level await and %magics work.")


class CodeInterpreterTool(FunctionTool):
    """Runs the model's code in a sandbox; one session for each workflow Context.

    `interpreter`: None (sessions are made on first use, from `options`), a `SessionRegistry`, or one interpreter that
    everybody shares.
    `options`: those of `CodeInterpreter`, and `idle`, `idle_ttl`, `max_sessions` and `max_created` of the registry. A
    Context that is to go on in another process needs `idle="keep"` or `"pause"`: else the sandbox ends with this one.
    `name`: what the model calls the tool; two tools of one name share a Context's kernel.
    `description`: what the model is told about it.
    `timeout`: seconds for a cell. None: `execution_timeout` of the interpreter.
    `max_output_chars`: characters of the text that the model reads; `raw_output` keeps the whole.
    `max_images`: pictures of one call that the model is shown.
    `images`: how pictures reach the model, `"blocks"`, `"path"` (files in `artifact_dir`) or `"none"`.
    `artifact_dir`: folder for `images="path"`.
    `approval`: which code a human must agree to: `"never"`, `"always"`, or a function of the code.
    `scope`: `"context"`: one session for each workflow Context; `"tool"`: one for the tool object.
    `return_direct`: True: the agent ends with the tool's answer.
    `on_output`: gets every `OutputEvent`, also where there is no workflow to stream into.

    The model sees one argument, `code`.

    A call returns a `ToolOutput`: text and image blocks, `raw_output` the `ExecutionResult` as plain JSON, `is_error`.
    It does not raise for what happens at run time; wrong configuration raises `ConfigurationError`.
    """

    def __init__(
        self,
        interpreter: Any = None,
        *,
        name: str = DEFAULT_NAME,
        description: str = DESCRIPTION,
        timeout: float | None = None,
        max_output_chars: int = MAX_CHARS,
        max_images: int = 4,
        images: Images = "blocks",
        artifact_dir: str | Path | None = None,
        approval: Approval = "never",
        scope: Scope = "context",
        return_direct: bool = False,
        on_output: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> None:
        if images == "path" and artifact_dir is None:
            raise ConfigurationError("images='path' needs artifact_dir=, the folder for the pictures")
        metadata = ToolMetadata(description, name, fn_schema=_Arguments, return_direct=return_direct)
        super().__init__(fn=self.run, async_fn=self.arun, metadata=metadata)
        # Agents pass their Context under this name. Said here, not by annotation: that breaks under future annotations.
        self.requires_context = True
        self.ctx_param_name = "ctx"
        self.sessions = Sessions(interpreter, slot=_slot(name), scope=scope, options=options)
        self._limits: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        self._look: dict[str, Any] = {
            "tool_name": name, "max_output_chars": max_output_chars, "max_images": max_images,
            "images": images, "artifact_dir": artifact_dir,
        }  # fmt: skip
        self._approval = approval
        self._on_output = on_output
        self._failures: dict[tuple[Any, ...], int] = {}
        self._answered: dict[str, bool] = {}

    @classmethod
    def class_name(cls) -> str:
        return "CodeInterpreterTool"

    def run(self, code: str, ctx: Any = None) -> ExecutionResult:
        """Run `code` and wait: the result itself, typed. Streams nothing into `ctx`: see `on_output`."""
        session = self.sessions.blocking(ctx)
        try:
            return _run.run(session, code, on_output=self._on_output, **self._limits)
        finally:
            if ctx is not None:
                asyncio_run(self.sessions.remember(ctx, session))

    async def arun(self, code: str, ctx: Any = None) -> ExecutionResult:
        """The same, awaited, with live events in `ctx`. Cancelling it interrupts the kernel."""
        session = await self.sessions.of(ctx)
        try:
            return await _run.arun(session, code, ctx=ctx, on_output=self._on_output, **self._limits)
        finally:
            await self.sessions.remember(ctx, session)

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Run `code` outside of a workflow, or inside one from a thread."""
        code, ctx = _arguments(args, kwargs)
        if code is None:
            return self._refused("", _NO_CODE)
        if self._approval != "never" and asyncio_run(approval.needed(self._approval, code)):
            return self._refused(code, approval.NO_CONTEXT)
        return self._output(code, self.run(code, ctx))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Run `code`; agents come in here, with their Context as `ctx`."""
        code, ctx = _arguments(args, kwargs)
        if code is None:
            return self._refused("", _NO_CODE)
        said = await approval.verdict(self._approval, self._look["tool_name"], code, ctx, self._answered)
        if said.refusal:
            return self._refused(code, said.refusal)
        if said.question_id:
            _keep(self._answered, said.question_id, True)  # noqa: FBT003 - a set that forgets the oldest
        return self._output(code, await self.arun(code, ctx))

    async def session(self, ctx: Any = None) -> Any:
        """The `AsyncCodeInterpreter` that serves `ctx` (the tool's own without one): upload, download, look around."""
        held: Session = await self.sessions.of(ctx)
        return held.interpreter

    def close(self) -> None:
        """Close the sessions this tool made. One that was handed in stays open."""
        self.sessions.close()

    async def aclose(self) -> None:
        await self.sessions.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def _output(self, code: str, result: ExecutionResult) -> ToolOutput:
        output = to_tool_output(result, raw_input={"args": (), "kwargs": {"code": code}}, **self._look)
        times = self._times_failed(result)
        if times > 1:
            output.blocks.insert(1, TextBlock(text=f"[This same code has now failed {times} times. Change it.]"))
        return output

    def _times_failed(self, result: ExecutionResult) -> int:
        """How often this code has failed with this error in this sandbox; models loop on that."""
        if result.error is None:
            return 0
        failure = (result.sandbox_id, result.code, result.error.name, result.error.value)
        times = self._failures.pop(failure, 0) + 1
        _keep(self._failures, failure, times)
        return times

    def _refused(self, code: str, why: str) -> ToolOutput:
        return ToolOutput(
            tool_name=self._look["tool_name"],
            blocks=[TextBlock(text=f"Error: {why}")],
            raw_input={"args": (), "kwargs": {"code": code}},
            raw_output=None,
            is_error=True,
        )


_MAX_KEPT = 200
_NO_CODE = "the argument `code` is missing: pass the Python code as text"


def _keep(memory: dict[Any, Any], key: Any, value: Any) -> None:
    """The newest `_MAX_KEPT` are remembered."""
    memory[key] = value
    if len(memory) > _MAX_KEPT:
        del memory[next(iter(memory))]


def _slot(name: str) -> str:
    """Tools with different names keep different kernels in one Context; dots would be a path in its store."""
    return STATE_KEY if name == DEFAULT_NAME else f"{STATE_KEY}_{name.replace('.', '_')}"


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str | None, Any]:
    """What a model sent, and the Context that the agent put beside it: a model cannot name a Context."""
    code = kwargs.get("code", args[0] if args else None)
    ctx = kwargs.get("ctx")
    return (code if isinstance(code, str) and code.strip() else None), (ctx if isinstance(ctx, Context) else None)
