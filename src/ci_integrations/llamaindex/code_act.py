"""CodeActAgent with a sandbox behind it. The docs' sample of `code_execute_fn` runs model code on the host; this not.

    agent = create_code_act_agent(llm, functions=[load_prices])
    await agent.run("Which share rose most?")

`functions` run in the sandbox too: their source is shipped there.
"""
# No `from __future__ import annotations` here: FunctionTool finds its Context by the annotation object itself.

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from llama_index.core.agent.workflow import CodeActAgent
from llama_index.core.base.llms.types import ContentBlock
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context

from ci_integrations.llamaindex._shipping import source_of
from ci_integrations.llamaindex.image_feedback import ImageFeedbackCodeActAgent
from ci_integrations.llamaindex.tool import CodeInterpreterTool
from ci_integrations.results.result import ExecutionResult

EXECUTE = "execute"
"""The name that CodeActAgent gives to its one tool."""

_LOST = frozenset({"state_lost", "context_restarted"})


class ExecuteTool(CodeInterpreterTool):
    """The tool of CodeActAgent: it defines the user's functions in the kernel before the first program runs."""

    def __init__(
        self, interpreter: Any = None, *, functions: Sequence[Callable[..., Any]] = (), **options: Any
    ) -> None:
        self._functions = source_of(functions) if functions else ""
        self._defined: set[str] = set()
        if interpreter is None and self._functions:
            # The sandbox's own recipe: defined again by itself when a lost sandbox is restored.
            options["setup_code"] = "\n".join(filter(None, [options.get("setup_code"), self._functions]))
        self._by_recipe = interpreter is None
        super().__init__(interpreter, name=EXECUTE, **options)

    async def arun(self, code: str, ctx: Any = None) -> ExecutionResult:
        session = await self.sessions.of(ctx)
        if self._missing_in(session.key):
            await session.interpreter.run(self._functions)
        return self._noted(session.key, await super().arun(code, ctx))

    def run(self, code: str, ctx: Any = None) -> ExecutionResult:
        session = self.sessions.blocking(ctx)
        if self._missing_in(session.key):
            session.interpreter.run(self._functions)
        return self._noted(session.key, super().run(code, ctx))

    def _missing_in(self, key: str) -> bool:
        if self._by_recipe or not self._functions or key in self._defined:
            return False
        self._defined.add(key)
        return True

    def _noted(self, key: str, result: ExecutionResult) -> ExecutionResult:
        """A kernel that was replaced knows our functions no more."""
        if any(event.type in _LOST for event in result.events):
            self._defined.discard(key)
        return result


class CodeInterpreterExecutor:
    """Runs CodeActAgent's programs in a sandbox: `CodeActAgent(code_execute_fn=executor.code_execute_fn, ...)`.

    `functions`: shipped into the kernel as source, once per session; `ConfigurationError` for one that cannot be.
    `interpreter`, `options`: as for `CodeInterpreterTool`.
    """

    def __init__(
        self, interpreter: Any = None, *, functions: Sequence[Callable[..., Any]] = (), **options: Any
    ) -> None:
        self.functions = tuple(functions)
        self.tool = ExecuteTool(interpreter, functions=self.functions, **options)

    async def execute(self, code: str, ctx: Context) -> list[ContentBlock]:
        """Run `code` in the session of `ctx`; what the model is to read and see."""
        return (await self.tool.acall(code=code, ctx=ctx)).blocks

    @property
    def code_execute_fn(self) -> Callable[..., Any]:
        """For CodeActAgent: a bound method, because a callable object would not be awaited."""
        return self.execute

    def close(self) -> None:
        """Close the sessions made here."""
        self.tool.close()

    async def aclose(self) -> None:
        await self.tool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()


def create_code_act_agent(
    llm: Any,
    *,
    functions: Sequence[Callable[..., Any]] = (),
    interpreter: Any = None,
    executor: CodeInterpreterExecutor | None = None,
    image_feedback: bool = True,
    **agent_options: Any,
) -> CodeActAgent:
    """A CodeActAgent whose programs run in a sandbox and may call `functions`, which run there too.

    `image_feedback`: the model sees the charts (CodeActAgent alone passes text only). `executor`: one of your own, to
    set its options or to close it. `artifacts_from(answer)` has the charts.
    """
    executor = executor or CodeInterpreterExecutor(interpreter, functions=functions)
    shown: list[Any] = [FunctionTool.from_defaults(function) for function in executor.functions]
    kind: Any = ImageFeedbackCodeActAgent if image_feedback else CodeActAgent
    agent: CodeActAgent = kind(executor.code_execute_fn, llm=llm, tools=shown, **agent_options)
    # CodeActAgent's own wrapper of the function keeps no artifacts and no error; the tool itself does. It comes last.
    agent.tools = [*(agent.tools or [])[:-1], executor.tool]
    return agent
