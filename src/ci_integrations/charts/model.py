"""The figure as data: `Figure`, its panels, axes and series (schema `ci.chart/1`).

All of it is pydantic, frozen, JSON-safe and bounded.

x and y are as drawn. Horizontal bars have their values in x. Histograms and box plots always have bins or groups in x;
`orientation` says how they were drawn. `complete` is False when something is drawn that is not in the data; the notes
say what.

Numbers are never rounded. Columns of more than 1 000 values are packed without loss (`columns.py` has the forms). When
a figure holds more than about 1.1 MB of them, the rest stays in the sandbox, in files under the temporary directory
that `Chart.files` names and `Chart.load` reads, as long as the sandbox lives; such a chart is still complete. Beyond
64 MB a series is left out, and its panel says so and is not complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ci_integrations._json import plain, text
from ci_integrations.charts import columns

MAX_TEXT = 2000
"""Characters of one label, name or note; longer ones are cut."""
MAX_PLAIN = 200_000
"""Values in one column that is not packed."""
MAX_EXTRA = 50
"""Columns and values in one `extra`."""
_MAX_KEY = 100
"""Characters of a key in `extra`."""


def _words(value: object) -> str | None:
    return None if value is None else text(str(value))[:MAX_TEXT]


def _column(value: object) -> object:
    """A list of scalars, a list of lists, or a packed column. Raises `ValueError` for anything else."""
    if value is None:
        return None
    # Packed numbers are checked, not decoded: most charts are kept and never looked at.
    if columns.is_packed(value):
        wrong = columns.problem(value)
        if wrong is not None:
            raise ValueError(f"packed column: {wrong}")
        return {key: value[key] for key in columns.KEYS if key in value}
    if not isinstance(value, (list, tuple)):
        raise ValueError("a column is a list or packed numbers")  # noqa: TRY004 - pydantic turns ValueError into its own
    if len(value) > MAX_PLAIN:
        raise ValueError(f"a plain column of {len(value)} values")
    return [_cell(item, 2) for item in value]


def _cell(value: object, depth: int) -> object:
    if isinstance(value, str):
        return text(value)[:MAX_TEXT]
    if isinstance(value, (list, tuple)):
        if depth <= 0 or len(value) > MAX_PLAIN:
            raise ValueError("nested too deeply, or too long")
        return [_cell(item, depth - 1) for item in value]
    if isinstance(value, dict):
        raise ValueError("an object among the values")  # noqa: TRY004
    return plain(value)


def _extra(value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_EXTRA:
        raise ValueError("extra is a small object")
    return {text(str(key))[:_MAX_KEY]: _extra_value(item) for key, item in value.items()}


def _extra_value(value: object) -> object:
    is_column = isinstance(value, (list, tuple)) or columns.is_packed(value)
    return _column(value) if is_column else _cell(value, 0)


Words = Annotated[str, BeforeValidator(_words)]
"""Text of at most `MAX_TEXT` characters that can be encoded."""
Column = Annotated[Any, BeforeValidator(_column)]
"""None, a plain list, or packed numbers, which `Series.values` decodes."""
Extra = Annotated[dict[str, Any], BeforeValidator(_extra)]
"""Further columns and single values by name."""
Plain = Annotated[list[Any] | None, BeforeValidator(_column)]
"""None or a plain list."""


class _Part(BaseModel):
    """What all parts of a figure share: unknown fields are ignored, so that newer extractors can be read."""

    model_config = ConfigDict(
        frozen=True, populate_by_name=True, serialize_by_alias=True, extra="ignore", ser_json_inf_nan="null"
    )


class Axis(_Part):
    """One axis of a panel."""

    label: Words | None = None
    scale: Words | None = None
    """linear, log, symlog, logit, datetime or categorical."""
    unit: Words | None = None
    categories: Plain = None
    """In the order in which they stand."""
    limits: Plain = None
    inverted: bool = False


class Series(_Part):
    """One line, one set of bars ...; `values("x")` gives a column as a plain list."""

    name: Words | None = None
    kind: Words = "line"
    axis: Literal["y2", "x2"] | None = None
    """Its own second axis, if it stands on one."""
    x: Column = None
    y: Column = None
    extra: Extra = Field(default_factory=dict)
    orientation: Literal["v", "h"] | None = None

    @property
    def n(self) -> int:
        """Returns how many marks the series has."""
        first = self.x if self.x is not None else self.y
        return columns.length(first) if first is not None else columns.length(next(_lists(self.extra), None))

    def values(self, name: str) -> Any:
        """Returns column `"x"`, `"y"` or one of `extra`, decoded; None when there is none.

        Numbers that are in a file in the sandbox are fetched from there while it runs. Raises `ArtifactError`, which
        says where they are, when they cannot be had.
        """
        raw = getattr(self, name) if name in ("x", "y") else self.extra.get(name)
        there = columns.fetch(raw) if columns.is_elsewhere(raw) else None
        return columns.decode(raw) if there is None else there


def _lists(extra: Mapping[str, object]) -> Iterator[object]:
    return (value for value in extra.values() if isinstance(value, list) or columns.is_packed(value))


class Panel(_Part):
    """One coordinate system with all its series; twin axes are one panel."""

    kind: Words = "mixed"
    title: Words | None = None
    x: Axis | None = None
    y: Axis | None = None
    y2: Axis | None = None
    x2: Axis | None = None
    z: Axis | None = None
    color_label: Words | None = None
    barmode: Words | None = None
    """How several series of bars, bins or areas stand: group (beside), stack (upon) or overlay (before one another)."""
    annotations: tuple[Words, ...] = Field((), max_length=1000)
    position: Extra = Field(default_factory=dict)
    series: tuple[Series, ...] = Field((), max_length=2000)
    complete: bool = True
    """False: not all that is drawn is in the data, or its shape cannot be trusted; `notes` say why."""
    notes: tuple[Words, ...] = Field((), max_length=100)


def _elsewhere(panel: Panel) -> Iterator[columns.Packed]:
    """The columns of a panel whose numbers are in files in the sandbox."""
    for series in panel.series:
        yield from (value for value in (series.x, series.y, *series.extra.values()) if columns.is_elsewhere(value))


class Source(_Part):
    """Where a figure comes from."""

    library: Words = "unknown"
    version: Words = ""
    cell: int | None = None
    """Execution count of the cell that showed it."""
    how: Words = "shown"
    """shown, returned, saved or closed."""


class Figure(_Part):
    """One figure as data: what the readers make and what `export/` writes in other forms. Users meet it as `Chart`."""

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

    def load(self, download: Callable[[str], bytes]) -> Self:
        """The chart with every column in it: `chart.load(interpreter.download)`.

        Raises `ArtifactError` when a file is not what it was, and whatever `download` raises.
        """
        return self.with_files({path: download(path) for path in self.files})

    def with_files(self, contents: Mapping[str, bytes]) -> Self:
        """As `load`, with the bytes of each of `files` at hand; for asynchronous callers."""
        return self._with(lambda column: columns.fetched(column, contents[column["file"]]))

    def with_addresses(self, address: Callable[[str], str | None]) -> Self:
        """The chart with the addresses of its files as the host knows them, whatever the kernel said they were."""
        if not self.files:
            return self
        return self._with(lambda column: {**column, "url": address(column["file"])})

    def _with(self, change: Callable[[columns.Packed], dict[str, object]]) -> Self:
        """The chart with every column that is in a file changed."""
        panels = [panel.model_dump() for panel in self.panels]
        for series in (series for panel in panels for series in panel["series"]):
            for held in (series, series["extra"]):
                held.update({key: change(value) for key, value in held.items() if columns.is_elsewhere(value)})
        return type(self).model_validate(self.model_dump() | {"panels": panels})
