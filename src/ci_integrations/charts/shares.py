"""Stacks that are drawn as shares of their whole."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


def shares(entries: list[dict[str, Any]], whole: float, value: str = "") -> None:
    """Each value becomes its part of all at the same place, of `whole`; `extra.amount` keeps what it was.

    `value` is the axis along which they are stacked; without it the bars' orientation tells.
    """
    total: defaultdict[Any, float] = defaultdict(float)
    axes = [value or ("x" if entry.get("orientation") == "h" else "y") for entry in entries]
    rows = [
        list(zip(entry["y" if axis == "x" else "x"] or (), entry[axis] or (), strict=False))
        for entry, axis in zip(entries, axes, strict=True)
    ]
    for place, amount in (pair for row in rows for pair in row):
        total[place] += abs(amount or 0)
    for entry, axis, row in zip(entries, axes, rows, strict=True):
        entry["extra"]["amount"] = entry[axis]
        entry[axis] = [
            None if amount is None or not total[place] else whole * amount / total[place] for place, amount in row
        ]
