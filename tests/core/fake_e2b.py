"""A small E2B service in this process, for the real SDK to talk to: enough of the wire for sessions and recovery.

Cells are Python run by `exec` in a thread; `runs` counts how often each code text was run, in the "sandbox" itself.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import ctypes
import itertools
import json
import socket
import subprocess
import threading
import time
import traceback
import uuid
import weakref
from collections import Counter
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote_plus, urlsplit

pids = itertools.count(1000)


def iso(stamp: float) -> str:
    return datetime.fromtimestamp(stamp, UTC).isoformat()


class Killed(BaseException):
    """Raised in a cell's thread when its kernel is taken away."""


class FakeKernel:
    def __init__(self, language: str = "python", cwd: str = "/home/user", context_id: str | None = None) -> None:
        self.id, self.language, self.cwd = context_id or str(uuid.uuid4()), language, cwd
        self.lock = threading.Lock()
        self.ending = threading.Lock()
        self.ended: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        """Threads that are over: the id of one may be another's by now, and an exception would hit the wrong cell."""
        self.fresh()

    def fresh(self) -> None:
        self.count, self.dead = 1, threading.Event()
        self.thread: threading.Thread | None = None
        self.began = 0.0
        shell = type("Shell", (), {})()
        shell.execution_count = 0
        self.shell = shell
        self.names: dict[str, Any] = {"get_ipython": lambda: shell}

    def raise_in_cell(self, error: type[BaseException], thread: threading.Thread | None = None) -> None:
        thread = thread or self.thread
        with self.ending:
            if thread is not None and thread.ident and thread not in self.ended and thread.is_alive():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(error))

    def restart(self) -> None:
        thread, dead, age = self.thread, self.dead, time.monotonic() - self.began
        self.fresh()
        dead.set()
        if thread is not None and age > 0.1:
            self.raise_in_cell(Killed, thread)  # a short cell ends by itself; its thread's id may be another's by now

    def describe(self) -> dict[str, str]:
        return {"id": self.id, "language": self.language, "cwd": self.cwd}


class FakeSandbox:
    def __init__(self, service: FakeE2B, body: dict[str, Any]) -> None:
        self.id, self.body, self.service = "sbx" + uuid.uuid4().hex[:16], body, service
        self.state, self.started = "running", time.time()
        self.end = self.started + body.get("timeout", 300)
        self.files: dict[str, bytes] = {}
        self.commands: list[str] = []
        self.kernels = {}
        self.add(FakeKernel())

    def add(self, kernel: FakeKernel) -> FakeKernel:
        self.kernels[kernel.id] = kernel
        return kernel

    def default(self, language: str) -> FakeKernel:
        for kernel in self.kernels.values():
            if kernel.language == language:
                return kernel
        return self.add(FakeKernel(language))

    def stop(self) -> None:
        self.state = "dead"
        for kernel in self.kernels.values():
            kernel.restart()

    def pause(self, memory: bool = True) -> None:
        self.state = "paused"
        for kernel in self.kernels.values():
            kernel.dead.set()
            if memory:
                kernel.dead = threading.Event()
            else:
                kernel.restart()

    def describe(self) -> dict[str, Any]:
        return {
            "templateID": self.body.get("templateID", "code-interpreter-v1"), "sandboxID": self.id, "clientID": "c",
            "envdVersion": "0.6.13", "envdAccessToken": "tok", "domain": "sandbox.test", "startedAt": iso(self.started),
            "endAt": iso(self.end), "cpuCount": 1, "memoryMB": 512, "diskSizeMB": 512, "state": self.state,
            "metadata": self.body.get("metadata", {}), "lifecycle": {"autoResume": False, "onTimeout": "kill"},
        }  # fmt: skip


class FakeE2B:
    """The service. `with FakeE2B() as service: CodeInterpreter(**service.options)`."""

    def __init__(self) -> None:
        self.sandboxes: dict[str, FakeSandbox] = {}
        self.by_key: dict[str, FakeSandbox] = {}
        self.requests: list[str] = []
        self.connections: set[socket.socket] = set()
        self.runs: Counter[str] = Counter()
        self.create_status: list[int] = []
        self.create_answers: list[tuple[int, str]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        """What a command with these words in it gives, instead of being run."""
        self.lock = threading.Lock()
        service = self

        class Handler(_Handler):
            e2b = service

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def options(self) -> dict[str, Any]:
        return {"api_key": "e2b_000", "api_url": self.url, "sandbox_url": self.url, "inject_extractor": False}

    @property
    def alive(self) -> list[FakeSandbox]:
        return [box for box in self.sandboxes.values() if box.state != "dead"]

    @property
    def only(self) -> FakeSandbox:
        (box,) = self.alive
        return box

    def kernels_die(self) -> None:
        for kernel in self.only.kernels.values():
            kernel.restart()

    def refuse(self, times: int) -> None:
        """The next sandboxes are refused."""
        self.create_status += [503] * times

    def count(self, prefix: str) -> int:
        return sum(line.startswith(prefix) for line in self.requests)

    def close(self) -> None:
        for box in self.sandboxes.values():
            box.stop()
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    e2b: FakeE2B

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        self.e2b.connections.add(self.connection)
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def _route(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(size) if size else self._chunked()
        url = urlsplit(self.path)
        self.query = {k: v[0] for k, v in parse_qs(url.query).items()}
        port = self.headers.get("E2b-Sandbox-Port", "api")
        self.e2b.requests.append(f"{port} {self.command} {url.path}")
        if port == "api":
            return self._api(url.path.strip("/").split("/"))
        box = self.e2b.sandboxes.get(self.headers.get("E2b-Sandbox-Id", ""))
        if box is None or box.state != "running":
            return self._json(502, {"sandboxId": "x", "message": "The sandbox was not found", "code": 502})
        return self._interpreter(box, url.path) if port == "49999" else self._envd(box, url.path)

    do_GET = do_POST = do_DELETE = do_PUT = _route

    def _chunked(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return b""
        parts = []
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, status: int, body: bytes = b"", kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode())

    # control plane
    def _api(self, parts: list[str]) -> None:
        body = json.loads(self.body or b"{}")
        if self.headers.get("X-API-KEY") == "wrong":
            return self._json(401, {"code": 401, "message": "Invalid API key"})
        if parts[-1] == "sandboxes":
            return self._create(body) if self.command == "POST" else self._list()
        box = self.e2b.sandboxes.get(parts[parts.index("sandboxes") + 1])
        if box is None or box.state == "dead":
            return self._json(404, {"code": 404, "message": "Sandbox doesn't exist"})
        return self._one(box, parts[-1], body)

    def _create(self, body: dict[str, Any]) -> None:
        if self.e2b.create_status:
            self.e2b.create_answers.append((self.e2b.create_status.pop(0), "no"))
        if self.e2b.create_answers:
            status, message = self.e2b.create_answers.pop(0)
            self.send_response(status)
            text = json.dumps({"code": status, "message": message}).encode()
            self.send_header("Should-Retry", "false")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return None
        key = self.headers.get("Idempotency-Key") or uuid.uuid4().hex
        with self.e2b.lock:
            box = self.e2b.by_key.get(key) or FakeSandbox(self.e2b, body)
            self.e2b.by_key[key] = self.e2b.sandboxes[box.id] = box
        return self._json(201, box.describe())

    def _list(self) -> None:
        wanted = dict(p.split("=", 1) for p in self.query.get("metadata", "").split("&") if p)
        wanted = {unquote_plus(unquote_plus(k)): unquote_plus(unquote_plus(v)) for k, v in wanted.items()}
        self._json(200, [
            box.describe() for box in self.e2b.alive if wanted.items() <= box.body.get("metadata", {}).items()
        ])  # fmt: skip

    def _one(self, box: FakeSandbox, what: str, body: dict[str, Any]) -> None:
        if what == "timeout":
            box.end = time.time() + body["timeout"]
            return self._send(204)
        if what == "pause":
            box.pause(body.get("memory", True))
            return self._send(204)
        if what == "connect":
            resumed, box.state = box.state == "paused", "running"
            box.end = max(box.end, time.time() + body.get("timeout", 300))
            return self._json(201 if resumed else 200, box.describe())
        if self.command == "DELETE":
            box.stop()
            return self._send(204)
        return self._json(200, box.describe())

    # envd
    def _envd(self, box: FakeSandbox, path: str) -> None:
        if path == "/health":
            return self._send(204)
        if path == "/files":
            return self._files(box)
        if path.endswith("Process/Start"):
            return self._start(box)
        if path.endswith("Filesystem/ListDir"):
            folder = json.loads(self.body)["path"].rstrip("/") + "/"
            names = [name for name in box.files if name.startswith(folder)]
            return self._json(200, {"entries": [
                {"name": n.rsplit("/", 1)[1], "type": "FILE_TYPE_FILE", "path": n, "size": str(len(box.files[n]))}
                for n in names
            ]})  # fmt: skip
        return self._json(404, {"code": "not_found", "message": path})

    def _files(self, box: FakeSandbox) -> None:
        path = self.query.get("path", "")
        if self.command == "GET":
            if path not in box.files:
                return self._json(404, {"code": 404, "message": f"path '{path}' does not exist"})
            return self._send(200, box.files[path], "application/octet-stream")
        data = self.body
        if "multipart" in self.headers.get("Content-Type", ""):
            data = data.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        box.files[path] = data
        return self._json(200, [{"path": path, "name": path.rsplit("/", 1)[-1], "type": "file"}])

    def _start(self, box: FakeSandbox) -> None:
        command = json.loads(self.body[5:])["process"]["args"][-1]
        box.commands.append(command)
        self._stream_head("application/connect+json")
        self._frame({"event": {"start": {"pid": next(pids)}}})
        code, out = self._command(box, command)
        if out:
            self._frame({"event": {"data": {"stdout": base64.b64encode(out).decode()}}})
        self._frame(
            {
                "event": {
                    "end": {"exited": True, "status": f"exit status {code}", **({"exitCode": code} if code else {})}
                }
            }
        )
        self._frame({}, 2)
        self._chunk(b"")

    def _command(self, box: FakeSandbox, command: str) -> tuple[int, bytes]:
        words = command.split()
        if words[:2] == ["kill", "-INT"]:
            running = [kernel for kernel in box.kernels.values() if kernel.thread and kernel.thread.is_alive()]
            for kernel in running:  # all "kernels" are this process
                kernel.raise_in_cell(KeyboardInterrupt)
            return 0, b""
        if words[:2] == ["kill", "-KILL"]:  # as above: never this process itself
            for kernel in box.kernels.values():
                kernel.restart()
            return 0, b""
        for given, answer in self.e2b.answers.items():
            if given in command:
                return answer
        self.e2b.runs[command] += 1
        with subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE) as process:
            while process.poll() is None:
                time.sleep(0.02)
                if box.state != "running":
                    process.kill()
                    self.connection.close()
                    raise ConnectionError
            return process.returncode, process.stdout.read() if process.stdout else b""

    def _frame(self, value: Any, flags: int = 0) -> None:
        data = json.dumps(value).encode()
        self._chunk(bytes([flags]) + len(data).to_bytes(4, "big") + data)

    def _stream_head(self, kind: str | None = None) -> None:
        self.send_response(200)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    # code interpreter
    def _interpreter(self, box: FakeSandbox, path: str) -> None:
        body = json.loads(self.body or b"{}")
        if path == "/execute":
            return self._execute(box, body)
        parts = path.strip("/").split("/")
        if len(parts) == 1:
            if self.command == "GET":
                return self._json(200, [kernel.describe() for kernel in box.kernels.values()])
            kernel = box.add(FakeKernel(body.get("language") or "python", body.get("cwd") or "/home/user"))
            return self._json(200, kernel.describe())
        kernel = box.kernels.get(parts[1])
        if kernel is None:
            return self._send(404, f"Context {parts[1]} not found".encode(), "text/plain")
        kernel.restart()
        if self.command == "DELETE":
            del box.kernels[parts[1]]
        return self._json(200, None)

    def _execute(self, box: FakeSandbox, body: dict[str, Any]) -> None:
        wanted = body.get("context_id")
        kernel = box.kernels.get(wanted) if wanted else box.default(body.get("language") or "python")
        if kernel is None:
            return self._send(404, f"Context {wanted} not found".encode(), "text/plain")
        self._stream_head()
        with kernel.lock:
            self._cell(box, kernel, body)
        self._chunk(b"")
        return None

    def _line(self, **message: Any) -> None:
        self._chunk((json.dumps(message) + "\n").encode())

    def _cell(self, box: FakeSandbox, kernel: FakeKernel, body: dict[str, Any]) -> None:
        code, dead = body["code"], kernel.dead
        tree = ast.parse(code)
        if not tree.body:
            self._line(type="number_of_executions", execution_count=kernel.count)
            return
        self.e2b.runs[code] += 1
        self._line(type="number_of_executions", execution_count=kernel.count)
        count, kernel.count = kernel.count, kernel.count + 1
        kernel.shell.execution_count = count
        thread = threading.Thread(target=self._exec, args=(kernel, tree), daemon=True)
        kernel.thread, kernel.began = thread, time.monotonic()
        thread.start()
        while thread.is_alive() and not dead.is_set():
            thread.join(0.02)
            self._check_client(kernel)
        if dead.is_set():
            if box.state == "running":
                self._line(type="error", name="ContextRestarting", value="Context was restarted", traceback="")
            else:
                self.connection.close()
                raise ConnectionError
        elif kernel.shell.execution_count < count:
            kernel.count = count

    def _check_client(self, kernel: FakeKernel) -> None:
        """A client that went away interrupts the kernel."""
        import select

        if select.select([self.connection], [], [], 0)[0]:
            kernel.raise_in_cell(KeyboardInterrupt)
            kernel.thread.join(4)  # a kernel that does not stop answers nobody
            raise ConnectionError

    def _exec(self, kernel: FakeKernel, tree: ast.Module) -> None:
        def out(*words: object, end: str = "\n") -> None:
            self._line(type="stdout", text=" ".join(map(str, words)) + end, timestamp=iso(time.time()))

        def hidden(text: str, names: dict[str, Any]) -> None:
            exec(text, {**names, "print": out})

        kernel.names.update(print=out, exec=hidden, die=lambda: (kernel.restart(), time.sleep(1)))
        try:
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<cell>", "exec"), kernel.names)
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), kernel.names) if last else None
            if value is not None:
                self._line(type="result", text=repr(value), extra={}, is_main_result=True)
        except Killed:
            pass
        except BaseException as error:
            with contextlib.suppress(OSError, ValueError):  # nobody may be listening any more
                self._line(type="error", name=type(error).__name__, value=str(error), traceback=traceback.format_exc())
        finally:
            with kernel.ending:
                kernel.ended.add(threading.current_thread())
