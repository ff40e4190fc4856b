"""What a kernel shows becomes an event or a line here. The event loop and the decoder (`decoder.py`) use it."""

from __future__ import annotations

from ci_integrations.local.protocol.frames import Frame
from ci_integrations.local.protocol.lines import error_line, result_line

Event = Frame
"""One event, by its "type": started, stdout, stderr, display, error, died or done.

A display or an error that was large has a "line", a list of the pieces of the line of `/execute` that tells it, in the
place of its own fields.
"""


def result_event(frame: Frame) -> Event | None:
    """Returns the event of a frame of the kind "display" or "error". None for a bundle that is malformed or empty."""
    if frame.get("type") == "display":
        return _display(frame)
    said = {key: str(frame.get(key, "")) for key in ("name", "value", "traceback")}
    # An error without a traceback is the server's own word, by which a client knows a kernel's death: user code must
    # not be able to say it.
    said["traceback"] = said["traceback"] or f"{said['name']}: {said['value']}"
    return {"type": "error", **said}


def _display(frame: Frame) -> Event | None:
    data = frame.get("data")
    if not isinstance(data, dict) or not data:
        return None
    return {"type": "display", "data": data, "is_main_result": frame.get("is_main_result") is True}


def result_as_line(event: Event) -> bytes:
    """Returns the line of `/execute` for a display or an error."""
    if event["type"] == "display":
        return result_line(event["data"], main=event["is_main_result"])
    return error_line(event["name"], event["value"], event["traceback"])
