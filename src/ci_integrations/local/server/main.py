"""The server as a program: engine, table, application and listening socket are put together, and taken apart cleanly.

`serve()` runs in a foreground process (`ci-integrations serve`). `serve_child()` runs in the process that
`local/launcher.py` starts, which lives exactly as long as its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import secrets
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ci_integrations.local.protocol.contract import Engine, Level, Limits, check_limits
from ci_integrations.local.protocol.mounts import MountError, checked

if TYPE_CHECKING:
    from ci_integrations.local.definition import TemplateDefinition
    from ci_integrations.local.server.metrics import Metrics
    from ci_integrations.local.server.state.sandboxes import SandboxTable

LOG = logging.getLogger(__name__)
EXPIRE_SECONDS = 0.2
"""How often the server looks for sandboxes whose time is over."""
PARENT_SECONDS = 0.25
"""How often a child looks whether its parent is still there."""
SHUTDOWN_SECONDS = 0.4
"""How long a child whose parent is gone may take to end its sandboxes before it ends itself hard."""
KEEP_ALIVE_SECONDS = 640
"""How long an idle connection stays open: E2B's own value. It must be longer than the 300 s of the SDK's pool, so that
the SDK never sends into a connection that the server is closing."""


class CannotServe(Exception):  # noqa: N818 - says what is wrong
    """The server cannot start; the message names the remedy."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one server."""

    host: str = "127.0.0.1"
    """Address to listen on. One that is not loopback needs a token."""
    port: int = 0
    """0 takes a free one."""
    token: str | None = field(default=None, repr=False)
    """The API key that clients must send. A random one when None."""
    pool: int = 0
    """Sandboxes forked in advance."""
    isolation: str = "auto"
    """`"namespaces"`, `"bubblewrap"`, `"landlock"`, `"none"`, or `"auto"`: the strongest that passes its trial."""
    preload: Sequence[str] | None = None
    """Modules that every sandbox has imported already. None: numpy, pandas and matplotlib.pyplot."""
    limits: Limits = field(default_factory=Limits)
    """Of each sandbox: see Limits. `local_endpoint` takes a dict of those that differ, `{"memory": 2 * 2**30}`."""
    log_json: bool = False
    """Log lines as JSON, with the life of each sandbox."""
    templates: str | Mapping[str, Any] | None = None
    """A TOML file with template definitions, or the definitions by name, as dicts. `pyproject.toml` in the working
    directory when None, if it has some."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    """Folders and files of this machine that every sandbox can read and none can write, by their paths in it:
    `{"/data": "./data"}`. Only whoever starts the server grants them; no request can."""


@dataclass(frozen=True)
class Address:
    """Where a server listens, and the key that it wants."""

    url: str
    token: str = field(repr=False)
    level: str
    """The level of isolation that its sandboxes have."""


def new_key() -> str:
    """Returns a random API key in the shape of E2B's, which some clients check."""
    return "e2b_" + secrets.token_hex(20)


def serve(options: Options, on_ready: Callable[[Address], None]) -> None:
    """Serves until SIGINT or SIGTERM, then ends every sandbox. Raises CannotServe and the engine's EngineError."""
    set_up_logging(log_json=options.log_json)
    asyncio.run(_serve(options, on_ready))


async def _serve(options: Options, on_ready: Callable[[Address], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(options) as address:
        on_ready(address)
        await stop.wait()


def serve_child() -> int:
    """Serves for the launcher, and returns the process's exit code.

    The options come as one JSON line on stdin. The address, or the error, goes out as one JSON line on stdout. The
    server ends when stdin does.
    """
    set_up_logging(log_json=False)
    given = json.loads(sys.stdin.buffer.readline())
    try:
        options = Options(**given | {"limits": check_limits(given.get("limits") or {})})
    except (TypeError, ValueError) as error:
        return _refuse(error)
    return asyncio.run(_serve_child(options))


async def _serve_child(options: Options) -> int:
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_watch_parent, args=(partial(loop.call_soon_threadsafe, gone.set),), daemon=True).start()
    try:
        async with running(options) as address:
            _say({"url": address.url, "token": address.token, "level": address.level})
            await gone.wait()
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must be told
        return _refuse(error)
    return 0


def _watch_parent(tell: Callable[[], object]) -> None:
    """Calls `tell` when the parent process is gone, and ends this process a little later, whatever it is doing then.

    The end of stdin is the end of the parent. A fork of the parent may hold that pipe open, so its pid is looked at as
    well. This is a thread, because a busy event loop may not look for seconds.
    """
    parent = os.getppid()
    while os.getppid() == parent:
        ready, _, _ = select.select([0], [], [], PARENT_SECONDS)
        if ready and not os.read(0, 4096):
            break
    with contextlib.suppress(RuntimeError):  # the loop is closed: we are going anyway
        tell()
    time.sleep(SHUTDOWN_SECONDS)
    os._exit(0)


def _refuse(error: Exception) -> int:
    _say({"error": f"{error}", "kind": type(error).__name__})
    return 1


def _say(value: dict[str, str]) -> None:
    with contextlib.suppress(OSError):  # the parent is gone: nobody to tell
        os.write(1, json.dumps(value).encode() + b"\n")


@asynccontextmanager
async def running(options: Options, engine: Engine | None = None, **table_options: Any) -> AsyncIterator[Address]:
    """Runs a server for the length of the block. Raises CannotServe and EngineError.

    The socket listens before the engine starts, so that a port that is taken is told at once. What the first requests
    need is imported in a thread meanwhile.
    """
    token = options.token or new_key()
    _check_host(options)
    definitions = _definitions(options.templates)
    listener = _listen(options)
    imports = asyncio.create_task(asyncio.to_thread(_import_slow_parts))
    try:
        engine = engine or await _start_engine(options)
    except BaseException:
        listener.close()
        raise
    from ci_integrations.local.server.metrics import Metrics
    from ci_integrations.local.server.state.sandboxes import SandboxTable
    from ci_integrations.local.server.state.templates import Templates

    metrics = Metrics()
    templates = Templates(engine, definitions, partial(_start_another, replace(options, isolation=engine.level)))
    table = SandboxTable(
        engine, templates=templates, limits=options.limits, on_event=partial(_note, metrics), **table_options
    )
    try:
        async with _answering(options, table, metrics, listener, token) as url:
            yield Address(url, token, engine.level)
    finally:
        await table.close()
        await engine.close()
        imports.cancel()


@asynccontextmanager
async def _answering(
    options: Options, table: SandboxTable, metrics: Metrics, listener: socket.socket, token: str
) -> AsyncIterator[str]:
    import uvicorn

    from ci_integrations.local.server.app import App
    from ci_integrations.local.server.control.routes import ControlPlane
    from ci_integrations.local.server.heads import BoundedHeads
    from ci_integrations.local.server.ports.websocket import Tunnel

    port = listener.getsockname()[1]
    shown = f"[{options.host}]" if ":" in options.host else options.host
    app = App(table, ControlPlane(table, f"localhost:{port}"), metrics, token)
    config = uvicorn.Config(
        app,
        http=BoundedHeads,
        ws=partial(Tunnel, app.find_port),  # type: ignore[arg-type]  # it is called, with keywords that we ignore
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listener]))  # noqa: SLF001 - serve() would take the signals
    expiring = asyncio.create_task(_expire(table))
    try:
        yield f"http://{shown}:{port}"
    finally:
        expiring.cancel()
        # uvicorn waits a second for open requests: those to sandboxes are ended first, so that nobody waits.
        for record in table.all():
            record.cut_exchanges()
        server.should_exit = True
        await serving


def _note(metrics: Metrics, event: str, sandbox_id: str) -> None:
    metrics.note(event)
    LOG.info("sandbox %s %s", sandbox_id, event)


def _definitions(given: str | Mapping[str, Any] | None) -> Mapping[str, TemplateDefinition]:
    """Reads the template definitions. Raises CannotServe when those that were asked for are wrong.

    A `pyproject.toml` that was only found may be somebody else's: one that is wrong is a warning in the log.
    """
    from ci_integrations.local.definition import DefinitionError, load_definitions, read_definitions

    found = Path(given if isinstance(given, str) else "pyproject.toml")
    if given is None and not found.exists():
        return {}
    try:
        if isinstance(given, Mapping):
            return read_definitions(given, Path("templates="))
        return load_definitions(found)
    except DefinitionError as error:
        if given is not None:
            raise CannotServe(str(error)) from None
        LOG.warning("no templates are taken from here: %s", error)
        return {}


async def _expire(table: SandboxTable) -> None:
    while True:
        await asyncio.sleep(EXPIRE_SECONDS)
        table.expire()


async def _start_another(
    options: Options, *, python: Path | None, packages: Sequence[str], preload: Sequence[str] | None
) -> Engine:
    """Starts an engine for a template, at the level of the first engine: `auto` must not choose another one."""
    wanted = options if preload is None else replace(options, preload=preload)
    return await _start_engine(wanted, python=python, packages=packages)


async def _start_engine(options: Options, **interpreter: Any) -> Engine:
    from ci_integrations.local.host.engine import start_engine

    if options.preload is not None:
        interpreter["preload"] = tuple(options.preload)
    level = cast("Level", options.isolation)  # or "auto"; start_engine refuses other names
    try:
        return await start_engine(isolation=level, pool=options.pool, mounts=checked(options.mounts), **interpreter)
    except MountError as error:
        raise CannotServe(str(error)) from None


def _import_slow_parts() -> None:
    """Imports what the first requests need, while the engine warms up on another core."""
    from ci_integrations.local.server import app, bodies, heads  # noqa: F401 - in this order: the server listens after `app`
    from ci_integrations.local.server.envd import services
    from ci_integrations.local.server.ports import websocket  # noqa: F401

    with contextlib.suppress(Exception):  # said to the client that asks for them
        services.applications()


def _check_host(options: Options) -> None:
    """Raises CannotServe for a server that other machines reach and whose key nobody chose: it would be in a log."""
    try:
        loopback = options.host == "localhost" or ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and options.token is None:
        raise CannotServe(
            f"listening on {options.host} lets other machines in: name a token for them, or listen on 127.0.0.1"
        )


def _listen(options: Options) -> socket.socket:
    """Returns the listening socket. Raises CannotServe when the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # The protocol is named because asyncio turns off Nagle's algorithm only for sockets whose `proto` is TCP. With it,
    # and the client's delayed acknowledgement, each cell takes 44 ms longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise CannotServe(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from None
    return listener


class _Incomplete(logging.Filter):
    """Drops uvicorn's report of a connection that we close on purpose: a killed sandbox's connections end so."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("ASGI callable returned without")


class _JsonLines(logging.Formatter):
    """Writes each record as one JSON object, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        value = {"time": self.formatTime(record), "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            value["traceback"] = self.formatException(record.exc_info)
        return json.dumps(value)


def set_up_logging(*, log_json: bool) -> None:
    """Sends log lines to stderr: everybody's warnings and, with `log_json`, the life of each sandbox as well."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if log_json else logging.Formatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("ci_integrations").setLevel(logging.INFO if log_json else logging.WARNING)
    uvicorn_log = logging.getLogger("uvicorn.error")
    uvicorn_log.setLevel(logging.ERROR)  # its warnings are about what clients send
    uvicorn_log.addFilter(_Incomplete())
