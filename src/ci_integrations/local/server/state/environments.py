"""The packages of templates, for `templates.py`.

They are installed once, on the host, by uv or pip, into a folder below the user's cache directory. There is one folder
for each interpreter and list of packages. Sandboxes read it, beside the interpreter's own packages.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ci_integrations.local.host import interpreters
from ci_integrations.local.protocol.contract import EngineError
from ci_integrations.local.protocol.packages import host_index, own_pip

INSTALL_SECONDS = 900.0
"""How long one installation may take."""
KEPT = 2000
"""The last characters of an installer's output that an error shows."""


async def installed(packages: Sequence[str], python: Path | None, directory: Path) -> Path:
    """Returns the folder with these packages, and installs them if it is not there. Raises EngineError.

    Relative paths in `packages` start at `directory`. The same list is not looked up again: pin versions, or remove the
    folder.
    """
    program = interpreters.executable(python) if python else Path(sys.executable)
    folder = interpreters.cache_folder() / "packages" / _key(program, packages) / "site-packages"
    if not folder.is_dir():
        await _fill(folder, program, packages, directory)
    return folder


def _key(program: Path, packages: Sequence[str]) -> str:
    # Both names of the interpreter: a virtual environment's is a link, which may lead to another Python one day.
    content = [str(program), str(program.resolve()), platform.machine(), sorted(packages)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


async def _fill(folder: Path, program: Path, packages: Sequence[str], directory: Path) -> None:
    """Installs beside the folder's place and renames at the end, so that nobody meets half of it."""
    making = folder.parent.with_name(f"{folder.parent.name}.{secrets.token_hex(4)}")
    making.mkdir(parents=True)
    try:
        await _install(making / folder.name, program, packages, directory)
        with contextlib.suppress(OSError):  # another server was faster, with the same content
            making.rename(folder.parent)
    finally:
        await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)


async def _install(target: Path, program: Path, packages: Sequence[str], directory: Path) -> None:
    call = [*_installer(program), "--target", str(target), "--", *packages]
    # pip reads its own configuration; uv does not, so the host's index is handed to it.
    index = host_index()
    environment = ({"UV_DEFAULT_INDEX": index} if index else {}) | os.environ
    process = await asyncio.create_subprocess_exec(
        *call,
        env=environment,
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(INSTALL_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        raise EngineError(f"{', '.join(packages)}: not installed within {INSTALL_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        complaint = said.decode(errors="replace").strip()[-KEPT:]
        raise EngineError(
            f"{', '.join(packages)} could not be installed (this machine's package index is needed, once): {complaint}"
        )


def _installer(program: Path) -> list[str]:
    """Returns the call of uv, or of pip where there is no uv, up to its target. Raises EngineError."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--link-mode", "copy", "--python", str(program)]
    pip = own_pip()
    if not pip:
        raise EngineError("packages in a template need pip or uv, and neither is there: pip install uv")
    return [*pip, "--python", str(program), "install", "--quiet", "--disable-pip-version-check"]
