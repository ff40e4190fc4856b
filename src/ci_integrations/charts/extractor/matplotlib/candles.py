"""Reads candlesticks that were drawn by hand, from bars for the bodies and lines or thinner bars for the wicks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..importing import np
from .series import Found, Raw, alike

if TYPE_CHECKING:
    from ..foreign import Array, Extra


_THIN = 0.25
"""A wick's bar is at most so wide beside its body."""


def read(found: Found) -> None:
    """Makes candles of bars that float within the vertical lines at their places, or that thinner bars touch."""
    _on_lines(found)
    _on_thin_bars(found)


def _on_lines(found: Found) -> None:
    """Bars together with the lines at their places are candles when each body lies within its wick."""
    bars = [raw for raw in found.of("bar") if raw.orientation == "v" and "base" in raw.extra]
    wicks = _wicks(found)
    if not bars or not wicks:
        return
    at, low, high = _sorted(_ends(wick) for wick in wicks)
    spots, base, length = _sorted([raw.flags[key] for key in ("at", "base", "length")] for raw in bars)
    if not alike(at, spots, atol=1e-6):
        return
    end = base + length
    body_low, body_high = np.minimum(base, end), np.maximum(base, end)
    if not _within(body_low, body_high, low, high):
        return
    merged = Raw("candlestick", None, at, None, _columns(low, high, body_low, body_high), discrete="x")
    if len(bars) == 1:  # the direction is known only when rising and falling bars come from one call
        merged.name = bars[0].name
        merged.extra |= {"open": ("y", base), "close": ("y", end)}
    _replace(found, [*bars, *wicks, *(raw.flags.get("line") for raw in wicks)], merged)


def _within(body_low: Array, body_high: Array, low: Array, high: Array) -> bool:
    """Says whether each body lies within its wick."""
    slack = 1e-9 * np.maximum(1.0, np.abs(high))
    return not np.any((body_low < low - slack) | (body_high > high + slack))


def _sorted(parts: Iterable[Iterable[Array]]) -> list[Array]:
    """Returns the columns of several series as one column each, in the order of the first of them."""
    columns = list(map(np.concatenate, zip(*parts, strict=True)))
    order = np.argsort(columns[0], kind="stable")
    return [column[order] for column in columns]


def _ends(wick: Raw) -> tuple[Array, Array, Array]:
    """Returns the places of wicks, their lower and their upper ends."""
    return wick.flags["positions"], wick.extra["low"][1], wick.extra["high"][1]


def _columns(*columns: Array) -> Extra:
    """Returns the extra columns of candles, in y."""
    return {name: ("y", column) for name, column in zip(("low", "high", "body_low", "body_high"), columns, strict=True)}


def _replace(found: Found, drawn: list[Raw | None], candles: Raw) -> None:
    """Puts the candles where the first of the series was that they are made of."""
    candles.order = min(raw.order for raw in drawn if raw is not None)
    found.series = [raw for raw in found.series if raw not in drawn] + [candles]


def _wicks(found: Found) -> list[Raw]:
    """Returns upright lines: those of `vlines`, or nameless lines of two points."""
    ruled = [raw for raw in found.of("rule") if raw.flags.get("upright")]
    return ruled or [_wick(raw) for raw in found.of("line") if not raw.name and _upright(raw)]


def _upright(line: Raw) -> bool:
    """Says whether a line is one vertical stroke."""
    return len(line.x) == 2 and bool(line.x[0] == line.x[1]) and bool(line.y[0] != line.y[1])


def _wick(line: Raw) -> Raw:
    """Returns the line as `vlines` would have given it."""
    low, high = np.sort(np.asarray(line.y, float))[:, None]
    flags = {"positions": np.asarray(line.x[:1], float), "line": line}
    return Raw("rule", None, extra={"low": ("y", low), "high": ("y", high)}, flags=flags, order=line.order)


def _on_thin_bars(found: Found) -> None:
    """Floating bars, and thinner ones at each of their places that touch them, are candles."""
    bars = [raw for raw in found.of("bar") if raw.orientation == "v"]
    if len(bars) > 1 and not any(raw.name for raw in bars):
        _of_thin_bars(found, bars)


def _of_thin_bars(found: Found, bars: list[Raw]) -> None:
    """Puts candles in the place of nameless bars, where they are bodies and wicks."""
    keys = ("at", "base", "length", "thick")
    at, base, length, thick = (np.concatenate([raw.flags[key] for raw in bars]) for key in keys)
    at, low, high = np.round(at, 6), np.minimum(base, base + length), np.maximum(base, base + length)
    body = thick > _THIN * thick.max()
    places, counts = np.unique(at[body], return_counts=True)
    if np.any(counts > 1) or np.any(low <= 0) or set(at[~body]) != set(places):
        return
    rows = [_candle(low, high, body & (at == place), ~body & (at == place)) for place in places]
    if all(rows):
        merged = Raw("candlestick", None, places, None, _columns(*np.array(rows).T), discrete="x")
        _replace(found, list(bars), merged)


def _candle(low: Array, high: Array, body: Array, wick: Array) -> tuple[float, ...] | None:
    """Returns lowest, highest, and the body between; None when a thin bar does not touch the body."""
    bottom, top = float(low[body][0]), float(high[body][0])
    slack = 1e-9 * max(1.0, abs(top))
    if ((low[wick] > top + slack) | (high[wick] < bottom - slack)).any():
        return None
    return min(bottom, float(low[wick].min())), max(top, float(high[wick].max())), bottom, top
