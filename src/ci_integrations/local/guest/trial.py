"""Runs a source string inside a sandbox: for the engine's trial run, and for tests without a kernel."""

from __future__ import annotations

import json
import socket
import traceback

from ci_integrations.local.protocol.frames import Frame


def main(control: socket.socket, config: Frame) -> None:
    """Executes `config["code"]`; answers {"result": its variable `result`} or {"error": traceback} as a JSON line.

    The code finds its `config` and its `control` socket as globals.
    """
    scope: dict[str, object] = {"__name__": "__main__", "control": control, "config": config}
    try:
        exec(compile(config["code"], "<trial>", "exec"), scope)  # noqa: S102 - in the sandbox, for this purpose
        answer = {"result": scope.get("result")}
    except Exception:  # noqa: BLE001 - reported whole
        answer = {"error": traceback.format_exc()}
    control.sendall(json.dumps(answer).encode() + b"\n")
