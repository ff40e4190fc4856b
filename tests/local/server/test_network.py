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
from e2b import SandboxException, SandboxNotFoundException
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


def asked(sandbox: Sandbox, url: str) -> str:
    """What a cell gets that opens the address: the status and the words of the proxy, or the failure."""
    printed = sandbox.run_code(
        "import urllib.request, urllib.error\n"
        "urllib.request.proxy_bypass = lambda host: False\n"  # the index that the test serves is at 127.0.0.1
        f"try:\n    r = urllib.request.build_opener().open({url!r}, timeout=5); print(r.status)\n"
        "except urllib.error.HTTPError as e:\n    print(e.code, e.read().decode())\n"
        "except OSError as e:\n    print(e)"
    ).logs.stdout
    return "".join(printed)


def test_a_closed_sandbox_is_opened_and_closed_again_while_it_runs(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index)
    options: dict[str, Any] = local_endpoint(limits={"processes": 258}).sdk_options()
    with Sandbox.create(**options) as sandbox:
        page = f"{index}/ci-tiny/"
        assert "refused" in asked(sandbox, page)
        sandbox.update_network({"deny_out": ["example.org"]})
        assert "refused" in asked(sandbox, page), "to deny something opens nothing"

        sandbox.update_network({"allow_out": ["allowed.example.org"]})
        assert asked(sandbox, page) == "200\n"
        assert sandbox.commands.run("echo $https_proxy").stdout == "http://127.0.0.1:3128\n"
        sandbox.run_code("%pip install ci-tiny")
        assert sandbox.run_code("import ci_tiny; ci_tiny.ANSWER").text == "42"
        assert "not among the hosts" in asked(sandbox, "http://other.example.org/")
        assert sandbox.get_info().network["allow_out"] == ["allowed.example.org"]

        sandbox.update_network({"allow_internet_access": True, "deny_out": ["198.41.0.4", "*.example.org"]})
        assert asked(sandbox, page) == "200\n"
        assert "denied by the sandbox's network rules" in asked(sandbox, "http://198.41.0.4/")
        assert "denied by the sandbox's network rules" in asked(sandbox, "http://www.example.org/")

        sandbox.update_network({"deny_out": ["0.0.0.0/0"]})
        assert "denied" in asked(sandbox, page)


def test_single_hosts_are_denied_from_the_start(index: str) -> None:
    options: dict[str, Any] = local_endpoint(limits={"processes": 258}).sdk_options()
    network = {"deny_out": ["198.41.0.0/24"]}
    with Sandbox.create(allow_internet_access=True, network=network, **options) as sandbox:
        assert "denied by the sandbox's network rules" in asked(sandbox, "http://198.41.0.4/")


def test_rules_that_are_not_done_and_sandboxes_that_are_not_there() -> None:
    options: dict[str, Any] = local_endpoint().sdk_options()
    with Sandbox.create(**options) as sandbox:
        with pytest.raises(SandboxException, match=r"501.*dnsServers"):
            sandbox.update_network({"dns_servers": ["198.41.0.4"]})
        sandbox.pause()
        with pytest.raises(SandboxException, match="409.*paused"):
            sandbox.update_network({"allow_out": ["example.org"]})
    with pytest.raises(SandboxNotFoundException):
        Sandbox.update_network("i" + "a" * 20, {"allow_out": ["example.org"]}, **options)
