"""Template definitions: one definition, written in TOML, for the local server and for E2B. This module is pure data.

[tool.ci-integrations.templates.analysis]      # in pyproject.toml; `[templates.analysis]` in a file of its own
packages = ["polars", "duckdb>=1"]             # installed with uv or pip; locally once, on the host
files = { "/home/user/lookup.csv" = "data/lookup.csv" }      # in the sandbox = here, beside the TOML file
envs = { REGION = "eu" }
setup = ["mkdir -p /home/user/out"]            # shell commands
kernels = ["python", "r"]
base = "code-interpreter-v1"                   # E2B: the template to build on
cpu = 2                                        # E2B
memory = 2048                                  # MiB
skip_cache = false                             # E2B: build every layer anew
python = ".venv"                               # local: an interpreter or a virtual environment, with IPython
preload = ["numpy", "pandas"]                  # local: imported before a sandbox is forked
limits = { disk = 512, processes = 64 }        # local: of each sandbox; memory, disk, output, results in MiB
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ci_integrations.local.protocol.contract import limits_in_mib

E2B_KERNELS = ("python", "bash", "deno", "java", "javascript", "r")
"""What E2B's own code-interpreter template holds."""


class DefinitionError(ValueError):
    """The file, or a definition in it, is wrong. The message names the place."""


@dataclass(frozen=True, kw_only=True)
class TemplateDefinition:
    """One definition, as the module's docstring shows it. Paths are absolute."""

    name: str
    """The table's name: `[templates.NAME]`."""
    directory: Path
    """Where its file lies; `files` are below it."""
    base: str = "code-interpreter-v1"
    """E2B: the template to build on."""
    packages: tuple[str, ...] = ()
    """Python packages. E2B: installed with uv. Locally with uv or pip when first asked for, on this machine, into a
    folder of the user's cache that sandboxes read and that is kept: the same list is not looked up again."""
    kernels: tuple[str, ...] = ("python",)
    """E2B: the languages that cells may be in. Locally those that are installed."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Path in the sandbox to path here, beside or below the TOML file."""
    envs: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the sandbox."""
    setup: tuple[str, ...] = ()
    """Shell commands. Locally run in each new sandbox, at most 600 seconds each; at E2B when the template is built."""
    cpu: int | None = None
    """E2B: how many processors."""
    memory: int | None = None
    """MiB; locally the sandbox's limit."""
    skip_cache: bool = False
    """E2B: build every layer anew."""
    python: Path | None = None
    """Local: an interpreter (3.11 or newer) or a virtual environment, with IPython in it. None: the server's own."""
    preload: tuple[str, ...] | None = None
    """Local: modules imported before a sandbox is forked. None: the server's own list."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Local: those of `Limits` that differ from the server's; memory, disk, output and results in MiB."""


_KINDS: dict[str, type] = {
    "base": str, "packages": list, "kernels": list, "files": dict, "envs": dict, "setup": list, "cpu": int,
    "memory": int, "skip_cache": bool, "python": str, "preload": list,
    "limits": dict,
}  # fmt: skip


def load_definitions(path: Path) -> dict[str, TemplateDefinition]:
    """Returns all definitions of a TOML file by name. Raises DefinitionError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DefinitionError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path} is not TOML: {error}") from error
    return read_definitions(document.get("tool", {}).get("ci-integrations", document).get("templates", {}), path)


def read_definitions(tables: object, path: Path) -> dict[str, TemplateDefinition]:
    """Returns the definitions in `templates`, a table of tables. Relative paths start beside `path`.

    Raises DefinitionError for an unknown setting, a wrong type, and a file that is not there or lies elsewhere.
    """
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise DefinitionError(f"{path}: templates must be tables, [templates.NAME]")
    return {name: _definition(name, table, path) for name, table in tables.items()}


def _definition(name: str, table: dict[str, Any], path: Path) -> TemplateDefinition:
    where = f"{path}, template {name}"
    for key, value in table.items():
        _check(where, key, value)
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    here = path.absolute().parent
    if "files" in given:
        given["files"] = {remote: here / local for remote, local in given["files"].items()}
        _check_files(where, given["files"], here)
    if "python" in given:
        given["python"] = here / given["python"]
    return TemplateDefinition(name=name, directory=here, **given)


def _check(where: str, key: str, value: object) -> None:
    """Raises DefinitionError for one setting. By hand and not by pydantic: its words are not those of TOML's writer."""
    if key not in _KINDS:
        known = ", ".join(sorted(set(_KINDS) & {known.name for known in fields(TemplateDefinition)}))
        raise DefinitionError(f"{where}: there is no setting {key!r}; there are {known}")
    if type(value) is not _KINDS[key]:  # exactly: `true` is an int to isinstance
        raise DefinitionError(f"{where}: {key} must be a {_KINDS[key].__name__}, not {type(value).__name__}")
    if key == "limits" and isinstance(value, dict):
        _check_limits(where, value)
        return
    _check_texts(where, key, list(value.values()) if isinstance(value, dict) else value)


def _check_texts(where: str, key: str, value: object) -> None:
    """Raises DefinitionError for a list that holds something else than texts, or an option of an installer."""
    inner = value if isinstance(value, list) else []
    if not all(isinstance(item, str) for item in inner):
        raise DefinitionError(f"{where}: {key} holds something else than strings")
    if key == "packages" and any(item.startswith("-") for item in inner):
        raise DefinitionError(f"{where}: packages are names and versions, not options of an installer")


def _check_limits(where: str, value: Mapping[str, Any]) -> None:
    try:
        limits_in_mib(value)
    except ValueError as error:
        raise DefinitionError(f"{where}: {error}") from None


def _check_files(where: str, files: Mapping[str, Path], here: Path) -> None:
    for remote, local in files.items():
        # Whoever wrote the definition may be another person: it must not bring files in from elsewhere on the machine.
        if not remote.startswith("/"):
            raise DefinitionError(f"{where}: {remote!r} must be a whole path in the sandbox, /home/user/...")
        if not local.exists():
            raise DefinitionError(f"{where}: there is no file {local}")
        if not local.resolve().is_relative_to(here.resolve()):
            raise DefinitionError(f"{where}: {local} lies outside of {here}")
