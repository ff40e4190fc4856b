"""Applies Vega-Lite's data transforms to plain rows: filter, calculate, aggregate, bin, time units, fold, window ...

Rows are dicts. `run` raises `Unknown` for a transform that is not known, and the chart is then marked as incomplete.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from itertools import zip_longest

from ci_integrations.charts.columns import is_number
from ci_integrations.charts.read.plain import Json, as_list, as_map, column, floats, grouped, known, maps, number, rank
from ci_integrations.charts.read.vega_lite.expressions import Unknown, compare, evaluate, truthy
from ci_integrations.charts.read.vega_lite.units import Key, Row, bin_of, bin_start, time_unit

MAX_ROWS = 500_000
"""Rows that a transform may leave."""


def run(rows: list[Row], transforms: Iterable[Json]) -> list[Row]:
    """Returns the rows after all steps. Raises `Unknown` for a step that is not known or makes too many rows."""
    for step in transforms:
        transform = next((function for name, function in _STEPS.items() if name in step), None)
        if transform is None:
            raise Unknown(f"transform {next(iter(step), '?')}")
        rows = transform(rows, step)
        if len(rows) > MAX_ROWS:
            raise Unknown("too many rows")
    return rows


def _filter(rows: list[Row], step: Json) -> list[Row]:
    """The rows that a filter keeps."""
    return [row for row in rows if keeps(step["filter"], row)]


def keeps(test: object, row: Row) -> bool:
    """Returns what a filter says to one row. A selection that nobody has made lets everything through."""
    if isinstance(test, str):
        return truthy(evaluate(test, row))
    told = as_map(test)
    for word, join in (("and", all), ("or", any)):
        if word in told:
            return join(keeps(part, row) for part in as_list(told[word]))
    if "not" in told:
        return not keeps(told["not"], row)
    if "param" in told or "selection" in told:
        return True
    value = row.get(str(told["field"]))
    return _field_test(told, time_unit(value, told["timeUnit"]) if told.get("timeUnit") else value)


def _field_test(test: Json, value: object) -> bool:
    """A predicate on the value of one field. Raises `Unknown` for a predicate that is not known."""
    if "oneOf" in test:
        return value in as_list(test["oneOf"])
    if "valid" in test:
        return (value is not None and value == value) == test["valid"]
    if "equal" in test:
        return bool(value == test["equal"])
    limits = _limits(test)
    return value is not None and all(_holds(op, value, limit) for op, limit in limits)


def _limits(test: Json) -> list[tuple[str, object]]:
    """What a value is compared with, and how. Raises `Unknown` for another predicate."""
    if "range" in test:
        ends = zip((">=", "<="), as_list(test["range"]), strict=True)
        return [(op, limit) for op, limit in ends if limit is not None]
    limits = [(op, test[word]) for word, op in _COMPARE.items() if word in test]
    if not limits:
        raise Unknown("filter")
    return limits


_COMPARE = {"lte": "<=", "lt": "<", "gte": ">=", "gt": ">"}


def _holds(op: str, value: object, limit: object) -> bool:
    """Raises `Unknown` for values that have no order, such as a text and the object that stands for a date."""
    if isinstance(value, str) != isinstance(limit, str) or isinstance(limit, (list, dict)):
        raise Unknown("filter")
    return compare(op, value, limit)


def _calculate(rows: list[Row], step: Json) -> list[Row]:
    """The rows with the value of an expression as a further field."""
    name, expression = str(step["as"]), str(step["calculate"])
    return [{**row, name: evaluate(expression, row)} for row in rows]


def groups(rows: list[Row], keys: list[str]) -> dict[Key, list[Row]]:
    """Returns the rows by their values of `keys`, in the order in which these come first."""
    return grouped((key_of(row, keys), row) for row in rows)


def key_of(row: Row, keys: list[str]) -> Key:
    """Returns a row's values of `keys`; lists and objects among them as text."""
    return tuple(_hashable(row.get(key)) for key in keys)


def _hashable(value: object) -> object:
    """A value that can be a key."""
    return str(value) if isinstance(value, (list, dict)) else value


def _names(step: Json, word: str = "groupby") -> list[str]:
    """The names in a list of a step; nothing when the step has none."""
    return list(map(str, as_list(step.get(word))))


def _aggregate(rows: list[Row], step: Json) -> list[Row]:
    """One row for each group, with its measures."""
    keys = _names(step)
    return measured(groups(rows, keys), keys, step["aggregate"])


def measured(parts: dict[Key, list[Row]], keys: list[str], measures: object) -> list[Row]:
    """Returns one row for each group, with its keys and its measures."""
    return [dict(zip(keys, key, strict=True)) | _measures(part, measures) for key, part in parts.items()]


def _join(rows: list[Row], step: Json) -> list[Row]:
    """Every row with the measures of its group."""
    keys = _names(step)
    measured = {key: _measures(part, step["joinaggregate"]) for key, part in groups(rows, keys).items()}
    return [row | measured[key_of(row, keys)] for row in rows]


def _measures(rows: list[Row], measures: object) -> Row:
    """The measures of one group by the names that the step gives them."""
    return {
        str(m.get("as", f"{m['op']}_{m.get('field', '')}")): aggregate(m["op"], m.get("field"), rows)
        for m in maps(measures)
    }


def aggregate(op: object, field: object, rows: list[Row]) -> object:
    """Returns one of Vega's aggregates over `field`. Raises `Unknown`."""
    values = column(rows, str(field))
    if str(op) in _COUNTS:
        return _COUNTS[str(op)](values)
    told = known(values)
    if str(op) in _ENDS and told:
        return _ENDS[str(op)](told, key=rank)
    function = _NUMERIC.get(str(op))
    if function is None:
        raise Unknown(f"aggregate {op}")
    amounts = floats(told)
    # Sums and products of nothing are 0 and 1; other measures of nothing are missing.
    return function(amounts) if amounts or op in ("sum", "product") else None


_COUNTS: dict[str, Callable[[list[object]], int]] = {
    "count": len, "missing": lambda values: values.count(None), "valid": lambda values: len(known(values)),
    "distinct": lambda values: len(set(map(_hashable, values))),
}  # fmt: skip
_ENDS = {"min": min, "max": max}


def quantile(values: list[float], p: float) -> float:
    """Returns a quantile by linear interpolation between the order statistics, as Vega and numpy do it."""
    values = sorted(values)
    at = p * (len(values) - 1)
    low = math.floor(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def spread(amounts: list[float], extent: str) -> tuple[float, float, float]:
    """Returns the lower end, the middle and the upper end of an error bar."""
    if extent == "iqr":
        return quantile(amounts, 0.25), quantile(amounts, 0.5), quantile(amounts, 0.75)
    mean = sum(amounts) / len(amounts)
    half = _NUMERIC["stdev" if extent == "stdev" else "stderr"](amounts)
    return mean - half, mean, mean + half


def _spread(function: Callable[[list[float]], float]) -> Callable[[list[float]], float]:
    """A measure of spread that is zero for a single value, where `statistics` would raise."""
    return lambda values: function(values) if len(values) > 1 else 0.0


_NUMERIC: dict[str, Callable[[list[float]], float]] = {
    "sum": sum, "mean": statistics.fmean, "average": statistics.fmean, "median": statistics.median,
    "min": min, "max": max, "product": math.prod, "q1": lambda v: quantile(v, 0.25), "q3": lambda v: quantile(v, 0.75),
    "stdev": _spread(statistics.stdev), "stdevp": _spread(statistics.pstdev),
    "variance": _spread(statistics.variance), "variancep": _spread(statistics.pvariance),
    "stderr": _spread(lambda v: statistics.stdev(v) / math.sqrt(len(v))),
}  # fmt: skip


def _fold(rows: list[Row], step: Json) -> list[Row]:
    """One row for each of several fields: its name and its value."""
    key, value = _names(step, "as") or ["key", "value"]
    return [{**row, key: field, value: row.get(field)} for row in rows for field in _names(step, "fold")]


def _flatten(rows: list[Row], step: Json) -> list[Row]:
    """One row for each item of lists, which are filled up to the longest one."""
    fields = _names(step, "flatten")
    names = _names(step, "as") or fields
    found: list[Row] = []
    for row in rows:
        lists = [as_list(row.get(field)) for field in fields]
        found += [row | dict(zip(names, cells, strict=True)) for cells in zip_longest(*lists)]
    return found


def _bin(rows: list[Row], step: Json) -> list[Row]:
    """The rows with both ends of their value's bin."""
    names, field = _names(step, "as") or [str(step["as"])], str(step["field"])
    bins = bin_of(rows, field, step["bin"])
    found = []
    for row in rows:
        low = bin_start(row.get(field), bins)
        ends = low, None if low is None else low + bins[2]
        found.append({**row, **dict(zip([*names, f"{names[0]}_end"][:2], ends, strict=True))})
    return found


def _time(rows: list[Row], step: Json) -> list[Row]:
    """The rows with a date cut to a time unit."""
    return [{**row, str(step["as"]): time_unit(row.get(str(step["field"])), step["timeUnit"])} for row in rows]


def _window(rows: list[Row], step: Json) -> list[Row]:
    """Running and moving aggregates, ranks and row numbers, in the given order within each group."""
    # The default frame goes from the start of the group to the row itself.
    before, after = as_list(step.get("frame")) or [None, 0]
    found: list[Row] = []
    for part in groups(rows, _names(step)).values():
        inside = sort_rows(part, maps(step.get("sort")))
        for n, row in enumerate(inside):
            low = max(0, n + int(before)) if is_number(before) else 0
            frame = inside[low : n + int(after) + 1 if is_number(after) else None]
            found.append(row | {str(m["as"]): _windowed(m, inside, n, frame, step) for m in maps(step["window"])})
    return found


def _windowed(measure: Json, rows: list[Row], n: int, frame: list[Row], step: Json) -> object:
    """The value of one window function in row `n`."""
    op, field = measure["op"], measure.get("field")
    if op == "row_number":
        return n + 1
    if op in ("rank", "dense_rank"):
        keys = [[row.get(str(by["field"])) for by in maps(step.get("sort"))] for row in rows]
        before = list(map(str, keys[: keys.index(keys[n])]))
        return 1 + len(before if op == "rank" else set(before))
    if op in ("lag", "lead"):
        away = int(number(measure.get("param", 1)) or 0)
        at = n + away if op == "lead" else n - away
        return rows[at].get(str(field)) if 0 <= at < len(rows) else None
    return aggregate(op, field, frame)


def sort_rows(rows: list[Row], keys: list[Json]) -> list[Row]:
    """Returns the rows in the order of several fields, the first of which counts most."""
    for key in reversed(keys):
        field, down = str(key["field"]), key.get("order") == "descending"
        rows = sorted(rows, key=lambda row: rank(row.get(field)), reverse=down)
    return rows


def _pivot(rows: list[Row], step: Json) -> list[Row]:
    """One row for each group, with a column for each value of a field."""
    keys, pivot, op = _names(step), str(step["pivot"]), step.get("op", "sum")
    # Vega sorts the new columns by name.
    names = sorted(set(map(str, column(rows, pivot))))
    found = []
    for key, part in groups(rows, keys).items():
        cells = grouped((str(row.get(pivot)), row) for row in part)
        values = {name: aggregate(op, step["value"], cells[name]) if name in cells else 0 for name in names}
        found.append(dict(zip(keys, key, strict=True)) | values)
    return found


def _regression(rows: list[Row], step: Json) -> list[Row]:
    """The least-squares line of each group by its two ends, which is how Vega-Lite draws it."""
    if step.get("method", "linear") != "linear" or step.get("params"):
        raise Unknown(f"regression {step.get('method', 'params')}")
    on, field, keys = str(step["on"]), str(step["regression"]), _names(step)
    names = _names(step, "as") or [on, field]
    found: list[Row] = []
    for key, part in groups(rows, keys).items():
        slope, start, places = _fitted(part, on, field)
        ends = list(filter(is_number, as_list(step.get("extent")))) or places
        group = dict(zip(keys, key, strict=True))
        found += [{**group, names[0]: x, names[1]: start + slope * x} for x in ends]
    return found


def _fitted(rows: list[Row], on: str, field: str) -> tuple[float, float, list[float]]:
    """Slope and start of the least-squares line, and its first and last place. Raises `Unknown` over one place."""
    points = [(x, y) for row in rows if is_number(x := row.get(on)) and is_number(y := row.get(field))]
    places = {float(x) for x, _ in points}
    if len(places) < 2:
        raise Unknown("regression over one place")
    slope, start = statistics.linear_regression(*zip(*points, strict=True))
    return slope, start, [min(places), max(places)]


def _lookup(rows: list[Row], step: Json) -> list[Row]:
    """Columns of a second table, whose rows `views` has put into the step."""
    source = as_map(step["from"])
    fields = _names(source, "fields")
    if "rows" not in source or not fields:
        raise Unknown("lookup")
    names = _names(step, "as") or ([str(step["as"])] if step.get("as") else fields)
    table = {_hashable(row.get(str(source["key"]))): row for row in maps(source["rows"])}
    found = []
    for row in rows:
        other = table.get(_hashable(row.get(str(step["lookup"]))))
        values = [step.get("default") if other is None else other.get(field) for field in fields]
        found.append(row | dict(zip(names, values, strict=True)))
    return found


def _impute(rows: list[Row], step: Json) -> list[Row]:
    """Each group gets a row for every key of the others, with a value; also in place of a missing one."""
    field, key, keys = str(step["impute"]), str(step["key"]), _names(step)
    if step.get("frame") not in (None, [None, None]) or "keyvals" in step:
        raise Unknown("impute over a frame")
    places = list(dict.fromkeys(map(_hashable, column(rows, key))))
    found: list[Row] = []
    for group, part in groups(rows, keys).items():
        method = str(step.get("method") or "value")
        filled: Row = {field: step.get("value") if method == "value" else aggregate(method, field, part)}
        have = set(map(_hashable, column(part, key)))
        found += [row if row.get(field) is not None else row | filled for row in part]
        found += [dict(zip(keys, group, strict=True)) | {key: place} | filled for place in places if place not in have]
    return found


_STEPS: dict[str, Callable[[list[Row], Json], list[Row]]] = {
    "filter": _filter, "calculate": _calculate, "joinaggregate": _join, "aggregate": _aggregate, "fold": _fold,
    "flatten": _flatten, "bin": _bin, "timeUnit": _time, "window": _window, "pivot": _pivot,
    "regression": _regression, "lookup": _lookup, "impute": _impute,
}  # fmt: skip
