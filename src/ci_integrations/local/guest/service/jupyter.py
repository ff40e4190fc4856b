"""Becomes the jupyter-server of a sandbox, with the settings that E2B's template gives it and its kernels."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Final, NoReturn

PORT: Final = 8888
_FOLDER: Final = Path("/tmp/.jupyter")  # noqa: S108 - of the sandbox
_STARTUP: Final = Path(__file__).with_name("startup")
"""Files that each kernel runs when it starts, in the namespace of user's code, as E2B's does."""
_KERNEL_CONFIG: Final = """\
c.InteractiveShell.colors = "NoColor"
c.PlainTextFormatter.max_seq_length = 0
"""
_SERVER_CONFIG: Final = f"""\
c.ServerApp.root_dir = "/home/user"
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = {PORT}
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.ServerApp.allow_remote_access = True
c.ServerApp.disable_check_xsrf = True
c.IdentityProvider.token = ""
c.ZMQChannelsWebsocketConnection.iopub_data_rate_limit = 1000000000
"""
_KEPT: Final = {"HOME", "PATH", "PYTHONPATH", "PIP_TARGET"}
"""Variables without which nothing runs here."""
_PROGRAM: Final = """\
import sys
sys.modules["rfc3987_syntax"] = None  # jsonschema would read a whole grammar with it, for two seconds, and goes without
from jupyter_server.serverapp import main
main()
"""


def main(_control: socket.socket, config: dict[str, dict[str, str]]) -> NoReturn:
    """Replaces this process by jupyter-server.

    It and its kernels do not inherit what a client gave the sandbox, `config["envs"]`: at E2B they run before that.
    """
    for name in os.environ.keys() & config["envs"].keys() - _KEPT:
        del os.environ[name]
    profile = _FOLDER / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(_KERNEL_CONFIG)
    for name in ("data.py", "images.py"):
        (profile / "startup" / name).write_text((_STARTUP / name).read_text())
    (_FOLDER / "jupyter_server_config.py").write_text(_SERVER_CONFIG)
    os.environ.update(
        IPYTHONDIR=str(_FOLDER / "ipython"),
        JUPYTER_CONFIG_DIR=str(_FOLDER),
        JUPYTER_DATA_DIR=str(_FOLDER / "data"),
        JUPYTER_RUNTIME_DIR=str(_FOLDER / "runtime"),
    )
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.execv(sys.executable, [sys.executable, "-P", "-c", _PROGRAM, "--log-level=CRITICAL"])  # noqa: S606
