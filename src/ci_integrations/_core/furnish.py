"""What a sandbox is furnished with, at first and again after a loss: packages, files, setup code.

The recipe says what there is to restore; `furnish` does it and says truthfully what is back and what is not.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_integrations._core.flow import Flow
from ci_integrations._core.lifecycle import Life
from ci_integrations._core.uploads import Upload, hash_of
from ci_integrations._errors import ConfigurationError

if TYPE_CHECKING:
    from ci_integrations._core.flow import Flow
    from ci_integrations._core.lifecycle import Life

logger = logging.getLogger("ci_integrations")

INSTALL_SECONDS = 300.0


@dataclass
class Restored:
    """What is back, and what is not, in words for the model."""

    done: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def send(life: Life, upload: Upload) -> Flow[None]:
    """Write one file into the sandbox."""
    if upload.source is None:
        yield from life.call(life.sandbox.files.write, upload.path, upload.data)
        return
    with upload.source.open("rb") as stream:
        yield from life.call(life.sandbox.files.write, upload.path, stream)


def restore_file(life: Life, upload: Upload, restored: Restored) -> Flow[None]:
    """Upload again from where it came."""
    if upload.source is None and upload.data is None:
        restored.missing.append(f"file {upload.path} (too big to be kept for a second upload)")
    elif upload.source is not None and not upload.source.is_file():
        restored.missing.append(f"file {upload.path} (its source is no longer there)")
    else:
        changed = upload.source is not None and hash_of(upload.source) != upload.sha256
        yield from send(life, upload)
        restored.done.append(f"file {upload.path}" + (" (changed since it was first uploaded)" if changed else ""))


def install(life: Life, packages: Sequence[str]) -> Flow[str | None]:
    """Install packages with uv where the sandbox has it, else pip. None, or the last words of what went wrong."""
    names = shlex.join(packages)
    logger.info(
        "session %s: installing %s into the sandbox; a template with them baked in starts faster",
        life.session.id, names,
    )  # fmt: skip
    target = '${PIP_TARGET:+--target "$PIP_TARGET"} $([ -n "$PIP_TARGET" ] || echo --system)'
    command = (
        f"{{ command -v uv >/dev/null && uv pip install -q {target} -- {names}; }} || "
        f"python3 -m pip install -q -- {names}"
    )
    try:
        yield from life.call(life.sandbox.commands.run, command, timeout=INSTALL_SECONDS)
    except Exception as error:
        if type(error).__name__ != "CommandExitException":
            raise
        words = str(getattr(error, "stderr", error)).strip()
        offline = any(sign in words for sign in ("name resolution", "dns error"))
        return _OFFLINE if offline else words[-500:] or "no reason given"
    return None


_OFFLINE = (
    "the sandbox has no internet (allow_internet_access=True opens it; in the local sandbox, what is installed in the "
    "Python that runs you is there without it)"
)


def run_setup(life: Life, code: str, timeout: float | None) -> Flow[str | None]:
    """Run the setup code in the default kernel. None, or its error in words."""
    execution = yield from life.call(life.sandbox.run_code, code, timeout=timeout or 0)
    return None if execution.error is None else f"{execution.error.name}: {execution.error.value}"


def _note(restored: Restored, what: str, failed: str | None, *, again: bool) -> None:
    if failed is None:
        restored.done.append(what)
    elif again:
        restored.missing.append(f"{what} ({failed})")
    else:
        raise ConfigurationError(f"{what} could not be set up: {failed}")
