"""Code interpreter for LangChain and LlamaIndex agents. A table of contents: every name is loaded on first use."""

from __future__ import annotations

from ci_integrations._lazy import loader
from ci_integrations._version import __version__

TYPE_CHECKING = False  # `typing` alone would cost more than everything else here
if TYPE_CHECKING:
    from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter
    from ci_integrations.results.result import ExecutionResult

_HOME = {
    "AsyncCodeInterpreter": "interpreter",
    "CodeInterpreter": "interpreter",
    "ExecutionResult": "results.result",
}

__all__ = ["AsyncCodeInterpreter", "CodeInterpreter", "ExecutionResult", "__version__"]

__getattr__ = loader(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__
