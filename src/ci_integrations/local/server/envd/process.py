"""envd's RPC service process.Process, over a sandbox's `ProcessTable`.

Method names are those of the protocol. A command goes on when the client that started it leaves: another one may
`connect` to it.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.process import process_pb as pb
from protobuf import Oneof

from ci_integrations.local.protocol.contract import EngineError, Pty, SandboxDead
from ci_integrations.local.server.envd.call import CALL
from ci_integrations.local.server.envd.requests import Context, check_user, keepalive, one_of
from ci_integrations.local.server.envd.users import ROOT
from ci_integrations.local.server.http import HttpError, check_variables
from ci_integrations.local.server.state.processes import Command, Ended, Event, Events, Output, Process, events

MAX_TERMINAL = 1000
"""Columns and rows."""


class ProcessService:
    """Answers the calls of every sandbox: `CALL` says which one is meant."""

    async def list(self, request: pb.ListRequest, ctx: Context) -> pb.ListResponse:
        return pb.ListResponse(processes=[_info(p) for p in CALL.get().record.processes.running()])

    async def start(self, request: pb.StartRequest, ctx: Context) -> AsyncIterator[pb.StartResponse]:
        """Starts a command and streams its output until its end. The header with a timeout bounds the command itself.

        The pid must come first: the SDK fails at a stream that begins with anything else.
        """
        command = _command(request, ctx)
        try:
            process = await CALL.get().record.processes.start(command)
        except NotADirectoryError:
            raise ConnectError(Code.INVALID_ARGUMENT, f"cwd '{command.cwd}' does not exist") from None
        except (EngineError, OSError) as error:
            raise ConnectError(Code.INVALID_ARGUMENT, f"cannot start {command.argv[0]!r}: {error}") from None
        listener = process.listen()
        if (milliseconds := ctx.timeout_ms) is not None:
            process.kill_after(max(milliseconds, 0) / 1000)
        async for event in _stream(process, listener, ctx):
            yield pb.StartResponse(event=event)

    async def connect(self, request: pb.ConnectRequest, ctx: Context) -> AsyncIterator[pb.ConnectResponse]:
        """Streams the output from now on. Of a command that ended less than 30 s ago there is still the end."""
        process = _find(request.process)
        async for event in _stream(process, process.listen(), ctx):
            yield pb.ConnectResponse(event=event)

    async def update(self, request: pb.UpdateRequest, ctx: Context) -> pb.UpdateResponse:
        """Changes the size of a command's terminal."""
        process = _find(request.process)
        if process.command.pty is None:
            raise ConnectError(Code.FAILED_PRECONDITION, "the process has no terminal")
        if request.pty is not None:
            with _process_errors():
                await process.child.resize(_pty(request.pty))
        return pb.UpdateResponse()

    async def send_input(self, request: pb.SendInputRequest, ctx: Context) -> pb.SendInputResponse:
        await _write(_find(request.process), request.input)
        return pb.SendInputResponse()

    async def stream_input(self, request: AsyncIterator[pb.StreamInputRequest], ctx: Context) -> pb.StreamInputResponse:
        """Writes a stream of pieces, of which the first names the process. The stream's end leaves stdin open."""
        process: Process | None = None
        async for message in request:
            event: Any = message.event
            match event:
                case Oneof(field="start", value=start):
                    process = _find(start.process)
                case Oneof(field="data", value=data) if process is not None:
                    await _write(process, data.input)
                case Oneof(field="data"):
                    raise ConnectError(Code.INVALID_ARGUMENT, "data before start")
        return pb.StreamInputResponse()

    async def send_signal(self, request: pb.SendSignalRequest, ctx: Context) -> pb.SendSignalResponse:
        """Signals the command's whole process group. The SDK's `kill` returns False for "not found"."""
        process = _find(request.process)
        if process.end is not None:
            raise _unknown(request.process)
        if request.signal not in (pb.Signal.SIGTERM, pb.Signal.SIGKILL):
            raise ConnectError(Code.UNIMPLEMENTED, "only SIGTERM and SIGKILL can be sent")
        with _process_errors():
            await process.child.signal(signal.Signals(int(request.signal)))
        return pb.SendSignalResponse()

    async def close_stdin(self, request: pb.CloseStdinRequest, ctx: Context) -> pb.CloseStdinResponse:
        process = _find(request.process)
        if process.command.pty is not None:
            raise ConnectError(Code.FAILED_PRECONDITION, "a terminal's input is closed by sending Ctrl+D")
        await process.close_stdin()
        return pb.CloseStdinResponse()


# -- from the wire


def _command(request: pb.StartRequest, ctx: Context) -> Command:
    if request.process is None or not request.process.cmd:
        raise ConnectError(Code.INVALID_ARGUMENT, "a command is needed")
    # Kernels are root's at E2B. Here root is whose kernels are, which is one and the same user at weaker levels.
    user = check_user(ctx, root=CALL.get().record.service is not None)
    config = request.process
    argv = [config.cmd, *config.args]  # the SDK sends /bin/bash -l -c COMMAND
    if any("\0" in text for text in argv):
        raise ConnectError(Code.INVALID_ARGUMENT, "a command or argument cannot hold a NUL")
    try:
        check_variables(config.envs)
    except HttpError as error:
        raise ConnectError(Code.INVALID_ARGUMENT, error.message) from None
    return Command(
        argv=argv,
        cwd=_absolute(config.cwd),
        envs={**CALL.get().record.late_envs, **config.envs},
        tag=request.tag if request.has_field("tag") else None,
        # Older SDKs and terminals leave it out, and write to it.
        stdin=request.stdin if request.has_field("stdin") else True,
        pty=_pty(request.pty) if request.pty is not None else None,
        as_owner=user == ROOT,
    )


def _absolute(path: str) -> str:
    """Returns where a command starts: relative paths and `~` mean the home directory, as in envd."""
    home = CALL.get().record.sandbox.home
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return posixpath.normpath(posixpath.join(home, path))


def _pty(pty: pb.PTY) -> Pty:
    size = pty.size
    if size is None:  # the SDKs always send one
        return Pty(80, 24)
    return Pty(min(max(size.cols, 1), MAX_TERMINAL), min(max(size.rows, 1), MAX_TERMINAL))


def _find(selector: pb.ProcessSelector | None) -> Process:
    """Returns the command of a pid or a tag, also one that ended a short while ago. Raises ConnectError NOT_FOUND."""
    chosen: Any = selector.selector if selector is not None else None
    wanted = {chosen.field: chosen.value} if chosen is not None else {}
    found = CALL.get().record.processes.find(**wanted)
    if found is None:
        raise _unknown(selector)
    return found


def _unknown(selector: pb.ProcessSelector | None) -> ConnectError:
    """Returns envd's words for a command that is not there. For the SDK that is "it was killed already"."""
    match selector.selector if selector is not None else None:
        case Oneof(field=field, value=value):
            return ConnectError(Code.NOT_FOUND, f"process with {field} {value} not found")
    return ConnectError(Code.INVALID_ARGUMENT, "a process is needed: pid or tag")


async def _write(process: Process, given: pb.ProcessInput | None) -> None:
    match given.input if given is not None else None:
        case Oneof(field="pty", value=data):
            wants_pty = True
        case Oneof(field="stdin", value=data):
            wants_pty = False
        case _:
            raise ConnectError(Code.INVALID_ARGUMENT, "input is needed: stdin or pty")
    if wants_pty != (process.command.pty is not None):
        raise ConnectError(
            Code.FAILED_PRECONDITION, "the process has no terminal" if wants_pty else "it has a terminal"
        )
    try:
        await process.write(data)
    except OSError as error:
        raise ConnectError(
            Code.FAILED_PRECONDITION, f"cannot write to the process: {os.strerror(error.errno or 32)}"
        ) from None


@contextmanager
def _process_errors() -> Iterator[None]:
    """Turns what the engine raises for a process or a sandbox that ended a moment ago into the protocol's errors."""
    try:
        yield
    except ProcessLookupError:
        raise ConnectError(Code.NOT_FOUND, "the process has just ended") from None
    except SandboxDead:
        raise ConnectError(Code.UNAVAILABLE, "The sandbox was not found") from None


# -- to the wire


async def _stream(process: Process, listener: Events, ctx: Context) -> AsyncIterator[pb.ProcessEvent]:
    leaving = asyncio.create_task(CALL.get().when_gone(lambda: process.leave(listener)))
    try:
        yield pb.ProcessEvent(event=one_of("start", pb.ProcessEvent.StartEvent(pid=process.pid)))
        async for event in events(listener, keepalive(ctx)):
            if isinstance(event, Ended) and process.timed_out:
                raise ConnectError(Code.DEADLINE_EXCEEDED, "the command ran longer than its timeout and was killed")
            yield _message(event)
    finally:
        leaving.cancel()
        process.leave(listener)


def _message(event: Event | None) -> pb.ProcessEvent:
    if event is None:
        return pb.ProcessEvent(event=one_of("keepalive", pb.ProcessEvent.KeepAlive()))
    if isinstance(event, Output):
        return pb.ProcessEvent(event=one_of("data", pb.ProcessEvent.DataEvent(output=one_of(event.stream, event.data))))
    end = pb.ProcessEvent.EndEvent(exit_code=event.exit_code, exited=event.exited, status=event.status)
    if event.error is not None:
        end.error = event.error
    return pb.ProcessEvent(event=one_of("end", end))


def _info(process: Process) -> pb.ProcessInfo:
    command = process.command
    program, *args = command.argv
    config = pb.ProcessConfig(cmd=program, args=args, envs=dict(command.envs), cwd=command.cwd)
    return pb.ProcessInfo(config=config, pid=process.pid, tag=command.tag)
