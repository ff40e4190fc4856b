"""Kernel events as the lines of `/execute`.

Lines are ASCII: clients split them at every Unicode line end and decode chunk by chunk.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

KEYS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
    "e2b/data": "data",
    "e2b/chart": "chart",
}
"""In the order in which the reference writes them."""
BASE64 = ("png", "jpeg", "pdf")


def line(value: Mapping[str, object]) -> bytes:
    """One JSON line; NaN and infinities become null, for clients with a strict parser."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False)
    return text.encode("ascii") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list) else value


KEEPALIVE = line({"type": "keepalive"})
END = line({"type": "end_of_execution"})


def error_line(name: str, value: str, traceback: str = "") -> bytes:
    return line({"type": "error", "name": name, "value": value, "traceback": traceback})


def died_line(reason: str, *, removed: bool = False) -> bytes:
    """What a client reads when its kernel died under it. A reason is only named when the engine had one."""
    if removed:
        return error_line(
            "UnexpectedEndOfExecution", "Connection to the execution was closed before the execution was finished"
        )
    plain = not reason or reason.startswith(("exited with code", "killed by"))
    return error_line("ContextRestarting", "Context was restarted" if plain else f"Context was restarted: {reason}")


def line_of(event: Mapping[str, Any]) -> bytes:
    """The line for a kernel event other than `died`."""
    match event["type"]:
        case "started":
            return line({"type": "number_of_executions", "execution_count": event["execution_count"]})
        case "stdout" | "stderr" as stream:
            return line({"type": stream, "text": event["text"], "timestamp": event["timestamp"]})
        case "display":
            return line(result(event["data"], main=event["is_main_result"]))
        case "error":
            return error_line(event["name"], event["value"], event["traceback"])
        case "done":
            return END
    raise AssertionError(event["type"])


def result(data: Mapping[str, Any], *, main: bool) -> dict[str, Any]:
    """A MIME bundle as the SDK's Result."""
    found: dict[str, Any] = {"type": "result"}
    for mime, key in KEYS.items():
        if data.get(mime) is not None:
            found[key] = _clean(key, data[mime])
    found["extra"] = {mime: payload for mime, payload in data.items() if mime not in KEYS}
    found["is_main_result"] = main
    return found


def _clean(key: str, payload: Any) -> Any:
    if not isinstance(payload, str):
        return payload
    if key in BASE64:
        return payload.replace("\n", "")
    quoted = key == "text" and len(payload) > 1 and payload[0] == payload[-1] and payload[0] in "'\""
    return payload[1:-1] if quoted else payload
