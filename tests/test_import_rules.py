"""Who may import whom, by package. Held by reading the source; imports inside functions and for types count too."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "ci_integrations"
FILES = sorted(SOURCE.rglob("*.py"))
ROOT = "ci_integrations"

GROUND = {"_closing", "_errors", "_fetching", "_json", "_lazy", "_names", "_telemetry", "_version"}
"""The ground floor: each of these may import the others of them, the standard library and small libraries."""

MAY_IMPORT: dict[str, set[str]] = {
    "": {"interpreter", "results"},  # the root's table of contents, for types
    "data": set(),
    "charts": {"charts.export", "charts.read"},
    "charts.export": {"charts"},
    "charts.read": {"charts", "charts.export"},
    "charts.extractor": set(),
    "results": {"charts", "charts.export", "charts.read", "frames"},
    "errors": {"results"},
    "frames": {"frames.codec"},
    "frames.codec": set(),
    "_core": {"errors", "results", "charts.extractor", "frames"},
    "interpreter": {"_core", "errors", "frames", "results"},
    "sessions": {"_core", "errors", "interpreter", "leftovers", "results"},
    "leftovers": {"_core", "errors"},
    "recovery": {"_core"},  # public faces: documented import paths
    "rendering": {"results"},
    "store": {"results"},
    "_adapters": {"_core", "charts", "errors", "interpreter", "results", "sessions"},
    "langchain": {"_adapters", "_core", "charts", "errors", "interpreter", "results", "sessions"},
    "llamaindex": {"_adapters", "_core", "charts", "errors", "interpreter", "results", "sessions", "tables"}
    | {"llamaindex.analysis.kernel", "tables.reader"},
    "llamaindex.analysis.kernel": set(),
    "tables": {"tables.reader"},
    "tables.reader": set(),
    "local": {"local.host", "local.protocol"},
    "local.protocol": set(),
    "local.guest": {"local.protocol", "charts.extractor"},  # which runs in the kernel, and is std lib only
    "local.jail": {"local.protocol"},
    "local.host": {"local.jail", "local.protocol"},
    "local.server": {"local", "local.host", "local.protocol"},
    "testing": {"_core", "errors", "interpreter", "local", "results", "sessions"},
    "cli": {
        "_core",
        "charts",
        "errors",
        "interpreter",
        "langchain",
        "leftovers",
        "local",
        "local.host",
        "local.protocol",
    }
    | {"local.server", "results", "sessions", "testing"},
}
"""Package to what it may import besides itself and the ground floor. A package's sub-packages are part of it, unless
they stand here with a row of their own.
"""

MORE: dict[str, set[str]] = {
    "_core.service": {"local", "local.protocol"},  # the one place above `local/` that starts it
}
"""Modules that may import more than the rest of their package."""

NOT_THE_GROUND = {"local.protocol", "charts.extractor", "frames.codec", "local.guest", "local.jail", "tables.reader"}
NOT_THE_GROUND |= {"llamaindex.analysis.kernel"}
"""Packages that run where our ground floor is not to be seen: beside user's code, or before it, in a sandbox."""

ADAPTERS = {
    "langchain": {"langchain", "langchain_core", "langgraph", "deepagents"},
    "llamaindex": {"llama_index", "workflows"},
}
E2B = {"e2b", "e2b_code_interpreter"}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    """`langchain.tool` for `langchain/tool.py`, `charts` for `charts/__init__.py`, the empty name for the root."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def package_of(module: str) -> str:
    """The row of `MAY_IMPORT` that a module belongs to: its nearest ancestor there."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return "ground" if parts[0] in GROUND else next((name for name in names if name in MAY_IMPORT), "")


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of all that a file imports, wherever in the file: `ci_integrations.results.model`, `os.path`."""
    return frozenset(_imports(path, ast.walk(tree_of(path))))


@cache
def imports_at_once(path: Path) -> frozenset[str]:
    """Those that happen when the file is imported: outside of functions, and not for types alone."""
    return frozenset(_imports(path, _without_lazy(tree_of(path))))


def _without_lazy(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        lazy = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if lazy or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            continue
        yield child
        yield from _without_lazy(child)


def _imports(path: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(path, node)


def _from(path: Path, node: ast.ImportFrom) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        package = (ROOT, *path.relative_to(SOURCE).parts[:-1])
        base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if full.removeprefix(f"{ROOT}.") in MODULES else base


def ours(path: Path) -> set[str]:
    """Modules of this library that a file imports, named from the root: `results.model`."""
    found = {name.removeprefix(ROOT).removeprefix(".") for name in imports(path) if name.partition(".")[0] == ROOT}
    return found - {module_of(path)}


def top_level(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def offenders(paths: Iterable[Path], forbidden: Callable[[Path], set[str]]) -> dict[str, set[str]]:
    """File to what it must not import; empty when the rule is kept."""
    found = {module_of(path): forbidden(path) for path in paths}
    return {name: modules for name, modules in found.items() if modules}


def inside(*packages: str) -> list[Path]:
    paths = [path for module, path in MODULES.items() if package_of(module) in packages]
    assert paths
    return paths


@pytest.mark.parametrize("package", ["ground", *MAY_IMPORT])
def test_each_package_imports_only_what_it_may(package: str) -> None:
    allowed = MAY_IMPORT.get(package, set()) | {package} | (set() if package in NOT_THE_GROUND else {"ground"})

    def wrong(path: Path) -> set[str]:
        more = allowed | MORE.get(module_of(path), set())
        return {module for module in ours(path) if not module or package_of(module) not in more}

    assert not offenders(inside(package), wrong)


def test_no_circle_between_packages() -> None:
    """The table itself goes one way: what a package may import never leads back to it.

    `charts` and its export and read are one floor: `chart.py` calls the exports, which take what `model.py` defines.
    """
    one_floor = {"charts.export": "charts", "charts.read": "charts"}
    graph = {one_floor.get(name, name): set[str]() for name in MAY_IMPORT}
    for name, allowed in MAY_IMPORT.items():
        own = one_floor.get(name, name)
        graph[own] |= {one_floor.get(to, to) for to in allowed} - {own}
    assert not list(circles(graph))


def test_no_circle_between_files() -> None:
    """Imports inside functions and for types count: what needs the other to be read is not two files, but one."""
    graph = {module: {to for to in ours(path) if to in MODULES and to} for module, path in MODULES.items() if module}
    assert not list(circles(graph))


def circles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """Groups of names from which each leads to each: Tarjan's strongly connected components of more than one."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> Iterator[list[str]]:
        index[name] = low[name] = len(index)
        stack.append(name)
        for to in graph.get(name, ()):
            if to not in index:
                yield from visit(to)
                low[name] = min(low[name], low[to])
            elif to in stack:
                low[name] = min(low[name], index[to])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                yield sorted(group)

    for name in graph:
        if name not in index:
            yield from visit(name)


def test_the_trust_boundary() -> None:
    """What shares a process with user's code knows the protocol alone; what is trusted never loads a guest's module.

    They name it as a string, and the sandbox's own process imports it. `tests/local/test_trust_boundary.py` holds that
    these strings name modules that exist.
    """
    trusted = inside("local.jail", "local.host", "local.server", "local.protocol")
    zone = {"local.guest", "local.protocol", "charts.extractor"}  # the extractor is guest code: it runs in the kernel
    assert not offenders(inside("local.guest"), lambda path: packages_of(path) - zone)
    assert not offenders(trusted, lambda path: packages_of(path) & {"local.guest"})


def packages_of(path: Path) -> set[str]:
    return {package_of(module) for module in ours(path) if module}


def test_frameworks_stay_in_their_rooms() -> None:
    for adapter, own in ADAPTERS.items():
        others = [path for module, path in MODULES.items() if package_of(module) not in (adapter, "testing", "cli")]
        assert not offenders(others, lambda path, own=own: top_level(imports(path)) & own)


def test_adapters_know_no_e2b() -> None:
    assert not offenders(inside("_adapters", *ADAPTERS), lambda path: top_level(imports(path)) & E2B)


def test_only_one_place_starts_the_local_server() -> None:
    starters = {module for module, path in MODULES.items() if any(to.split(".")[0] == "local" for to in ours(path))}
    assert {package_of(module).split(".")[0] for module in starters - set(MORE)} <= {"local", "cli", "testing"}


def test_the_neutral_model_needs_no_sdk_to_be_imported() -> None:
    frameworks = E2B.union(*ADAPTERS.values())
    assert not offenders(
        inside("results", "errors", "ground"), lambda path: top_level(imports_at_once(path)) & frameworks
    )


def test_the_extractor_imports_nothing_of_ours() -> None:
    """It runs in kernels where this library is not installed."""
    assert not offenders(inside("charts.extractor"), lambda path: top_level(imports(path)) & {"pydantic"})
    assert not offenders(inside("charts.extractor"), lambda path: packages_of(path) - {"charts.extractor"})


def test_the_reader_of_files_imports_nothing_of_ours() -> None:
    """It runs in kernels where this library is not installed."""
    assert not offenders(inside("tables.reader"), lambda path: top_level(imports(path)) & {"pydantic"})
    assert not offenders(inside("tables.reader"), lambda path: packages_of(path) - {"tables.reader"})


def test_nothing_of_ours_imports_the_public_faces() -> None:
    faces = {"recovery", "rendering", "store"}
    assert not offenders(FILES, lambda path: ours(path) & faces)


def test_every_file_says_what_it_is_for() -> None:
    assert not [path for path in FILES if not ast.get_docstring(tree_of(path))]


def test_no_file_is_longer_than_400_lines() -> None:
    assert not [path for path in FILES if path.read_text(encoding="utf-8").count("\n") >= 400]


def test_no_folder_holds_more_than_26_files() -> None:
    folders = {path.parent for path in FILES}
    assert not {folder.name: found for folder in folders if (found := len(list(folder.glob("*.py")))) > 26}
