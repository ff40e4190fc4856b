"""`create_code_agent`: LangChain's `create_agent` with our middleware in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ci_integrations._errors import MissingDependencyError
from ci_integrations.langchain.middleware import CodeInterpreterMiddleware

try:
    from langchain.agents import create_agent
except ImportError as missing:
    raise MissingDependencyError("create_code_agent", "langchain") from missing


def create_code_agent(
    model: Any, *, tools: Sequence[Any] = (), interpreter: Any = None, middleware: Sequence[Any] = (), **options: Any
) -> Any:
    """An agent that runs code. `interpreter` is what `CodeInterpreterMiddleware` takes first; `options` go to
    `create_agent` (`system_prompt`, `checkpointer`, `response_format` ...).
    """
    code = CodeInterpreterMiddleware(interpreter)
    return create_agent(model, tools=list(tools), middleware=[code, *middleware], **options)
