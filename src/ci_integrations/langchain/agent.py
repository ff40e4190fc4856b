"""`create_code_agent` calls LangChain's `create_agent` with our middleware in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from ci_integrations._errors import MissingDependencyError
from ci_integrations.langchain.middleware import CodeInterpreterMiddleware, Tool

try:
    from langchain.agents import create_agent
    from langchain.agents.middleware import AgentMiddleware
except ImportError as missing:
    raise MissingDependencyError("create_code_agent", "langchain") from missing


def create_code_agent(
    model: str | BaseChatModel,
    *,
    tools: Sequence[BaseTool | Callable[..., object]] = (),
    interpreter: Tool = None,
    middleware: Sequence[AgentMiddleware[Any, Any]] = (),
    **options: Any,
) -> Any:
    """Returns an agent that runs code.

    `interpreter` is what `CodeInterpreterMiddleware` takes first; `options` go to `create_agent` (`system_prompt`,
    `checkpointer`, `response_format` ...).
    """
    code = CodeInterpreterMiddleware(interpreter)
    return create_agent(model, tools=list(tools), middleware=[code, *middleware], **options)
