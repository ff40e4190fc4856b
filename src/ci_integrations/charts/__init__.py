"""Reads charts as data and writes them in other forms.

This module is a table of contents: every name is loaded when it is first used. The extractor, which is imported from
below this package, so needs neither pydantic nor anything else outside the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_integrations._lazy import loader

if TYPE_CHECKING:
    from ci_integrations.charts.chart import Chart
    from ci_integrations.charts.export.neutral import to_neutral
    from ci_integrations.charts.model import Axis, Panel, Series

_HOME = {"Axis": "model", "Chart": "chart", "Panel": "model", "Series": "model", "to_neutral": "export.neutral"}

__all__ = ["Axis", "Chart", "Panel", "Series", "to_neutral"]

__getattr__ = loader(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__
