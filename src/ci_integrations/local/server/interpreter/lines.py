"""Kernel events of our own kernels as the lines of `/execute`."""

from __future__ import annotations

from ci_integrations.local.host.results import Event, result_as_line
from ci_integrations.local.protocol.lines import END, count_line, error_line, stream_line

_PIECE = 1 << 18
"""Bytes of one piece of a line: what is written at once."""


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


def pieces_of(event: Event) -> list[bytes]:
    """Returns the line of a kernel event other than `died`, in pieces when it is large."""
    if (line := event.get("line")) is not None:
        return list(line)
    whole = _line_of(event)
    return [whole[start : start + _PIECE] for start in range(0, len(whole), _PIECE)]


def _line_of(event: Event) -> bytes:
    match event["type"]:
        case "started":
            return count_line(event["execution_count"])
        case "stdout" | "stderr" as stream:
            return stream_line(stream, event["text"], event["timestamp"])
        case "display" | "error":
            return result_as_line(event)
        case "done":
            return END
    raise AssertionError(event["type"])
