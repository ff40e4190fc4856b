"""Knows which program runs which language inside a sandbox. It starts none of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci_integrations._names import LANGUAGE_ALIASES
from ci_integrations.local.protocol.contract import ContextConfig, EngineError, Entry, Limits, MiB

_ALIASES = {**LANGUAGE_ALIASES, "": "python", "python3": "python", "sh": "bash"}
_PACKAGE = "ci_integrations.local.guest"
"""The package of the drivers. They are named and never imported: their code belongs inside."""
_INSTALL = {
    "javascript": 'pip install "ci-integrations[deno]", or an ijavascript kernelspec: npm install -g ijavascript',
    "typescript": 'pip install "ci-integrations[deno]"',
    "r": "IRkernel in R: install.packages('IRkernel'); IRkernel::installspec(user = FALSE)",
    "java": "the IJava or rapaio-jupyter kernel of the JDK that is installed",
}
_DENO_ENV = {"NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1", "DENO_NO_PROMPT": "1"}


class LanguageError(EngineError):
    """No installed kernel runs this language; the message names what to install."""


@dataclass(frozen=True)
class JupyterKernel:
    """Says how a language's Jupyter kernel is run inside a sandbox."""

    name: str
    """The name of the kernelspec."""
    language: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    interrupt: str = "signal"
    """"signal" or "message"."""
    dialect: str = ""
    """The name of one of `guest/dialects.py`, or ""."""


def normalise(language: str | None) -> str:
    """Returns the one name of a language: lower case, without spaces, aliases resolved. None is Python."""
    name = (language or "").strip().lower()
    return _ALIASES.get(name, name)


def entry(language: str, *, cwd: str, envs: dict[str, str], limits: Limits) -> Entry:
    """Returns the entry that a context in `language` runs. Raises LanguageError."""
    config: ContextConfig = {"envs": envs, "cwd": cwd, "results": limits.results}
    if language == "python":
        return Entry(f"{_PACKAGE}.python.kernel:main", config)
    if language == "bash":
        return Entry(f"{_PACKAGE}.bash:main", config)
    kernel = find(language)
    # V8 takes a quarter of the machine's memory otherwise, and would be killed where it could have collected garbage.
    heap = {"DENO_V8_FLAGS": f"--max-old-space-size={limits.memory // MiB * 3 // 4}"}
    config["env"] = {**kernel.env, **(heap if kernel.dialect == "deno" else {})}
    config |= {"argv": list(kernel.argv), "interrupt": kernel.interrupt, "language": kernel.dialect}
    return Entry(f"{_PACKAGE}.jupyter:main", config)


def reserves_address_space(language: str) -> bool:
    """Returns whether its kernel may be V8 or the JVM, which reserve far more address space than they ever use."""
    return language not in ("python", "bash")


def find(language: str) -> JupyterKernel:
    """Returns the kernel that runs `language`: an installed kernelspec, or Deno's own. Raises LanguageError."""
    for kernel in installed():
        if language in (kernel.language, kernel.name):
            return kernel
    program = deno()
    if language in ("javascript", "typescript") and program is not None:
        argv = (str(program), "jupyter", "--quiet", "--kernel", "--conn", "{connection_file}")
        return JupyterKernel("deno", language, argv, _DENO_ENV, "signal", "deno")
    install = _INSTALL.get(language, f"a Jupyter kernel for it (its kernelspec below one of {', '.join(folders())})")
    raise LanguageError(f"No kernel for {language!r} is installed. Install {install}.")


def deno() -> Path | None:
    """Returns the program of the `deno` wheel, or None where that is not installed."""
    program = Path(sys.executable).with_name("deno")
    return program if program.exists() else None


def installed() -> list[JupyterKernel]:
    """Returns the kernelspecs of other languages that sandboxes can see."""
    found = [_read(file) for folder in folders() for file in sorted(Path(folder).glob("*/kernel.json"))]
    return [kernel for kernel in found if kernel is not None and kernel.language not in ("python", "bash", "")]


def folders() -> list[str]:
    """Returns the folders in which kernelspecs are looked for: only places that a sandbox sees too."""
    # Not ~/.local/share/jupyter: homes are not in a sandbox.
    extra = [path for path in os.environ.get("JUPYTER_PATH", "").split(os.pathsep) if path]
    roots = [*extra, f"{sys.prefix}/share/jupyter", "/usr/local/share/jupyter", "/usr/share/jupyter"]
    return [f"{root}/kernels" for root in roots]


def _read(file: Path) -> JupyterKernel | None:
    """A kernelspec; None for one that is broken, which Jupyter itself leaves out too."""
    try:
        spec: Any = json.loads(file.read_text("utf-8"))
        argv = tuple(str(part).replace("{resource_dir}", str(file.parent)) for part in spec["argv"])
        env = {str(name): str(value) for name, value in (spec.get("env") or {}).items()}
        language = normalise(str(spec.get("language", "")))
        interrupt = str(spec.get("interrupt_mode", "signal"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return JupyterKernel(file.parent.name, language, argv, env, interrupt, _dialect_of(language, argv))


def _dialect_of(language: str, argv: tuple[str, ...]) -> str:
    # JavaScript by its program: Deno registers a kernelspec of its own, and both are "javascript".
    if argv and Path(argv[0]).name == "deno":
        return "deno"
    return {"javascript": "node", "r": "r"}.get(language, "")
