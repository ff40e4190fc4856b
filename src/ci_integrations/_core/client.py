"""The SDK's calls for one session, under the recovery policy and its deadline."""

from __future__ import annotations

import contextlib
import logging
import os
import socket

logger = logging.getLogger("ci_integrations")


TAG = "ci_integrations"
"""Metadata key that every sandbox of ours carries; `list_leftovers` looks for it."""


_SHORTEST = 0.1
"""Seconds that a call has at least, also when the deadline is near."""


_WHERE = {"e2b": "on E2B", "local": 'in the local sandbox (no E2B_API_KEY; backend="e2b" or a key changes that)'}


_CONNECT_OPTIONS = frozenset(
    {"request_timeout", "retries", "headers", "api_headers", "api_key", "domain"}
    | {"api_url", "debug", "proxy", "sandbox_url", "http_version"}
)


def tags(session_id: str, at_exit: str = "kill") -> dict[str, str]:
    """Metadata by which a sandbox of ours is found again: whose session, which machine, which process.

    And `"keep"` or `"pause"` when it is to outlive that process.
    """
    host = "unknown"
    with contextlib.suppress(OSError):
        host = socket.gethostname()
    kept = {} if at_exit == "kill" else {f"{TAG}_idle": at_exit}
    return {TAG: "1", f"{TAG}_session": session_id, f"{TAG}_host": host, f"{TAG}_pid": str(os.getpid()), **kept}
