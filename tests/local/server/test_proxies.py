"""No proxy of the environment ever sees the traffic of a local sandbox."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

PROGRAM = """
import asyncio
from e2b_code_interpreter import AsyncSandbox
from ci_integrations import CodeInterpreter
from ci_integrations.local.launcher import local_endpoint

with CodeInterpreter(backend="local", **options) as interpreter:
    interpreter.upload(b"PAYROLL", "/home/user/list.txt")
    print(interpreter.run("open('list.txt').read()").text, interpreter.run_command("cat list.txt").stdout)
    print(interpreter.download("list.txt"))

async def use():
    sandbox = await AsyncSandbox.create(**local_endpoint().sdk_options())
    print((await sandbox.run_code("'AWAITED'")).text)
    await sandbox.kill()
asyncio.run(use())
"""


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that takes down what it gets and answers nobody."""
    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            seen.append(client.recv(65536))
            client.close()

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}", seen
    listener.close()


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        (["HTTP_PROXY", "HTTPS_PROXY"], {}),
        pytest.param(["http_proxy", "https_proxy", "all_proxy"], {}, marks=pytest.mark.slow),
        pytest.param(["ALL_PROXY"], {}, marks=pytest.mark.slow),
        pytest.param([], {"proxy": "http://{}"}, marks=pytest.mark.slow),
    ],
)
def test_a_live_proxy_sees_nothing(
    proxy: tuple[str, list[bytes]], variables: list[str], options: dict[str, str]
) -> None:
    address, seen = proxy
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    env = clean | dict.fromkeys(variables, f"http://{address}") | {"NO_PROXY": "localhost,.corp.example"}
    given = {name: value.format(address) for name, value in options.items()}
    done = subprocess.run(
        [sys.executable, "-c", f"options = {given!r}\n{PROGRAM}"],
        env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "AWAITED" in done.stdout, done.stderr[-2000:]
    assert done.stdout.count("PAYROLL") == 3
    assert seen == []
