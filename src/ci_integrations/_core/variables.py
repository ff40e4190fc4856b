"""Finds the variables that cells made by reading their source, so that a loss can name what is gone. No code is run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator


def names_made(cells: Iterable[str]) -> tuple[str, ...]:
    """Returns the names bound at the top level of `cells`, in order of first appearance, without those deleted."""
    names: dict[str, None] = {}
    for code in cells:
        for name, bound in _bindings(code):
            if bound:
                names.setdefault(name)
            else:
                names.pop(name, None)
    return tuple(names)


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
