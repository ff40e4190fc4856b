"""Candlesticks by hand whose wicks are no `vlines`: a drawn line for each, or thin bars at the bodies' places."""

from __future__ import annotations

from typing import Any

from .series import Found, Raw

_THIN = 0.25
"""A wick's bar is at most so wide beside its body."""


def wicks(found: Found) -> list[Raw]:
    """Upright lines: those of `vlines`, or nameless lines of two points."""
    ruled = [raw for raw in found.series if raw.kind == "rule" and raw.flags.get("upright")]
    return ruled or [_wick(raw) for raw in found.series if raw.kind == "line" and not raw.name and _upright(raw)]


def _upright(raw: Raw) -> bool:
    return len(raw.x) == 2 and bool(raw.x[0] == raw.x[1]) and bool(raw.y[0] != raw.y[1])


def _wick(line: Raw) -> Raw:
    """The line as `vlines` would have given it."""
    import numpy as np

    low, high = np.sort(np.asarray(line.y, float))[:, None]
    flags = {"positions": np.asarray(line.x[:1], float), "line": line}
    return Raw("rule", None, extra={"low": ("y", low), "high": ("y", high)}, flags=flags, order=line.order)


def thin_bars(found: Found) -> None:
    """Floating bars, and thinner ones at each of their places that touch them: candles."""
    import numpy as np

    bars = [raw for raw in found.series if raw.kind == "bar" and raw.orientation == "v"]
    if len(bars) < 2 or any(raw.name for raw in bars):
        return
    keys = ("at", "base", "length", "thick")
    at, base, length, thick = (np.concatenate([raw.flags[key] for raw in bars]) for key in keys)
    at, low, high = np.round(at, 6), np.minimum(base, base + length), np.maximum(base, base + length)
    body = thick > _THIN * thick.max()
    places, counts = np.unique(at[body], return_counts=True)
    if np.any(counts > 1) or np.any(low <= 0) or set(at[~body]) != set(places):
        return
    rows = [_candle(low, high, body & (at == place), ~body & (at == place)) for place in places]
    if not all(rows):
        return
    names = ("low", "high", "body_low", "body_high")
    extra: dict[str, Any] = {name: ("y", column) for name, column in zip(names, np.array(rows).T, strict=True)}
    merged = Raw("candlestick", None, places, None, extra, discrete="x", order=min(raw.order for raw in bars))
    found.series = [raw for raw in found.series if raw not in bars] + [merged]


def _candle(low: Any, high: Any, body: Any, wick: Any) -> tuple[float, ...] | None:
    """Lowest, highest, and the body between; None when a thin bar does not touch the body."""
    bottom, top = float(low[body][0]), float(high[body][0])
    slack = 1e-9 * max(1.0, abs(top))
    if (low[wick] > top + slack).any() or (high[wick] < bottom - slack).any():
        return None
    return min(bottom, float(low[wick].min())), max(top, float(high[wick].max())), bottom, top
