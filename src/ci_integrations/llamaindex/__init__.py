"""Code interpreter for LlamaIndex: tool, tool spec, CodeAct executor, query engine, pipeline component, workflow.

A table of contents: every name is loaded on first use. Imports no LangChain. Needs the extra `llamaindex`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ci_integrations.errors import MissingDependencyError

_HOME = {
    "ChartCreated": "events",
    "CodeApprovalRequest": "approval",
    "CodeExecutionEndEvent": "events",
    "CodeExecutionFinished": "events",
    "CodeExecutionStartEvent": "events",
    "CodeExecutionStarted": "events",
    "CodeInterpreterQueryEngine": "query_engine",
    "CodeInterpreterQueryTool": "query_engine",
    "CodeInterpreterTool": "tool",
    "CodeOutput": "events",
    "artifacts_from": "output",
    "results_from": "output",
    "to_tool_output": "output",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the table is the truth


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("llama_index") is None or find_spec("llama_index.core") is None:
        raise MissingDependencyError(f"ci_integrations.llamaindex.{name}", "llamaindex")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
