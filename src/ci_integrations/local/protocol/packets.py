"""The host, the zygote and the agents exchange these messages: one JSON object a packet, with descriptors beside it.

Both ends are trusted. A process that runs a user's code never holds one of these sockets.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

Message = dict[str, Any]

_LARGEST: Final = 4 * 1024 * 1024
_MOST_FDS: Final = 8


def pair() -> tuple[socket.socket, socket.socket]:
    """Returns two ends of a packet socket with room for large environments."""
    # SEQPACKET keeps the borders of messages, so that descriptors stay with theirs; a stream may merge two sends.
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        # The kernel cuts this to net.core.wmem_max (212 992 bytes by default) and says nothing.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
    return ends


def taken_from_stdin() -> socket.socket:
    """Returns the packet socket that this process was given as standard input, which is /dev/null afterwards."""
    end = socket.socket(fileno=os.dup(0))
    # dup() made it close-on-exec, dup2() below leaves 0 inheritable: a program started later finds no socket.
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    return end


def send(end: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Sends a message. Raises OSError(EMSGSIZE) for one that no packet can hold (about 200 KiB)."""
    socket.send_fds(end, [json.dumps(message).encode()], list(fds))


def receive(end: socket.socket) -> tuple[Message, list[int]] | None:
    """Returns the next message and its descriptors (close-on-exec); None when the other side is gone."""
    try:
        data, fds, _, _ = socket.recv_fds(end, _LARGEST, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None  # the other side closed with messages of ours unread; a clean close reads as b""
    if not data:
        return None
    message: Message = json.loads(data)
    return message, fds
