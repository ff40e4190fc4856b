"""The code interpreter for LangChain: a tool, a toolkit, a middleware, a deepagents backend. Loaded on first use.

`CodeInterpreterTool` needs langchain-core alone; the middleware and `create_code_agent` need langchain, the backend
deepagents. What is missing is named by a `MissingDependencyError`, which is an `ImportError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_integrations._errors import MissingDependencyError
from ci_integrations._lazy import loader

try:
    import langchain_core  # noqa: F401
except ImportError as missing:
    raise MissingDependencyError("ci_integrations.langchain", "langchain") from missing

if TYPE_CHECKING:
    from ci_integrations.langchain.agent import create_code_agent
    from ci_integrations.langchain.approval import code_approval, describe_code, is_risky, risks
    from ci_integrations.langchain.deepagents_backend import E2BSandboxBackend
    from ci_integrations.langchain.export import artifacts_from, results_from, save_artifacts, to_notebook
    from ci_integrations.langchain.messages import to_tool_message
    from ci_integrations.langchain.middleware import CodeInterpreterMiddleware
    from ci_integrations.langchain.tool import CodeInterpreterTool
    from ci_integrations.langchain.toolkit import CodeInterpreterToolkit

_HOME = {
    "CodeInterpreterMiddleware": "middleware",
    "CodeInterpreterTool": "tool",
    "CodeInterpreterToolkit": "toolkit",
    "E2BSandboxBackend": "deepagents_backend",
    "code_approval": "approval",
    "artifacts_from": "export",
    "create_code_agent": "agent",
    "describe_code": "approval",
    "is_risky": "approval",
    "results_from": "export",
    "risks": "approval",
    "save_artifacts": "export",
    "to_notebook": "export",
    "to_tool_message": "messages",
}

__all__ = [
    "CodeInterpreterMiddleware",
    "CodeInterpreterTool",
    "CodeInterpreterToolkit",
    "E2BSandboxBackend",
    "artifacts_from",
    "code_approval",
    "create_code_agent",
    "describe_code",
    "is_risky",
    "results_from",
    "risks",
    "save_artifacts",
    "to_notebook",
    "to_tool_message",
]

__getattr__ = loader(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__
