"""Finds the variables that cells made by reading their source, so that a loss can name what is gone. No code is run."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable, Iterator

MAX_CELLS, MAX_CHARS = 500, 1_000_000
"""Cells, and characters of them, whose code a journal keeps; of earlier ones it keeps the names."""
MAX_NAMES = 5000
"""Names that a journal keeps of its earlier cells."""


class Journal:
    """Knows which names the cells of one kernel bound. Code is read when the names are wanted, or when it is old."""

    def __init__(self) -> None:
        self._cells: deque[str] = deque()
        self._chars = 0
        self._earlier: dict[str, None] = {}

    def append(self, code: str) -> None:
        """Takes a cell that ran well."""
        self._cells.append(code)
        self._chars += len(code)
        while len(self._cells) > MAX_CELLS or self._chars > MAX_CHARS:
            oldest = self._cells.popleft()
            self._chars -= len(oldest)
            _bind(self._earlier, oldest, MAX_NAMES)

    def clear(self) -> None:
        """Forgets all cells."""
        self._cells.clear()
        self._earlier.clear()
        self._chars = 0

    def names(self) -> tuple[str, ...]:
        """Returns the names that are bound after all these cells, in order of first appearance."""
        return names_made(self._cells, self._earlier)


def names_made(cells: Iterable[str], before: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns the names bound at the top level of `cells`, in order of first appearance, without those deleted.

    `before`: names that were bound before them.
    """
    names = dict.fromkeys(before)
    for code in cells:
        _bind(names, code)
    return tuple(names)


def _bind(names: dict[str, None], code: str, most: int | None = None) -> None:
    """Changes `names` as `code` does; no further one is taken in when there are `most`."""
    for name, bound in _bindings(code):
        if not bound:
            names.pop(name, None)
        elif most is None or len(names) < most:
            names.setdefault(name)


def is_blank(code: str) -> bool:
    """Returns True for a cell without a statement: the kernel does not count it."""
    try:
        return not ast.parse(code).body
    # A model's code is untrusted: NUL bytes, deep nesting and huge literals make the parser itself fail.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _bindings(code: str) -> Iterator[tuple[str, bool]]:
    try:
        body = ast.parse(_plain_python(code)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for statement in body:
        yield from _of(statement)


def _plain_python(code: str) -> str:
    """Returns the code without IPython's `%magic` and `!command` lines, which `ast` does not know."""
    return "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))


def _of(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yields the bindings in one statement, without those inside functions, classes, lambdas and comprehensions."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name, True
        return
    if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (((alias.asname or alias.name).partition(".")[0], True) for alias in node.names if alias.name != "*")
        return
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id, isinstance(node.ctx, ast.Store)
    for child in ast.iter_child_nodes(node):
        yield from _of(child)
