"""No module of the core imports one above it, be it inside a function or for a type only."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import ci_integrations._core as core

FOLDER = Path(core.__file__).parent
FLOORS = " ".join(re.findall(r"^    \S.*?  +(.*)$", core.__doc__ or "", re.MULTILINE)).split()
"""As the package's docstring draws them, from the ground up."""


def test_every_module_has_its_floor() -> None:
    assert sorted(FLOORS) == sorted(
        {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
        | {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    )


@pytest.mark.parametrize("module", FLOORS)
def test_a_module_imports_only_from_below(module: str) -> None:
    below = set(FLOORS[: FLOORS.index(module)])
    paths = [FOLDER / f"{module}.py"] if (FOLDER / f"{module}.py").exists() else sorted((FOLDER / module).glob("*.py"))
    for path in paths:
        assert imported(path) <= below | {module}


def imported(path: Path) -> set[str]:
    """Modules of the core that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(core.__name__):
            rest = str(node.module).removeprefix(core.__name__).lstrip(".")
            found |= {rest.partition(".")[0]} if rest else {alias.name for alias in node.names}
    return found
