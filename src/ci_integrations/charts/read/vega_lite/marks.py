"""Vega-Lite marks with their encodings as series: aggregation, binning, colour groups, and the axes' default titles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ci_integrations.charts.read.vega_lite import spans
from ci_integrations.charts.read.vega_lite.expressions import Unknown
from ci_integrations.charts.read.vega_lite.transforms import (
    Row,
    aggregate,
    bin_of,
    bin_start,
    groups,
    spread,
    time_unit,
    unit_parts,
)
from ci_integrations.charts.shares import shares

_SPLITS = ("color", "fill", "stroke", "shape", "strokeDash", "detail", "xOffset", "yOffset")
_KINDS = {
    "bar": "bar", "line": "line", "trail": "line", "area": "area", "point": "scatter", "circle": "scatter",
    "square": "scatter", "tick": "scatter", "rect": "heatmap", "arc": "pie", "boxplot": "box", "rule": "rule",
    "errorband": "band", "errorbar": "errorbar", "geoshape": "choropleth", "image": "scatter",
}  # fmt: skip


@dataclass
class Unit:
    mark: dict[str, Any]
    rows: list[Row]
    encoding: dict[str, Any]
    notes: tuple[str, ...] = ()
    second: str = ""
    """"x2" or "y2": it stands on a second axis of its own."""

    def channel(self, name: str) -> dict[str, Any]:
        found = self.encoding.get(name)
        if isinstance(found, list):
            found = found[0] if found else {}
        found = found if isinstance(found, dict) else {}
        when = found.get("condition")
        if isinstance(when, dict) and "param" in when and "field" in when and when.get("empty") is not False:
            return when  # nobody has selected anything: every mark is "selected"
        return found


def title_of(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("text")
    if isinstance(value, list):
        value = " ".join(str(part) for part in value)
    return str(value) if value not in (None, "") else None


def ordered(parts: dict[tuple[Any, ...], Any], channels: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Group keys as Vega-Lite orders them: by `sort` when it is a list, else ascending."""

    def rank(key: tuple[Any, ...]) -> list[Any]:
        found = []
        for value, channel in zip(key, channels, strict=True):
            listed = channel.get("sort") if isinstance(channel.get("sort"), list) else None
            listed = listed or (channel.get("scale") or {}).get("domain")
            place = listed.index(value) if isinstance(listed, list) and value in listed else 10**6
            found.append((place, value is None, isinstance(value, str), value if value is not None else 0))
        return found

    try:
        return sorted(parts, key=rank)
    except TypeError:
        return list(parts)


def panel(units: list[Unit], title: str | None) -> dict[str, Any]:
    """All units of one coordinate system."""
    found: dict[str, Any] = {"kind": "", "title": title, "series": [], "complete": True, "notes": []}
    for unit in units:
        found["notes"] += list(unit.notes)
        try:
            entries = series(unit)
            found["series"] += [entry | ({"axis": unit.second} if unit.second else {}) for entry in entries]
            if sum(entry["kind"] in ("bar", "histogram", "area") for entry in entries) > 1:
                found["barmode"] = _barmode(unit)
        except Unknown as unknown:
            found["notes"].append(f"not evaluated: {unknown}")
    if not found["series"] and not found["notes"]:
        found["notes"].append("only words are drawn")
    if found["notes"]:
        found["complete"] = False
    found["notes"] = list(dict.fromkeys(found["notes"]))
    found["series"] = spans.joined(found["series"])
    found["kind"] = _panel_kind([entry["kind"] for entry in found["series"]])
    if found["kind"] not in ("pie", "donut", "choropleth") and not any(_on_a_map(unit) for unit in units):
        for name in ("x", "y", *dict.fromkeys(unit.second for unit in units if unit.second)):
            own = [unit for unit in units if (unit.second == name if name[1:] else unit.second[:1] != name)]
            found[name] = _axis(own, name[0])
    colors = [unit.channel("color") for unit in units if unit.channel("color").get("type") == "quantitative"]
    if colors:
        found["color_label"] = channel_title(colors[0])
    return found


def _barmode(unit: Unit) -> str:
    if "xOffset" in unit.encoding or "yOffset" in unit.encoding:
        return "group"
    return "overlay" if any(not unit.channel(name).get("stack", True) for name in ("x", "y")) else "stack"


def _panel_kind(kinds: list[str]) -> str:
    distinct = [kind for kind in dict.fromkeys(kinds) if kind != "rule"] or kinds or ["mixed"]
    if len(distinct) == 1:
        return distinct[0]
    if "bar" in distinct and set(distinct) - {"bar", "errorbar"}:
        return "mixed"
    for leader in ("histogram", "candlestick", "box", "heatmap", "bar"):
        if leader in distinct:
            return leader
    return next((kind for kind in distinct if kind in ("scatter", "line")), "area" if "area" in distinct else "mixed")


def _axis(units: list[Unit], which: str) -> dict[str, Any]:
    channels = [unit.channel(which) for unit in units if which in unit.encoding]
    channels += [unit.channel(f"{which}2") for unit in units if f"{which}2" in unit.encoding and not channels]
    if not channels:
        return {"label": None, "scale": "linear"}
    titles = list(dict.fromkeys(t for c in channels if (t := channel_title(c)) is not None))
    if any(c.get("axis", ()) is None for c in channels):
        titles = []
    first = next((c for c in channels if "type" in c), channels[0])
    scale = first.get("scale") or {}
    found: dict[str, Any] = {"label": ", ".join(titles) or None, "scale": _scale(first)}
    if isinstance(scale.get("domain"), list):
        found["categories" if found["scale"] == "categorical" else "limits"] = scale["domain"]
    down = which == "y" and found["scale"] == "categorical"  # Vega-Lite writes its first category at the top
    if (scale.get("reverse") is True) != down:
        found["inverted"] = True
    return found


def _scale(channel: dict[str, Any]) -> str:
    named = str((channel.get("scale") or {}).get("type") or "")
    if named in ("log", "symlog", "linear"):
        return named
    if channel.get("bin") and channel.get("type") != "ordinal":
        return "linear"
    kind = channel.get("type", "quantitative")
    return {"temporal": "datetime", "ordinal": "categorical", "nominal": "categorical"}.get(str(kind), "linear")


def channel_title(channel: dict[str, Any]) -> str | None:
    """The axis title: given, or made as Vega-Lite makes it."""
    for holder in (channel.get("axis"), channel, channel.get("legend"), channel.get("header")):
        if isinstance(holder, dict) and "title" in holder:
            return title_of(holder["title"])
    name, op = channel.get("field"), channel.get("aggregate")
    if op == "count":
        return "Count of Records"
    if name is None:
        return None
    if isinstance(op, str):
        return f"{op[0].upper()}{op[1:]} of {name}"
    if channel.get("bin"):
        return f"{name} (binned)"
    if channel.get("timeUnit"):
        try:
            return f"{name} ({'-'.join(unit_parts(channel['timeUnit']))})"
        except Unknown:
            return str(name)
    return str(name)


def records(unit: Unit) -> list[Row]:
    """One record per mark with the value of each channel; aggregated when any channel asks for it."""
    channels = {name: unit.channel(name) for name in unit.encoding if unit.channel(name)}
    channels = {name: c for name, c in channels.items() if name not in ("tooltip", "order", "key", "href", "text")}
    bins = {name: bin_of(unit.rows, str(c["field"]), c["bin"]) for name, c in channels.items() if _bins(c)}
    wide = [{name: _value(row, c, bins.get(name)) for name, c in channels.items()} | {"_row": row} for row in unit.rows]
    measured = {name: c for name, c in channels.items() if isinstance(c.get("aggregate"), str)}
    if not measured:
        return wide
    keys = [name for name in channels if name not in measured]
    found = []
    for key, part in groups(wide, keys).items():
        rows = [record["_row"] for record in part]
        sums = {name: aggregate(str(c["aggregate"]), c.get("field"), rows) for name, c in measured.items()}
        found.append({**dict(zip(keys, key, strict=True)), **sums, "_row": rows[0]})
    return found


def _bins(channel: dict[str, Any]) -> bool:
    return bool(channel.get("bin")) and channel.get("bin") != "binned" and "field" in channel


def _value(row: Row, channel: dict[str, Any], bins: tuple[float, float, float] | None) -> Any:
    if "datum" in channel or "value" in channel:
        return channel.get("datum", channel.get("value"))
    value = _field(row, channel.get("field"))
    if bins is not None:
        low = bin_start(value, *bins)
        return None if low is None else low + bins[2] / 2
    if channel.get("timeUnit"):
        return time_unit(value, channel["timeUnit"], words=channel.get("type") in ("ordinal", "nominal"))
    if channel.get("type") in ("ordinal", "nominal") and value is not None:
        return _label(value)
    return value


def _field(row: Row, name: Any) -> Any:
    if name is None:
        return None
    name = str(name)
    return row.get(name, row.get(name.replace("\\", "")))


def _label(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def series(unit: Unit) -> list[dict[str, Any]]:
    """The unit's series, one per colour group."""
    kind = _KINDS.get(str(unit.mark.get("type")))
    if kind is None:
        if unit.mark.get("type") == "text":
            return []
        raise Unknown(f"mark {unit.mark.get('type')}")
    if kind == "heatmap" and unit.channel("color").get("type") == "quantitative" and "x2" not in unit.encoding:
        return [_grid(unit)]
    if kind == "pie":
        return [_slices(unit)]
    if unit.mark.get("type") == "rect" and len({"x", "y", "x2", "y2"} & set(unit.encoding)) == 2:
        return spans.stripes(records(unit), "x2" if "x2" in unit.encoding else "y2")
    if kind == "rule" and not ({"x", "y"} <= set(unit.encoding)):
        return _rules(unit)
    if kind in ("band", "errorbar") and "y2" not in unit.encoding and "x2" not in unit.encoding:
        return _spreads(unit, kind)
    rows = records(unit)
    splits = [n for n in _SPLITS if n in unit.encoding and _splits(unit.channel(n), unit)]
    parts = groups(rows, splits)
    keys = ordered(parts, [unit.channel(name) for name in splits])
    found = [_one(unit, kind, parts[key], _name(key, splits)) for key in keys]
    if stacked := [name for name in ("x", "y") if unit.channel(name).get("stack") == "normalize"]:
        if "xOffset" in unit.encoding or "yOffset" in unit.encoding:
            raise Unknown("shares side by side")
        shares(found, 1.0, stacked[0])
    return found


def _splits(channel: dict[str, Any], unit: Unit) -> bool:
    """Discrete channels make groups; a condition or a value does not, nor does a colour that repeats x or y. A datum
    is a legend entry of its own.
    """
    if isinstance(channel.get("datum"), str):
        return True
    if "field" not in channel or channel.get("type") in ("quantitative", "temporal"):
        return False
    places = [unit.channel(name) for name in "xy" if unit.channel(name).get("type") in ("nominal", "ordinal")]
    return (channel["field"], channel.get("timeUnit")) not in [(c.get("field"), c.get("timeUnit")) for c in places]


def _name(key: tuple[Any, ...], splits: list[str]) -> str | None:
    words = list(dict.fromkeys(str(value) for value in key if value is not None))
    return " / ".join(words) if words and splits else None


def _one(unit: Unit, kind: str, rows: list[Row], name: str | None) -> dict[str, Any]:
    x, y = unit.channel("x"), unit.channel("y")
    if kind in ("line", "area") and "order" not in unit.encoding:
        rows = _along(rows, "y" if kind == "area" and _lying(unit) else "x")
    found: dict[str, Any] = {"name": name, "kind": kind, "extra": {}}
    found |= {which: [row.get(name) for row in rows] if name else None for which, name in _places(unit).items()}
    for extra in ("size", "text", "opacity"):
        if "field" in unit.channel(extra):
            found["extra"][extra] = [row.get(extra) for row in rows]
    if unit.channel("color").get("type") == "quantitative":
        found["extra"]["color"] = [row.get("color") for row in rows]
    if kind == "line" and str(unit.mark.get("interpolate", "")).startswith("step"):
        found["kind"] = "step"
    if kind == "bar":
        _bar(unit, found, rows, x, y)
    elif kind == "box" and _lying(unit):
        found["orientation"] = "h"
    elif kind in ("area", "band", "errorbar") and ("y2" in unit.encoding or "x2" in unit.encoding):
        spans.between(found, rows, "y" if "y2" in unit.encoding else "x")
    elif kind == "rule":
        ranged = [which for which in "xy" if f"{which}2" in unit.encoding]
        spans.rules(found, rows, ranged, upright=_upright(x, y))
    return found


def _along(rows: list[Row], which: str) -> list[Row]:
    try:
        return sorted(rows, key=lambda row: (row.get(which) is None, row.get(which)))
    except TypeError:
        return rows


def _places(unit: Unit) -> dict[str, str | None]:
    """The channels of x and y: those, or the coordinates on a map."""
    pairs = {"x": ("x", "longitude"), "y": ("y", "latitude")}
    return {which: next((name for name in names if name in unit.encoding), None) for which, names in pairs.items()}


def _on_a_map(unit: Unit) -> bool:
    return "longitude" in unit.encoding or "latitude" in unit.encoding


def _upright(x: dict[str, Any], y: dict[str, Any]) -> bool | None:
    """Whether a value stands over a category; None when neither or both axes have categories."""
    discrete = [channel.get("type") in ("nominal", "ordinal") for channel in (x, y)]
    return discrete[0] if discrete[0] != discrete[1] else None


def _lying(unit: Unit) -> bool:
    x, y = unit.channel("x"), unit.channel("y")
    if x.get("type") == "quantitative" and not x.get("bin"):
        return y.get("type") != "quantitative" or bool(y.get("bin"))
    return False


def _bar(unit: Unit, found: dict[str, Any], rows: list[Row], x: dict[str, Any], y: dict[str, Any]) -> None:
    found["orientation"] = "h" if _lying(unit) or ("x2" in unit.encoding and "y" in unit.encoding) else "v"
    binned = x if _bins(x) else y if _bins(y) else None
    if "x2" in unit.encoding or "y2" in unit.encoding:
        which = "x" if "x2" in unit.encoding else "y"
        spans.bars(found, rows, which, (unit.channel(which), unit.channel(f"{which}2")))
    elif binned is not None:
        found["kind"] = "histogram"
        _all_bins(unit, found, "x" if binned is x else "y")


def _all_bins(unit: Unit, found: dict[str, Any], which: str) -> None:
    """Bins in order, x bins and y counts as everywhere; an empty one between others has no bar: a count of zero."""
    other = "y" if which == "x" else "x"
    start, _stop, size = bin_of(unit.rows, str(unit.channel(which)["field"]), unit.channel(which)["bin"])
    have = {
        round((v - start) / size - 0.5): c for v, c in zip(found[which], found[other], strict=True) if v is not None
    }
    places = range(min(have), max(have) + 1) if have else range(0)
    if unit.channel(other).get("aggregate") == "count" and len(places) < 10_000:
        found["x"] = [start + (n + 0.5) * size for n in places]
        found["y"] = [have.get(n, 0) for n in places]
        found["extra"]["edges"] = [start + n * size for n in (*places, places[-1] + 1)] if places else []


def _rules(unit: Unit) -> list[dict[str, Any]]:
    """Rules across the whole panel; a datum stands there without rows."""
    which = "x" if "x" in unit.encoding else "y"
    rows = unit.rows if "field" in unit.channel(which) else unit.rows or [{}]
    splits = [name for name in _SPLITS if name in unit.encoding and _splits(unit.channel(name), unit)]
    found = dict.fromkeys(
        (row.get(which), _name(tuple(row.get(name) for name in splits), splits))
        for row in records(replace(unit, rows=rows))
    )
    return [
        {"name": name, "kind": "rule", "extra": {"axis": which, "value": value}} for value, name in list(found)[:200]
    ]


def _grid(unit: Unit) -> dict[str, Any]:
    rows = records(unit)
    axes = {}
    for which in ("x", "y"):
        parts = {(row.get(which),): None for row in rows if row.get(which) is not None}
        axes[which] = [key[0] for key in ordered(parts, [unit.channel(which)])]
    cells = {(row.get("x"), row.get("y")): row.get("color") for row in rows}
    if len(axes["x"]) * len(axes["y"]) > 1_000_000:
        raise Unknown("too many cells")
    z = [[cells.get((x, y)) for x in axes["x"]] for y in axes["y"]]
    return {"name": None, "kind": "heatmap", "x": axes["x"], "y": axes["y"], "extra": {"z": z}}


def _slices(unit: Unit) -> dict[str, Any]:
    rows = records(unit)
    label = next((name for name in ("color", "fill", "detail") if "field" in unit.channel(name)), None)
    names = [str(row.get(label)) if label else f"slice {n + 1}" for n, row in enumerate(rows)]
    kind = "donut" if unit.mark.get("innerRadius") else "pie"
    return {"name": None, "kind": kind, "x": names, "y": [row.get("theta") for row in rows]}


def _spreads(unit: Unit, kind: str) -> list[dict[str, Any]]:
    """Error bands and bars over raw rows: mean and standard deviation or error, or quartiles. Others are not known."""
    extent = str(unit.mark.get("extent") or "stderr")
    value = "x" if _lying(unit) else "y"
    at = "y" if value == "x" else "x"
    if extent == "ci":
        raise Unknown("bootstrapped confidence intervals")
    parts = groups(records(unit), [at, *[n for n in _SPLITS if n in unit.encoding and _splits(unit.channel(n), unit)]])
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key, rows in parts.items():
        numbers = [float(v) for row in rows if isinstance(v := row.get(value), (int, float))]
        if not numbers:
            continue
        low, middle, high = spread(numbers, extent)
        entry = found.setdefault(
            key[1:], {"name": _name(key[1:], ["color"]), "kind": kind, at: [], value: [], "extra": {}}
        )
        entry[at].append(key[0])
        entry[value].append(high if kind == "band" else middle)
        for name, end in (("y0", low),) if kind == "band" else (("err_low", low), ("err_high", high)):
            entry["extra"].setdefault(name, []).append(end)
    return list(found.values())
