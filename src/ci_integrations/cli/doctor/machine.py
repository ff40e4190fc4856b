"""The findings of `doctor` about this machine. Each check says what it saw, and none changes anything."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from typing import TYPE_CHECKING, Literal

from ci_integrations._version import __version__

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

MiB = 1 << 20
SETTINGS = ("CI_INTEGRATIONS_BACKEND", "E2B_API_URL", "E2B_SANDBOX_URL", "E2B_DOMAIN", "E2B_DEBUG")
"""Variables that send code elsewhere: a forgotten one explains much. None holds a secret."""
_SHOWN = (
    "e2b", "e2b-code-interpreter", "pyqwest", "pydantic", "langchain-core", "langchain", "langgraph",
    "llama-index-core", "deepagents", "ipython", "numpy", "pandas", "matplotlib", "plotly", "uvicorn", "vcrpy",
)  # fmt: skip


Status = Literal["ok", "note", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One finding. `ok`, `note`: nothing to do. `warn`: something does not work. `fail`: nothing works.

    `details` are for `--json`: any plain value.
    """

    name: str
    status: Status
    text: str
    details: object = None


def examine() -> Iterator[Check]:
    """Yields the findings in the order in which a person would ask."""
    yield Check("ci-integrations", "ok", f"{__version__}, Python {platform.python_version()} at {sys.executable}")
    yield from _key()
    yield from _settings()
    yield from _local()
    yield from _languages()
    yield from _versions()


def _key() -> Iterator[Check]:
    """Yields whether there is a key. It is not tried: that would take a request, and show it to a server."""
    if os.environ.get("E2B_API_KEY"):
        yield Check("E2B key", "ok", "E2B_API_KEY is set: E2B is the default backend (not tried; the key is not shown)")
    else:
        yield Check("E2B key", "note", "E2B_API_KEY is not set: code runs in the local sandbox")


def _settings() -> Iterator[Check]:
    for name in SETTINGS:
        if value := os.environ.get(name):
            yield Check("setting", "note", f"{name}={value}")


def _local() -> Iterator[Check]:
    """Yields one finding when the local sandbox cannot start, and otherwise what it can do."""
    # Without Linux the sandbox runs in a container: that is not tried here, because it builds an image.
    if platform.system() != "Linux":
        yield Check(
            "local sandbox", "fail", f"it needs Linux, this is {platform.system()}: set E2B_API_KEY, or use Docker"
        )
        return
    missing = [name for name in ("IPython", "uvicorn", "httptools") if util.find_spec(name) is None]
    if missing:
        yield Check(
            "local sandbox", "warn", f'not installed ({", ".join(missing)}): pip install "ci-integrations[local]"'
        )
        return
    yield from _trial()
    yield from _preload()
    yield from _limits()
    yield from _cgroup()


def _trial() -> Iterator[Check]:
    """Starts the engine and a sandbox, which runs `1 + 1`."""
    from ci_integrations.local.protocol.contract import EngineError

    try:
        level, why_not_stronger, seconds = asyncio.run(_run_one_cell())
    except (EngineError, OSError) as error:
        reason = f"{error}" if isinstance(error, EngineError) else f"it does not start: {error}"
        yield Check("local sandbox", "fail", reason)
        return
    yield Check("local sandbox", "ok", f"1 + 1 answered in {seconds * 1000:.0f} ms", {"seconds": seconds})
    status: Status = "warn" if level == "none" else "ok"
    yield Check(
        "isolation", status, level if why_not_stronger is None else f"{level}; not stronger: {why_not_stronger}"
    )


async def _run_one_cell() -> tuple[str, str | None, float]:
    """Returns the level, why no stronger one is there, and seconds from creating the sandbox to its answer.

    Raises EngineError when the sandbox starts and does not answer 2.
    """
    from ci_integrations.local.host.context import open_context
    from ci_integrations.local.host.engine import start_engine
    from ci_integrations.local.protocol.contract import EngineError, SandboxSpec

    engine = await start_engine()
    try:
        start = time.monotonic()
        sandbox = await engine.create(SandboxSpec(sandbox_id="doctor"))
        context = await open_context(sandbox)
        events = [event async for event in context.execute("1 + 1", timeout=20)]
        seconds = time.monotonic() - start
        await context.close()
        await sandbox.kill()
    finally:
        await engine.close()
    if not any(event["type"] == "display" and event["data"].get("text/plain") == "2" for event in events):
        raise EngineError(f"the sandbox started, but 1 + 1 gave {[event['type'] for event in events]}")
    return engine.level, engine.why_not_stronger, seconds


def _preload() -> Iterator[Check]:
    from ci_integrations.local.host.engine import DEFAULT_PRELOAD

    # The package's own folder is enough: to import it takes half a second.
    missing = [name for name in DEFAULT_PRELOAD if util.find_spec(name.partition(".")[0]) is None]
    there = ", ".join(name for name in DEFAULT_PRELOAD if name not in missing)
    lacking = f"; missing: {', '.join(missing)}" if missing else ""
    yield Check("preloaded", "warn" if missing else "ok", there + lacking)


def _limits() -> Iterator[Check]:
    """Yields the default limits of a sandbox."""
    from ci_integrations.local.protocol.contract import Limits

    limits = asdict(Limits())
    words = [f"{name} {_amount(name, value)}" for name, value in limits.items() if value is not None]
    yield Check("limits of a sandbox", "ok", ", ".join(words), limits)


def _amount(name: str, value: int) -> str:
    return f"{value // MiB} MiB" if name in ("memory", "disk", "output", "results") else f"{value}"


def _cgroup() -> Iterator[Check]:
    """Yields whether the kernel enforces the memory limit, or this library's watchdog does it alone."""
    from ci_integrations.local.host import cgroups

    found = cgroups.find()
    text = f"below {found.parent}" if found else "none is delegated to this process: the watchdog alone holds the limit"
    yield Check("memory cgroup", "ok" if found else "note", text, str(found.parent) if found else None)


def _languages() -> Iterator[Check]:
    """Yields the languages that sandboxes can see. They see no kernelspec below somebody's home."""
    from ci_integrations.local.host import languages

    found = ["python", "bash", *(f"{kernel.language} (kernelspec {kernel.name})" for kernel in languages.installed())]
    if languages.deno() is not None:
        found.append("javascript and typescript (deno)")
    yield Check("languages", "ok", ", ".join(found), found)


def _versions() -> Iterator[Check]:
    """Yields the versions that are installed, compared with the ranges that this library was tested with."""
    ranges = _tested_ranges()
    for name in _SHOWN:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # most of them belong to extras
        if name in ranges and not ranges[name].contains(version, prereleases=True):
            yield Check(name, "warn", f"{version} is not tested with this library: it wants {ranges[name]}")
        else:
            yield Check(name, "ok", version)


def _tested_ranges() -> dict[str, SpecifierSet]:
    """Returns the ranges in this package's metadata, under normalised names (PEP 503)."""
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in metadata.requires("ci-integrations") or []]
    return {re.sub(r"[-_.]+", "-", wanted.name).lower(): wanted.specifier for wanted in requirements}
