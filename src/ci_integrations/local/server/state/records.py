"""What the server knows about one sandbox: what was asked for, what belongs to it, and what must end with it."""

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
from ci_integrations.local.server.state.service import Service
from ci_integrations.local.server.state.watchers import WatcherTable

State = Literal["running", "paused"]
Sample = tuple[datetime, float, Usage]
"""When it was measured, the processor's share in percent since the sample before, and what was used."""
EVERYTHING = frozenset({"0.0.0.0/0", "::/0", "ALL_TRAFFIC"})
"""Entries of a host list that mean all hosts. The SDK's ALL_TRAFFIC is the first of them."""
ENVD_VERSION = "0.6.13"
"""The envd whose behaviour this server has. The SDK looks at it before it uses a feature: uploads of streams need
0.5.7, metadata of files 0.6.2, and below 0.1.0 it refuses the sandbox."""


class Cuttable(Protocol):
    """A connection to a sandbox that can be ended from outside."""

    def cut(self) -> None: ...


class Clock:
    """The time. Tests put a clock in its place that they move themselves."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def new_sandbox_id() -> str:
    """Returns an id with 100 bits of chance: it is the only secret that guards `/contexts`, to which the SDK sends no
    token.
    """
    return "i" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(20))


def new_token(prefix: str) -> str:
    return prefix + secrets.token_hex(24)


@dataclass(frozen=True, kw_only=True)
class SandboxRequest:
    """What the caller of create asked for, after it was checked."""

    template_id: str
    timeout: int
    """Seconds."""
    pause_at_end: bool = False
    """Whether the sandbox is paused at its end, and not killed."""
    auto_resume: bool = False
    """Whether a request to the paused sandbox resumes it."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    envs: Mapping[str, str] = field(default_factory=dict)
    allow_internet: bool | None = None
    """None: not said. E2B then opens the network, this server does not."""
    allow_out: tuple[str, ...] = ()
    deny_out: tuple[str, ...] = ()
    private_traffic: bool = False
    """Whether the ports of programs inside want a token."""

    @property
    def opened(self) -> bool:
        """Whether anything outside may be reached."""
        return bool(self.allow_out) or (bool(self.allow_internet) and not EVERYTHING & set(self.deny_out))

    def rules(self) -> NetworkRules:
        """Returns what the proxy lets through.

        A list of allowed hosts closes all others. A host on both lists is denied. The package index of this machine is
        trusted, although it may have a private address.
        """
        if not self.opened:
            return NetworkRules(deny=("*",))
        return NetworkRules(
            allow=() if EVERYTHING & set(self.allow_out) else self.allow_out,
            deny=tuple(host for host in self.deny_out if host not in EVERYTHING),
            index=packages.trusted_index(),
        )


@dataclass(eq=False, kw_only=True)
class SandboxRecord:
    """A sandbox, running or paused, with everything on the server's side that belongs to it."""

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
    """When its time is over, on the monotonic clock. Means nothing while it is paused."""
    access_token: str = field(default_factory=lambda: new_token("ea_"), repr=False)
    traffic_token: str | None = field(default=None, repr=False)
    network: Network | None = None
    """Its proxy; None when it never had one."""
    service: Service | None = None
    """E2B's code-interpreter service inside, which then answers on its port instead of this server."""
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while its network rules change: two updates at once would start two proxies."""
    late_envs: Mapping[str, str] = field(default_factory=dict)
    """The proxy's variables for later cells and commands, when the proxy was started after the sandbox."""
    state: State = "running"
    paused_at: datetime | None = None
    exchanges: set[Cuttable] = field(default_factory=set)
    """Requests and connections to it that are under way."""
    samples: list[Sample] = field(default_factory=list)
    running: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear while paused."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def background(self, work: Coroutine[object, object, None]) -> None:
        """Starts work that may outlive its request, but not the sandbox."""
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the event loop itself keeps only weak references to tasks
        task.add_done_callback(self._tasks.discard)

    def cut_exchanges(self) -> None:
        """Closes every connection to the sandbox, as its machine going away would."""
        for exchange in list(self.exchanges):
            exchange.cut()

    def close(self) -> None:
        """Ends everything on the server's side. `SandboxTable` kills the sandbox itself."""
        self.cut_exchanges()
        for task in self._tasks:
            task.cancel()
        self.watchers.close()
        self.processes.close()
        self.files.close()
        if self.network is not None:
            self.network.close()
