"""Opens the listening socket of a sandbox's network proxy, inside the sandbox."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from ci_integrations.local.protocol.contract import PORT


def listen(control: socket.socket, _config: Mapping[str, object]) -> None:
    """Makes a listening socket on the sandbox's loopback and hands it to the host over `control`. Raises OSError.

    A socket belongs to the network namespace that it was made in, whoever holds it: the host accepts on this one and
    so gets the connections of the sandbox, without a route between the two.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # A sandbox that gets another network may still have connections of the first one in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", PORT))
        listener.listen(128)
        socket.send_fds(control, [b"L"], [listener.fileno()])
