"""Cuts numbers and dates into the units of Vega's axes: bins and time units.

Both follow vega-statistics and vega-time, so that a bin or a month is the one that the browser would draw.
"""

from __future__ import annotations

import math
from datetime import datetime

from ci_integrations.charts.read.plain import Json, amounts, as_list, as_map, column, floats, known, number, numbers
from ci_integrations.charts.read.vega_lite.expressions import Unknown, moment

Row = dict[str, object]
Key = tuple[object, ...]
"""The values that the rows of one group share."""
Bins = tuple[float, float, float]
"""Start, stop and step."""
_UNITS = ("year", "quarter", "month", "date", "hours", "minutes", "seconds")
_CUT = (
    # 2012 is the year that Vega puts under dates whose unit has none.
    ("year", {"year"}, 2012), ("month", {"month", "date"}, 1), ("day", {"date"}, 1), ("hour", {"hours"}, 0),
    ("minute", {"minutes"}, 0), ("second", {"seconds"}, 0),
)  # fmt: skip
"""Each field of a date, the units that keep it, and what it is without them."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def bin_of(rows: list[Row], field: str, told: object) -> Bins:
    """Returns the bins that Vega makes of a field, under the parameters that the specification gives."""
    params = as_map(told)
    values = floats(known(column(rows, field))) or [0.0]
    low, high = amounts(as_list(params.get("extent"))) or (min(values), max(values))
    size = number(params.get("step")) or _bin_step(low, high, params)
    # As in vega-statistics: the ends move outwards to multiples of the step.
    if params.get("nice") is not False:
        precision = 0 if math.log(size) >= 0 else int(-math.log(size) / math.log(10)) + 1
        first = math.floor(low / size + 10.0 ** (-precision - 1)) * size
        low, high = (first - size if low < first else first), math.ceil(high / size) * size
    return low, (low + size if high == low else high), size


def _bin_step(low: float, high: float, params: Json) -> float:
    """Vega's `binStep`: the smallest of the round steps that gives no more than `maxbins` bins."""
    span = (high - low) or abs(low) or 1.0
    most, least = int(number(params.get("maxbins")) or 10), number(params.get("minstep")) or 0.0
    steps, divisors = (numbers(params.get(key)) for key in ("steps", "divide"))
    if steps:
        return float(next((step for step in steps if step >= span / most), steps[-1]))
    return _round_step(span, most, least, divisors or [5, 2])


def _round_step(span: float, most: int, least: float, divisors: list[float]) -> float:
    """The smallest step of at least `least`, a power of ten or a part of one, that gives no more than `most` bins."""
    # A power of ten first, widened until it fits, then divided by 5 and 2 while it still does.
    level = math.ceil(math.log(most) / math.log(10))
    size = max(least, 10.0 ** (round(math.log(span) / math.log(10)) - level))
    while math.ceil(span / size) > most:
        size *= 10
    for divisor in divisors:
        smaller = size / divisor
        if smaller >= least and span / smaller <= most:
            size = smaller
    return size


def bin_start(value: object, bins: Bins) -> float | None:
    """Returns the lower end of the value's bin; the upper end of the last bin belongs to it."""
    start, stop, size = bins
    if not isinstance(value, (int, float)) or not start - 1e-9 <= value <= stop + 1e-9:
        return None
    # The slack forgives rounding: a value on an edge belongs to the bin above it.
    place = math.floor((value - start) / size + 1e-14)
    return start + size * min(place, max(0, round((stop - start) / size) - 1))


def unit_parts(unit: object) -> list[str]:
    """Returns `"utcyearmonth"` as `["year", "month"]`. Raises `Unknown`."""
    name = str(unit.get("unit") if isinstance(unit, dict) else unit).removeprefix("utc").removeprefix("binned")
    found = []
    while name:
        part = next((p for p in (*_UNITS, "day", "week") if name.startswith(p)), None)
        if part is None:
            raise Unknown(f"time unit {unit!r}")
        found.append(part)
        name = name.removeprefix(part)
    return found


def time_unit(value: object, unit: object, *, words: bool = False) -> str | None:
    """Returns a date cut to a time unit: as ISO text, or as the words that an ordinal axis shows. Raises `Unknown`."""
    if value is None:
        return None
    when, parts = moment(value), unit_parts(unit)
    if words:
        return " ".join(_word(when, part) for part in parts)
    fields = [first if units.isdisjoint(parts) else getattr(when, name) for name, units, first in _CUT]
    if fields[1] == 1 and "quarter" in parts:
        fields[1] = (when.month - 1) // 3 * 3 + 1
    year, month, day, hour, minute, second = fields
    return datetime(year, month, day, hour, minute, second, tzinfo=when.tzinfo).isoformat()


def _word(when: datetime, part: str) -> str:
    """What an ordinal axis shows for one part of a date."""
    return {
        "year": str(when.year), "quarter": f"Q{(when.month + 2) // 3}", "month": _MONTHS[when.month - 1],
        "date": str(when.day), "day": _DAYS[when.weekday()], "hours": f"{when.hour:02d}",
        "minutes": f"{when.minute:02d}", "seconds": f"{when.second:02d}", "week": str(when.isocalendar().week),
    }[part]  # fmt: skip
