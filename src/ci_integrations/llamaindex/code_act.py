"""Runs the programs of a CodeActAgent in a sandbox. LlamaIndex's documented `code_execute_fn` runs them on the host.

    agent = create_code_act_agent(llm, functions=[load_prices])
    await agent.run("Which share rose most?")

`functions` run in the sandbox too: their source is sent there.
"""
# No `from __future__ import annotations` here: FunctionTool compares the annotation of `ctx` itself with Context.

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from llama_index.core.agent.workflow import CodeActAgent
from llama_index.core.base.llms.types import ContentBlock
from llama_index.core.llms import LLM
from llama_index.core.tools import BaseTool, FunctionTool
from llama_index.core.workflow import Context

from ci_integrations._adapters.sessions import AnyInterpreter, Given
from ci_integrations._core.flow import Flow
from ci_integrations.llamaindex._run import Prepare
from ci_integrations.llamaindex._sessions import OwnsSessions
from ci_integrations.llamaindex._shipping import source_of
from ci_integrations.llamaindex.image_feedback import ImageFeedbackCodeActAgent
from ci_integrations.llamaindex.tool import CodeInterpreterTool
from ci_integrations.results.result import ExecutionResult

EXECUTE = "execute"
"""The name that CodeActAgent gives to its one tool."""

_LOST = frozenset({"state_lost", "context_restarted"})


class ExecuteTool(CodeInterpreterTool):
    """The tool of CodeActAgent. It defines the user's functions in the kernel before the first program runs."""

    def __init__(
        self, interpreter: Given = None, *, functions: Sequence[Callable[..., object]] = (), **options: Any
    ) -> None:
        self._functions = source_of(functions) if functions else ""
        self._defined: set[str] = set()
        if interpreter is None and self._functions:
            # Part of the session's recipe: a sandbox that replaces a lost one has the functions again.
            options["setup_code"] = "\n".join(filter(None, [options.get("setup_code"), self._functions]))
        # One that was handed in is somebody else's: nothing is added to its recipe.
        self._by_recipe = interpreter is None
        super().__init__(interpreter, name=EXECUTE, **options)

    def _prepare(self, key: str) -> Prepare | None:
        if self._by_recipe or not self._functions or key in self._defined:
            return None
        self._defined.add(key)
        return self._define

    def _define(self, interpreter: AnyInterpreter) -> Flow[None]:
        yield partial(interpreter.run, self._functions)

    def _observed(self, key: str, result: ExecutionResult) -> ExecutionResult:
        """Notes that a kernel was replaced: the new one does not have our functions."""
        if any(event.type in _LOST for event in result.events):
            self._defined.discard(key)
        return result


class CodeInterpreterExecutor(OwnsSessions):
    """Runs CodeActAgent's programs in a sandbox: `CodeActAgent(code_execute_fn=executor.code_execute_fn, ...)`.

    `functions`: sent into the kernel as source, once per session; `ConfigurationError` for one that cannot be.
    `interpreter`, `options`: as for `CodeInterpreterTool`.
    """

    def __init__(
        self, interpreter: Given = None, *, functions: Sequence[Callable[..., object]] = (), **options: Any
    ) -> None:
        self.functions = tuple(functions)
        self.tool = ExecuteTool(interpreter, functions=self.functions, **options)
        self._sessions = self.tool.sessions

    async def execute(self, code: str, ctx: Context) -> list[ContentBlock]:
        """Runs `code` in the session of `ctx`; returns what the model reads and sees."""
        return (await self.tool.acall(code=code, ctx=ctx)).blocks

    @property
    def code_execute_fn(self) -> Callable[..., Awaitable[list[ContentBlock]]]:
        """What CodeActAgent takes: a bound method, because it would not await a callable object."""
        return self.execute


def create_code_act_agent(
    llm: LLM,
    *,
    functions: Sequence[Callable[..., object]] = (),
    interpreter: Given = None,
    executor: CodeInterpreterExecutor | None = None,
    image_feedback: bool = True,
    **agent_options: Any,
) -> CodeActAgent:
    """Returns a CodeActAgent whose programs run in a sandbox and may call `functions`, which run there too.

    `image_feedback`: the model sees the charts (CodeActAgent alone passes text only). `executor`: one of your own, to
    set its options or to close it. `artifacts_from(answer)` has the charts.
    """
    executor = executor or CodeInterpreterExecutor(interpreter, functions=functions)
    shown: list[BaseTool | Callable[..., object]] = [
        FunctionTool.from_defaults(function) for function in executor.functions
    ]
    kind: type[CodeActAgent] = ImageFeedbackCodeActAgent if image_feedback else CodeActAgent
    agent: CodeActAgent = kind(executor.code_execute_fn, llm=llm, tools=shown, **agent_options)
    # CodeActAgent's own wrapper of the function keeps no artifacts and no error; the tool itself does. It comes last.
    agent.tools = [*(agent.tools or [])[:-1], executor.tool]
    return agent
