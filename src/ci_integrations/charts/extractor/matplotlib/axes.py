"""Reads one axis of a panel: its label, scale and categories, and how drawn positions become values.

Categories are found by position, never by zipping labels with data: a position that is no tick stays a number.
"""

# ruff: noqa: SLF001 - private names of the libraries it reads
from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import pack
from ..importing import np

if TYPE_CHECKING:
    from ..foreign import Array, Artist, Axes, AxisArtist, Column, Converter, Frequency, Index, Json, Panel, Zone


_UNIT = re.compile(r"\s\(([^()]+)\)\s*$|\[([^\[\]]+)\]\s*$")
_DATE_CLASSES = frozenset(("DateFormatter", "AutoDateFormatter", "ConciseDateFormatter"))


class Axis:
    """`which` is "x", "y" or "z" of a matplotlib Axes; `labels` maps positions to category labels, if it has any."""

    def __init__(self, ax: Axes, which: str) -> None:
        self.which = which
        self.ax = ax
        self.axis = getattr(ax, f"{which}axis")
        self.source = _with_converter(ax, self.axis, which)
        self.converter = _converter(self.source)
        self.labels: dict[float, str] = {}
        self.adopted = False
        self.mode = self._mode()

    def _mode(self) -> str:
        """Returns what positions on the axis are: "category", "period", "date", "time" or "number"."""
        name, formatter = type(self.converter).__name__, self.axis.get_major_formatter()
        if name == "StrCategoryConverter" and self.source.units is not None:
            self.labels = {float(v): str(k) for k, v in self.source.units._mapping.items()}
            return "category"
        if _period_freq(self.ax, self.axis) is not None:
            return "period"
        if self.axis.get_scale() != "linear":
            return "number"
        if any("Date" in kind for kind in _classes(self.converter)) or _DATE_CLASSES & _classes(formatter):
            return "date"
        durations = "TimeConverter" in name or type(formatter).__name__ == "TimeSeries_TimedeltaFormatter"
        return "time" if durations else "number"

    @property
    def scale(self) -> str:
        """The scale's name in the schema; a scale of the user's own functions counts as linear."""
        if self.labels:
            return "categorical"
        if self.mode in ("date", "period"):
            return "datetime"
        name = str(self.axis.get_scale())
        return "linear" if name == "function" else name

    def candidates(self) -> dict[float, str]:
        """Returns tick labels that may be categories, position to label; nothing when they are only numbers."""
        known = getattr(self.ax, "_ci_index", None)  # from our hook on pandas
        if self.mode != "number":
            return {}
        if known and self.which == "x":
            return dict(known)
        if self.axis.get_scale() != "linear":
            return {}
        found = {position: label for position, label in fixed_labels(self.axis).items() if label.strip()}
        return {} if all(_same_number(position, label) for position, label in found.items()) else found

    def adopt(self, labels: dict[float, str]) -> None:
        """Makes a categorical axis of this one."""
        self.labels, self.mode, self.adopted = labels, "category", True

    def values(self, positions: Array, *, exact: bool = False, between: bool = False) -> Column:
        """Returns positions as a JSON column of labels, ISO times or numbers.

        Beside a tick they stay numbers: with `exact` if the ticks were made by hand, with `between` always.
        """
        positions = np.asarray(positions, float)
        if self.labels:
            return self._category(positions, exact=between or (exact and self.adopted))
        if self.mode == "date":
            return _dates(positions, self._zone())
        if self.mode == "period":
            return _periods(positions, _period_freq(self.ax, self.axis), getattr(self.ax, "_ci_times", ()))
        return pack.column(positions)

    def _category(self, positions: Array, *, exact: bool) -> list[Json]:
        """Returns the label of the nearest tick within half a tick's spacing, otherwise the number itself."""
        ticks = np.array(sorted(self.labels))
        reach = 1e-6 if exact else reach_of(ticks)
        found: list[Json] = []
        for position in positions.ravel().tolist():
            if position != position:  # NaN
                found.append(None)
                continue
            nearest = float(ticks[int(np.argmin(np.abs(ticks - position)))])
            found.append(self.labels[nearest] if abs(nearest - position) <= reach else position)
        return found

    def _zone(self) -> Zone:
        """Returns the time zone of a date axis: that of the data, or that of the formatter."""
        unit = self.source.get_units() if hasattr(self.source, "get_units") else None
        return unit if hasattr(unit, "utcoffset") else getattr(self.axis.get_major_formatter(), "tz", None)

    def describe(self) -> Panel:
        """Returns the axis as the schema has it."""
        label = text_of(getattr(self.axis, "label", None)) if self.axis.get_visible() else None
        low, high = sorted(float(v) for v in self.axis.get_view_interval())
        found: Panel = {"label": label, "scale": self.scale}
        if unit := self._unit(label or ""):
            found["unit"] = unit
        if self.labels:
            found["categories"] = [self.labels[key] for key in sorted(self.labels)][: pack.LONG]
        else:
            found["limits"] = self.values([low, high])
        if bool(self.axis.get_inverted()):
            found["inverted"] = True
        return found

    def _unit(self, label: str) -> str | None:
        """Returns the unit that the label names, or the one in which pandas counts durations; it writes 00:30:00."""
        if match := _UNIT.search(label):
            return match.group(1) or match.group(2)
        formatter = self.axis.get_major_formatter()
        is_duration = self.mode == "time" and type(formatter).__name__.startswith("TimeSeries")
        return getattr(formatter, "unit", "ns") if is_duration else None


def _classes(thing: object) -> set[str]:
    """Returns the names of an object's class and of its bases: nothing is imported to compare with."""
    return {base.__name__ for base in type(thing).__mro__}


def reach_of(ticks: Array) -> float:
    """Returns how far from its tick a category's mark may be: just under half the smallest spacing."""
    return 0.4999 * float(np.min(np.diff(ticks))) if len(ticks) > 1 else 0.5


def text_of(artist: Artist) -> str | None:
    """Returns the words of a visible text artist, or None."""
    if artist is None or not artist.get_visible():
        return None
    words = str(artist.get_text()).strip()
    return words or None


def _with_converter(ax: Axes, axis: AxisArtist, which: str) -> AxisArtist:
    """Returns the axis itself, or one that it shares its data with, whichever knows how they were converted."""
    if _converter(axis) is not None or which == "z":
        return axis
    shared = ax.get_shared_x_axes() if which == "x" else ax.get_shared_y_axes()
    others = [getattr(other, f"{which}axis") for other in shared.get_siblings(ax)]
    return next((other for other in others if _converter(other) is not None), axis)


def _converter(axis: AxisArtist) -> Converter:
    """Returns an axis' converter, which is an attribute before matplotlib 3.10."""
    getter = getattr(axis, "get_converter", None)
    return getter() if getter is not None else getattr(axis, "converter", None)


def _period_freq(ax: Axes, axis: AxisArtist) -> Frequency | None:
    """Returns the frequency of an axis on which pandas draws the ordinals of periods, or None.

    pandas does so for a regular time index, whatever formatter is set afterwards.
    """
    formatter = axis.get_major_formatter()
    named = type(formatter).__name__.startswith("TimeSeries_Date")
    if axis.axis_name != "x" or not (named or type(_converter(axis)).__name__ == "PeriodConverter"):
        return None
    return getattr(axis, "freq", None) or getattr(ax, "freq", None) or getattr(formatter, "freq", None)


def fixed_labels(axis: AxisArtist) -> dict[float, str]:
    """Returns labels that were set by hand for ticks that were set by hand, by the ticks' positions."""
    locator, formatter = axis.get_major_locator(), axis.get_major_formatter()
    if type(locator).__name__ == "FixedLocator":
        ticks = [float(v) for v in locator.locs]
    elif type(formatter).__name__ == "FixedFormatter":
        ticks = [float(v) for v in locator()]
    else:
        return {}
    if type(formatter).__name__ == "FixedFormatter":
        return {tick: str(label) for tick, label in zip(ticks, formatter.seq, strict=False)}
    # `set_xticks(ticks, labels)` and `set_xticklabels` make a partial of this function of matplotlib's.
    function = getattr(getattr(formatter, "func", None), "func", None)
    if getattr(function, "__name__", "") != "_format_with_dict":
        return {}
    return {tick: str(formatter(tick, n)) for n, tick in enumerate(ticks)}


def _same_number(position: float, label: str) -> bool:
    """Says whether a label is its position in figures, as the locale-free formatters write it."""
    try:
        return abs(float(label.replace("\u2212", "-").replace(",", "")) - position) <= 1e-6 * max(1.0, abs(position))
    except ValueError:
        return False


def _dates(positions: Array, zone: Zone) -> Column:
    """Returns matplotlib's days since its epoch as ISO-8601, in the axis' zone when that is not UTC."""
    from matplotlib import dates

    flat = positions.ravel()
    micros = np.round(np.where(np.isfinite(flat), flat, 0.0) * 86400e3, 2) * 1000
    epoch = np.datetime64(dates.get_epoch())  # type: ignore[no-untyped-call]
    stamps = epoch.astype("datetime64[us]") + micros.round().astype("timedelta64[us]")
    if len(flat) > pack.LONG:
        seconds = stamps.astype("int64") / 1e6
        return pack.column(np.where(np.isfinite(flat), seconds, np.nan), time=True)
    stamps = np.where(np.isfinite(flat), stamps, np.datetime64("NaT"))
    return [None if np.isnat(stamp) else _iso(stamp, zone) for stamp in stamps]


def _iso(stamp: Array, zone: Zone) -> str:
    """Returns a time without zone in UTC, otherwise with the zone's offset."""
    moment = stamp.astype("datetime64[us]").item()
    if zone is None or str(zone) == "UTC":
        return str(moment.isoformat())
    from datetime import timezone

    return str(moment.replace(tzinfo=timezone.utc).astimezone(zone).isoformat())  # noqa: UP017 - Python 3.10 kernels


def _periods(ordinals: Array, freq: Frequency, times: Iterable[Index] = ()) -> Column:
    """Returns periods as the times of the index they were made from, one of `times`, or as their starts."""
    import pandas as pd

    flat = ordinals.ravel()
    known = np.isfinite(flat)
    whole = np.where(known, flat, 0).round().astype("int64")
    make = getattr(pd.PeriodIndex, "from_ordinals", None)  # since pandas 2.2
    index = make(whole, freq=freq) if make is not None else pd.PeriodIndex(ordinal=whole, freq=freq)
    stamps = index.to_timestamp(how="start")
    if len(flat) > pack.LONG:
        seconds = stamps.as_unit("us").asi8 / 1e6
        return pack.column(np.where(known, seconds, np.nan), time=True)
    own = _own_times(whole[known].tolist(), freq, times)
    stamps = [own.get(n, stamp) for n, stamp in zip(whole.tolist(), stamps, strict=True)]
    return [stamp.isoformat() if ok else None for stamp, ok in zip(stamps, known.tolist(), strict=True)]


def _own_times(ordinals: list[int], freq: Frequency, times: Iterable[Index]) -> dict[int, Json]:
    """Returns the times of the index that was drawn by ordinals; weeks on an axis of days are at their first day."""
    found = []
    for index in times:
        plain = index.tz_localize(None)
        try:
            periods = plain.to_period() if plain.freq or plain.inferred_freq else plain.to_period(freq)
            found.append(dict(zip(periods.asfreq(freq, how="start").asi8.tolist(), index, strict=True)))
        except ValueError:
            continue  # no period for these times: their starts will do
    whole = (own for own in found if list(own) == ordinals)
    return next(whole, None) or next((own for own in found if own.keys() >= set(ordinals)), {})
