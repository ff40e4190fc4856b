"""Kernel events as the lines of `/execute`, and the 422 bodies of the reference.

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


# -- request validation, in the words of the reference's framework


def parse_body(raw: bytes, fields: Mapping[str, tuple[type, ...]]) -> tuple[Any, dict[str, Any] | None]:
    """The body and the first thing wrong with it, or None."""
    if not raw:
        return None, detail("missing", ["body"], "Field required", None)
    try:
        body = json.loads(raw)
    except json.JSONDecodeError as error:
        return None, detail("json_invalid", ["body", error.pos], "JSON decode error", {}, {"error": error.msg})
    except (ValueError, RecursionError) as error:
        return None, detail("json_invalid", ["body", 0], "JSON decode error", {}, {"error": str(error)})
    return body, problem_with(body, fields)


def detail(
    kind: str, where: list[Any], message: str, given: Any, context: Mapping[str, str] | None = None
) -> dict[str, Any]:
    found = {"type": kind, "loc": where, "msg": message, "input": given}
    return {**found, "ctx": dict(context)} if context else found


def problem_with(body: Any, fields: Mapping[str, tuple[type, ...]]) -> dict[str, Any] | None:
    """The first thing wrong with a body, None when it is as it should be."""
    if not isinstance(body, dict):
        return detail("model_attributes_type", ["body"], "Input should be a valid dictionary or object", body)
    for name, types in fields.items():
        if name not in body and type(None) not in types:
            return detail("missing", ["body", name], "Field required", body)
        if name in body and not isinstance(body[name], types):
            return _wrong_type(["body", name], types, body[name])
    for name, value in (body.get("env_vars") or {}).items() if "env_vars" in fields else ():
        if not isinstance(value, str):
            return _wrong_type(["body", "env_vars", name], (str,), value)
    return None


def _wrong_type(where: list[Any], types: tuple[type, ...], given: Any) -> dict[str, Any]:
    kind, words = ("dict_type", "dictionary") if dict in types else ("string_type", "string")
    return detail(kind, where, f"Input should be a valid {words}", given)
