"""Lines of `/execute`: one JSON object a line, and no line without one. Both kinds of local server write them.

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
KEEPALIVE_SECONDS = 5.0
"""Silence after which a line shows that the cell still runs, as at E2B."""
END = line({"type": "end_of_execution"})
"""The last line. To the SDK a stream without it looks like a success, so nothing else may end a stream quietly."""


def count_line(execution_count: int) -> bytes:
    """Returns the line that says that a kernel has taken a cell, and under which number."""
    return line({"type": "number_of_executions", "execution_count": execution_count})


def stream_line(stream: str, text: str, timestamp: str) -> bytes:
    """Returns a line of output. `stream` is "stdout" or "stderr", `timestamp` is in ISO 8601."""
    return line({"type": stream, "text": text, "timestamp": timestamp})


def error_line(name: str, value: str, traceback: str = "") -> bytes:
    """Returns the line of an error. The SDK needs all three fields."""
    return line({"type": "error", "name": name, "value": value, "traceback": traceback})


def result_line(data: Mapping[str, Any], *, main: bool) -> bytes:
    """Returns the line of a MIME bundle as the SDK's Result. `main`: whether it is the value of the cell's end.

    `extra` holds the types without a name, and is always there.
    """
    found: dict[str, Any] = {"type": "result"}
    for mime, key in KEYS.items():
        if data.get(mime) is not None:
            found[key] = _clean(key, data[mime])
    found["extra"] = {mime: payload for mime, payload in data.items() if mime not in KEYS}
    found["is_main_result"] = main
    return line(found)


def _clean(key: str, payload: Any) -> Any:
    if not isinstance(payload, str):
        return payload
    if key in BASE64:
        return payload.replace("\n", "")
    # E2B strips one pair of quotes, so that the value 'abc' is shown as abc.
    quoted = key == "text" and len(payload) > 1 and payload[0] == payload[-1] and payload[0] in "'\""
    return payload[1:-1] if quoted else payload
