"""What a cassette may hold and what counts as the same request. Used by the tape only.

Headers are kept by an allow-list; JSON fields that carry credentials, and every text known to be secret, are replaced.
Requests are compared without host and port, and with multipart boundaries and JSON spelling taken out.
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
"""Names of JSON fields, without `_` and `-`, small."""
_SIGNED = frozenset({"signature", "signature_expiration"})
"""Query parameters made from a token and a clock."""
_OWN_TAG = "ci_integrations_"
"""Metadata by which a session finds its sandbox: machine, process, a random name."""
_EXTRACTOR = b"/.ci_extractor/"
"""In every request that brings our extractor into a cloud kernel. Its source is no business of a cassette, and must not
make it stale when the library changes."""
_EXTRACTORS_PLACE = b"<extractor>"
_SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_BOUNDARY = re.compile(rb"boundary=\"?([^\";,]+)")
_SHORTEST_SECRET = 8
"""Characters; a shorter value of a variable would be found in too many innocent places."""


@dataclass(frozen=True)
class Rules:
    """Scrubbing for one cassette."""

    secrets: tuple[bytes, ...]

    @classmethod
    def with_environment(cls, secrets: Iterable[str]) -> Self:
        """The given texts, and the values of variables that are named like credentials."""
        known = {value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)} | set(secrets)
        longest_first = sorted((value for value in known if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)
        return cls(tuple(value.encode() for value in longest_first))

    def request(self, request: VcrRequest) -> VcrRequest:
        headers = {name: value for name, value in request.headers.items() if name.lower() in _KEPT_HEADERS}
        body = bytes(request.body or b"")
        body = _EXTRACTORS_PLACE if is_extractor(request) else self._body(body, headers.get("content-type", ""))
        return VcrRequest(request.method, self._uri(request.uri), body, headers)

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
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
        if kind.startswith("application/connect+"):
            return b"".join(_envelope(flags, self._payload(payload)) for flags, payload in envelopes(body))
        return self._payload(body)

    def _payload(self, body: bytes) -> bytes:
        parsed = parse_json(body)
        if isinstance(parsed, (dict, list)):
            clean = _without_secrets(parsed)
            body = body if clean == parsed else json.dumps(clean, ensure_ascii=False).encode()
        return self._text(body)

    def _text(self, text: bytes) -> bytes:
        for secret in self.secrets:
            text = text.replace(secret, REDACTED.encode())
        return text


def is_extractor(request: VcrRequest) -> bool:
    """True for a request that brings our extractor, as it is sent and as it is recorded."""
    body = bytes(request.body or b"")
    return body == _EXTRACTORS_PLACE or _EXTRACTOR in body


def envelopes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of a Connect stream; a last one that was cut off is given as far as it came."""
    while len(body) >= 5:
        flags, size = struct.unpack(">BI", body[:5])
        yield flags, body[5 : 5 + size]
        body = body[5 + size :]


def _envelope(flags: int, payload: bytes) -> bytes:
    return struct.pack(">BI", flags, len(payload)) + payload


def parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: REDACTED if _is_secret(name, field) else _without_secrets(field) for name, field in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


def _is_secret(name: str, value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return name.startswith(_OWN_TAG) or name.lower().replace("_", "").replace("-", "") in _SECRET_FIELDS


def _comparable(request: VcrRequest) -> Any:
    """The body as a value that is equal for equal requests."""
    body = bytes(request.body or b"")
    kind = str(request.headers.get("content-type", ""))
    if found := _BOUNDARY.search(kind.encode()):
        return body.replace(found[1], b"boundary")
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
MATCH_ON = ("method", "path", "query", "e2b_sandbox", "e2b_body")
