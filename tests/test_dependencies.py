"""What the source imports is what `pyproject.toml` declares, and the other way round."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "ci_integrations"

NOT_DECLARED = {
    "PIL": "pictures for a model are made smaller where it is installed, and sent as they are elsewhere",
    "bokeh": "read in the user's kernel, where the user has it",
    "plotly": "likewise",
    "pydantic_core": "pydantic's own other half, pinned by it, and the documented home of PydanticCustomError",
    "traitlets": "IPython's own configuration, in the version that IPython brings",
    "workflows": "the public name of llama-index-core's own workflow engine",
}
"""Modules that are imported though no dependency of ours brings them, and why."""

NOT_IMPORTED = {
    "deno": "the program that runs TypeScript and JavaScript; a kernelspec starts it",
    "httptools": "uvicorn's fast parser, loaded by uvicorn's name for it",
    "ipykernel": "the kernel of sandboxes of the kind `jupyter`; jupyter-server starts it",
    "jupyter-server": "runs in such a sandbox, as a program",
    "matplotlib": "what users plot with, there in every local sandbox",
    "matplotlib-inline": "IPython's `%matplotlib inline` loads it",
    "numpy": "what users compute with, there in every local sandbox",
    "pandas": "likewise",
    "vl-convert-python": "turns our Vega-Lite into pictures, by the user's own call",
}
"""Distributions that are declared though the source need not import them, and why."""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, set[str]]:
    """Distribution to the extras that bring it; the empty name stands for the dependencies of everybody."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: dict[str, set[str]] = defaultdict(set)
    for extra, requirements in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for requirement in requirements:
            name = re.match(r"[\w.-]+", requirement)
            assert name
            found[_normal(name[0])].add(extra)
    return {name: extras for name, extras in found.items() if name != "ci-integrations"}


@cache
def imported() -> dict[str, set[str]]:
    """Foreign top-level module to the files that import it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        for name in _imports(ast.parse(path.read_text("utf-8"))):
            found[name].add(str(path.relative_to(SOURCE)))
    return {name: files for name, files in found.items() if name not in {*sys.stdlib_module_names, "ci_integrations"}}


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def distributions_of(module: str) -> set[str]:
    return {_normal(name) for name in _distributions().get(module, ())}


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def test_what_is_imported_is_declared() -> None:
    known = declared()
    missing = {
        module: sorted(files)[:3]
        for module, files in imported().items()
        if module not in NOT_DECLARED and not distributions_of(module) & set(known)
    }
    assert not missing


def test_what_is_declared_is_imported() -> None:
    used = {name for module in imported() for name in distributions_of(module)}
    assert not declared().keys() - used - NOT_IMPORTED.keys()


def test_the_exemptions_are_still_needed() -> None:
    assert NOT_DECLARED.keys() <= imported().keys()
    assert NOT_IMPORTED.keys() <= declared().keys()


def test_everybody_gets_only_what_the_core_needs() -> None:
    """What only one room imports is in that room's extra: who embeds the library installs no terminal program."""
    rooms = {"cli", "local", "testing", "langchain", "llamaindex"}
    for name in {name for name, extras in declared().items() if "" in extras}:
        files = {file for module, files in imported().items() if name in distributions_of(module) for file in files}
        assert {file.partition("/")[0] for file in files} - rooms, f"{name} is imported by {sorted(files)} alone"
