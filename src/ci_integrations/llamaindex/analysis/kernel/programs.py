"""Gives every program of a kernel what it starts with: fresh tables, `pd`, `np`, unchanged modules, nothing else."""

from __future__ import annotations

import ast
import contextlib
import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from .model import MARK
from .surroundings import Surroundings

if TYPE_CHECKING:
    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell

LAST = "last_result"
"""What a program calls the result of the program before it, where questions follow each other."""
_OF_IPYTHON = re.compile(r"__\w+|_(?:i{0,3}|ih|oh|dh|exit_code)|_ci\w*")
_PLAIN = (str, int, float, complex, bool, list, dict, set, tuple)
_SHOWN: Mapping[str, object] = {"max_columns": None, "max_rows": 500, "width": 10_000, "max_colwidth": 1000}
"""Display options of pandas: what a program prints is an answer, so that nothing is left out of it."""


class ProgramEnded(Exception):  # noqa: N818 - states what happened, as SystemExit does
    """Says that a program called `exit()` or `quit()`."""


class Programs:
    """The programs of one kernel. `tables`: what each of them finds, as copies."""

    def __init__(self, shell: InteractiveShell) -> None:
        import numpy as np
        import pandas as pd

        for name, value in _SHOWN.items():
            pd.set_option(f"display.{name}", value)
        self.shell = shell
        self.tables: dict[str, pd.DataFrame] = {}
        self._conversation: int | None = None
        self._nested: dict[str, list[int]] = {}
        self._last: dict[str, Any] = {}
        self._kept = dict(shell.user_ns) | {"pd": pd, "np": np, "exit": _ended, "quit": _ended}
        self._surroundings = Surroundings()
        shell.events.register("pre_run_cell", self.before)
        shell.events.register("post_run_cell", self.after)

    def take(self, tables: dict[str, pd.DataFrame]) -> None:
        """Makes these the tables that programs find."""
        self.tables = tables
        self._nested = {name: _places_of_containers(frame) for name, frame in tables.items()}

    def join(self, conversation: int | None) -> None:
        """Begins a conversation, or goes on with it. What another one came to is forgotten."""
        if conversation != self._conversation:
            self._conversation = conversation
            self._last.clear()

    def before(self, info: Any = None) -> None:
        """Makes the namespace as a new cell finds it. IPython passes `info` about the cell."""
        if str(getattr(info, "raw_cell", "")).startswith(MARK):
            return
        names = self.shell.user_ns
        for name in [name for name in names if name not in self._kept and not _OF_IPYTHON.fullmatch(name)]:
            del names[name]
        with contextlib.suppress(Exception):  # what was shown before is no program's business, and takes memory
            names["Out"].clear()
            names.update(dict.fromkeys(("_", "__", "___"), ""))
        names.update(self._kept)
        names.update({name: self._fresh(name) for name in self.tables})
        names.update(copy.deepcopy(self._last))

    def _fresh(self, name: str) -> pd.DataFrame:
        """Returns a copy: a program that changes a table must not change what the next one reads."""
        fresh = self.tables[name].copy()
        for place in self._nested[name]:  # pandas does not copy lists and dicts in cells
            fresh.isetitem(place, fresh.iloc[:, place].map(copy.deepcopy))
        return fresh

    def after(self, result: Any) -> None:
        """Undoes what a program has changed, and keeps what it came to, where the next question may be about it.

        IPython passes the `result`.
        """
        if str(getattr(result.info, "raw_cell", "")).startswith(MARK):
            return
        # At once: the cells that follow, ours among them, need Python as it is.
        self._surroundings.restore()
        if self._conversation is None or not result.success:
            return
        value = result.result
        if value is None:
            value = self.shell.user_ns.get(_printed(str(getattr(result.info, "raw_cell", ""))))
        if hasattr(value, "shape") or isinstance(value, _PLAIN):
            self._last = {LAST: value}

    def last(self) -> str:
        """Returns what the last program came to in words, without its values; an empty text when there is nothing."""
        if not self._last:
            return ""
        value = self._last[LAST]
        if hasattr(value, "columns") and hasattr(value, "dtypes"):
            columns = ", ".join(f"{label}: {dtype}" for label, dtype in list(value.dtypes.items())[:60])
            return f"DataFrame, {len(value)} rows, columns {columns}, index {value.index.names}"[:2000]
        shape = f" of {len(value)}" if hasattr(value, "__len__") else ""
        return f"{type(value).__name__}{shape}"


def _printed(code: str) -> str:
    """Returns the name that a program prints in its last line; an empty text when it does something else there."""
    with contextlib.suppress(SyntaxError, ValueError, RecursionError):
        match ast.parse(code).body:
            case [*_, ast.Expr(ast.Call(ast.Name("print"), [ast.Name(name)]))]:
                return name
    return ""


def _places_of_containers(frame: pd.DataFrame) -> list[int]:
    """Returns the places of the columns whose cells hold lists, dicts or the like."""
    from pandas.api.types import infer_dtype

    places = [place for place in range(frame.shape[1]) if str(frame.dtypes.iloc[place]) == "object"]
    # A column of text alone is told from others at once: it need not be looked at value by value.
    mixed = [place for place in places if infer_dtype(frame.iloc[:, place]).startswith(("mixed", "unknown"))]
    return [place for place in mixed if any(map(_is_container, frame.iloc[:, place]))]


def _is_container(value: object) -> bool:
    return isinstance(value, (list, dict, set, bytearray)) or hasattr(value, "__array__")


def _ended(*_: object) -> NoReturn:
    raise ProgramEnded("the program ended itself with exit(); end it with an expression or print() instead")
