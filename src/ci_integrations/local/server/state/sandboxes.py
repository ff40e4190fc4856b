"""All sandboxes of the server: they are made, found, paused, resumed and ended here, through the engine.

The time comes from a clock that tests replace. `expire()` ends what is due; the server's loop calls it again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta

from ci_integrations.local.host.files import FileWorker
from ci_integrations.local.host.network import open_network, proxy_envs
from ci_integrations.local.protocol import packages
from ci_integrations.local.protocol.contract import Engine, Exit, Limits, Sandbox, SandboxDead, SandboxSpec, Usage
from ci_integrations.local.server.http import HttpError
from ci_integrations.local.server.state import service
from ci_integrations.local.server.state.contexts import ContextTable, OpenKernel, open_real_kernel
from ci_integrations.local.server.state.processes import ProcessTable
from ci_integrations.local.server.state.records import Clock, SandboxRecord, SandboxRequest, new_sandbox_id, new_token
from ci_integrations.local.server.state.templates import Templates
from ci_integrations.local.server.state.watchers import WatcherTable

LOG = logging.getLogger(__name__)
MAX_SANDBOXES = 1000
"""Alive on one server."""
MAX_SAMPLES = 720
"""Measurements that are kept of one sandbox."""
WARM_TEMPLATE = "code-interpreter-v1"
"""The template whose sandboxes get a kernel at once: `base` is for files and commands."""


def unknown(sandbox_id: str) -> HttpError:
    """Returns the 404 of E2B's API, in its words, for an id that is not, or no more, known."""
    return HttpError(404, f"Sandbox \"{sandbox_id}\" doesn't exist or you don't have access to it")


class SandboxTable:
    """The records of all sandboxes by id.

    Each new sandbox gets `limits`, unless its template has others. `on_event` is told "created", "killed", "died",
    "paused" and "resumed", with the sandbox's id.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        templates: Templates | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        open_kernel: OpenKernel = open_real_kernel,
        on_event: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.engine = engine
        self.templates = templates or Templates(engine)
        self.clock = clock or Clock()
        self._limits = limits or Limits()
        self._open_kernel = open_kernel
        self._on_event = on_event
        self._records: dict[str, SandboxRecord] = {}
        self._making = 0
        self._ending: set[asyncio.Task[None]] = set()

    # -- finding

    def all(self) -> list[SandboxRecord]:
        """Returns the records of running and paused sandboxes. It is a copy: sandboxes end while a caller waits."""
        return list(self._records.values())

    def find(self, sandbox_id: str) -> SandboxRecord | None:
        return self._records.get(sandbox_id)

    def get(self, sandbox_id: str) -> SandboxRecord:
        """Returns the record of this id. Raises HttpError 404 when there is none."""
        record = self.find(sandbox_id)
        if record is None:
            raise unknown(sandbox_id)
        return record

    # -- the life of a sandbox

    async def create(self, request: SandboxRequest) -> SandboxRecord:
        """Makes a sandbox. Raises EngineError, HttpError 429 when there are too many, 500 when its template fails."""
        if len(self._records) + self._making >= MAX_SANDBOXES:
            error = HttpError(429, f"{MAX_SANDBOXES} sandboxes are alive on this server; kill some")
            error.headers.append(("should-retry", "false"))  # the SDK sends a 429 again three times without it
            raise error
        self._making += 1  # those under way count too, or many creates at once would pass the limit
        try:
            record = await self._make(request)
        finally:
            self._making -= 1
        self._records[record.sandbox_id] = record
        # Only now: a sandbox that dies while it is made is an error of the create, and nobody's event.
        record.sandbox.dead.add_done_callback(lambda ended: self._died(record, ended))
        if request.template_id == WARM_TEMPLATE:
            record.contexts.warm()
        self._on_event("created", record.sandbox_id)
        return record

    async def _make(self, request: SandboxRequest) -> SandboxRecord:
        sandbox_id = new_sandbox_id()
        kit = await self.templates.kit(request.template_id)
        if self.templates.is_jupyter(request.template_id):
            service.check(kit.engine.level)
        spec = self._spec(sandbox_id, request, kit.packages)
        sandbox = await kit.engine.create(spec)
        try:
            return await self._furnish(sandbox, spec, request)
        except BaseException:
            await _kill(sandbox)
            raise

    async def _furnish(self, sandbox: Sandbox, spec: SandboxSpec, request: SandboxRequest) -> SandboxRecord:
        files = FileWorker(sandbox)
        record = SandboxRecord(
            sandbox_id=spec.sandbox_id,
            request=request,
            limits=spec.limits,
            sandbox=sandbox,
            files=files,
            contexts=ContextTable(sandbox, self._open_kernel),
            processes=ProcessTable(sandbox),
            watchers=WatcherTable(files),
            started_at=self.clock.now(),
            ends=self.clock.monotonic() + request.timeout,
            traffic_token=new_token("ta_") if request.private_traffic else None,
            network=await open_network(sandbox, request.rules()) if request.opened else None,
        )
        record.running.set()
        try:
            if self.templates.is_jupyter(request.template_id):
                await self._start_service(record)
            await self.templates.prepare(request.template_id, files, record.processes, sandbox.home)
        except BaseException:
            record.close()
            raise
        return record

    async def _start_service(self, record: SandboxRecord) -> None:
        own = self._own_variables(record.sandbox_id, record.request)
        record.service = service.Service(record.sandbox, record.files, own, record.request.envs)
        record.background(record.service.run())
        await record.service.wait_until_it_answers()

    async def update_network(self, record: SandboxRecord, request: SandboxRequest) -> None:
        """Puts new network rules in force and cuts the connections that are open.

        A sandbox without a proxy gets one if the new rules open anything. HttpError 409 for a paused sandbox.
        """
        if record.state == "paused":
            raise HttpError(409, f"Sandbox '{record.sandbox_id}' is paused; connect to it first")
        async with record.opening:
            if record.network is not None:
                record.network.update(request.rules())
            elif request.opened:
                await self._open_late(record, request)
            record.request = request

    async def _open_late(self, record: SandboxRecord, request: SandboxRequest) -> None:
        with _alive(record):
            network = await open_network(record.sandbox, request.rules())
        if self.find(record.sandbox_id) is not record:  # it was killed meanwhile, and nobody would close the proxy
            network.close()
            raise unknown(record.sandbox_id)
        record.network = network
        record.late_envs = network_environment(record.sandbox.spec.envs.get("PYTHONPATH"))

    def _spec(self, sandbox_id: str, request: SandboxRequest, folders: tuple[str, ...]) -> SandboxSpec:
        own = self._own_variables(sandbox_id, request)
        path = ":".join(folders)
        network = network_environment(path) if request.opened else {"PYTHONPATH": path} if path else {}
        return SandboxSpec(
            sandbox_id=sandbox_id,
            limits=self.templates.limits(request.template_id, self._limits),
            envs={**own, **network, **request.envs},
            allow_internet=request.opened,
            allow_hosts=request.allow_out,
            template=request.template_id,
            two_users=self.templates.is_jupyter(request.template_id),
        )

    @staticmethod
    def _own_variables(sandbox_id: str, request: SandboxRequest) -> dict[str, str]:
        """E2B's own variables. They come before the caller's, who may replace them."""
        return {"E2B_SANDBOX": "true", "E2B_SANDBOX_ID": sandbox_id, "E2B_TEMPLATE_ID": request.template_id}

    async def kill(self, record: SandboxRecord) -> None:
        """Ends a sandbox. Returns when its processes are gone."""
        self._drop(record, "killed")
        await _finish(record)

    def _drop(self, record: SandboxRecord, why: str) -> None:
        """Forgets the sandbox's id and closes its connections. `why` is the event that is told."""
        if self._records.pop(record.sandbox_id, None) is None:
            return
        record.close()
        self._on_event(why, record.sandbox_id)

    def _died(self, record: SandboxRecord, ended: asyncio.Future[Exit]) -> None:
        if record.sandbox_id in self._records and not ended.cancelled():
            LOG.warning("sandbox %s ended by itself: %s", record.sandbox_id, ended.result())
            self._drop(record, "died")
            self._spawn(_finish(record))

    async def pause(self, record: SandboxRecord) -> None:
        """Freezes a sandbox: memory, processes and files stay, its connections close, its time stands still.

        HttpError 409 when it is paused already: the SDK's `pause` returns False for that.
        """
        if record.state == "paused":
            raise HttpError(409, f"Sandbox '{record.sandbox_id}' is already paused")
        # First the state, then the freezing: a request that comes in between must not reach a frozen kernel.
        record.state = "paused"
        record.paused_at = self.clock.now()
        record.running.clear()
        record.cut_exchanges()
        with _alive(record):
            await record.sandbox.freeze()
        self._on_event("paused", record.sandbox_id)

    async def resume(self, record: SandboxRecord, timeout: int | None) -> None:
        """Thaws a sandbox for `timeout` seconds from now, or for as long as its creator asked."""
        with _alive(record):
            await record.sandbox.thaw()
        record.state = "running"
        record.paused_at = None
        self.lease(record, record.request.timeout if timeout is None else timeout)
        record.running.set()
        self._on_event("resumed", record.sandbox_id)

    # -- time

    def lease(self, record: SandboxRecord, seconds: float) -> None:
        """Lets the sandbox end that many seconds from now."""
        record.ends = self.clock.monotonic() + seconds

    def extend(self, record: SandboxRecord, seconds: float) -> None:
        """Lets the sandbox end no sooner than that many seconds from now: connect never shortens a life, at E2B too."""
        record.ends = max(record.ends, self.clock.monotonic() + seconds)

    def left(self, record: SandboxRecord) -> timedelta:
        """Returns how long a running sandbox still has."""
        return timedelta(seconds=record.ends - self.clock.monotonic())

    def expire(self) -> None:
        """Kills or pauses every sandbox whose time is over, whatever runs in it."""
        now = self.clock.monotonic()
        for record in self.all():
            if record.state == "running" and record.ends <= now:
                self._spawn(self._end(record))

    async def _end(self, record: SandboxRecord) -> None:
        # In a task of its own: killing waits for processes, and the others' time runs on.
        if record.request.pause_at_end:
            with contextlib.suppress(HttpError):  # it died or was paused at the same moment
                await self.pause(record)
            return
        await self.kill(record)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    # -- measuring

    async def sample(self, record: SandboxRecord) -> None:
        """Measures what the sandbox uses now and adds that to its samples. Does nothing while it is paused."""
        if record.state == "paused":
            return
        with _alive(record):
            usage = await record.sandbox.usage()
        now = self.clock.now()
        share = _cpu_share(record, now.timestamp(), usage)
        record.samples = [*record.samples, (now, share, usage)][-MAX_SAMPLES:]

    async def close(self) -> None:
        """Ends every sandbox, and the engines of templates. The first engine is its starter's to close."""
        records = self.all()
        for record in records:
            self._drop(record, "killed")
        await asyncio.gather(*(_finish(record) for record in records))
        await self.templates.close()


@contextlib.contextmanager
def _alive(record: SandboxRecord) -> Iterator[None]:
    """Turns the death of a sandbox in the middle of a request into the 404 that the next request would get."""
    try:
        yield
    except SandboxDead:
        raise unknown(record.sandbox_id) from None


def network_environment(python_path: str | None) -> dict[str, str]:
    """Returns environment variables that let a process use the proxy and the packages it has installed."""
    envs = {**proxy_envs(), **packages.pip_envs()}
    return {**envs, "PYTHONPATH": ":".join(filter(None, [python_path, envs["PYTHONPATH"]]))}


async def _finish(record: SandboxRecord) -> None:
    """Kills the sandbox, then closes its kernels' descriptors: the kernels have died with it."""
    await _kill(record.sandbox)
    await record.contexts.release()


async def _kill(sandbox: Sandbox) -> None:
    with contextlib.suppress(SandboxDead):
        await sandbox.kill()


def _cpu_share(record: SandboxRecord, now: float, usage: Usage) -> float:
    """Returns percent of one processor, since the sample before or, for the first one, since the start."""
    then, before = record.started_at.timestamp(), 0.0
    if record.samples:
        then, before = record.samples[-1][0].timestamp(), record.samples[-1][2].cpu_seconds
    return max(usage.cpu_seconds - before, 0.0) / max(now - then, 0.001) * 100
