"""Who may import whom. The rooms and the way of the data between them, held by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "ci_integrations"
FILES = sorted(SOURCE.rglob("*.py"))
ADAPTERS = {"langchain", "llamaindex"}
FRAMEWORKS = {
    "langchain": {"langchain", "langchain_core", "langgraph", "deepagents"},
    "llamaindex": {"llama_index", "workflows"},
    "e2b": {"e2b", "e2b_code_interpreter"},
}
STARTS_LOCAL = {"_backend"}
"""The one place above `local/` that starts it."""
LOCAL_MAY_IMPORT = tuple(f"ci_integrations.{name}" for name in ("local", "charts.extractor", "errors.", "_version."))


def room_of(path: Path) -> str:
    """`langchain` for `langchain/tool.py`, `results` for `results.py`, the empty name for the root itself."""
    first = path.relative_to(SOURCE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, only_at_import: bool = False) -> Iterator[str]:
    """Full names of imported modules; those under `if TYPE_CHECKING:` do not count: they never happen."""
    yield from _imports(tree_of(path), path, only_at_import)


def _imports(node: ast.AST, path: Path, only_at_import: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if only_at_import and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from _from(child, path)
        yield from _imports(child, path, only_at_import)


def _from(node: ast.ImportFrom, path: Path) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        package = ("ci_integrations", *path.relative_to(SOURCE).parts[:-1])
        base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
    if base.partition(".")[0] != "ci_integrations":
        yield base
    else:
        yield from (f"{base}.{alias.name}" for alias in node.names)


def own_rooms(path: Path) -> set[str]:
    parts = [name.split(".") for name in imports(path) if name.startswith("ci_integrations.")]
    return {part[1] for part in parts} - {room_of(path)}


def top_level(path: Path, *, only_at_import: bool = False) -> set[str]:
    return {name.partition(".")[0] for name in imports(path, only_at_import=only_at_import)}


def offenders(paths: Iterable[Path], forbidden: Callable[[Path], set[str]]) -> dict[str, set[str]]:
    """File to what it must not import; empty when the rule is kept."""
    found = {str(path.relative_to(SOURCE)): forbidden(path) for path in paths}
    return {name: modules for name, modules in found.items() if modules}


def rooms(*names: str) -> list[Path]:
    paths = [path for path in FILES if room_of(path) in names]
    assert paths
    return paths


def test_frameworks_stay_in_their_rooms() -> None:
    for adapter in ADAPTERS:
        others = [path for path in FILES if room_of(path) not in (adapter, "testing", "cli")]
        assert not offenders(others, lambda path, own=FRAMEWORKS[adapter]: top_level(path) & own)


def test_nothing_below_the_adapters_imports_them() -> None:
    above = ADAPTERS | {"cli", "testing"}
    assert not offenders((path for path in FILES if room_of(path) not in above), lambda path: own_rooms(path) & above)


def test_adapters_know_no_e2b_and_not_each_other() -> None:
    forbidden = ADAPTERS | {"cli", "local"}
    assert not offenders(rooms(*ADAPTERS), lambda path: top_level(path) & FRAMEWORKS["e2b"])
    assert not offenders(rooms(*ADAPTERS), lambda path: own_rooms(path) & forbidden)


def test_the_local_server_stands_alone() -> None:
    def outside(path: Path) -> set[str]:
        ours = {name for name in imports(path) if name.startswith("ci_integrations.")}
        return {name for name in ours if not name.startswith(LOCAL_MAY_IMPORT)}

    assert not offenders(rooms("local"), outside)


def test_only_one_place_starts_the_local_server() -> None:
    starters = {path for path in FILES if "local" in own_rooms(path)}
    assert {room_of(path) for path in starters} <= STARTS_LOCAL | {"cli", "testing"}


def test_the_neutral_model_needs_no_sdk_to_be_imported() -> None:
    frameworks = set().union(*FRAMEWORKS.values())
    neutral = rooms("envelope", "results", "rendering")
    assert not offenders(neutral, lambda path: top_level(path, only_at_import=True) & frameworks)


def test_the_extractor_imports_nothing_of_ours() -> None:
    """It runs in kernels where this library is not installed."""

    def ours(path: Path) -> set[str]:
        names = {name for name in imports(path) if name.partition(".")[0] in ("ci_integrations", "pydantic")}
        return {name for name in names if not name.startswith("ci_integrations.charts.extractor")}

    assert not offenders((path for path in FILES if "extractor" in path.parts), ours)


def test_every_file_says_what_it_is_for() -> None:
    assert not [path for path in FILES if not ast.get_docstring(tree_of(path))]


def test_no_file_is_longer_than_400_lines() -> None:
    assert not [path for path in FILES if path.read_text(encoding="utf-8").count("\n") >= 400]
