"""envd's RPC service filesystem.Filesystem, over a sandbox's file worker and watchers.

Method names are those of the protocol. The SDK decides by the code of an error: "already_exists" makes its `make_dir`
return False, "not_found" is its FileNotFoundException.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from connectrpc.code import Code
from connectrpc.codec import proto_binary_codec, proto_json_codec
from connectrpc.errors import ConnectError
from e2b.envd.filesystem import filesystem_pb as pb
from protobuf.wkt import Timestamp

from ci_integrations.local.host.files import FileEntry, FileError
from ci_integrations.local.server.envd.call import CALL, Encoded
from ci_integrations.local.server.envd.requests import Context, check_user, keepalive, one_of
from ci_integrations.local.server.state.watchers import Change, Watcher

CODES = {
    "not_found": Code.NOT_FOUND,
    "invalid": Code.INVALID_ARGUMENT,
    "exists": Code.ALREADY_EXISTS,
    "denied": Code.PERMISSION_DENIED,
    "no_space": Code.RESOURCE_EXHAUSTED,
    "too_many": Code.RESOURCE_EXHAUSTED,
    "unsupported": Code.UNIMPLEMENTED,
}
"""By the kind of a FileError. Other kinds are the server's own failures: INTERNAL."""
TYPES = {"file": pb.FileType.FILE, "directory": pb.FileType.DIRECTORY, "symlink": pb.FileType.SYMLINK}


_AT_ONCE = 500
"""Entries of a listing that are encoded at one time: some ten milliseconds."""


class FilesystemService:
    """Answers the calls of every sandbox: `CALL` says which one is meant."""

    async def stat(self, request: pb.StatRequest, ctx: Context) -> pb.StatResponse:
        with _errors(ctx):
            return pb.StatResponse(entry=_entry(await CALL.get().record.files.stat(request.path)))

    async def list_dir(self, request: pb.ListDirRequest, ctx: Context) -> pb.ListDirResponse:
        with _errors(ctx):
            # protobuf leaves a depth of 0 out: it means the default, one level.
            entries = await CALL.get().record.files.list(request.path, max(request.depth, 1))
        shown = [entry for entry in entries if entry.type in TYPES]
        if len(shown) <= _AT_ONCE:
            return pb.ListDirResponse(entries=[_entry(entry) for entry in shown])
        return cast(
            "pb.ListDirResponse", await _encoded(shown, json="json" in CALL.get().exchange.headers["content-type"])
        )

    async def make_dir(self, request: pb.MakeDirRequest, ctx: Context) -> pb.MakeDirResponse:
        with _errors(ctx):
            return pb.MakeDirResponse(entry=_entry(await CALL.get().record.files.make_dir(request.path)))

    async def move(self, request: pb.MoveRequest, ctx: Context) -> pb.MoveResponse:
        with _errors(ctx):
            entry = await CALL.get().record.files.move(request.source, request.destination)
        return pb.MoveResponse(entry=_entry(entry))

    async def remove(self, request: pb.RemoveRequest, ctx: Context) -> pb.RemoveResponse:
        with _errors(ctx):
            await CALL.get().record.files.remove(request.path)
        return pb.RemoveResponse()

    async def watch_dir(self, request: pb.WatchDirRequest, ctx: Context) -> AsyncIterator[pb.WatchDirResponse]:
        """Streams changes until the client leaves. The SDK reads `start` as a sign that nothing is missed any more."""
        call = CALL.get()
        with _errors(ctx):
            watcher = await call.record.watchers.open(
                request.path, recursive=request.recursive, include_entry=request.include_entry
            )
        leaving = asyncio.create_task(call.when_gone(watcher.close))
        try:
            yield pb.WatchDirResponse(event=one_of("start", pb.WatchDirResponse.StartEvent()))
            async for change in watcher.changes(keepalive(ctx)):
                yield pb.WatchDirResponse(event=_event(change))
        finally:
            leaving.cancel()
            watcher.close()

    async def create_watcher(self, request: pb.CreateWatcherRequest, ctx: Context) -> pb.CreateWatcherResponse:
        """Starts a watcher whose changes are kept until `get_watcher_events` asks for them: the SDK's sync face."""
        with _errors(ctx):
            watchers = CALL.get().record.watchers
            watcher = await watchers.open(
                request.path, recursive=request.recursive, include_entry=request.include_entry
            )
        return pb.CreateWatcherResponse(watcher_id=watchers.keep(watcher))

    async def get_watcher_events(
        self, request: pb.GetWatcherEventsRequest, ctx: Context
    ) -> pb.GetWatcherEventsResponse:
        changes = _watcher(request.watcher_id).drain()
        return pb.GetWatcherEventsResponse(events=[_filesystem_event(change) for change in changes])

    async def remove_watcher(self, request: pb.RemoveWatcherRequest, ctx: Context) -> pb.RemoveWatcherResponse:
        _watcher(request.watcher_id).close()
        CALL.get().record.watchers.forget(request.watcher_id)
        return pb.RemoveWatcherResponse()


@contextmanager
def _errors(ctx: Context) -> Iterator[None]:
    """Checks the user, and turns a FileError of the block into the protocol's error."""
    check_user(ctx)
    try:
        yield
    except FileError as error:
        raise ConnectError(CODES.get(error.kind, Code.INTERNAL), str(error)) from None


def _entry(entry: FileEntry) -> pb.EntryInfo:
    found = pb.EntryInfo(
        name=entry.name,
        type=TYPES.get(entry.type, pb.FileType.UNSPECIFIED),
        path=entry.path,
        size=entry.size,
        mode=entry.mode,
        permissions=entry.permissions,
        owner=entry.owner,
        group=entry.group,
        modified_time=Timestamp.from_nanos(entry.modified),
        metadata=entry.metadata,
    )
    if entry.symlink_target is not None:
        found.symlink_target = entry.symlink_target
        found.is_symlink = True
    return found


async def _encoded(entries: list[FileEntry], *, json: bool) -> Encoded:
    """Encodes a long listing in parts, so that other sandboxes have their turn between them."""
    codec = proto_json_codec() if json else proto_binary_codec()
    parts = []
    for start in range(0, len(entries), _AT_ONCE):
        part = pb.ListDirResponse(entries=[_entry(entry) for entry in entries[start : start + _AT_ONCE]])
        parts.append(bytes(codec.encode(part)))
        await asyncio.sleep(0)
    if not json:
        return Encoded(b"".join(parts))  # protobuf: messages one after the other are one message
    return Encoded(
        b'{"entries":[' + b",".join(part[part.index(b"[") + 1 : part.rindex(b"]")] for part in parts) + b"]}"
    )


def _watcher(watcher_id: str) -> Watcher:
    watcher = CALL.get().record.watchers.find(watcher_id)
    if watcher is None:
        raise ConnectError(Code.NOT_FOUND, f"watcher with id {watcher_id} not found")
    return watcher


def _filesystem_event(change: Change) -> pb.FilesystemEvent:
    event = pb.FilesystemEvent(name=change.name, type=pb.EventType[change.type])
    if change.entry is not None:
        event.entry = _entry(change.entry)
    return event


def _event(change: Change | None) -> Any:
    if change is None:
        return one_of("keepalive", pb.WatchDirResponse.KeepAlive())
    return one_of("filesystem", _filesystem_event(change))
