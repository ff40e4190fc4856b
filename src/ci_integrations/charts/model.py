"""The figure as data: `Chart`, its panels and series (schema `ci.chart/1`). Pydantic, frozen, JSON-safe."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Chart(BaseModel):
    """One figure. Filled in by the charts room; the fields below are the contract that other rooms may lean on."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True, extra="ignore")

    schema_: Literal["ci.chart/1"] = Field("ci.chart/1", alias="schema")
    figure_id: str = ""
    title: str | None = None
    panels: tuple[dict[str, Any], ...] = ()

    def describe(self) -> str:
        """One sentence for a reader who cannot see: kind, title, axes, ranges, n."""
        return f"chart {self.title or self.figure_id}"
