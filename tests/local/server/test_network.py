"""The way out of a sandbox, through the unmodified SDK: closed by default, and pip from an index the test serves."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import local_endpoint


def wheel() -> tuple[str, bytes]:
    """A small pure-Python package, `ci_tiny` 1.0."""
    out = io.BytesIO()
    files = {
        "ci_tiny.py": b"ANSWER = 42\n",
        "ci_tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: ci-tiny\nVersion: 1.0\n",
        "ci_tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(out, "w") as archive:
        record = ""
        for name, data in files.items():
            archive.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(data)}\n"
        archive.writestr("ci_tiny-1.0.dist-info/RECORD", record + "ci_tiny-1.0.dist-info/RECORD,,\n")
    return "ci_tiny-1.0-py3-none-any.whl", out.getvalue()


@pytest.fixture
def index() -> Iterator[str]:
    """A package index on the host's loopback that knows one package."""
    name, data = wheel()
    page = f'<!DOCTYPE html><html><body><a href="/files/{name}">{name}</a></body></html>'.encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {"/simple/ci-tiny/": ("text/html", page), f"/files/{name}": ("application/zip", data)}
            mime, body = known.get(self.path, (None, b""))
            self.send_response(200 if mime else 404)
            self.send_header("Content-Type", mime or "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def stdout(run: Any) -> str:
    return "".join(run.logs.stdout) + "".join(run.logs.stderr)


def test_pip_installs_from_the_hosts_index_and_only_there(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index)
    options: dict[str, Any] = local_endpoint(limits={"processes": 257}).sdk_options()
    sandbox = Sandbox.create(allow_internet_access=True, **options)
    installed = sandbox.run_code("%pip install ci-tiny")
    assert sandbox.run_code("import ci_tiny; ci_tiny.ANSWER").text == "42", stdout(installed)
    host = index.split("/")[2]
    other = sandbox.commands.run("cd /; python3 -c 'import os; print(os.environ[\"https_proxy\"])'").stdout
    assert other == "http://127.0.0.1:3128\n"
    refused = sandbox.run_code(
        f"!curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.2:{host.split(':')[1]}/ || true"
    )
    assert "200" not in stdout(refused)
    closed = sandbox.run_code(
        "import urllib.request, urllib.error\n"
        "try:\n    urllib.request.urlopen('http://169.254.169.254/latest', timeout=5)\n"
        "except urllib.error.HTTPError as e:\n    print(e.code, e.read().decode())"
    )
    assert "403" in stdout(closed)
    assert "reserved" in stdout(closed)
    sandbox.kill()


def test_without_a_network_pip_says_so_in_one_line() -> None:
    options: dict[str, Any] = local_endpoint().sdk_options()
    sandbox = Sandbox.create(**options)
    run = sandbox.run_code("%pip install ci-tiny")
    assert "this sandbox has no internet access" in stdout(run) + (run.error.value if run.error else "")
    assert stdout(run).count("\n") <= 1
    sandbox.kill()
