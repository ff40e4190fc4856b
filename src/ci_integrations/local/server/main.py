"""The server as a program: engine, table, application and listening socket put together, and taken apart cleanly.

`serve()` is for a foreground process (`ci-integrations serve`); `serve_child()` for the process that
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
from typing import Any

from ci_integrations.local.protocol.contract import Engine, Limits, check_limits

LOG = logging.getLogger(__name__)
EXPIRE_SECONDS = 0.2
PARENT_SECONDS = 0.25
SHUTDOWN_SECONDS = 0.4
KEEP_ALIVE_SECONDS = 640
"""Longer than the SDK's pool keeps a connection, so that it never sends into one that we are closing."""


class CannotServe(Exception):  # noqa: N818 - says what is wrong
    """The server cannot start; the message names the remedy."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of one server."""

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


@dataclass(frozen=True)
class Address:
    """Where a server listens and how to be let in."""

    url: str
    token: str = field(repr=False)
    level: str


def new_key() -> str:
    """In the shape of an E2B key: some clients look."""
    return "e2b_" + secrets.token_hex(20)


def serve(
    *,
    port: int = 0,
    pool: int = 0,
    log_json: bool = False,
    token: str | None = None,
    host: str = "127.0.0.1",
    isolation: str = "auto",
    templates: str | None = None,
    limits: Limits | None = None,
    on_ready: Callable[[Address], None] = lambda _: None,
) -> None:
    """Serves until SIGINT or SIGTERM, then ends every sandbox. Raises CannotServe and the engine's EngineError."""
    options = Options(
        host=host,
        port=port,
        token=token,
        pool=pool,
        isolation=isolation,
        log_json=log_json,
        templates=templates,
        limits=limits or Limits(),
    )
    set_up_logging(log_json=log_json)
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
    """The launcher's child: options come as a line on stdin, the address goes out on stdout, stdin's end ends it."""
    set_up_logging(log_json=False)
    given = json.loads(sys.stdin.buffer.readline())
    try:
        options = Options(**given | {"limits": check_limits(given.get("limits") or {})})
    except (TypeError, ValueError) as error:
        _say({"error": f"{error}", "kind": type(error).__name__})
        return 1
    return asyncio.run(_serve_child(options))


async def _serve_child(options: Options) -> int:
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    watch = threading.Thread(target=_watch_parent, args=(lambda: loop.call_soon_threadsafe(gone.set),), daemon=True)
    watch.start()
    return await _serve_until(options, gone)


def _watch_parent(tell: Callable[[], object]) -> None:
    """The end of stdin is the end of our parent; a fork of it may hold that open, so its pid is looked at as well.

    A thread, because nobody may wait longer than a second for a loop that is busy.
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


async def _serve_until(options: Options, gone: asyncio.Event) -> int:
    try:
        async with running(options) as address:
            _say({"url": address.url, "token": address.token, "level": address.level})
            await gone.wait()
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must be told
        _say({"error": f"{error}", "kind": type(error).__name__})
        return 1
    return 0


def _say(value: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the parent is gone: nobody to tell
        os.write(1, json.dumps(value).encode() + b"\n")


@asynccontextmanager
async def running(options: Options, engine: Engine | None = None, **table_options: Any) -> AsyncIterator[Address]:
    """A server that answers for the length of the block. Raises CannotServe and EngineError."""
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
    options: Options, table: Any, metrics: Any, listener: socket.socket, token: str
) -> AsyncIterator[str]:
    import uvicorn

    from ci_integrations.local.server.app import App
    from ci_integrations.local.server.control.routes import ControlPlane
    from ci_integrations.local.server.ports.websocket import Tunnel

    port = listener.getsockname()[1]
    shown = f"[{options.host}]" if ":" in options.host else options.host
    app = App(table, ControlPlane(table, f"localhost:{port}"), metrics, token)
    config = uvicorn.Config(
        app,
        http="httptools",
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
        for record in table.all():
            record.cut_exchanges()
        server.should_exit = True
        await serving


def _note(metrics: Any, event: str, sandbox_id: str) -> None:
    metrics.note(event, sandbox_id)
    LOG.info("sandbox %s %s", sandbox_id, event)


def _definitions(given: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """What was named must be right; a file that is only found may be somebody else's."""
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


async def _expire(table: Any) -> None:
    while True:
        await asyncio.sleep(EXPIRE_SECONDS)
        table.expire()


async def _start_another(
    options: Options, *, python: Path | None, packages: Sequence[str], preload: Sequence[str] | None
) -> Engine:
    """For templates, at the level of the first."""
    wanted = options if preload is None else replace(options, preload=preload)
    return await _start_engine(wanted, python=python, packages=packages)


async def _start_engine(options: Options, **interpreter: Any) -> Engine:
    from ci_integrations.local.host.engine import start_engine

    arguments: dict[str, Any] = {"isolation": options.isolation, "pool": options.pool, **interpreter}
    if options.preload is not None:
        arguments["preload"] = tuple(options.preload)
    return await start_engine(**arguments)


def _import_slow_parts() -> None:
    """Imports what the first requests need, while the engine warms up on another core."""
    import uvicorn.protocols.http.httptools_impl  # noqa: F401

    from ci_integrations.local.server import app  # noqa: F401 - pydantic and its models come with it
    from ci_integrations.local.server.envd import services
    from ci_integrations.local.server.ports import websocket  # noqa: F401

    with contextlib.suppress(Exception):  # said to the client that asks for them
        services.applications()


def _check_host(options: Options) -> None:
    try:
        loopback = options.host == "localhost" or ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and options.token is None:
        raise CannotServe(
            f"listening on {options.host} lets other machines in: name a token for them, or listen on 127.0.0.1"
        )


def _listen(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # The protocol by name: asyncio turns off Nagle only where it sees TCP, and a cell then takes 44 ms less.
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
    """uvicorn reports every connection that we close on purpose, as a killed sandbox closes its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("ASGI callable returned without")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        value = {"time": self.formatTime(record), "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            value["traceback"] = self.formatException(record.exc_info)
        return json.dumps(value)


def set_up_logging(*, log_json: bool) -> None:
    """To stderr: warnings of everybody, and what happens to sandboxes when lines are structured."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if log_json else logging.Formatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("ci_integrations").setLevel(logging.INFO if log_json else logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its warnings are about what clients send
    logging.getLogger("uvicorn.error").addFilter(_Incomplete())
