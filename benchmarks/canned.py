"""A local server that answers the E2B SDK at once with canned answers: the SDK's own cost, nothing else.

python -m benchmarks.canned     # prints its port, serves until its stdin closes
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

SANDBOX = {"templateID": "t", "sandboxID": "canned", "clientID": "c", "envdVersion": "0.6.13", "envdAccessToken": "x"}


def execution(code: str) -> list[dict[str, Any]]:
    """The lines of one cell. `#bytes N` in the code asks for N bytes of stdout, in lines of 64 KiB."""
    lines: list[dict[str, Any]] = [{"type": "number_of_executions", "execution_count": 1}]
    if code.startswith("#bytes "):
        block = "x" * 65_535 + "\n"
        stdout = {"type": "stdout", "text": block, "timestamp": "2026-01-01T00:00:00+00:00"}
        lines += [stdout] * (int(code.split()[1]) // len(block))
    else:
        lines.append({"type": "result", "text": "2", "extra": {}, "is_main_result": True})
    return [*lines, {"type": "end_of_execution"}]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP/1.1 with keep-alive, as little of it as the SDK needs."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            body = await _body(reader, head)
            method, path, _ = head.split(" ", 2)
            if path == "/execute":
                await _stream(writer, execution(json.loads(body)["code"]))
            else:
                _answer(writer, method, path)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
    for line in head.split("\r\n"):
        if line.lower().startswith("content-length:"):
            return await reader.readexactly(int(line.split(":")[1]))
    return b""


def _answer(writer: asyncio.StreamWriter, method: str, path: str) -> None:
    if method == "DELETE":
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        return
    body = json.dumps(SANDBOX).encode()
    status = "201 Created" if path.endswith("sandboxes") else "200 OK"
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )


async def _stream(writer: asyncio.StreamWriter, lines: list[dict[str, Any]]) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for line in lines:
        data = json.dumps(line).encode() + b"\n"
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
