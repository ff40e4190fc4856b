"""Vega-Lite's data transforms on plain rows: filter, calculate, aggregate, bin, time units, fold, window, stack.

Rows are dicts. `run` raises `Unknown` for a transform that is not known, and the chart is then said to be incomplete.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from ci_integrations.charts.read.vega_lite.expressions import Unknown, evaluate, moment, truthy

Row = dict[str, Any]
MAX_ROWS = 500_000


def run(rows: list[Row], transforms: Iterable[Any]) -> list[Row]:
    for step in transforms:
        rows = _step(rows, step)
        if len(rows) > MAX_ROWS:
            raise Unknown("too many rows")
    return rows


def _step(rows: list[Row], step: Any) -> list[Row]:
    for name, function in _STEPS.items():
        if name in step:
            return function(rows, step)
    raise Unknown(f"transform {next(iter(step), '?')}")


def _filter(rows: list[Row], step: Any) -> list[Row]:
    return [row for row in rows if keeps(step["filter"], row)]


def keeps(test: Any, row: Row) -> bool:
    """A filter's predicate for one row. A selection that nobody has made lets everything through."""
    if isinstance(test, str):
        return truthy(evaluate(test, row))
    for word, join in (("and", all), ("or", any)):
        if word in test:
            return bool(join(keeps(part, row) for part in test[word]))
    if "not" in test:
        return not keeps(test["not"], row)
    if "param" in test or "selection" in test:
        return True
    value = row.get(test["field"])
    if test.get("timeUnit"):
        value = time_unit(value, test["timeUnit"])
    return _field_test(test, value)


def _field_test(test: dict[str, Any], value: Any) -> bool:
    if "oneOf" in test:
        return bool(value in test["oneOf"])
    if "range" in test:
        low, high = test["range"]
        return value is not None and (low is None or value >= low) and (high is None or value <= high)
    if "valid" in test:
        return bool((value is not None and value == value) == test["valid"])
    if "equal" in test:
        return bool(value == test["equal"])
    for word, compare in _COMPARE.items():
        if word in test:
            return value is not None and bool(compare(value, test[word]))
    raise Unknown("filter")


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "lte": lambda a, b: a <= b, "lt": lambda a, b: a < b, "gte": lambda a, b: a >= b, "gt": lambda a, b: a > b,
}  # fmt: skip


def _calculate(rows: list[Row], step: Any) -> list[Row]:
    return [{**row, step["as"]: evaluate(step["calculate"], row)} for row in rows]


def groups(rows: list[Row], keys: list[str]) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(_hashable(row.get(key)) for key in keys), []).append(row)
    return found


def _hashable(value: Any) -> Any:
    return str(value) if isinstance(value, (list, dict)) else value


def _aggregate(rows: list[Row], step: Any) -> list[Row]:
    keys = list(step.get("groupby") or ())
    return [
        {**dict(zip(keys, key, strict=True)), **_measures(part, step["aggregate"])}
        for key, part in groups(rows, keys).items()
    ]


def _join(rows: list[Row], step: Any) -> list[Row]:
    keys = list(step.get("groupby") or ())
    measured = {key: _measures(part, step["joinaggregate"]) for key, part in groups(rows, keys).items()}
    return [{**row, **measured[tuple(_hashable(row.get(key)) for key in keys)]} for row in rows]


def _measures(rows: list[Row], measures: Any) -> Row:
    return {m.get("as", f"{m['op']}_{m.get('field', '')}"): aggregate(m["op"], m.get("field"), rows) for m in measures}


def aggregate(op: str, field: str | None, rows: list[Row]) -> Any:
    """One of Vega's aggregate operations over `field`. Raises `Unknown`."""
    if op == "count":
        return len(rows)
    values = [row.get(str(field)) for row in rows]
    if op == "missing":
        return sum(v is None for v in values)
    known = [v for v in values if v is not None and v == v]
    if op == "valid":
        return len(known)
    if op == "distinct":
        return len({_hashable(v) for v in values})
    if op in ("min", "max") and known:
        return min(known) if op == "min" else max(known)
    numbers = [float(v) for v in known if isinstance(v, (int, float))]
    if op not in _NUMERIC:
        raise Unknown(f"aggregate {op}")
    return _NUMERIC[op](numbers) if numbers or op in ("sum", "product") else None


def quantile(values: list[float], p: float) -> float:
    """Linear interpolation between the order statistics, as Vega and numpy do it."""
    values = sorted(values)
    at = p * (len(values) - 1)
    low = math.floor(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def spread(numbers: list[float], extent: str) -> tuple[float, float, float]:
    """Lower end, middle and upper end of an error bar."""
    if extent == "iqr":
        return quantile(numbers, 0.25), quantile(numbers, 0.5), quantile(numbers, 0.75)
    mean = sum(numbers) / len(numbers)
    half = float(aggregate("stdev" if extent == "stdev" else "stderr", "v", [{"v": v} for v in numbers]))
    return mean - half, mean, mean + half


def _spread(function: Callable[[list[float]], float]) -> Callable[[list[float]], float]:
    return lambda values: function(values) if len(values) > 1 else 0.0


_NUMERIC: dict[str, Callable[[list[float]], Any]] = {
    "sum": sum, "mean": statistics.fmean, "average": statistics.fmean, "median": statistics.median,
    "min": min, "max": max, "product": math.prod, "q1": lambda v: quantile(v, 0.25), "q3": lambda v: quantile(v, 0.75),
    "stdev": _spread(statistics.stdev), "stdevp": _spread(statistics.pstdev),
    "variance": _spread(statistics.variance), "variancep": _spread(statistics.pvariance),
    "stderr": _spread(lambda v: statistics.stdev(v) / math.sqrt(len(v))),
}  # fmt: skip


def _fold(rows: list[Row], step: Any) -> list[Row]:
    key, value = step.get("as") or ["key", "value"]
    return [{**row, key: field, value: row.get(field)} for row in rows for field in step["fold"]]


def _flatten(rows: list[Row], step: Any) -> list[Row]:
    fields, names = step["flatten"], step.get("as") or step["flatten"]
    found = []
    for row in rows:
        lists = [row.get(field) or [] for field in fields]
        for n in range(max((len(v) for v in lists), default=0)):
            parts = {k: v[n] if n < len(v) else None for k, v in zip(names, lists, strict=True)}
            found.append(row | parts)
    return found


def _bin(rows: list[Row], step: Any) -> list[Row]:
    names = step["as"] if isinstance(step["as"], list) else [step["as"]]
    start, stop, size = bin_of(rows, step["field"], step["bin"])
    found = []
    for row in rows:
        low = bin_start(row.get(step["field"]), start, stop, size)
        ends = [low, None if low is None else low + size]
        found.append({**row, **dict(zip([*names, f"{names[0]}_end"][:2], ends, strict=True))})
    return found


def bin_of(rows: list[Row], field: str, params: Any, maxbins: int = 10) -> tuple[float, float, float]:
    """Start, stop and step of Vega's bins."""
    params = params if isinstance(params, dict) else {}
    numbers = [float(v) for row in rows if isinstance(v := row.get(field), (int, float)) and v == v]
    extent = params.get("extent") or ([min(numbers), max(numbers)] if numbers else [0, 0])
    low, high = float(extent[0]), float(extent[1])
    size = params.get("step") or _bin_step(low, high, int(params.get("maxbins") or maxbins), params)
    if params.get("nice") is not False:
        precision = 0 if math.log(size) >= 0 else int(-math.log(size) / math.log(10)) + 1
        first = math.floor(low / size + 10.0 ** (-precision - 1)) * size
        low, high = (first - size if low < first else first), math.ceil(high / size) * size
    return low, (low + size if high == low else high), float(size)


def _bin_step(low: float, high: float, maxbins: int, params: dict[str, Any]) -> float:
    span = (high - low) or abs(low) or 1.0
    steps = params.get("steps")
    if steps:
        wanted = span / maxbins
        return float(next((s for s in steps if s >= wanted), steps[-1]))
    least = float(params.get("minstep") or 0)
    level = math.ceil(math.log(maxbins) / math.log(10))
    size = max(least, 10.0 ** (round(math.log(span) / math.log(10)) - level))
    while math.ceil(span / size) > maxbins:
        size *= 10
    for divisor in params.get("divide") or (5, 2):
        smaller = size / divisor
        if smaller >= least and span / smaller <= maxbins:
            size = smaller
    return size


def bin_start(value: Any, start: float, stop: float, size: float) -> float | None:
    """The lower end of the value's bin; the upper end of the last bin belongs to it."""
    if not isinstance(value, (int, float)) or value != value or value < start - 1e-9 or value > stop + 1e-9:
        return None
    place = math.floor((value - start) / size + 1e-14)
    return start + size * min(place, max(0, round((stop - start) / size) - 1))


_UNITS = ("year", "quarter", "month", "date", "hours", "minutes", "seconds")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def unit_parts(unit: Any) -> list[str]:
    """`"utcyearmonth"` as `["year", "month"]`. Raises `Unknown`."""
    name = str(unit.get("unit") if isinstance(unit, dict) else unit).removeprefix("utc").removeprefix("binned")
    found = []
    while name:
        part = next((p for p in (*_UNITS, "day", "week") if name.startswith(p)), None)
        if part is None:
            raise Unknown(f"time unit {unit!r}")
        found.append(part)
        name = name.removeprefix(part)
    return found


def time_unit(value: Any, unit: Any, *, words: bool = False) -> Any:
    """A date cut to a time unit: ISO, or the word that an ordinal axis shows."""
    if value is None:
        return None
    at, parts = moment(value), unit_parts(unit)
    if words:
        return " ".join(_word(at, part) for part in parts)
    month = (
        at.month if "month" in parts or "date" in parts else (at.month - 1) // 3 * 3 + 1 if "quarter" in parts else 1
    )
    cut = at.replace(
        year=at.year if "year" in parts else 2012, month=month, day=at.day if "date" in parts else 1,
        hour=at.hour if "hours" in parts else 0, minute=at.minute if "minutes" in parts else 0,
        second=at.second if "seconds" in parts else 0, microsecond=0,
    )  # fmt: skip
    return cut.isoformat()


def _word(at: Any, part: str) -> str:
    return {
        "year": str(at.year), "quarter": f"Q{(at.month + 2) // 3}", "month": _MONTHS[at.month - 1], "date": str(at.day),
        "day": _DAYS[at.weekday()], "hours": f"{at.hour:02d}", "minutes": f"{at.minute:02d}",
        "seconds": f"{at.second:02d}", "week": str(at.isocalendar().week),
    }[part]  # fmt: skip


def _time(rows: list[Row], step: Any) -> list[Row]:
    return [{**row, step["as"]: time_unit(row.get(step["field"]), step["timeUnit"])} for row in rows]


def _window(rows: list[Row], step: Any) -> list[Row]:
    """Running and moving aggregates, ranks and row numbers, in the given order within each group."""
    keys, frame = list(step.get("groupby") or ()), step.get("frame") or [None, 0]
    found: list[Row] = []
    for part in groups(rows, keys).values():
        ordered = sort_rows(part, step.get("sort") or [])
        for n, row in enumerate(ordered):
            low = 0 if frame[0] is None else max(0, n + int(frame[0]))
            high = len(ordered) if frame[1] is None else min(len(ordered), n + int(frame[1]) + 1)
            found.append({**row, **{m["as"]: _windowed(m, ordered, n, (low, high), step) for m in step["window"]}})
    return found


def _windowed(measure: Any, rows: list[Row], n: int, frame: tuple[int, int], step: Any) -> Any:
    op, field = measure["op"], measure.get("field")
    if op == "row_number":
        return n + 1
    if op in ("rank", "dense_rank"):
        keys = [[row.get(s["field"]) for s in step.get("sort") or []] for row in rows]
        before = keys[: keys.index(keys[n])]
        return 1 + (len(before) if op == "rank" else len({str(key) for key in before}))
    if op in ("lag", "lead"):
        at = n + (int(measure.get("param", 1)) if op == "lead" else -int(measure.get("param", 1)))
        return rows[at].get(str(field)) if 0 <= at < len(rows) else None
    return aggregate(op, field, rows[frame[0] : frame[1]])


def sort_rows(rows: list[Row], keys: list[Any]) -> list[Row]:
    for key in reversed(keys):
        field, down = key["field"], key.get("order") == "descending"
        rows = sorted(rows, key=lambda row: (row.get(field) is None, row.get(field)), reverse=down)
    return rows


def _pivot(rows: list[Row], step: Any) -> list[Row]:
    keys = list(step.get("groupby") or ())
    names = sorted({str(row.get(step["pivot"])) for row in rows})
    found = []
    for key, part in groups(rows, keys).items():
        cells = {name: [row for row in part if str(row.get(step["pivot"])) == name] for name in names}
        values = {
            name: aggregate(step.get("op", "sum"), step["value"], some) if some else 0 for name, some in cells.items()
        }
        found.append({**dict(zip(keys, key, strict=True)), **values})
    return found


def _regression(rows: list[Row], step: Any) -> list[Row]:
    """The least-squares line of each group by its two ends, which is how Vega-Lite draws it."""
    if step.get("method", "linear") != "linear" or step.get("params"):
        raise Unknown(f"regression {step.get('method', 'params')}")
    on, field = str(step["on"]), str(step["regression"])
    names = step.get("as") or [on, field]
    keys = list(step.get("groupby") or ())
    found = []
    for key, part in groups(rows, keys).items():
        pairs = [(float(r[on]), float(r[field])) for r in part if None not in (r.get(on), r.get(field))]
        if len({x for x, _ in pairs}) < 2:
            raise Unknown("regression over one place")
        slope, start = statistics.linear_regression(*zip(*pairs, strict=True))
        low, high = step.get("extent") or (min(x for x, _ in pairs), max(x for x, _ in pairs))
        group = dict(zip(keys, key, strict=True))
        found += [{**group, names[0]: x, names[1]: start + slope * x} for x in (low, high)]
    return found


def _lookup(rows: list[Row], step: Any) -> list[Row]:
    source = step["from"]
    fields = source.get("fields")
    if "rows" not in source or not fields:
        raise Unknown("lookup")
    names = step.get("as") or fields
    names = [names] if isinstance(names, str) else names
    table = {_hashable(row.get(source["key"])): row for row in source["rows"]}
    found = []
    for row in rows:
        other = table.get(_hashable(row.get(step["lookup"])))
        values = [step.get("default") if other is None else other.get(field) for field in fields]
        found.append({**row, **dict(zip(names, values, strict=True))})
    return found


def _impute(rows: list[Row], step: Any) -> list[Row]:
    """Each group gets a row for every key of the others, with a value; also in place of a missing one."""
    field, key, keys = step["impute"], step["key"], list(step.get("groupby") or ())
    if step.get("frame") not in (None, [None, None]) or "keyvals" in step:
        raise Unknown("impute over a frame")
    places = list(dict.fromkeys(_hashable(row.get(key)) for row in rows))
    found = []
    for group, part in groups(rows, keys).items():
        method = str(step.get("method") or "value")
        value = step.get("value") if method == "value" else aggregate(method, field, part)
        have = {_hashable(row.get(key)) for row in part}
        missing = [{**dict(zip(keys, group, strict=True)), key: at, field: value} for at in places if at not in have]
        found += [row if row.get(field) is not None else {**row, field: value} for row in part] + missing
    return found


_STEPS: dict[str, Callable[[list[Row], Any], list[Row]]] = {
    "filter": _filter, "calculate": _calculate, "joinaggregate": _join, "aggregate": _aggregate, "fold": _fold,
    "flatten": _flatten, "bin": _bin, "timeUnit": _time, "window": _window, "pivot": _pivot,
    "regression": _regression, "lookup": _lookup, "impute": _impute,
}  # fmt: skip
