"""Opens the listening socket of a sandbox's network proxy, inside the sandbox."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from ci_integrations.local.protocol.contract import PORT


def listen(control: socket.socket, _config: Mapping[str, object]) -> None:
    """Inside the sandbox: a listening socket on its loopback, handed to the host."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", PORT))
        listener.listen(128)
        socket.send_fds(control, [b"L"], [listener.fileno()])
