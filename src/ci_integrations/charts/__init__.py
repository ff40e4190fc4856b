"""Charts as data. A table of contents: every name is loaded on first use, so that the extractor stays without
pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ci_integrations.charts.model import Axis, Chart, Panel, Series
    from ci_integrations.charts.neutral import to_neutral

_HOME = {"Axis": "model", "Chart": "model", "Panel": "model", "Series": "model", "to_neutral": "neutral"}

__all__ = ["Axis", "Chart", "Panel", "Series", "to_neutral"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
