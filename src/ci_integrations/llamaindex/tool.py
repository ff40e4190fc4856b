"""Gives LlamaIndex agents a code interpreter: `FunctionAgent(tools=[CodeInterpreterTool()], llm=llm)`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from llama_index.core.async_utils import asyncio_run
from llama_index.core.base.llms.types import TextBlock
from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import Context
from pydantic import BaseModel, Field

from ci_integrations._adapters.redaction import Rule
from ci_integrations._adapters.sessions import AnyInterpreter, Given
from ci_integrations._adapters.signatures import inspected
from ci_integrations._adapters.spill import spilled
from ci_integrations._adapters.tables import told
from ci_integrations._core.flow import Flow, adrive, drive
from ci_integrations._errors import ConfigurationError
from ci_integrations.interpreter import AsyncCodeInterpreter, OutputHandler
from ci_integrations.llamaindex import _run, approval
from ci_integrations.llamaindex._run import Prepare, RunOptions
from ci_integrations.llamaindex._sessions import STATE_KEY, OwnsSessions, Scope, Session, Sessions
from ci_integrations.llamaindex.approval import Approval
from ci_integrations.llamaindex.output import Images, Presentation
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import MAX_CHARS

K = TypeVar("K")
V = TypeVar("V")

DEFAULT_NAME = "code_interpreter"
DESCRIPTION = (
    "Runs Python code in an isolated sandbox and returns what it printed, the value of its last expression, and the "
    "charts, tables and files it made. Variables, imports and files stay from call to call, also after an error, so "
    "build on earlier calls instead of repeating them. pandas, numpy and matplotlib are there; install more with "
    "%pip install NAME. Draw charts with matplotlib: every figure is shown to the user, do not save it for that. "
    'Use print() or a last expression to see a value. A line that begins with "| [" or "| Error:" was printed by the '
    "code; only lines without the bar are the tool's own."
)


class _Arguments(BaseModel):
    code: str = Field(description="Python code. Runs as one notebook cell; top-level await and %magics work.")


class CodeInterpreterTool(OwnsSessions, FunctionTool):
    """Runs the model's code in a sandbox, in one session for each workflow Context.

    `interpreter`: None (sessions are made on first use, from `options`), a `SessionRegistry`, or one interpreter that
    everybody shares.
    `options`: those of `CodeInterpreter`, and `idle`, `idle_ttl`, `max_sessions`, `max_created` and `max_bytes` of the
    registry. A Context that is to go on in another process needs `idle="keep"` or `"pause"`: otherwise the sandbox ends
    with this one. Values may be `SecretStr`; such values of `envs` are taken out of everything the code prints.
    `name`: what the model calls the tool; two tools of one name share a Context's kernel.
    `description`: what the model is told about it.
    `timeout`: seconds for a cell. None: `execution_timeout` of the interpreter.
    `max_output_chars`: characters of the text that the model reads. A longer one is also put into a file of the
    sandbox, which the model's code can read, and `raw_output` keeps the whole.
    `max_images`: pictures of one call that the model is shown.
    `image_max_px`: longer edge of a picture that the model is shown, in pixels; larger ones are scaled down.
    `images`: how pictures reach the model, `"blocks"`, `"path"` (files in `artifact_dir`) or `"none"`.
    `artifact_dir`: folder for `images="path"`.
    `approval`: which code a human must agree to: `"never"`, `"always"`, or a function of the code.
    `scope`: `"context"`: one session for each workflow Context; `"tool"`: one for the tool object.
    `return_direct`: True: the agent ends with the tool's answer.
    `on_output`: gets every `OutputEvent`, also where there is no workflow to stream into.
    `redact`: what else is taken out of results, events and files: literals, compiled patterns, functions of a text.

    The model sees one argument, `code`.

    A call returns a `ToolOutput`: text and image blocks, `raw_output` the `ExecutionResult` as plain JSON, `is_error`.
    It does not raise for what happens at run time; wrong configuration raises `ConfigurationError`.
    """

    def __init__(
        self,
        interpreter: Given = None,
        *,
        name: str = DEFAULT_NAME,
        description: str = DESCRIPTION,
        timeout: float | None = None,
        max_output_chars: int = MAX_CHARS,
        max_images: int = 4,
        image_max_px: int = 1024,
        images: Images = "blocks",
        artifact_dir: str | Path | None = None,
        approval: Approval = "never",
        scope: Scope = "context",
        return_direct: bool = False,
        on_output: OutputHandler | None = None,
        redact: Sequence[Rule] = (),
        **options: object,
    ) -> None:
        if images == "path" and artifact_dir is None:
            raise ConfigurationError("images='path' needs artifact_dir=, the folder for the pictures")
        description = told(description, options.get("dataframes"), options.get("mounts"))
        metadata = ToolMetadata(description, name, fn_schema=_Arguments, return_direct=return_direct)
        super().__init__(fn=self.run, async_fn=self.arun, metadata=metadata)
        # Agents pass their Context under this name. Said here, not by annotation: that breaks under future annotations.
        self.requires_context = True
        self.ctx_param_name = "ctx"
        self._sessions = Sessions(interpreter, slot=_slot(name), scope=scope, options={**options, "redact": redact})
        self._limits = _run.limits(timeout)
        self._look = Presentation(max_output_chars, max_images, image_max_px, images, artifact_dir)
        self._approval = approval
        self._on_output = on_output
        self._failures: dict[tuple[str | None, ...], int] = {}
        self._consumed: dict[str, bool] = {}

    @classmethod
    def class_name(cls) -> str:
        return "CodeInterpreterTool"

    def run(self, code: str, ctx: Context | None = None, *, tool_call_id: str | None = None) -> ExecutionResult:
        """Runs `code` and waits; returns the result itself, typed. Streams nothing into `ctx`: see `on_output`.

        With a `tool_call_id` that was answered before, the old answer is given and nothing runs.
        """
        return drive(self._ran(self.sessions.blocking(ctx), code, ctx, tool_call_id=tool_call_id))

    async def arun(self, code: str, ctx: Context | None = None, *, tool_call_id: str | None = None) -> ExecutionResult:
        """Runs `code` as `run` does, awaited, with live events in `ctx`. Cancelling it interrupts the kernel."""
        session = await self.sessions.of(ctx)
        return await adrive(self._ran(session, code, ctx, stream=ctx, tool_call_id=tool_call_id))

    @inspected
    def call(self, *args: object, **kwargs: object) -> ToolOutput:
        """Runs `code` outside of a workflow, or inside one from a thread."""
        code, ctx = _arguments(args, kwargs)
        if code is None:
            return self._refused("", _NO_CODE)
        if self._approval != "never" and asyncio_run(approval.needed(self._approval, code)):
            return self._refused(code, approval.NO_CONTEXT)
        return drive(self._answered(self.sessions.blocking(ctx), code, ctx))

    @inspected
    async def acall(self, *args: object, **kwargs: object) -> ToolOutput:
        """Runs `code`. Agents call this method, with their Context as `ctx`."""
        code, ctx = _arguments(args, kwargs)
        if code is None:
            return self._refused("", _NO_CODE)
        refusal, question_id = await approval.verdict(
            self._approval, self.metadata.get_name(), code, ctx, self._consumed
        )
        if refusal:
            return self._refused(code, refusal)
        # Kept before the code runs: a second click on the same question must not run it a second time.
        if question_id:
            _keep(self._consumed, question_id, True)  # noqa: FBT003 - a set that forgets the oldest
        session = await self.sessions.of(ctx)
        call_id = await _run.call_id(ctx, code)
        return await adrive(self._answered(session, code, ctx, stream=ctx, tool_call_id=call_id))

    @property
    def sessions(self) -> Sessions:
        """What hands out this tool's interpreters."""
        return self._sessions

    async def session(self, ctx: Context | None = None) -> AsyncCodeInterpreter:
        """Returns the interpreter that serves `ctx` (the tool's own without one): upload, download, look around."""
        return (await self.sessions.of(ctx)).interpreter

    def _ran(
        self,
        session: Session[AnyInterpreter],
        code: str,
        ctx: Context | None,
        *,
        stream: Context | None = None,
        tool_call_id: str | None = None,
    ) -> Flow[ExecutionResult]:
        """Runs a cell in the session of `ctx`. `stream` gets its events: `ctx` again, when the call is awaited."""
        options: RunOptions = {**self._limits, "tool_call_id": tool_call_id}
        prepare = self._prepare(session.key)
        try:
            result = yield from _run.cell(
                session, code, ctx=stream, on_output=self._on_output, prepare=prepare, **options
            )
        finally:
            if ctx is not None:
                yield from _run.settled(partial(self.sessions.remember, ctx, session.key))
        return self._observed(session.key, result)

    def _answered(
        self, session: Session[AnyInterpreter], code: str, ctx: Context | None, **how: Any
    ) -> Flow[ToolOutput]:
        """Runs a cell as `_ran` does, and presents its result."""
        result = yield from self._ran(session, code, ctx, **how)
        whole = yield from spilled(session.interpreter, result, self._look.max_output_chars)
        output = self._look.of(result, self.metadata.get_name(), _input(result.code), whole)
        times = self._times_failed(result)
        # Weak models send the same failing code again and again until the agent's limit ends the run.
        if times > 1:
            output.blocks.insert(1, TextBlock(text=f"[This same code has now failed {times} times. Change it.]"))
        return output

    def _prepare(self, key: str) -> Prepare | None:
        """Returns what must run in the session of `key` before the next cell."""
        return None

    def _observed(self, key: str, result: ExecutionResult) -> ExecutionResult:
        """Sees the result of every cell."""
        return result

    def _times_failed(self, result: ExecutionResult) -> int:
        """Returns how often this code has failed with this error in this sandbox: models repeat such calls."""
        if result.error is None:
            return 0
        failure = (result.sandbox_id, result.code, result.error.name, result.error.value)
        times = self._failures.pop(failure, 0) + 1
        _keep(self._failures, failure, times)
        return times

    def _refused(self, code: str, why: str) -> ToolOutput:
        return ToolOutput(
            tool_name=self.metadata.get_name(),
            blocks=[TextBlock(text=f"Error: {why}")],
            raw_input=_input(self.sessions.redactor.text(code)),
            raw_output=None,
            is_error=True,
        )


_MAX_KEPT = 200
"""Failures, and approvals, that a tool remembers."""
_NO_CODE = "the argument `code` is missing: pass the Python code as text"


def _keep(memory: dict[K, V], key: K, value: V) -> None:
    """Keeps `value`, and forgets the oldest one when there are more than `_MAX_KEPT`."""
    memory[key] = value
    if len(memory) > _MAX_KEPT:
        del memory[next(iter(memory))]


def _slot(name: str) -> str:
    """Returns where a Context keeps the session: tools with different names have different kernels in one Context."""
    # A dot would make it a path in the Context's store.
    return STATE_KEY if name == DEFAULT_NAME else f"{STATE_KEY}_{name.replace('.', '_')}"


def _input(code: str) -> dict[str, object]:
    return {"args": (), "kwargs": {"code": code}}


def _arguments(args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[str | None, Context | None]:
    """Returns the code that a model sent, and the Context that the agent put beside it."""
    # A model can forge an argument `ctx`, but not a Context.
    code = kwargs.get("code", args[0] if args else None)
    ctx = kwargs.get("ctx")
    return (code if isinstance(code, str) and code.strip() else None), (ctx if isinstance(ctx, Context) else None)
