"""`CodeInterpreterToolkit` gives an agent code, shell, files, packages and links, all in one session.

(langchain-aws has a toolkit of the same name, for Bedrock AgentCore; this is another one.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import PrivateAttr

from ci_integrations._adapters.sessions import Given
from ci_integrations._errors import ConfigurationError
from ci_integrations.interpreter import CodeInterpreter
from ci_integrations.langchain._base import SandboxTool
from ci_integrations.langchain.tool import CodeInterpreterTool
from ci_integrations.langchain.toolkit_tools import ALL, make

OPT_IN = ("get_port_url",)
"""Left out unless `include` names them: they open the sandbox to the outside."""
NAMES = ("code_interpreter", *ALL)


class CodeInterpreterToolkit(BaseToolkit):
    """Tools that share one session for each conversation. Fewer tools make for better choices: take what is needed.

    `include`: names of the tools. None: all but `get_port_url`, which opens the sandbox to the outside.
    `exclude`: names to leave out.
    `interpreter`, `options`: as for `CodeInterpreterTool`.
    """

    _tools: list[SandboxTool] = PrivateAttr(default_factory=list)
    _main: CodeInterpreterTool = PrivateAttr()

    def __init__(
        self,
        interpreter: Given = None,
        *,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        names = _selected(include, exclude)
        # Made even when it is not offered: it has the sessions that all the tools share.
        self._main = CodeInterpreterTool(interpreter, **options)
        others = make([name for name in names if name in ALL])
        for tool in others:
            tool.join(self._main)
        self._tools = [*([self._main] if "code_interpreter" in names else []), *others]

    @property
    def sandbox_tools(self) -> list[SandboxTool]:
        """The tools, by their own type."""
        return list(self._tools)

    def get_tools(self) -> list[BaseTool]:
        """Returns the tools, the same objects each time."""
        return [*self._tools]

    def session(self, config: RunnableConfig | None = None) -> CodeInterpreter:
        """Returns the `CodeInterpreter` that serves the conversation of `config`."""
        return self._main.session(config)

    def close(self) -> None:
        """Closes every session that was made here."""
        self._main.close()

    async def aclose(self) -> None:
        """Closes every session that was made here, awaited."""
        await self._main.aclose()


def _selected(include: Sequence[str] | None, exclude: Sequence[str]) -> list[str]:
    unknown = sorted({*(include or ()), *exclude} - set(NAMES))
    if unknown:
        raise ConfigurationError(f"no tool {unknown[0]!r} in the toolkit; there are {', '.join(NAMES)}")
    wanted = include if include is not None else [name for name in NAMES if name not in OPT_IN]
    return [name for name in NAMES if name in wanted and name not in exclude]
