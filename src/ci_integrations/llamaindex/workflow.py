"""Answers questions with programs as LlamaIndex steps: generate, execute, repair, answer. It succeeds query pipelines.

    handler = CodeInterpreterWorkflow(llm=llm).run(query="Sales by region?", files=["sales.csv"])
    async for event in handler.stream_events(): ...
    response = await handler

Between any two steps the Context is plain JSON, so it can be saved there.
"""

from collections.abc import Callable, Mapping, Sequence
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
from ci_integrations.llamaindex._run import limits
from ci_integrations.llamaindex._sessions import OwnsSessions, Sessions
from ci_integrations.llamaindex.analysis import rules
from ci_integrations.llamaindex.analysis.dataset import Dataset, listed, named
from ci_integrations.llamaindex.analysis.hosts import Host, awaiting_host
from ci_integrations.llamaindex.analysis.response import to_response
from ci_integrations.llamaindex.analysis.rules import Analysis, Answer

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Rule = Callable[[Host, Analysis, Answer], Flow[T]]
"""A step of the analysis, before it is given its host."""

_ANSWER = "code_interpreter_answer"
_FILES = "code_interpreter_files"
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


class CodeInterpreterWorkflow(OwnsSessions, Workflow):
    """Answers `run(query=..., files=[...])` with a `Response`, as `CodeInterpreterQueryEngine` does.

    Streams `ProgramWritten`, `ProgramFailed`, `ProgramSucceeded` and the events of each execution. One session per
    Context, so a saved and restored Context goes on. `execution_timeout`: seconds for a program; `timeout` is the
    workflow's own. `interpreter` and `options`: as for `CodeInterpreterTool`.
    """

    def __init__(
        self,
        interpreter: Given = None,
        *,
        llm: LLM | None = None,
        files: Sequence[str | Path] = (),
        dataframes: "Mapping[str, pd.DataFrame] | None" = None,
        max_repairs: int = 2,
        synthesize_response: bool = True,
        execution_timeout: float | None = None,
        timeout: float | None = None,
        verbose: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(timeout=timeout, verbose=verbose)
        self._llm = llm
        self._files = listed(files)
        self._frames = named(dataframes)
        self._max_repairs = max_repairs
        self._synthesize_response = synthesize_response
        self._sessions = Sessions(interpreter, slot=_SLOT, options=options)
        self._limits = limits(execution_timeout)

    @step
    async def generate(self, ctx: Context, ev: StartEvent) -> ProgramWritten:
        """Loads and describes the data; asks for a program."""
        await ctx.store.set(_FILES, [str(path) for path in (*self._files, *listed(ev.get("files", default=[])))])
        answer = Answer(question=str(ev.get("query")))
        return await self._written(ctx, rules.first_code, answer)

    @step
    async def execute(self, ctx: Context, ev: ProgramWritten) -> ProgramSucceeded | ProgramFailed:
        """Runs the program."""
        answer = await _held(ctx)
        failed = await self._done(ctx, partial(rules.attempted, code=ev.code), answer)
        told = (
            ProgramFailed(attempt=len(answer.attempts), error=rules.named(answer.last.error))
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
        return StopEvent(result=to_response(answer, aliases=False))

    async def _analysis(self, ctx: Context) -> Analysis:
        files = await ctx.store.get(_FILES)
        dataset = Dataset(tuple(files), self._frames)
        return Analysis(dataset, max_repairs=self._max_repairs, synthesize_response=self._synthesize_response)

    async def _done(self, ctx: Context, rule: Rule[T], answer: Answer) -> T:
        """Does a step of the analysis, and keeps the answer as plain JSON: the Context can be saved after any step."""
        analysis = await self._analysis(ctx)
        session = await self._sessions.of(ctx)
        # Remembered after a failure too: the sandbox is there, and a restored Context goes on in it.
        try:
            host = awaiting_host(self._llm or Settings.llm, session, self._limits, ctx)
            outcome = await adrive(rule(host, analysis, answer))
        finally:
            await self._sessions.remember(ctx, session.key)
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
