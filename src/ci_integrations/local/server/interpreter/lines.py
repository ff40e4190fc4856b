"""Kernel events as the lines of `/execute`: one JSON object a line, and no line without one.

Lines are ASCII. The Python SDK splits at every Unicode line end, and the JavaScript SDK decodes chunk by chunk, so that
a character of several bytes could break.
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
"""MIME types that have a name of their own, in the order in which E2B's server writes them."""
BASE64 = ("png", "jpeg", "pdf")
"""Jupyter breaks base64 into lines; E2B sends it without."""


def line(value: Mapping[str, object]) -> bytes:
    """Returns one line. NaN and infinities become null: JavaScript's parser refuses them."""
    # Most values have neither, so the walk over all of them is made only when it is needed.
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
"""The last line. To the SDK a stream without it looks like a success, so nothing else may end a stream quietly."""


def error_line(name: str, value: str, traceback: str = "") -> bytes:
    """Returns the line of an error. The SDK needs all three fields."""
    return line({"type": "error", "name": name, "value": value, "traceback": traceback})


def died_line(reason: str, *, removed: bool = False) -> bytes:
    """Returns what a client reads when the kernel died while its cell ran, in the words of E2B's server.

    A reason, such as a limit, is added only when the engine had one. `removed`: the context was removed meanwhile.
    """
    if removed:
        return error_line(
            "UnexpectedEndOfExecution", "Connection to the execution was closed before the execution was finished"
        )
    plain = not reason or reason.startswith(("exited with code", "killed by"))
    return error_line("ContextRestarting", "Context was restarted" if plain else f"Context was restarted: {reason}")


def line_of(event: Mapping[str, Any]) -> bytes:
    """Returns the line of a kernel event other than `died`."""
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
    """Returns a MIME bundle as the SDK's Result: `extra` holds the types without a name, and is always there."""
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
    # E2B strips one pair of quotes, so that the value 'abc' is shown as abc.
    quoted = key == "text" and len(payload) > 1 and payload[0] == payload[-1] and payload[0] in "'\""
    return payload[1:-1] if quoted else payload
