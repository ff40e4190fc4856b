"""Answers questions with programs as LlamaIndex steps: generate, execute, repair, answer. It succeeds query pipelines.

    handler = CodeInterpreterWorkflow(llm=llm).run(query="Sales by region?", files=["sales.csv"])
    async for event in handler.stream_events(): ...
    response = await handler

Between any two steps the Context is plain JSON, so it can be saved there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.llms import LLM
from llama_index.core.settings import Settings
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from workflows.resource import Resource

from ci_integrations._adapters.sessions import Given
from ci_integrations._core.flow import Flow, adrive
from ci_integrations.interpreter import AsyncCodeInterpreter
from ci_integrations.llamaindex._kernels import OwnKernels, OwnsKernels
from ci_integrations.llamaindex._run import limits
from ci_integrations.llamaindex._sessions import Sessions
from ci_integrations.llamaindex.analysis import prompts, rules, wording
from ci_integrations.llamaindex.analysis.conversation import Conversation
from ci_integrations.llamaindex.analysis.dataset import Dataset, Placed, listed, named
from ci_integrations.llamaindex.analysis.hosts import Host, awaiting_host
from ci_integrations.llamaindex.analysis.response import to_response, with_sandbox
from ci_integrations.llamaindex.analysis.state import Analysis, Answer
from ci_integrations.tables.options import check_files
from ci_integrations.tables.reader.model import ReadOptions

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Rule = Callable[[Host, Analysis, Answer], Flow[T]]
"""A step of the analysis, before it is given its host."""

_ANSWER = "code_interpreter_answer"
_FILES = "code_interpreter_files"
_PLACED = "code_interpreter_placed"
_TURNS = "code_interpreter_turns"
_SLOT = "code_interpreter_workflow"


class ProgramWritten(Event):
    """The model wrote a program. `code` is None when there was none in what it said."""

    code: str | None = None


class ProgramFailed(Event):
    """The program failed. `attempt` counts from 1."""

    attempt: int
    error: str


class ProgramSucceeded(Event):
    """The program gave an answer."""

    code: str


class CodeInterpreterWorkflow(OwnsKernels, Workflow):
    """Answers `run(query=..., files=[...])` with a `Response`, as `CodeInterpreterQueryEngine` does.

    Streams `ProgramWritten`, `ProgramFailed`, `ProgramSucceeded` and the events of each execution. One session per
    Context, so a saved and restored Context goes on. `execution_timeout`: seconds for a program; `timeout` is the
    workflow's own. `interpreter` and `options`: as for `CodeInterpreterTool`; all others: as for
    `CodeInterpreterQueryEngine`. With `chat=True` the runs of one Context are a conversation.
    """

    def __init__(
        self,
        interpreter: Given = None,
        *,
        llm: LLM | None = None,
        files: Sequence[str | Path] = (),
        dataframes: "Mapping[str, pd.DataFrame] | None" = None,
        read_options: Mapping[str, ReadOptions] | None = None,
        descriptions: Mapping[str, str] | None = None,
        max_repairs: int = 2,
        sample_rows: int = 5,
        send_values: bool = True,
        chat: bool = False,
        max_images: int = 0,
        instruction_str: str | None = None,
        synthesize_response: bool = True,
        execution_timeout: float | None = None,
        timeout: float | None = None,
        verbose: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(timeout=timeout, verbose=verbose)
        self._llm = llm
        self._files = listed(files)
        self._read_options = dict(read_options or {})
        self._descriptions = dict(descriptions or {})
        self._sessions = Sessions(interpreter, slot=_SLOT, options=options)
        # What is said of files is added for each run, which may bring files of its own.
        self._data = Dataset(
            frames=named(dataframes), sample_rows=sample_rows, send_values=send_values,
            shared=self._sessions.shares_interpreter,
        )  # fmt: skip
        self._how: dict[str, Any] = {
            "max_repairs": max_repairs, "synthesize_response": synthesize_response, "max_images": max_images,
            "instruction_str": instruction_str or prompts.INSTRUCTIONS,
        }  # fmt: skip
        self._chat = chat
        # The kernel of an interpreter that was handed in is its owner's: each run uses one of its own beside it.
        self._kernels = OwnKernels()
        self._limits = limits(execution_timeout)
        self._packages = options.get("packages", ())

    @step
    async def generate(self, ctx: Context, ev: StartEvent) -> ProgramWritten:
        """Loads and describes the data; asks for a program."""
        files = [str(path) for path in (*self._files, *listed(ev.get("files", default=[])))]
        check_files(files, self._sessions.backend, self._packages)
        await ctx.store.set(_FILES, files)
        answer = Answer(question=str(ev.get("query")))
        return await self._written(ctx, rules.first_code, answer)

    @step
    async def execute(self, ctx: Context, ev: ProgramWritten) -> ProgramSucceeded | ProgramFailed:
        """Runs the program."""
        answer = await _held(ctx)
        failed = await self._done(ctx, partial(rules.attempted, code=ev.code), answer)
        told = (
            ProgramFailed(attempt=len(answer.attempts), error=wording.named(answer.last.error))
            if failed
            else ProgramSucceeded(code=answer.last.code)
        )
        ctx.write_event_to_stream(told)
        return told

    @step
    async def repair(self, ctx: Context, ev: ProgramFailed) -> ProgramWritten | StopEvent:
        """Asks for a better program, or gives up and says so."""
        answer = await _held(ctx)
        if not rules.may_repair(await self._analysis(ctx), answer):
            return await self._answered(ctx, answer)
        return await self._written(ctx, rules.repaired_code, answer)

    @step
    async def answer(self, ctx: Context, ev: ProgramSucceeded) -> StopEvent:
        """Puts the output into words."""
        return await self._answered(ctx, await _held(ctx))

    async def _written(self, ctx: Context, rule: Rule[str | None], answer: Answer) -> ProgramWritten:
        written = ProgramWritten(code=await self._done(ctx, rule, answer))
        ctx.write_event_to_stream(written)
        return written

    async def _answered(self, ctx: Context, answer: Answer) -> StopEvent:
        await self._done(ctx, rules.worded, answer)
        session = await self._sessions.of(ctx)
        if self._chat:
            conversation = await self._conversation(ctx)
            conversation.add(rules.turn(answer))
            await ctx.store.set(_TURNS, [list(turn) for turn in conversation.turns])
        elif self._sessions.shares_interpreter:
            # The next run has fresh tables anyway, and a web service has many runs on one interpreter.
            await adrive(self._kernels.end(session.interpreter, (await self._placed(ctx)).id))
        response = to_response(answer)
        return StopEvent(result=with_sandbox(response, session.interpreter.as_sync))

    async def _analysis(self, ctx: Context) -> Analysis:
        dataset = self._dataset(await ctx.store.get(_FILES), await self._placed(ctx))
        conversation = await self._conversation(ctx) if self._chat else None
        return Analysis(dataset, conversation=conversation, **self._how)

    def _dataset(self, files: Sequence[str | Path], placed: Placed) -> Dataset:
        return replace(
            self._data, files=tuple(files), read_options=self._read_options, descriptions=self._descriptions,
            placed=placed,
        )  # fmt: skip

    async def _placed(self, ctx: Context) -> Placed:
        """Returns what this Context's kernel has of the data, as it was kept."""
        return Placed(**(await ctx.store.get(_PLACED, default=None) or {}))

    async def _conversation(self, ctx: Context) -> Conversation:
        return Conversation.of(await ctx.store.get(_TURNS, default=None) or [])

    async def _done(self, ctx: Context, rule: Rule[T], answer: Answer) -> T:
        """Does a step of the analysis, and keeps the answer as plain JSON: the Context can be saved after any step."""
        analysis = await self._analysis(ctx)
        session = await self._sessions.of(ctx)
        # Remembered after a failure too: the sandbox is there, and a restored Context goes on in it.
        try:
            options = await adrive(self._in_own_kernel(self._limits, session.interpreter, analysis.dataset.placed.id))
            host = awaiting_host(self._llm or Settings.llm, session, options, ctx)
            outcome = await adrive(rule(host, analysis, answer))
        finally:
            await self._sessions.remember(ctx, session.key)
        await ctx.store.set(_PLACED, asdict(analysis.dataset.placed))
        await ctx.store.set(_ANSWER, answer.model_dump(mode="json"))
        return outcome


async def _held(ctx: Context) -> Answer:
    return Answer.model_validate(await ctx.store.get(_ANSWER))


def code_interpreter_resource(**options: Any) -> object:
    """Returns a resource that gives the steps of a workflow an interpreter.

    `interpreter: Annotated[AsyncCodeInterpreter, code_interpreter_resource(backend="local")]` in a step's signature.
    One interpreter per workflow object; `options` are those of `CodeInterpreter`. It closes when you close it, or at
    the end of the process.
    """

    def interpreter() -> AsyncCodeInterpreter:
        return AsyncCodeInterpreter(**options)

    # LlamaIndex caches resources by this name: two resources with different options must differ in it.
    interpreter.__qualname__ = f"code_interpreter_resource_{id(interpreter)}"
    return Resource(interpreter)
