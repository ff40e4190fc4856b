"""Attacks the local server from one sandbox and measures another: `python -m benchmarks.hostile [SECONDS]`.

Each attack runs for some seconds in a process of its own, with a sandbox of its own. Meanwhile a neighbour's smallest
cells and `/health` are timed, and the memory of the server and its helpers is read. The first row is an honest busy
loop, which the others are held against. All attacks are bounded programs that end by themselves.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import Endpoint, local_endpoint, stop_local_servers

SECONDS = 8.0
ALLOWED = 0.2
"""Seconds that a neighbour's cell may wait longer than beside the busy loop."""
FORGE = """import os, socket, struct, time
kernel = get_ipython().send.__self__
channel = socket.socket(fileno=os.dup(kernel._channel.socket.fileno()))
number = kernel._request
end = time.time() + 6
def put(body): channel.sendall(struct.pack('!I', len(body)) + body)
def show(data): return b'{"type":"display","id":%d,"data":%s}' % (number, data)
"""
STOP = """import os, signal
for name in os.listdir('/proc'):
    if name.isdigit() and int(name) > 1 and int(name) != os.getpid():
        try: os.kill(int(name), signal.SIGSTOP)
        except OSError: pass"""
CROWD = "import os\nos.makedirs('/tmp/m')\nfor n in range(9_900): open(f'/tmp/m/{n:05}' + 'n' * 200, 'w').close()"


class Attack(NamedTuple):
    """Is what the other sandbox does: a cell, again and again, and what its client asks for after each."""

    name: str
    code: str
    then: str = ""


CELLS = """
== a frame of 20 million values
put(b'{"a":[' + b'"",' * 20_000_000 + b'1]}')
time.sleep(6)
== frames of 60 MiB of text
body = show(b'{"a":"' + b'x' * (60 << 20) + b'"}')
while time.time() < end: put(body)
== frames of another cell, full of commas
row = b'"' + b',' * 57 + b'"'
body = b'{"id":-1,"a":[' + b','.join([row] * 990_000) + b']}'
while time.time() < end: put(body)
== 900 000 numbers, again and again
body = show(b'{"application/json":[' + b'1,' * 900_000 + b'1]}')
while time.time() < end: put(body)
== frames of a megabyte of lists
body = show(b'{"a":[' + b'[],' * 300_000 + b'1]}')
while time.time() < end: put(body)
== a hundred thousand brackets
put(b'{"a":' + b'[' * 100_000 + b']' * 100_000 + b'}')
time.sleep(6)
== a flood of small frames
body = b'{"type":"truncated","id":%d}' % number
body = (struct.pack('!I', len(body)) + body) * 5000
while time.time() < end: channel.sendall(body)
== a frame that comes byte by byte
channel.sendall(struct.pack('!I', 60 << 20))
while time.time() < end: channel.sendall(b' '); time.sleep(0.0005)
== ten thousand displays
while time.time() < end: display({'text/html': 'x' * 100}, raw=True)
== displays of a megabyte
while time.time() < end: display({'text/html': 'e<' * 400_000}, raw=True)
== an error of 30 MiB
raise ValueError('x' * (30 << 20))
== output without an end
while time.time() < end: print('\u00e9' * 100_000)
== output letter by letter
while time.time() < end: print(end='x', flush=True)
== eight processes that print
import subprocess
printing = [subprocess.Popen(['yes']) for _ in range(8)]
time.sleep(5)
for each in printing: each.kill()
"""
ATTACKS = (
    Attack("an honest busy loop", FORGE + "while time.time() < end: pass"),
    *(Attack(name, FORGE + code) for name, _, code in (cell.partition("\n") for cell in CELLS.split("\n== ")[1:])),
    Attack("a folder of 9 900 long names", CROWD, "sandbox.files.list('/tmp/m')"),
    Attack("a stopped file worker", STOP, "sandbox.files.write('a', 'b' * 1_000_000)"),
)
_ATTACKER = """import json, sys, time
from e2b_code_interpreter import Sandbox
options, code, then, seconds = json.loads(sys.stdin.readline())
sandbox = Sandbox.create(timeout=300, **options)
sandbox.run_code('1')
print('ready', flush=True)
end = time.monotonic() + seconds
while time.monotonic() < end:
    for work in ([lambda: sandbox.run_code(code, timeout=20)] if code else []) + ([lambda: eval(then)] if then else []):
        try:
            work()
        except Exception as error:
            print(repr(error)[:100], file=sys.stderr, flush=True)
    code = '' if then else code
"""


class Row(NamedTuple):
    """Holds what one attack did to a neighbour: seconds, and MiB of the server with its helpers."""

    name: str
    usual: float
    longest: float
    health: float
    memory: float


@contextlib.contextmanager
def attacked(server: Endpoint, attack: Attack, seconds: float) -> Iterator[None]:
    """Runs an attack in another process for the length of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", _ATTACKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        if other.stdin is None or other.stdout is None:
            raise AssertionError("the pipes were asked for")
        other.stdin.write(json.dumps([server.sdk_options(), attack.code, attack.then, seconds]) + "\n")
        other.stdin.close()
        if other.stdout.readline() != "ready\n":
            raise RuntimeError(f"the attacker did not start: {attack.name}")
        try:
            yield
        finally:
            other.kill()


def measured(server: Endpoint, attack: Attack, seconds: float) -> Row:
    """Times a neighbour's cells and `/health` beside an attack."""
    waits: list[float] = []
    health: list[float] = []
    memory = [0.0]
    over = threading.Event()

    def watch() -> None:
        with httpx.Client() as client:
            while not over.wait(0.05):
                began = time.monotonic()
                client.get(f"{server.url}/health", timeout=60)
                health.append(time.monotonic() - began)
                memory.append(server_memory())

    with Sandbox.create(timeout=300, **server.sdk_options()) as neighbour:
        neighbour.run_code("1 + 1")
        with attacked(server, attack, seconds):
            watcher = threading.Thread(target=watch)
            watcher.start()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                began = time.monotonic()
                neighbour.run_code("1 + 1", request_timeout=120)
                waits.append(time.monotonic() - began)
                time.sleep(0.02)
            over.set()
            watcher.join()
    return Row(attack.name, sorted(waits)[len(waits) // 2], max(waits), max(health), max(memory))


def server_memory() -> float:
    """Returns the MiB of resident memory of this process's local server and of the decoders that it has started."""
    kinds = ("ci_integrations.local.server", "ci_integrations.local.host.decoder")
    found = {}
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if place.name.isdigit() and any(kind in (place / "cmdline").read_text() for kind in kinds):
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(place.name)] = parent, int((place / "statm").read_text().split()[1]) * 4096
    ours = {pid for pid, (parent, _) in found.items() if parent == os.getpid()}
    return sum(size for pid, (parent, size) in found.items() if pid in ours or parent in ours) / (1 << 20)


def table(rows: list[Row]) -> str:
    """Returns the rows as Markdown; the last column says whether the neighbour waited at most `ALLOWED` s longer."""
    lines = [
        "| attack | cell, median | cell, longest | /health, longest | server | at most 200 ms more |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        fine = "yes" if row.longest <= rows[0].longest + ALLOWED else "**no**"
        times = " | ".join(f"{1000 * value:.0f} ms" for value in (row.usual, row.longest, row.health))
        lines.append(f"| {row.name} | {times} | {row.memory:.0f} MiB | {fine} |")
    return "\n".join(lines)


def main() -> None:
    """Runs all attacks and prints the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    server = local_endpoint()
    rows = []
    try:
        for attack in ATTACKS:
            rows.append(measured(server, attack, seconds))
            print(rows[-1], file=sys.stderr, flush=True)
    finally:
        stop_local_servers()
    print(table(rows))


if __name__ == "__main__":
    main()
