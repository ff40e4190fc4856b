"""The decoder is a process of the host's that reads the large frames of one sandbox, outside of the event loop.

A frame of millions of values takes seconds to decode. Here that delays nobody. The program reads frames from the socket
on its standard input and answers each of them there.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct

from ci_integrations.local.host.results import result_as_line, result_event
from ci_integrations.local.protocol.frames import Frame, FrameError, decode, exactly

SIZES = struct.Struct("!II")
"""Before an answer: the bytes of what is said about the frame, as JSON, and of its line."""
LENGTH = struct.Struct("!I")
"""Before a frame: its bytes."""
_MEMORY = 2 << 30
_NICE = 5
"""Other sandboxes come first: this is work that one of them makes."""


def main() -> None:
    """Answers frames until the host closes the socket."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    os.nice(_NICE)
    with socket.socket(fileno=os.dup(0)) as end:
        while (header := exactly(end, LENGTH.size)) is not None:
            body = exactly(end, LENGTH.unpack(header)[0])
            if body is None:
                return
            said, line = answer(body)
            about = json.dumps(said).encode()
            end.sendall(SIZES.pack(len(about), len(line)) + about)
            end.sendall(line)


def answer(body: bytes) -> tuple[Frame, bytes]:
    """Returns what a frame says in short, and the line of its result, which is empty when it has none.

    A frame that is refused has the reason under "refused".
    """
    try:
        frame = decode(body)
        kind, number = frame.get("type"), frame.get("id")
        said: Frame = {
            "id": number if type(number) is int and abs(number) < 1 << 62 else None,
            "type": kind if isinstance(kind, str) and len(kind) < 100 else None,
            "exiting": frame.get("exiting") is True,
        }
        event = result_event(frame) if kind in ("display", "error") else None
        return said, b"" if event is None else result_as_line(event)
    except FrameError as error:
        return {"refused": str(error)}, b""
    except (MemoryError, RecursionError):
        return {"refused": "a frame needs too much memory"}, b""


if __name__ == "__main__":
    main()
