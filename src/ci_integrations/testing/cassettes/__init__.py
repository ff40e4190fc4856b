"""Cassettes for the E2B SDK record its traffic once and replay it without a network, in users' tests and our own.

    with use_cassette("tests/cassettes/totals.yaml", record_mode="once"):
        with Sandbox.create() as sandbox:
            assert sandbox.run_code("1 + 1").text == "2"

This module exists because vcrpy alone records nothing of the E2B SDK, without a warning. The SDK speaks through a
transport written in Rust that vcrpy does not know, and whose sockets `pytest-socket` and `block_network` do not see
either. Both faces of that transport, sync and async, end in one public method each; the two are replaced while a
cassette is in use. So REST, the stream of a cell, files and Connect RPC are all on the cassette. Traffic of other
libraries is left to vcrpy.

A cassette has limits: it answers at once (no deadline passes, no cancellation comes in time), keeps no transport
errors, and gives a two-way stream as one answer. Test those against the local sandbox.
"""

from __future__ import annotations

from ci_integrations._errors import MissingDependencyError

try:
    import vcr as _vcr  # noqa: F401 - looked for here, before anything below needs it
except ImportError as error:
    raise MissingDependencyError("ci_integrations.testing.cassettes", "testing") from error

from ci_integrations.testing.cassettes._tape import (
    CassetteMismatchError,
    CassetteMissError,
    RecordMode,
    Tape,
    TrafficBlockedError,
    block_traffic,
    use_cassette,
)

__all__ = [
    "CassetteMismatchError",
    "CassetteMissError",
    "RecordMode",
    "Tape",
    "TrafficBlockedError",
    "block_traffic",
    "use_cassette",
]
