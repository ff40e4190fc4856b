"""What stands in plotly's layout: titles, axes with their scales, domains, colour bars."""

from __future__ import annotations

import math
import re
from typing import Any

_TAG = re.compile(r"<[^<>]{0,200}>")
TIME = re.compile(r"^\d{4}-\d{2}(-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?)?)?(Z|[+-]\d{2}:?\d{2})?$")


def words(value: Any) -> str | None:
    """A title as plain text: plotly allows a string or `{"text"}`, with a little HTML in it."""
    if isinstance(value, dict):
        value = value.get("text")
    if value is None:
        return None
    text = _TAG.sub("", re.sub(r"<br ?/?>", " ", str(value))).strip()
    return text or None


def number(value: Any) -> float | None:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if ok else None


def value_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def axis(layout: dict[str, Any], name: str) -> dict[str, Any]:
    """The layout of axis "x", "y2" ..."""
    found = layout.get(f"{name[0]}axis{name[1:]}")
    return found if isinstance(found, dict) else {}


def color_title(trace: dict[str, Any], layout: dict[str, Any]) -> str | None:
    """The colour bar's title, on the trace, its marker, or a shared colour axis."""
    marker = trace.get("marker") or {}
    for holder in (trace, marker):
        found = words((holder.get("colorbar") or {}).get("title"))
        if found:
            return found
        shared = holder.get("coloraxis")
        if isinstance(shared, str) and (
            found := words(((layout.get(shared) or {}).get("colorbar") or {}).get("title"))
        ):
            return found
    return None


def domain_of(key: Any, layout: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Where the panel lies in the figure, as fractions."""
    if key[0] == "xy":
        found = [axis(layout, key[1]).get("domain"), axis(layout, key[2]).get("domain")]
    elif key[0] == "scene":
        domain = (layout.get(str(key[1])) or {}).get("domain") or {}
        found = [domain.get("x"), domain.get("y")]
    else:
        found = [[float(v) for v in re.findall(r"[\d.]+", str(part))] for part in key[1:3]]
    whole = [0.0, 1.0]
    return tuple(d if isinstance(d, list) and len(d) == 2 else whole for d in found)  # type: ignore[return-value]


def axis_of(
    name: str, layout: dict[str, Any], series: list[dict[str, Any]], which: str, own: str = ""
) -> dict[str, Any]:
    """An axis as the schema has it; without a type of its own the data tell its scale."""
    spec = axis(layout, name)
    mine = [entry for entry in series if (entry.get("axis") or "")[:1] != which or entry.get("axis") == own]
    found: dict[str, Any] = {"label": words(spec.get("title")), "scale": _scale(spec, mine, which)}
    if isinstance(spec.get("range"), list) and len(spec["range"]) == 2:
        found["limits"] = spec["range"]
    if spec.get("autorange") == "reversed":
        found["inverted"] = True
    if isinstance(spec.get("categoryarray"), list):
        found["categories"] = [str(v) for v in spec["categoryarray"]]
    return found


def _scale(spec: dict[str, Any], series: list[dict[str, Any]], which: str) -> str:
    named = {
        "date": "datetime",
        "category": "categorical",
        "multicategory": "categorical",
        "log": "log",
        "linear": "linear",
    }
    if spec.get("type") in named:
        return named[spec["type"]]
    values = [v for entry in series for v in _scale_values(entry, which) if v is not None]
    if any(isinstance(v, str) for v in values):
        texts = [v for v in values if isinstance(v, str)]
        if all(TIME.match(v) for v in texts):
            return "datetime"
        return "linear" if all(_numeric(v) for v in texts) else "categorical"
    boxes = [entry for entry in series if entry["kind"] in ("box", "violin")]
    if boxes and all(entry.get("y" if entry.get("orientation") == "h" else "x") is None for entry in boxes):
        return "categorical" if which == ("y" if boxes[0].get("orientation") == "h" else "x") else "linear"
    return "linear"


def _scale_values(entry: dict[str, Any], which: str) -> list[Any]:
    if entry["kind"] == "gantt" and which == "x":
        return list(entry["extra"]["start"])
    return value_list(entry.get(which))[:1000]


def _numeric(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
