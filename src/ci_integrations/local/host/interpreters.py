"""Finds the Python for an engine's sandboxes: ours, or one that a template names, with packages over it.

A Python other than ours gets this library and no other package of our environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ci_integrations.local.jail import rootfs
from ci_integrations.local.protocol.contract import InterpreterError

OLDEST: Final = (3, 11)
_PROBE_SECONDS: Final = 30.0
_THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PROBE: Final = f"""
import importlib.util, json, sys
answer = {{"version": list(sys.version_info[:2]), "ipython": importlib.util.find_spec("IPython") is not None}}
if sys.version_info >= {OLDEST}:
    from ci_integrations.local.jail.rootfs import interpreter_paths
    answer["shown"] = interpreter_paths()
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class Interpreter:
    """Is a Python that was looked at and can run sandboxes."""

    python: str
    packages: tuple[str, ...]
    """Folders of packages besides its own; the first that has a module wins."""
    shown: tuple[str, ...]
    """Paths that its processes must be able to read."""

    def command(self, module: str) -> list[str]:
        """Returns the command that runs a module without the caller's folders and user site."""
        # Not -I, which ignores PYTHONPATH too: packages come by it. -P needs Python 3.11.
        return [self.python, "-s", "-P", "-m", module]

    def environment(self) -> dict[str, str]:
        """Returns the variables of its processes, made from nothing: all of them can be read inside the sandboxes."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(self.packages),
            "MPLCONFIGDIR": str(cache_folder() / "matplotlib"),
            **dict.fromkeys(_THREADS, "1"),  # BLAS and OpenMP start their threads at import, before the fork
            # pandas imports an installed pyarrow, whose allocator would start a thread; that must not be forked.
            "JE_ARROW_MALLOC_CONF": "background_thread:false",
        }

    def start(
        self,
        module: str,
        stdin: socket.socket,
        around: Sequence[str] = (),
        *,
        pass_fds: Sequence[int] = (),
        uid: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Runs a module with a socket as its standard input and nothing else of ours; `around` runs it, if given."""
        return subprocess.Popen(
            [*around, *self.command(module)],
            stdin=stdin.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environment(),
            cwd="/",
            pass_fds=pass_fds,
            start_new_session=True,  # Ctrl-C in the server's terminal is for the server alone
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    def broken(self, error: str) -> InterpreterError:
        """Returns the error for a fault of this interpreter, which no level of isolation would change."""
        remedy = f"; to mend it: {self.python} -m pip install ipython" if "No module named 'IPython'" in error else ""
        return InterpreterError(f"{self.python} cannot run sandboxes: {error}{remedy}")


def ours(extra: Sequence[str] = ()) -> Interpreter:
    """Returns the interpreter that runs this process, with its packages; those in the `extra` folders come first."""
    packages = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    folders = dict.fromkeys([*extra, *packages, str(rootfs.LIBRARY.parent)])
    return Interpreter(sys.executable, tuple(folders), (*rootfs.interpreter_paths(), *extra))


async def find(python: str | Path | None, extra: Sequence[str] = ()) -> Interpreter:
    """Looks at `python`, an interpreter or the folder of a virtual environment; None means ours.

    Raises InterpreterError, with the remedy, when it cannot run sandboxes.
    """
    if python is None:
        return ours(extra)
    program = executable(Path(python))
    packages = (*extra, str(_library()))
    answer = await asyncio.to_thread(_look_at, Interpreter(str(program), packages, ()))
    version = ".".join(map(str, answer["version"]))
    if "shown" not in answer:
        raise InterpreterError(f"{program} is Python {version}; sandboxes need {'.'.join(map(str, OLDEST))} or newer")
    if not answer["ipython"]:
        raise InterpreterError(f"{program} has no IPython, which runs the cells: {program} -m pip install ipython")
    return Interpreter(str(program), packages, (*answer["shown"], *extra))


def executable(python: Path) -> Path:
    """Returns the interpreter at that path, or of the virtual environment there. Raises InterpreterError."""
    program = python / "bin" / "python" if python.is_dir() else python
    if not os.access(program, os.X_OK):
        raise InterpreterError(f"there is no Python interpreter at {python} (a program, or a virtual environment)")
    return program.absolute()


def _look_at(candidate: Interpreter) -> dict[str, list[str]]:
    """The answer of `_PROBE`. Raises InterpreterError."""
    try:
        done = subprocess.run(
            [candidate.python, "-c", _PROBE],
            env=candidate.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise candidate.broken(str(error)) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}"
        raise candidate.broken(said.splitlines()[-1])
    try:
        answer: dict[str, list[str]] = json.loads(done.stdout)
    except ValueError:
        raise candidate.broken("it does not answer as a Python does") from None
    return answer


def _library() -> Path:
    """A folder with this library alone: what lies beside it in site-packages was made for our own interpreter."""
    name = hashlib.sha256(str(rootfs.LIBRARY).encode()).hexdigest()[:16]
    folder = cache_folder() / "library" / name / "site-packages"  # by this name it is shown inside
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / rootfs.LIBRARY.name).symlink_to(rootfs.LIBRARY)
    return folder


def cache_folder() -> Path:
    """Returns our folder below the user's cache directory, for fonts of matplotlib and packages of templates."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "ci-integrations"
