"""The same server in a Linux container, for machines that do not run Linux. `launcher.py` uses it.

Docker or Podman is called as a program. The container is a child process like the server itself: its options come on
stdin, its address on stdout, and it ends when stdin does. The port is the same inside and outside, so that the SDK's
`get_host` names the right one.
"""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ci_integrations._version import __version__

IMAGE = f"ci-integrations-local:{__version__}"
"""One image for each version of this package, so that an update builds anew."""
PACKAGE = Path(__file__).parent.parent
ENGINES = ("docker", "podman")
"""Programs, in the order in which they are looked for."""
UNCONFINED = {
    "docker": ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"),
    "podman": ("seccomp=unconfined", "unmask=ALL"),
}
"""The server needs namespaces and mounts of its own to isolate sandboxes. Its own filter for them is stricter than the
one that is taken away here."""
REMEDY = (
    "the local sandbox needs Linux: start Docker or Podman, in which it then runs, or set E2B_API_KEY to run code in "
    "the cloud"
)


class NoContainerError(RuntimeError):
    """No container can be started; the message names the remedy."""


@dataclass(frozen=True)
class Start:
    """How the server's process is started, which options it gets, and how it is reached."""

    argv: list[str]
    options: Mapping[str, object]
    url: str
    """Empty: the address that the server tells."""


def wanted(options: Mapping[str, object], platform: str = sys.platform) -> bool:
    """Returns whether a container is needed. On Linux it is only when `isolation="container"` asks for it."""
    return platform != "linux" or options.get("isolation") == "container"


def prepare(options: Mapping[str, object]) -> Start:
    """Returns how to start a container with these options. Builds its image once. Raises NoContainerError."""
    if options.get("templates"):
        raise NoContainerError(
            "templates are not read into the container: give what they hold as files= and setup_code="
        )
    if options.get("mounts"):
        raise NoContainerError("mounts= are not shown in the container: upload the files, or start the server on Linux")
    program = find_engine(shutil.which)
    if not _succeeds([program, "image", "inspect", IMAGE]):
        _build(program)
    port = int(str(options.get("port") or _free_port()))
    # Inside, the server listens on the container's own address; outside, the port is published on loopback only.
    inside = {"token": "e2b_" + secrets.token_hex(20), **options, "host": "0.0.0.0", "port": port}  # noqa: S104
    if options.get("isolation") == "container":
        inside["isolation"] = "auto"
    return Start(run_command(program, port), inside, f"http://127.0.0.1:{port}")


def find_engine(which: Callable[[str], str | None]) -> str:
    """Returns the path of Docker's program, or of Podman's. Raises NoContainerError when there is neither."""
    for name in ENGINES:
        if program := which(name):
            return program
    raise NoContainerError(f"no Docker and no Podman here: {REMEDY}")


def run_command(program: str, port: int) -> list[str]:
    """Returns the call that runs the container. It is reached from this machine only, and removed when it ends."""
    options = UNCONFINED[Path(program).stem]
    security = [word for option in options for word in ("--security-opt", option)]
    published = ["--publish", f"127.0.0.1:{port}:{port}"]
    return [program, "run", "--rm", "--interactive", "--init", *published, *security, IMAGE, "--child"]


def build_command(program: str, requirements: Iterable[str]) -> list[str]:
    """Returns the call that builds the image from this package's own files."""
    packages = ["--build-arg", f"REQUIREMENTS={' '.join(requirements)}"]
    return [
        program,
        "build",
        "--tag",
        IMAGE,
        "--file",
        str(PACKAGE / "local" / "Containerfile"),
        *packages,
        str(PACKAGE),
    ]


def requirements(lines: Iterable[str]) -> list[str]:
    """Returns what the base package and the extra `local` need, from the metadata's lines, without markers."""
    found = []
    for line in lines:
        name, _, marker = line.partition(";")
        if "extra" not in marker or re.search(r"""extra\s*==\s*["']local["']""", marker):
            found.append(name.replace(" ", ""))
    return found


def _build(program: str) -> None:
    """Builds the image, which takes minutes. What the engine prints goes to stderr: stdout may be the caller's data."""
    command = build_command(program, requirements(metadata.requires("ci-integrations") or ()))
    sys.stderr.write(f"building the image {IMAGE} for the local sandbox, once\n")
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise NoContainerError(f"{program} could not build {IMAGE}, see above. Is it running? Otherwise: {REMEDY}")


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
