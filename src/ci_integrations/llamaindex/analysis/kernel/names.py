"""Gives tables their names: variables that take nothing away from a program that uses Python as it is."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from collections.abc import Container
from importlib.util import find_spec

_IMPORTS = frozenset({
    "alt", "ax", "fig", "go", "last_result", "mpl", "np", "nx", "pa", "pd", "pl", "plt", "px", "sk", "sm", "smf", "sns",
    "sp", "stats", "tf", "xr",
})  # fmt: skip
"""What programs call the libraries that they import, and other names that are not a table's."""


def slug(text: object) -> str:
    """Returns `text` as a name."""
    name = re.sub(r"\W+", "_", str(text)).strip("_").lower() or "table"
    return f"t_{name}" if name[0].isdigit() else name


def untaken(name: str) -> str:
    """Returns the name for a table that is called `name`: `t_list` for "list", because `list` is Python's."""
    return f"t_{name}" if is_taken(name) else name


def free(name: str, taken: Container[str]) -> str:
    """Returns `name`, or `name_2`, `name_3` ... where it is taken."""
    unique, count = name, 2
    while unique in taken:
        unique, count = f"{name}_{count}", count + 1
    return unique


def is_taken(name: str) -> bool:
    """Returns True for a name that means something else to a program: of Python, of a module, of an import."""
    if keyword.iskeyword(name) or hasattr(builtins, name) or name in _IMPORTS or name in sys.stdlib_module_names:
        return True
    try:
        found = find_spec(name)
    except (ImportError, ValueError, AttributeError):  # a module that is broken, or half imported
        return False
    # A folder with this name, such as the user's `data`, is no module that a program would import.
    return found is not None and found.origin is not None
