"""One axis of a panel: its label, scale and categories, and how drawn positions become values.

Categories are found by position, never by zipping labels with data: a position that is no tick stays a number.
"""

# ruff: noqa: SLF001 - private names of the libraries it reads
from __future__ import annotations

import re
from typing import Any

from .. import pack

_UNIT = re.compile(r"\s\(([^()]+)\)\s*$|\[([^\[\]]+)\]\s*$")
_DATE_CLASSES = ("DateFormatter", "AutoDateFormatter", "ConciseDateFormatter", "TimeSeries_DateFormatter")


class Axis:
    """`which` is "x", "y" or "z" of a matplotlib Axes; `labels` maps positions to category labels, if it has any."""

    def __init__(self, ax: Any, which: str) -> None:
        self.which = which
        self.ax = ax
        self.axis = getattr(ax, f"{which}axis")
        self.source = _with_converter(ax, self.axis, which)
        self.converter = _converter(self.source)
        self.labels: dict[float, str] = {}
        self.adopted = False
        self.mode = self._mode()

    def _mode(self) -> str:
        name = type(self.converter).__name__
        kinds = [type(self.converter).__mro__[i].__name__ for i in range(len(type(self.converter).__mro__))]
        if name == "StrCategoryConverter" and self.source.units is not None:
            self.labels = {float(v): str(k) for k, v in self.source.units._mapping.items()}
            return "category"
        if _period_freq(self.ax, self.axis) is not None:
            return "period"
        if self.axis.get_scale() != "linear":
            return "number"
        if any("Date" in kind or kind == "_SwitchableDateConverter" for kind in kinds) or self._dated():
            return "date"
        if "TimeConverter" in name or type(self.axis.get_major_formatter()).__name__ == "TimeSeries_TimedeltaFormatter":
            return "time"
        return "number"

    def _dated(self) -> bool:
        formatter = self.axis.get_major_formatter()
        return any(base.__name__ in _DATE_CLASSES[:3] for base in type(formatter).__mro__)

    @property
    def scale(self) -> str:
        if self.labels:
            return "categorical"
        if self.mode in ("date", "period"):
            return "datetime"
        name = str(self.axis.get_scale())
        return name if name in ("linear", "log", "symlog", "logit") else ("linear" if name == "function" else name)

    def candidates(self) -> dict[float, str]:
        """Tick labels written by hand that may be categories: position -> label. Empty when they are only numbers."""
        known = getattr(self.ax, "_ci_index", None)
        if known and self.which == "x" and self.mode == "number":
            return dict(known)
        if self.mode != "number" or self.axis.get_scale() != "linear":
            return {}
        found = fixed_labels(self.axis)
        found = {position: label for position, label in found.items() if label.strip()}
        return {} if all(_same_number(position, label) for position, label in found.items()) else found

    def adopt(self, labels: dict[float, str]) -> None:
        self.labels, self.mode, self.adopted = labels, "category", True

    def values(self, positions: Any, *, exact: bool = False, between: bool = False) -> Any:
        """Positions as a JSON column of labels, ISO times or numbers.

        Beside a tick they stay numbers: with `exact` if the ticks were made by hand, with `between` always.
        """
        import numpy as np

        positions = np.asarray(positions, float)
        if self.labels:
            return self._category(positions, exact=between or (exact and self.adopted))
        if self.mode == "date":
            return _dates(positions, self._zone())
        if self.mode == "period":
            return _periods(positions, _period_freq(self.ax, self.axis), getattr(self.ax, "_ci_times", ()))
        return pack.column(positions)

    def _category(self, positions: Any, *, exact: bool) -> list[Any]:
        """The nearest tick's label, at most half a tick's spacing away; else the number itself."""
        import numpy as np

        ticks = np.array(sorted(self.labels))
        reach = 1e-6 if exact else reach_of(ticks)
        found: list[Any] = []
        for position in positions.ravel().tolist():
            if position != position:
                found.append(None)
                continue
            nearest = float(ticks[int(np.argmin(np.abs(ticks - position)))])
            found.append(self.labels[nearest] if abs(nearest - position) <= reach else position)
        return found

    def _zone(self) -> Any:
        unit = self.source.get_units() if hasattr(self.source, "get_units") else None
        return unit if hasattr(unit, "utcoffset") else getattr(self.axis.get_major_formatter(), "tz", None)

    def describe(self) -> dict[str, Any]:
        """The axis as the schema has it."""
        label = text_of(getattr(self.axis, "label", None)) if self.axis.get_visible() else None
        low, high = sorted(float(v) for v in self.axis.get_view_interval())
        match = _UNIT.search(label or "")
        found: dict[str, Any] = {"label": label, "scale": self.scale}
        if match:
            found["unit"] = match.group(1) or match.group(2)
        elif self.mode == "time" and type(formatter := self.axis.get_major_formatter()).__name__.startswith(
            "TimeSeries"
        ):
            found["unit"] = getattr(formatter, "unit", "ns")  # pandas counts durations in it, and writes 00:30:00
        if self.labels:
            found["categories"] = [self.labels[key] for key in sorted(self.labels)][: pack.LONG]
        else:
            found["limits"] = self.values([low, high])
        if bool(self.axis.get_inverted()):
            found["inverted"] = True
        return found


def reach_of(ticks: Any) -> float:
    """How far from its tick a category's mark may stand: just under half the smallest spacing."""
    import numpy as np

    return 0.4999 * float(np.min(np.diff(ticks))) if len(ticks) > 1 else 0.5


def text_of(artist: Any) -> str | None:
    """A visible text artist's words, or None."""
    if artist is None or not artist.get_visible():
        return None
    words = str(artist.get_text()).strip()
    return words or None


def _with_converter(ax: Any, axis: Any, which: str) -> Any:
    """The axis itself, or the one it shares, whichever knows how its data were converted."""
    if _converter(axis) is not None or which == "z":
        return axis
    shared = ax.get_shared_x_axes() if which == "x" else ax.get_shared_y_axes()
    others = [getattr(other, f"{which}axis") for other in shared.get_siblings(ax)]
    return next((other for other in others if _converter(other) is not None), axis)


def _converter(axis: Any) -> Any:
    getter = getattr(axis, "get_converter", None)
    return getter() if getter is not None else getattr(axis, "converter", None)


def _period_freq(ax: Any, axis: Any) -> Any:
    """Pandas draws a series with a regular time index by period ordinals, whatever formatter is set afterwards."""
    formatter = axis.get_major_formatter()
    named = type(formatter).__name__.startswith("TimeSeries_Date")
    if axis.axis_name != "x" or not (named or type(_converter(axis)).__name__ == "PeriodConverter"):
        return None
    return getattr(axis, "freq", None) or getattr(ax, "freq", None) or getattr(formatter, "freq", None)


def fixed_labels(axis: Any) -> dict[float, str]:
    """Labels set by hand for ticks set by hand."""
    locator, formatter = axis.get_major_locator(), axis.get_major_formatter()
    if type(locator).__name__ == "FixedLocator":
        ticks = [float(v) for v in locator.locs]
    elif type(formatter).__name__ == "FixedFormatter":
        ticks = [float(v) for v in locator()]
    else:
        return {}
    if type(formatter).__name__ == "FixedFormatter":
        return {tick: str(label) for tick, label in zip(ticks, formatter.seq, strict=False)}
    function = getattr(getattr(formatter, "func", None), "func", None)
    if getattr(function, "__name__", "") != "_format_with_dict":
        return {}
    return {tick: str(formatter(tick, n)) for n, tick in enumerate(ticks)}


def _same_number(position: float, label: str) -> bool:
    try:
        return abs(float(label.replace("\u2212", "-").replace(",", "")) - position) <= 1e-6 * max(1.0, abs(position))
    except ValueError:
        return False


def _dates(positions: Any, zone: Any) -> Any:
    """Matplotlib's days since its epoch as ISO-8601, in the axis' zone when it has one that is not UTC."""
    import numpy as np
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


def _iso(stamp: Any, zone: Any) -> str:
    moment = stamp.astype("datetime64[us]").item()
    if zone is None or str(zone) == "UTC":
        return str(moment.isoformat())
    from datetime import timezone

    return str(moment.replace(tzinfo=timezone.utc).astimezone(zone).isoformat())  # noqa: UP017 - Python 3.10 kernels


def _periods(ordinals: Any, freq: Any, times: Any = ()) -> Any:
    """Periods as the times of the index they were made from, one of `times`, or as their starts."""
    import numpy as np
    import pandas as pd

    flat = ordinals.ravel()
    known = np.isfinite(flat)
    whole = np.where(known, flat, 0).round().astype("int64")
    make = getattr(pd.PeriodIndex, "from_ordinals", None)
    index = make(whole, freq=freq) if make is not None else pd.PeriodIndex(ordinal=whole, freq=freq)
    stamps = index.to_timestamp(how="start")
    if len(flat) > pack.LONG:
        seconds = stamps.as_unit("us").asi8 / 1e6
        return pack.column(np.where(known, seconds, np.nan), time=True)
    own = _own_times(whole[known].tolist(), freq, times)
    stamps = [own.get(n, stamp) for n, stamp in zip(whole.tolist(), stamps, strict=True)]
    return [stamp.isoformat() if ok else None for stamp, ok in zip(stamps, known.tolist(), strict=True)]


def _own_times(ordinals: list[int], freq: Any, times: Any) -> dict[int, Any]:
    """Ordinal -> time of the index that was drawn there; weeks on an axis of days stand at their first day."""
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
