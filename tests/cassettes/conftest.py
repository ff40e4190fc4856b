"""A stand-in for E2B: the smallest server that the SDK can be recorded against, and it counts what reaches it."""

from __future__ import annotations

import base64
import json
import re
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import pytest

ENVD_TOKEN = "tok-0123456789abcdef"
API_KEY = "e2b_" + "5ec2e7" * 6


class StandIn(ThreadingHTTPServer):
    """Answers create, kill, /execute (a slow stream), files and two RPCs; keeps the files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[str] = []
        self.files: dict[str, bytes] = {}
        self.ids = count(1)
        self.pause = 0.0
        """Seconds between two lines of a cell's output."""

    def options(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.server_address[1]}"
        return {"api_url": url, "sandbox_url": url, "api_key": API_KEY}


class Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Silence: requests are counted instead."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):  # a client may go away in the middle of a stream
            self.close_connection = True

    def do_POST(self) -> None:
        self.dispatch()

    do_GET = do_DELETE = do_POST

    def dispatch(self) -> None:
        path = self.path.partition("?")[0]
        self.server.seen.append(f"{self.command} {path}")
        body = self.read_body()
        if path == "/v2/sandboxes":
            created = {
                "templateID": "t",
                "sandboxID": f"sbx{next(self.server.ids)}",
                "clientID": "c",
                "envdVersion": "0.6.13",
                "envdAccessToken": ENVD_TOKEN,
                "trafficAccessToken": "traffic-" + ENVD_TOKEN,
            }
            self.answer(created, 201)
        elif self.command == "DELETE":
            self.send_response(204)
            self.end_headers()
        elif path == "/execute":
            self.stream("application/json", self.cell(json.loads(body)["code"]))
        elif path == "/files" and self.command == "GET":
            self.answer_bytes(next(iter(self.server.files.values())), "application/octet-stream")
        elif path == "/files":
            self.server.files["/home/user/f"] = re.sub(rb"(?s)^.*?\r\n\r\n|\r\n--.*$", b"", body)
            self.answer([{"path": "/home/user/f", "name": "f", "type": "file"}])
        elif path.endswith("/ListDir"):
            self.answer({"entries": [{"name": "f", "type": "FILE_TYPE_FILE", "path": "/home/user/f"}]})
        elif path.endswith("/Start"):
            self.stream("application/connect+json", self.process())
        else:
            self.answer({"code": 501, "message": f"the stand-in has no {path}"}, 501)

    def read_body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def cell(self, code: str) -> Iterator[bytes]:
        for number in range(3):
            yield self.line(type="stdout", text=f"{code} {number}\n", timestamp="2026-01-01T00:00:00Z")
            time.sleep(self.server.pause)
        yield self.line(type="result", text=repr(code), is_main_result=True)
        yield self.line(type="end_of_execution")

    def line(self, **event: object) -> bytes:
        return json.dumps(event).encode() + b"\n"

    def process(self) -> Iterator[bytes]:
        yield self.envelope({"event": {"start": {"pid": 7}}})
        yield self.envelope({"event": {"data": {"stdout": base64.b64encode(b"hello\n").decode()}}})
        yield self.envelope({"event": {"end": {"exitCode": 0, "exited": True, "status": "exit status 0"}}})
        yield self.envelope({}, flags=2)

    def envelope(self, message: object, flags: int = 0) -> bytes:
        payload = json.dumps(message).encode()
        return struct.pack(">BI", flags, len(payload)) + payload

    def stream(self, kind: str, parts: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in parts:
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, value: object, status: int = 200) -> None:
        self.answer_bytes(json.dumps(value).encode(), "application/json", status)

    def answer_bytes(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[StandIn]:
    """Running; closed at the end."""
    standin = StandIn()
    thread = threading.Thread(target=standin.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield standin
    standin.shutdown()
    standin.server_close()
    thread.join()


@pytest.fixture
def elsewhere() -> dict[str, Any]:
    """Options that lead to E2B's own addresses, with a key that is none: what a replay is asked under."""
    return {"api_key": "e2b_" + "0" * 40}
