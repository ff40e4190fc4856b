"""Every sentence that tells a model about a loss, a restart or an interrupt."""

from __future__ import annotations


def sentence(lost: tuple[str, ...], restored: list[str], missing: list[str]) -> str:
    """What the model reads about a replaced sandbox."""
    parts = ["The sandbox was lost and a new one was started."]
    parts.append(_gone(lost))
    parts.append("Files that earlier code wrote are gone too.")
    if restored:
        parts.append(f"Restored: {', '.join(restored)}.")
    if missing:
        parts.append(f"Not restored: {', '.join(missing)}.")
    return " ".join(parts)


def said_again(lost: tuple[str, ...]) -> str:
    """The same for the first cell after another tool has told it. Files may have been written meanwhile."""
    return f"The sandbox was lost earlier, as was said then. {_gone(lost)}"


def _gone(lost: tuple[str, ...]) -> str:
    return f"Gone: {listed(lost)}." if lost else "Nothing that earlier code defined is there any more."


def listed(names: tuple[str, ...], most: int = 30) -> str:
    """`the variables a, b and 3 more`."""
    shown = ", ".join(names[:most])
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"the variable{'s' if len(names) > 1 else ''} {shown}{more}"
