"""The code interpreter for LangChain: a tool, a toolkit, a middleware, a deepagents backend. Loaded on first use.

`CodeInterpreterTool` needs langchain-core alone; the middleware and `create_code_agent` need langchain, the backend
deepagents. What is missing is named by a `MissingDependencyError`, which is an `ImportError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ci_integrations.errors import MissingDependencyError

try:
    import langchain_core  # noqa: F401
except ImportError as missing:
    raise MissingDependencyError("ci_integrations.langchain", "langchain") from missing

if TYPE_CHECKING:
    from ci_integrations.langchain.messages import to_tool_message
    from ci_integrations.langchain.tool import CodeInterpreterTool

_HOME = {
    "CodeInterpreterTool": "tool",
    "to_tool_message": "messages",
}

__all__ = ["CodeInterpreterTool", "to_tool_message"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
