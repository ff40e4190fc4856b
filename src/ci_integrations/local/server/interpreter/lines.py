"""Kernel events of our own kernels as the lines of `/execute`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ci_integrations.local.protocol.lines import END, count_line, error_line, result_line, stream_line


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
            return count_line(event["execution_count"])
        case "stdout" | "stderr" as stream:
            return stream_line(stream, event["text"], event["timestamp"])
        case "display":
            return result_line(event["data"], main=event["is_main_result"])
        case "error":
            return error_line(event["name"], event["value"], event["traceback"])
        case "done":
            return END
    raise AssertionError(event["type"])
