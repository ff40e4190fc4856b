"""Messages between the host, the zygote and the agents: one JSON object a packet, with file descriptors beside it.

Trusted on both ends; nothing that runs a user's code ever holds one of these sockets.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any, Final

Message = dict[str, Any]

_LARGEST: Final = 4 * 1024 * 1024
_MOST_FDS: Final = 8


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a packet socket with room for large environments."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
    return ends


def send(end: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Raises OSError(EMSGSIZE) for a message that no packet can hold (about 200 KiB without privileges)."""
    socket.send_fds(end, [json.dumps(message).encode()], list(fds))


def receive(end: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors (close-on-exec); None when the other side is gone."""
    try:
        data, fds, _, _ = socket.recv_fds(end, _LARGEST, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    if not data:
        return None
    message: Message = json.loads(data)
    return message, fds
