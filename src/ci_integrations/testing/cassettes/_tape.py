"""The tape connects vcrpy with the SDK's transport: it plays what the cassette holds, records the rest, and counts.

Two methods of `pyqwest` are replaced. They are public, and the lowest ones that all traffic of the SDK goes through.
Bodies are kept as they stream past, so recording changes no timing. They are written when the block ends, in the order
of the requests, and not at all when the block raised.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn
from unittest.mock import patch
from urllib.parse import urlsplit, urlunsplit

import pyqwest
import vcr
from vcr.cassette import Cassette
from vcr.request import Request as VcrRequest

from ci_integrations.testing.cassettes import _scrub
from ci_integrations.testing.cassettes._scrub import Response

RecordMode = Literal["none", "once", "new_episodes", "all"]
"""`none`: replay only. `once`: record when there is no cassette. `new_episodes`: add what is missing. `all`: anew."""

# Taken once, before anything is replaced: cassettes may be nested, or lie inside `block_traffic`.
_SEND = pyqwest.SyncHTTPTransport.execute_sync
_ASEND = pyqwest.HTTPTransport.execute
_ANY_HOST = ("https", "e2b.invalid")
"""Scheme and host in every cassette, so that one recorded on a laptop replays as the cloud."""
_DROPPED = frozenset({"connection", "content-encoding", "content-length", "date", "server", "transfer-encoding"})
"""Response headers that are not true of a replayed body, or change with each recording."""


class CassetteMissError(BaseException):
    """The cassette holds no answer to a request.

    It is no `Exception`, so that no retry policy and no SDK can swallow it.
    """


class CassetteMismatchError(AssertionError):
    """A block has ended that missed something on the cassette, or did not ask for everything that it holds."""


class TrafficBlockedError(BaseException):
    """A test talked to E2B although its traffic is blocked. It is no `Exception`, as `CassetteMissError` is none."""


@dataclass
class _Take:
    """Holds one request, and as much of its answer as has come so far."""

    request: VcrRequest
    status: int
    headers: dict[str, list[str]]
    chunks: list[bytes] = field(default_factory=list)

    def response(self) -> Response:
        return {
            "status": {"code": self.status, "message": ""},
            "headers": self.headers,
            "body": {"string": b"".join(self.chunks)},
        }


class Tape:
    """Is what `use_cassette` gives: counts, for tests that want to know them. Several threads may use it."""

    def __init__(self, cassette: Cassette) -> None:
        self._cassette = cassette
        self._lock = threading.Lock()
        self._takes: list[_Take] = []
        self._misses: list[CassetteMissError] = []

    def __len__(self) -> int:
        """How many requests were played or recorded so far."""
        return self.played + self.recorded

    @property
    def played(self) -> int:
        """Returns how many requests were answered from the cassette so far."""
        return int(self._cassette.play_count)

    @property
    def recorded(self) -> int:
        """Returns how many requests went to the endpoint so far."""
        return len(self._takes)

    @property
    def missed(self) -> int:
        """Returns how many requests had no answer so far."""
        return len(self._misses)

    def play(self, request: VcrRequest) -> Response | None:
        """Returns the stored answer; None when it is to be recorded. Raises `CassetteMissError` when it must not be."""
        with self._lock:
            if self._cassette.can_play_response_for(request):
                return dict(self._cassette.play_response(request))
            if not self._cassette.write_protected and self._cassette.record_mode.value != "none":
                return None
            miss = CassetteMissError(_describe_miss(self._cassette, request))
            self._misses.append(miss)
            raise miss

    def record(self, request: VcrRequest, response: pyqwest.SyncResponse | pyqwest.Response) -> _Take:
        """Returns a take for this request, to which the caller adds the body as it comes."""
        take = _Take(request, response.status, _headers_of(response))
        with self._lock:
            self._takes.append(take)
        return take

    def finish(self) -> None:
        """Hands the takes to vcrpy. Raises CassetteMismatchError for requests that were missed or not asked for."""
        if self._misses:
            raise CassetteMismatchError(str(self._misses[0])) from self._misses[0]
        for take in self._takes:
            self._cassette.append(take.request, take.response())
        if not self._takes and not self._cassette.all_played:
            raise CassetteMismatchError(_describe_unplayed(self._cassette))


@contextmanager
def use_cassette(
    path: str | Path, *, record_mode: RecordMode = "none", secrets: tuple[str, ...] = ()
) -> Iterator[Tape]:
    """Plays the E2B SDK's traffic from the cassette at `path`, or records it there.

    `secrets` are texts that must not be written, besides the keys, tokens and passwords that are left out anyway.
    Raises `CassetteMissError` at once for a request that is not there. Raises `CassetteMismatchError` at the end if
    somebody caught that, or when an interaction was not asked for. Nothing is written when the block raises.
    """
    rules = _scrub.ScrubRules.with_environment(secrets)
    recorder = vcr.VCR(
        before_record_request=rules.request,
        before_record_response=rules.response,
        match_on=_scrub.MATCH_ON,
        record_on_exception=False,
    )
    for name, matcher in _scrub.MATCHERS.items():
        recorder.register_matcher(name, matcher)
    mode = vcr.record_mode.RecordMode(record_mode)
    with recorder.use_cassette(
        str(Path(path).absolute()), record_mode=mode, drop_unused_requests=mode == "all"
    ) as inner:
        tape = Tape(inner)
        with _intercepted(tape):
            yield tape
        tape.finish()


@contextmanager
def block_traffic() -> Iterator[None]:
    """Makes every request of the E2B SDK raise `TrafficBlockedError`. A cassette inside the block still works."""

    # One function for both faces: the async one raises before there is anything to await.
    def refuse(_transport: object, request: pyqwest.SyncRequest | pyqwest.Request) -> NoReturn:
        raise TrafficBlockedError(
            f"{request.method} {urlsplit(request.url).path}: the E2B SDK's traffic is blocked in this test"
        )

    with _replaced(refuse, refuse):
        yield


@contextmanager
def _intercepted(tape: Tape) -> Iterator[None]:
    """Sends the SDK's requests to the tape, for the block."""

    def execute_sync(transport: pyqwest.SyncHTTPTransport, request: pyqwest.SyncRequest) -> pyqwest.SyncResponse:
        body = _read(request.content)
        asked = _asked(request, body)
        if (stored := tape.play(asked)) is not None:
            return pyqwest.SyncResponse(**_stored(stored))
        plain = pyqwest.SyncRequest(request.method, request.url, _readable(request.headers), body)
        return _taped(_SEND(transport, plain), tape, asked)

    async def execute(transport: pyqwest.HTTPTransport, request: pyqwest.Request) -> pyqwest.Response:
        body = await _aread(request.content)
        asked = _asked(request, body)
        if (stored := tape.play(asked)) is not None:
            return pyqwest.Response(**_stored(stored))
        plain = pyqwest.Request(request.method, request.url, _readable(request.headers), body)
        return _ataped(await _ASEND(transport, plain), tape, asked)

    with _replaced(execute_sync, execute):
        yield


@contextmanager
def _replaced(execute_sync: Callable[..., object], execute: Callable[..., object]) -> Iterator[None]:
    """Puts other functions in the place of the transport's two methods, for the block."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(pyqwest.SyncHTTPTransport, "execute_sync", execute_sync))
        stack.enter_context(patch.object(pyqwest.HTTPTransport, "execute", execute))
        yield


def _read(content: bytes | Iterator[bytes]) -> bytes:
    return content if isinstance(content, bytes) else b"".join(bytes(chunk) for chunk in content)


async def _aread(content: bytes | AsyncIterator[bytes]) -> bytes:
    return content if isinstance(content, bytes) else b"".join([bytes(chunk) async for chunk in content])


def _asked(request: pyqwest.SyncRequest | pyqwest.Request, body: bytes) -> VcrRequest:
    uri = urlunsplit((*_ANY_HOST, *urlsplit(request.url)[2:]))
    return VcrRequest(request.method, uri, body, dict(request.headers.items()))


def _readable(headers: pyqwest.Headers) -> pyqwest.Headers:
    """Headers without `accept-encoding`: the transport then unpacks by itself, and the cassette is text."""
    return pyqwest.Headers([(name, value) for name, value in headers.items() if name.lower() != "accept-encoding"])


def _headers_of(response: pyqwest.SyncResponse | pyqwest.Response) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in response.headers.items():
        if name.lower() not in _DROPPED:
            headers.setdefault(name, []).append(value)
    return headers


def _stored(response: Response) -> dict[str, Any]:
    """A response of vcrpy's as arguments of pyqwest's."""
    pairs = [(name, value) for name, values in response["headers"].items() for value in values]
    return {
        "status": response["status"]["code"],
        "headers": pyqwest.Headers(pairs),
        "content": response["body"]["string"] or b"",
    }


def _taped(response: pyqwest.SyncResponse, tape: Tape, asked: VcrRequest) -> pyqwest.SyncResponse:
    """The same response, whose body is also kept on the tape while the SDK reads it."""
    take = tape.record(asked, response)

    def passing() -> Iterator[bytes]:
        with response:
            for chunk in response.content:
                take.chunks.append(bytes(chunk))
                yield take.chunks[-1]

    return pyqwest.SyncResponse(status=response.status, headers=response.headers, content=passing())


def _ataped(response: pyqwest.Response, tape: Tape, asked: VcrRequest) -> pyqwest.Response:
    """As `_taped`, for the async transport: a body is read in the caller's own way, so we have to live with two."""
    take = tape.record(asked, response)

    async def passing() -> AsyncIterator[bytes]:
        async with response:
            async for chunk in response.content:
                take.chunks.append(bytes(chunk))
                yield take.chunks[-1]

    return pyqwest.Response(status=response.status, headers=response.headers, content=passing())


def _describe_miss(cassette: Cassette, request: VcrRequest) -> str:
    """The message for a request without an answer, with the recorded one that is most like it."""
    lines = [f"{cassette._path} holds no unplayed answer to {request.method} {request.path}."]  # noqa: SLF001 - vcrpy names it nowhere else
    alike = cassette.find_requests_with_most_matches(request)
    # Requests that bring the extractor look like cells; a miss of a cell should not name one of them.
    alike.sort(key=lambda found: _scrub.is_extractor(found[0]) != _scrub.is_extractor(request))
    for stored, same, failed in alike[:1]:
        lines.append(f"Closest: {stored.method} {stored.path}; the same: {', '.join(same) or 'nothing'}")
        lines += [f"differs in {name}: {why[:500]}" for name, why in failed]
    lines.append("Did the code change? Record again with record_mode='all' (pytest: --record-mode=all).")
    return "\n".join(lines)


def _describe_unplayed(cassette: Cassette) -> str:
    """The message for recorded requests that nobody has asked for."""
    unplayed = [request for index, request in enumerate(cassette.requests) if not cassette.play_counts[index]]
    names = ", ".join(f"{request.method} {request.path}" for request in unplayed[:5])
    return f"{len(unplayed)} of {len(cassette)} recorded requests were not asked for: {names}"
