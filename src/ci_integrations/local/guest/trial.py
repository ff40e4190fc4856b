"""An entry that runs a source string: for the engine's trial run and for tests without a kernel. Runs inside."""

from __future__ import annotations

import json
import socket
import traceback
from typing import Any


def main(control: socket.socket, config: dict[str, Any]) -> None:
    """Execute `config["code"]`; answer {"result": its variable `result`} or {"error": traceback} as a JSON line.

    The code finds its `config` and its `control` socket as globals.
    """
    scope: dict[str, Any] = {"__name__": "__main__", "control": control, "config": config}
    try:
        exec(compile(config["code"], "<trial>", "exec"), scope)  # noqa: S102 - in the sandbox, for this purpose
        answer: dict[str, Any] = {"result": scope.get("result")}
    except Exception:  # noqa: BLE001 - reported whole
        answer = {"error": traceback.format_exc()}
    control.sendall(json.dumps(answer).encode() + b"\n")
