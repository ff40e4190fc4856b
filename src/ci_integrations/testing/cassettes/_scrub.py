"""Decides what a cassette may hold, and which requests count as the same. Only the tape uses it.

Headers are kept by an allow-list. JSON fields that carry credentials, and every text known to be secret, are replaced.
Requests are compared without host and port, and without regard to multipart boundaries and the spelling of JSON.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from vcr.request import Request as VcrRequest

Response = dict[str, Any]
"""A response as vcrpy stores it: "status", "headers", "body"."""
REDACTED = "REDACTED"
_KEPT_HEADERS = frozenset(
    {"accept", "content-type", "connect-protocol-version", "e2b-sandbox-id", "e2b-sandbox-port", "range"}
)
_SECRET_FIELDS = frozenset(
    {
        "accesstoken",
        "apikey",
        "authorization",
        "clientsecret",
        "envdaccesstoken",
        "password",
        "secret",
        "token",
        "trafficaccesstoken",
    }
)
"""Names of JSON fields whose text is replaced: in lower case, without `_` and `-`."""
_SIGNED = frozenset({"signature", "signature_expiration"})
"""Query parameters made from a token and a clock."""
_OWN_TAG = "ci_integrations_"
"""Prefix of the metadata by which a session finds its sandbox: machine, process, a random name."""
_EXTRACTOR = re.compile(rb"/_ci_extractor/|get_ipython\(\), '/tmp/\.ci_source/")
"""Finds a text in every request that brings our extractor into a cloud kernel. The extractor's source is left out of
cassettes: it must not make them stale when the library changes."""
_EXTRACTORS_PLACE = b"<extractor>"
_SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_BOUNDARY = re.compile(rb"boundary=\"?([^\";,]+)")
_SHORTEST_SECRET = 8
"""Characters of a secret; a shorter value of a variable would be found in too many innocent places."""


@dataclass(frozen=True)
class ScrubRules:
    """Says what is taken out of the requests and responses of one cassette."""

    secrets: tuple[bytes, ...]
    """Texts that are replaced wherever they stand, longest first."""

    @classmethod
    def with_environment(cls, secrets: Iterable[str]) -> Self:
        """Rules for the given texts, and for the values of variables that are named like credentials."""
        known = {value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)} | set(secrets)
        # Longest first: a key that begins with another one would otherwise leave its rest on the cassette.
        longest_first = sorted((value for value in known if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)
        return cls(tuple(value.encode() for value in longest_first))

    def request(self, request: VcrRequest) -> VcrRequest:
        """Returns a request as it may be written."""
        headers = {name: value for name, value in request.headers.items() if name.lower() in _KEPT_HEADERS}
        body = bytes(request.body or b"")
        body = _EXTRACTORS_PLACE if is_extractor(request) else self._body(body, headers.get("content-type", ""))
        return VcrRequest(request.method, self._uri(request.uri), body, headers)

    def response(self, response: Response) -> Response:
        """Returns a response as it may be written."""
        headers = {name: values for name, values in response["headers"].items() if name.lower() != "set-cookie"}
        kind = next((values[0] for name, values in headers.items() if name.lower() == "content-type"), "")
        body = self._body(response["body"]["string"] or b"", kind)
        return {**response, "headers": headers, "body": {"string": body}}

    def _uri(self, uri: str) -> str:
        parts = urlsplit(uri)
        query = [
            (name, REDACTED if name in _SIGNED else value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ]
        return self._text(urlunsplit(parts._replace(query=urlencode(query))).encode()).decode()

    def _body(self, body: bytes, kind: str) -> bytes:
        # A Connect stream counts the bytes of each message, so each is scrubbed by itself and counted anew.
        if kind.startswith("application/connect+"):
            return b"".join(_envelope(flags, self._payload(payload)) for flags, payload in envelopes(body))
        return self._payload(body)

    def _payload(self, body: bytes) -> bytes:
        parsed = parse_json(body)
        if isinstance(parsed, (dict, list)):
            clean = _without_secrets(parsed)
            # Written anew only when something was replaced: otherwise the cassette keeps the server's own bytes.
            body = body if clean == parsed else json.dumps(clean, ensure_ascii=False).encode()
        return self._text(body)

    def _text(self, text: bytes) -> bytes:
        for secret in self.secrets:
            text = text.replace(secret, REDACTED.encode())
        return text


def is_extractor(request: VcrRequest) -> bool:
    """Returns whether a request brings our extractor; true for it as it is sent and as it is recorded."""
    body = bytes(request.body or b"")
    return body == _EXTRACTORS_PLACE or _EXTRACTOR.search(body) is not None


def envelopes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields (flags, message) of a Connect stream; a last message that was cut off is given as far as it came."""
    # One byte of flags and four of length, big-endian, before each message (the protocol's "enveloped message").
    while len(body) >= 5:
        flags, size = struct.unpack(">BI", body[:5])
        yield flags, body[5 : 5 + size]
        body = body[5 + size :]


def _envelope(flags: int, payload: bytes) -> bytes:
    return struct.pack(">BI", flags, len(payload)) + payload


def parse_json(body: bytes) -> object:
    """Returns the value of JSON text; None for any other text."""
    try:
        value: object = json.loads(body)
    except ValueError:
        return None
    return value


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {name: REDACTED if _is_secret(name, field) else _without_secrets(field) for name, field in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


def _is_secret(name: str, value: object) -> bool:
    """Whether a JSON field holds a credential, or what differs from one recording to the next."""
    if not isinstance(value, str) or not value:
        return False
    return name.startswith(_OWN_TAG) or name.lower().replace("_", "").replace("-", "") in _SECRET_FIELDS


def _comparable(request: VcrRequest) -> object:
    """A request's body as a value that is equal for requests that count as the same."""
    body = bytes(request.body or b"")
    kind = str(request.headers.get("content-type", ""))
    if found := _BOUNDARY.search(kind.encode()):
        return body.replace(found[1], b"boundary")  # the client makes up another one each time
    if kind.startswith("application/connect+"):
        return [parse_json(payload) or payload for _flags, payload in envelopes(body)]
    parsed = parse_json(body)
    return body if parsed is None else parsed


def _same_sandbox(one: VcrRequest, other: VcrRequest) -> None:
    for name in ("e2b-sandbox-id", "e2b-sandbox-port"):
        assert one.headers.get(name) == other.headers.get(name), f"{one.headers.get(name)} != {other.headers.get(name)}"  # noqa: S101 - vcrpy's way of saying why


def _same_body(one: VcrRequest, other: VcrRequest) -> None:
    mine, recorded = _comparable(one), _comparable(other)
    assert mine == recorded, f"asked {mine!r:.240}, recorded {recorded!r:.240}"  # noqa: S101 - vcrpy's way of saying why


MATCHERS: dict[str, Callable[[VcrRequest, VcrRequest], None]] = {"e2b_sandbox": _same_sandbox, "e2b_body": _same_body}
# Not "host" and "port": what was recorded at one endpoint is replayed for any other.
MATCH_ON = ("method", "path", "query", "e2b_sandbox", "e2b_body")
