"""Who may know whom inside `local/`: hostile guest, jail, host, server. Read from the source, lazy imports included."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

LOCAL = Path(__file__).parents[2] / "src" / "ci_integrations" / "local"
PACKAGE = "ci_integrations.local"
MAY_IMPORT = {
    "protocol": (),
    "guest": (f"{PACKAGE}.protocol", "ci_integrations.charts.extractor"),
    "jail": (f"{PACKAGE}.protocol",),
    "host": (f"{PACKAGE}.protocol", f"{PACKAGE}.jail"),
    "server": (f"{PACKAGE}.protocol", f"{PACKAGE}.host", f"{PACKAGE}.definition"),
}
"""Beside themselves. The guest has the extractor because the kernel reads figures with it: it knows nothing of ours."""
GROUND = ("ci_integrations._names", "ci_integrations._errors", "ci_integrations._version")
"""Constants and errors without imports of their own; only the trusted side may have them."""
NAMES_BY_STRING = {
    ("host/bubblewrap.py", "_AGENT"),
    ("host/files.py", "ENTRY"),
    ("host/languages.py", "_PACKAGE"),
    ("host/levels.py", "TRIAL"),
    ("host/network.py", "LISTENER"),
    ("host/sources.py", "_ZYGOTE"),
    ("jail/zygote.py", "_KERNEL"),
    ("server/state/service.py", "FRONT"),
    ("server/state/service.py", "JUPYTER"),
}
"""Modules that are started or loaded inside a sandbox: a string, so that nothing of them is imported out here."""


def files(room: str) -> list[Path]:
    found = sorted((LOCAL / room).rglob("*.py"))
    assert len(found) > 1, room
    return found


def imported(path: Path) -> set[str]:
    """Full names of our modules that a file imports anywhere: in functions and under TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides where it goes"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] == "ci_integrations"}


def is_below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def strings(path: Path) -> Iterator[tuple[str, str]]:
    """(constant of the module or "", string) for every string that names a module of ours."""
    tree = ast.parse(path.read_text("utf-8"))
    for statement in tree.body:
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
        name = next((target.id for target in targets if isinstance(target, ast.Name)), "")
        for node in ast.walk(statement):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text.startswith(f"{PACKAGE}.") and " " not in text:
                yield name, text


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_rooms_that_it_may_trust(room: str) -> None:
    allowed = (f"{PACKAGE}.{room}", *MAY_IMPORT[room], *(GROUND if room in ("host", "server") else ()))
    beyond = {f"{path.relative_to(LOCAL)}: {name}" for path in files(room) for name in imported(path)
              if not is_below(name, allowed)}  # fmt: skip
    assert not beyond


@pytest.mark.parametrize("room", ["protocol", "jail", "host", "server"])
def test_nothing_outside_of_a_sandbox_imports_the_guest(room: str) -> None:
    """Its code runs beside hostile code; whoever imports it out here has let that code's neighbours in."""
    assert not {path.name for path in files(room) for name in imported(path) if is_below(name, (f"{PACKAGE}.guest",))}


def test_what_runs_inside_is_named_by_string_in_these_places_alone_and_exists() -> None:
    found = {(str(path.relative_to(LOCAL)), name) for room in ("protocol", "jail", "host", "server")
             for path in files(room) for name, text in strings(path) if name}  # fmt: skip
    assert found == NAMES_BY_STRING


@pytest.mark.parametrize("path", [path for path in sorted(LOCAL.rglob("*.py")) if list(strings(path))], ids=str)
def test_every_module_named_by_a_string_exists_and_has_the_function(path: Path) -> None:
    for _, text in strings(path):
        module, _, function = text.partition(":")
        spec = importlib.util.find_spec(module)
        assert spec, f"{path}: no module {module}"
        if function and spec.origin:
            tree = ast.parse(Path(spec.origin).read_text("utf-8"))
            assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, text


def test_every_language_is_run_by_a_driver_that_exists() -> None:
    """The drivers' names are put together from `_PACKAGE`; so they are asked for, one by one."""
    from ci_integrations.local.host import languages
    from ci_integrations.local.protocol.contract import Entry, Limits

    kernel = languages.JupyterKernel("k", "ruby", ("ruby",))
    entries: list[Entry] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(languages, "find", lambda _: kernel)
        entries += [languages.entry(name, cwd="/", envs={}, limits=Limits()) for name in ("python", "bash", "ruby")]
    for entry in entries:
        module, _, function = entry.target.partition(":")
        spec = importlib.util.find_spec(module)
        assert spec, entry.target
        assert f"def {function}(" in Path(str(spec.origin)).read_text("utf-8"), entry.target


def test_the_extractor_that_the_guest_loads_imports_nothing_of_ours() -> None:
    """Relative imports of its own package are all it has; that is why the guest may have it."""
    for path in (LOCAL.parent / "charts" / "extractor").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
        assert not [name for name in names if name.partition(".")[0] == "ci_integrations"], path
        assert all(node.level <= len(path.relative_to(LOCAL.parent / "charts" / "extractor").parts)
                   for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), path  # fmt: skip
