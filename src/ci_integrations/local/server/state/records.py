"""What the server knows about one sandbox, and how it ends."""

from __future__ import annotations

import asyncio
import secrets
import string
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from ci_integrations.local.host.addresses import NetworkRules
from ci_integrations.local.host.files import FileWorker
from ci_integrations.local.host.network import Network
from ci_integrations.local.protocol import packages
from ci_integrations.local.protocol.contract import Limits, Sandbox, Usage
from ci_integrations.local.server.state.contexts import ContextTable
from ci_integrations.local.server.state.processes import ProcessTable
from ci_integrations.local.server.state.watchers import WatcherTable

State = Literal["running", "paused"]
EVERYTHING = frozenset({"0.0.0.0/0", "::/0", "ALL_TRAFFIC"})
"""In a list of hosts."""
ENVD_VERSION = "0.6.13"
"""The envd whose behaviour this server has; the SDK switches features on it."""


class Cuttable(Protocol):
    """A connection to a sandbox."""

    def cut(self) -> None: ...


class Clock:
    """Time, so that tests can pass it."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def new_sandbox_id() -> str:
    """Also the only secret that guards `/contexts`, where the SDK sends no token: 100 bits of chance."""
    return "i" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(20))


def new_token(prefix: str) -> str:
    return prefix + secrets.token_hex(24)


@dataclass(frozen=True, kw_only=True)
class SandboxRequest:
    """What the caller of create asked for, checked."""

    template_id: str
    timeout: int
    pause_at_end: bool = False
    auto_resume: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    envs: Mapping[str, str] = field(default_factory=dict)
    allow_internet: bool | None = None
    allow_out: tuple[str, ...] = ()
    deny_out: tuple[str, ...] = ()
    private_traffic: bool = False

    @property
    def opened(self) -> bool:
        """Whether anything outside may be reached. Closed is the default here."""
        return bool(self.allow_out) or (bool(self.allow_internet) and not EVERYTHING & set(self.deny_out))

    def rules(self) -> NetworkRules:
        """A list of what is allowed leaves out all else; what is denied is denied though it is on that list."""
        if not self.opened:
            return NetworkRules(deny=("*",))
        return NetworkRules(
            allow=() if EVERYTHING & set(self.allow_out) else self.allow_out,
            deny=tuple(host for host in self.deny_out if host not in EVERYTHING),
            trusted=packages.trusted_index(),
        )


@dataclass(eq=False, kw_only=True)
class SandboxRecord:
    """A sandbox, running or paused, with everything that hangs on it."""

    sandbox_id: str
    request: SandboxRequest
    limits: Limits
    sandbox: Sandbox
    files: FileWorker
    contexts: ContextTable
    processes: ProcessTable
    watchers: WatcherTable
    started_at: datetime
    ends: float
    """On the monotonic clock. Means nothing while paused."""
    access_token: str = field(default_factory=lambda: new_token("ea_"), repr=False)
    traffic_token: str | None = field(default=None, repr=False)
    network: Network | None = None
    """Its way out; None when it never had one."""
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    late_envs: Mapping[str, str] = field(default_factory=dict)
    """For cells and commands of a sandbox that was given its way out after its start."""
    state: State = "running"
    paused_at: datetime | None = None
    exchanges: set[Cuttable] = field(default_factory=set)
    samples: list[tuple[datetime, float, Usage]] = field(default_factory=list)
    running: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear while paused."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def background(self, work: Coroutine[object, object, None]) -> None:
        """Work that outlives its request, but not the sandbox."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut_exchanges(self) -> None:
        """Closes every connection to the sandbox, as its machine going away would."""
        for exchange in list(self.exchanges):
            exchange.cut()

    def close(self) -> None:
        """Lets go of everything on the server's side. The sandbox itself is killed elsewhere."""
        self.cut_exchanges()
        for task in self._tasks:
            task.cancel()
        self.watchers.close()
        self.processes.close()
        self.files.close()
        if self.network is not None:
            self.network.close()
