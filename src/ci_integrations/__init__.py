"""Code interpreter for LangChain and LlamaIndex agents. A table of contents: every name is loaded on first use."""

from __future__ import annotations

from importlib import import_module

from ci_integrations._version import __version__

TYPE_CHECKING = False  # `typing` alone would cost more than everything else here
if TYPE_CHECKING:
    from typing import Any

    from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter
    from ci_integrations.results import ExecutionResult

_HOME = {
    "AsyncCodeInterpreter": "interpreter",
    "CodeInterpreter": "interpreter",
    "ExecutionResult": "results",
}

__all__ = ["AsyncCodeInterpreter", "CodeInterpreter", "ExecutionResult", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
