"""Tells the model which tables are in its kernel before it has looked: names, sizes, columns and their dtypes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ci_integrations.results.clean import one_line

_MAX_COLUMNS = 60
"""Columns of one table that are named."""
_MAX_CHARS = 6000
"""Characters of all tables together."""


def told(description: str, tables: object, mounts: object = None) -> str:
    """Returns a tool's description with the tables of `dataframes=` and the folders of `mounts=` at its end."""
    if isinstance(mounts, Mapping) and mounts:
        places = ", ".join(f"`{one_line(str(place), 200)}`" for place in mounts)
        description = f"{description}\nThese folders hold files that can be read, not written: {places}."
    if not isinstance(tables, Mapping) or not tables:
        return description
    lines = [f"- `{name}`: {_line(table)}" for name, table in tables.items()]
    return f"{description}\nThese variables are there from the beginning:\n" + "\n".join(lines)[:_MAX_CHARS]


def _line(table: Any) -> str:
    shape = getattr(table, "shape", None)
    size = " x ".join(f"{n:,}" for n in shape) if isinstance(shape, tuple) else ""
    library = type(table).__module__.partition(".")[0]
    kind = type(table).__name__ if library == "pandas" else f"{library}.{type(table).__name__}"
    columns = ", ".join(_columns(table))
    return f"{kind} {size}" + (f": {columns}" if columns else "")


def _columns(table: Any) -> Iterator[str]:
    """Yields `'name' (dtype)` of the first columns."""
    names, dtypes = list(getattr(table, "columns", ())), list(getattr(table, "dtypes", ()))
    for name, dtype in list(zip(names, dtypes, strict=False))[:_MAX_COLUMNS]:
        yield one_line(f"{getattr(name, 'item', lambda name=name: name)()!r} ({dtype})", 200)
    if len(names) > _MAX_COLUMNS:
        yield f"and {len(names) - _MAX_COLUMNS} more"
