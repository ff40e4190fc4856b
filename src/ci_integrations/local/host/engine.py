"""The engine starts the strongest level of isolation that passes a full trial run, and makes sandboxes with it.

`local/server/` uses it, in one event loop. What comes out of a `Child` is hostile input; what comes from the zygote
and the agents is trusted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from ci_integrations.local.host import cgroups, interpreters, levels
from ci_integrations.local.host.sandboxes import LocalSandbox
from ci_integrations.local.host.sources import Source
from ci_integrations.local.jail.ids import may_use_spare_uids
from ci_integrations.local.protocol.contract import EngineError, Level, Limits, PreloadError, SandboxSpec
from ci_integrations.local.protocol.mounts import check_readable

DEFAULT_PRELOAD: Final = ("numpy", "pandas", "matplotlib.pyplot")
"""Half a second of imports that sandboxes do not have to make, in memory that they share."""

_NO_MOUNTS: Final[Mapping[str, str]] = MappingProxyType({})
_log = logging.getLogger(__name__)


async def start_engine(
    *,
    isolation: Level | Literal["auto"] = "auto",
    preload: Sequence[str] = DEFAULT_PRELOAD,
    pool: int = 0,
    python: str | Path | None = None,
    packages: Sequence[str] = (),
    mounts: Mapping[str, str] = _NO_MOUNTS,
) -> LocalEngine:
    """Returns an engine at the named level, or at the strongest that passes its trial run; "none" only by name.

    `preload`: modules that every sandbox has loaded already; those that are not installed, or that start threads, are
    left out. `pool`: sandboxes kept ready, each about 6 MiB. `python`: an interpreter or the folder of a virtual
    environment, with IPython; None: the one that runs this. `packages`: folders of packages that come before its own,
    named `site-packages`. `mounts`: what `mounts.checked` returned. Raises EngineError, naming what failed and
    what mends it.
    """
    known = ("auto", *levels.STRONGEST_FIRST, "none")
    if isolation not in known:
        raise EngineError(f"there is no isolation {isolation!r}; there are {', '.join(known)}")
    if isolation == "none":
        _log.warning('isolation="none": the code can do everything that you can do on this machine')
    if may_use_spare_uids():
        check_readable(mounts)
    _raise_descriptors()
    interpreter = await interpreters.find(python, packages)
    while True:  # each round without one more module; only the zygote can find out that it starts a thread
        try:
            level, source, why_not_stronger = await levels.choose(isolation, preload, interpreter, mounts)
            break
        except PreloadError as error:
            if error.module not in preload:
                raise
            _log.warning("%s; not preloaded: sandboxes import it themselves, which takes longer", error)
            preload = [name for name in preload if name != error.module]
    _log.info("local sandboxes at level %s%s", level, f" ({why_not_stronger})" if why_not_stronger else "")
    engine = LocalEngine(
        level, source, why_not_stronger, pool, lambda: levels.start(level, preload, interpreter, mounts)
    )
    engine.refill()
    return engine


def _raise_descriptors() -> None:
    """Raises the limit of descriptors to what this process may have: a sandbox takes about ten.

    The kernel also refuses to pass any on (ETOOMANYREFS) when our user has more of them on their way than our limit.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class LocalEngine:
    """See `contract.Engine`. A fork server that died is replaced with the next request.

    `pool`: how many sandboxes are kept ready. `start_again` makes a new source when the old one has died.
    """

    def __init__(
        self,
        level: Level,
        source: Source,
        why_not_stronger: str | None,
        pool: int,
        start_again: Callable[[], Awaitable[Source]],
    ) -> None:
        self.level = level
        self.why_not_stronger = why_not_stronger
        self._source = source
        self._start_again = start_again
        self._cgroups = cgroups.find()
        self._pool_size = pool
        self._pool: deque[LocalSandbox] = deque()
        self._refilling: asyncio.Task[None] | None = None
        self._restarting = asyncio.Lock()
        self._closed = False

    async def create(self, spec: SandboxSpec) -> LocalSandbox:
        """Returns a new sandbox, in which the agent is the only process. Raises EngineError."""
        # One from the pool was made before its owner was known, so names and limits come afterwards for all of them.
        sandbox = self._from_pool(spec.limits) or await self._new(spec.limits)
        await sandbox.configure(spec)
        if self._cgroups is not None:
            await self._cgroups.hold(sandbox)
        self.refill()
        return sandbox

    async def close(self) -> None:
        """Kills every sandbox and the fork server. Returns when nothing of them is left."""
        self._closed = True
        if self._refilling is not None:
            self._refilling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refilling
        await self._source.close()
        if self._cgroups is not None:
            await self._cgroups.close()

    def _from_pool(self, limits: Limits) -> LocalSandbox | None:
        """A living sandbox from the pool, if one can get these limits."""
        if self.level == "bubblewrap" and limits != Limits():
            return None  # its sizes are fixed at the start
        while self._pool:
            sandbox = self._pool.popleft()
            if not sandbox.dead.done():
                return sandbox
        return None

    async def _new(self, limits: Limits) -> LocalSandbox:
        if self._closed:
            raise EngineError("the engine is closed")
        source = await self._living_source()
        return await source.create(limits)

    async def _living_source(self) -> Source:
        """The source of sandboxes, started again if it has died. Raises EngineError."""
        async with self._restarting:
            if not self._source.alive:
                await self._source.close()
                self._source = await self._start_again()
            return self._source

    def refill(self) -> None:
        """Begins to bring the pool to its size, in the background."""
        idle = self._refilling is None or self._refilling.done()
        if idle and not self._closed and len(self._pool) < self._pool_size:
            self._refilling = asyncio.ensure_future(self._fill())

    async def _fill(self) -> None:
        while len(self._pool) < self._pool_size:
            try:
                self._pool.append(await self._new(Limits()))
            except EngineError as error:
                _log.warning("the warm pool is not full: %s", error)
                return
