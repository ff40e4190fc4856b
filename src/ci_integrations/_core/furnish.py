"""Puts packages, files and setup code into a sandbox, at first and again after a loss.

The session's options say what there is to restore. `Furnisher.furnish` does it, and reports what is back and what is
not.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ci_integrations._core.client import SandboxClient
from ci_integrations._core.failures import Failure, classify
from ci_integrations._core.flow import Flow
from ci_integrations._core.kernels import FIRST_SECONDS, Kernels
from ci_integrations._core.notices import listed
from ci_integrations._core.state import KernelState, SessionState
from ci_integrations._core.uploads import Upload, hash_of
from ci_integrations._core.variables import names_made
from ci_integrations._errors import ConfigurationError
from ci_integrations._names import INSTALL_SECONDS

logger = logging.getLogger("ci_integrations")


_OFFLINE = (
    "the sandbox has no internet (allow_internet_access=True opens it; in the local sandbox, what is installed in the "
    "Python that runs you is there without it)"
)

_RESTART_SECONDS = 15.0
"""Seconds that a restart of the kernel has: E2B's server takes 3 to 5."""

_LONGEST_REASON = 200
"""Characters of the reason why one file could not be restored."""


@dataclass
class Restored:
    """Holds what is back after a loss and what is not, in words for the model."""

    done: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Furnisher:
    """Furnishes one session's sandbox as its options say."""

    def __init__(self, state: SessionState, client: SandboxClient, kernels: Kernels) -> None:
        self.state, self.client, self.kernels = state, client, kernels

    def furnish(self) -> Flow[Restored]:
        """Installs packages, send files, run the setup code.

        In a session's first sandbox a failure raises ConfigurationError. In the place of a lost one it is reported.
        """
        state, options, restored = self.state, self.state.options, Restored()
        again = state.lost_sandbox is not None
        if again and options.on_sandbox_lost == "recreate":
            restored.missing += [f"file {path}" for path in state.uploads]
            return restored
        if options.packages:
            failed = yield from self.install(options.packages)
            _note(restored, f"packages {', '.join(options.packages)}", failed, again=again)
        for upload in list(state.uploads.values()):
            if again:
                yield from self.restore_file(upload, restored)
            else:
                yield from send(self.client, upload)
        replays = again and options.restore == "replay"
        if (options.setup_code or replays) and not self.kernels.is_ours():
            # E2B's server sets the sandbox's variables in the first cell, whose error that may be. What is known of the
            # lost sandbox's kernel is still to be told: so this one is none of the session's yet.
            yield from self.kernels.look(KernelState("python"), FIRST_SECONDS)
        if options.setup_code:
            failed = yield from self.run_setup(options.setup_code)
            _note(restored, "setup code", failed, again=again)
        if replays:
            yield from self.replay(restored)
        return restored

    def install(self, packages: Sequence[str]) -> Flow[str | None]:
        """Installs packages with uv where the sandbox has it, otherwise pip. None, or why it failed."""
        names = shlex.join(packages)
        logger.info(
            "session %s: installing %s into the sandbox; a template with them baked in starts faster",
            self.state.id, names,
        )  # fmt: skip
        # The local sandbox says by PIP_TARGET where packages go; uv does not read pip's variables.
        target = '${PIP_TARGET:+--target "$PIP_TARGET"} $([ -n "$PIP_TARGET" ] || echo --system)'
        command = (
            f"{{ command -v uv >/dev/null && uv pip install -q {target} -- {names}; }} || "
            f"python3 -m pip install -q -- {names}"
        )
        try:
            run = partial(self.client.sandbox.commands.run, command, timeout=INSTALL_SECONDS)
            yield from self.client.call(run)
        except Exception as error:
            if type(error).__name__ != "CommandExitException":
                raise
            words = str(getattr(error, "stderr", error)).strip()
            # uv says "dns error", pip "name resolution".
            offline = any(sign in words for sign in ("name resolution", "dns error"))
            return _OFFLINE if offline else words[-500:] or "no reason given"
        return None

    def restore_file(self, upload: Upload, restored: Restored) -> Flow[None]:
        """Uploads a file again from where it came."""
        if upload.source is None and upload.data is None:
            restored.missing.append(f"file {upload.path} (too big to be kept for a second upload)")
        elif upload.source is not None and not upload.source.is_file():
            restored.missing.append(f"file {upload.path} (its source is no longer there)")
        else:
            yield from self._send_again(upload, restored)

    def _send_again(self, upload: Upload, restored: Restored) -> Flow[None]:
        """Sends a file; one that cannot be read here or is refused there is told, and stops no session."""
        try:
            changed = upload.source is not None and hash_of(upload.source) != upload.sha256
            yield from send(self.client, upload)
        except Exception as error:
            rule = classify(error)
            # A TimeoutError is an OSError too, and the sandbox's.
            if not (isinstance(error, OSError) if rule is None else rule.failure is Failure.CALLER):
                raise
            # What has arrived of it may fill the disk, and is not the file that the model believes to be there.
            yield from self.client.quietly(self.client.call(self.client.sandbox.files.remove, upload.path))
            restored.missing.append(f"file {upload.path} ({str(error)[:_LONGEST_REASON]})")
            return
        restored.done.append(f"file {upload.path}" + (" (changed since it was first uploaded)" if changed else ""))

    def run_setup(self, code: str) -> Flow[str | None]:
        """Runs code in the default kernel. None, or its error in words; code that does not end in time is stopped."""
        limit = self.state.options.execution_timeout
        run = partial(self.client.sandbox.run_code, code, timeout=0)  # the SDK's "no limit": ours is `within`
        began = time.monotonic()
        try:
            execution = yield from self.client.call(run, within=limit)
        except TimeoutError:
            if limit is None or time.monotonic() - began < limit:  # somebody else's deadline
                raise
            yield from self.client.quietly(self._fresh_kernel())
            return f"ran longer than {limit:g} s"
        return None if execution.error is None else f"{execution.error.name}: {execution.error.value}"

    def _fresh_kernel(self) -> Flow[None]:
        """Takes the default kernel away from code that does not end."""
        contexts = yield from self.client.call(self.client.sandbox.list_code_contexts, within=_RESTART_SECONDS)
        for context in (one for one in contexts if one.language == "python"):
            yield from self.client.call(self.client.sandbox.restart_code_context, context, within=_RESTART_SECONDS)

    def replay(self, restored: Restored) -> Flow[None]:
        """Runs again, in order, the cells of the default kernel that were marked as safe for it."""
        cells = self.state.kernel(None, None).replayable
        for number, code in enumerate(cells, 1):
            failed = yield from self.run_setup(code)
            if failed is not None:
                restored.missing.append(f"cells {number} to {len(cells)} of those to be run again ({failed})")
                return
        if cells:
            names = names_made(cells)
            again = f"{len(cells)} earlier cell{'s' if len(cells) > 1 else ''} run again"
            restored.done.append(f"{listed(names)} ({again})" if names else again)


def send(client: SandboxClient, upload: Upload) -> Flow[None]:
    """Writes one file into the sandbox."""
    if upload.source is None:
        yield from client.call(client.sandbox.files.write, upload.path, upload.data)
        return
    with upload.source.open("rb") as stream:  # streamed: a file may be larger than memory
        yield from client.call(client.sandbox.files.write, upload.path, stream)


def _note(restored: Restored, what: str, failed: str | None, *, again: bool) -> None:
    if failed is None:
        restored.done.append(what)
    elif again:
        restored.missing.append(f"{what} ({failed})")
    else:
        raise ConfigurationError(
            f"{what} {failed}" if failed.startswith("ran longer") else f"{what} could not be set up: {failed}"
        )
