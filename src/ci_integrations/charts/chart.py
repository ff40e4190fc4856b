"""`Chart`: a figure with the methods that export it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from ci_integrations._json import plain
from ci_integrations.charts import columns
from ci_integrations.charts.model import Panel, Source, Words, _elsewhere, _Part


class Chart(_Part):
    """One figure.

    `to_vega_lite()`, `to_plotly()`, `to_dataframe()`, `to_markdown()` and `describe()` say the same in other forms; the
    first three raise `ArtifactError` while there are `files` that were not loaded.
    """

    schema_: Literal["ci.chart/1"] = Field("ci.chart/1", alias="schema")
    figure_id: Words = ""
    title: Words | None = None
    """The overall title; a panel has its own."""
    source: Source = Source()
    panels: tuple[Panel, ...] = Field((), max_length=500)
    native: dict[str, Any] | None = None
    """The library's own specification: `{"mime": ..., "spec": ...}`."""

    @model_validator(mode="before")
    @classmethod
    def _plain_native(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("native") is not None:
            return {**data, "native": plain(data["native"])}
        return data

    @property
    def complete(self) -> bool:
        """True when every panel is."""
        return bool(self.panels) and all(panel.complete for panel in self.panels)

    @property
    def files(self) -> tuple[str, ...]:
        """Paths in the sandbox of the columns that were too long to be sent; empty for nearly every chart."""
        return tuple(dict.fromkeys(column["file"] for panel in self.panels for column in _elsewhere(panel)))

    def load(self, download: Callable[[str], bytes]) -> Chart:
        """The chart with every column in it: `chart.load(interpreter.download)`.

        Raises `ArtifactError` when a file is not what it was, and whatever `download` raises.
        """
        return self.with_files({path: download(path) for path in self.files})

    def with_files(self, contents: Mapping[str, bytes]) -> Chart:
        """As `load`, with the bytes of each of `files` at hand; for asynchronous callers."""
        panels = [panel.model_dump() for panel in self.panels]
        for series in (series for panel in panels for series in panel["series"]):
            for held in (series, series["extra"]):
                held.update(
                    {
                        key: columns.fetched(value, contents[value["file"]])
                        for key, value in held.items()
                        if columns.is_elsewhere(value)
                    }
                )
        return Chart.model_validate(self.model_dump() | {"panels": panels})

    def describe(self) -> str:
        """What a reader who cannot see needs: kind, title, axes, ranges, extremes and counts, panel by panel."""
        from ci_integrations.charts.export.words import describe

        return describe(self)

    def to_markdown(self, max_rows: int = 20) -> str:
        """Each panel as a table with at most `max_rows` rows; long series keep their extremes. Text is escaped."""
        from ci_integrations.charts.export.tables import to_markdown

        return to_markdown(self, max_rows)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame in long form: panel, series, kind, axis, x, y and the extra columns. Needs pandas."""
        from ci_integrations.charts.export.tables import to_dataframe

        return to_dataframe(self)

    def to_vega_lite(self) -> dict[str, Any] | None:
        """A Vega-Lite specification, or None when that grammar has no way to say it (surfaces, Sankey, polar ...)."""
        from ci_integrations.charts.export.vega_lite import to_vega_lite

        return to_vega_lite(self)

    def to_plotly(self) -> dict[str, Any]:
        """A plotly figure as a dict (`data`, `layout`); plotly itself is not needed."""
        from ci_integrations.charts.export.plotly import to_plotly

        return to_plotly(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """In a notebook: the interactive form, and the description for everybody else."""
        bundle: dict[str, Any] = {"text/plain": self.describe()}
        if self.files:
            return bundle
        spec = self.to_vega_lite()
        if spec is not None:
            bundle["application/vnd.vegalite.v6+json"] = spec
        else:
            bundle["application/vnd.plotly.v1+json"] = self.to_plotly()
        return bundle
