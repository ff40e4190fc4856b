"""Every public method of the SDK against the local server, as the tables of docs/server.md say: works, differs or 501.

The tables are held to `dir()` of the SDK that is installed, and each walk below has to call what they name. A walk is
written once, for both faces: `do` waits for what the asynchronous one gives.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from e2b import PtySize, SandboxException
from e2b.sandbox_async.commands.command import Commands as AsyncCommands
from e2b.sandbox_async.commands.pty import Pty as AsyncPty
from e2b.sandbox_async.filesystem.filesystem import Filesystem as AsyncFilesystem
from e2b.sandbox_async.git import Git as AsyncGit
from e2b.sandbox_sync.commands.command import Commands
from e2b.sandbox_sync.commands.pty import Pty
from e2b.sandbox_sync.filesystem.filesystem import Filesystem
from e2b.sandbox_sync.git import Git
from e2b_code_interpreter import AsyncSandbox, Sandbox

from ci_integrations.local.launcher import Endpoint

PAGE = Path(__file__).parents[3] / "docs" / "server.md"
KINDS: dict[str, tuple[type, type]] = {
    "Sandbox": (Sandbox, AsyncSandbox),
    "files": (Filesystem, AsyncFilesystem),
    "commands": (Commands, AsyncCommands),
    "pty": (Pty, AsyncPty),
    "git": (Git, AsyncGit),
}
FACES = pytest.mark.parametrize("face", [Sandbox, AsyncSandbox], ids=["sync", "async"])
STATES = {"works", "differs", "501"}


def documented(kind: str) -> dict[str, str]:
    """Method -> works, differs or 501, from the section of the page that has this object's name."""
    section = re.search(rf"^### `{kind}`.*?(?=^##|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"no section for {kind}"
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", section[0], re.MULTILINE)
    return {name: state for names, state in rows for name in re.findall(r"`(\w+)`", names)}


class Walk:
    """Calls methods and remembers which of them answered, and which said 501."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.seen: dict[str, str] = {}

    async def do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        value = await waited(getattr(self._target, name)(*args, **kwargs))
        self.seen[name] = "works"
        return value

    def read(self, *names: str) -> None:
        for name in names:
            getattr(self._target, name)
            self.seen[name] = "works"

    async def refused(self, name: str, call: Callable[[], Any]) -> None:
        with pytest.raises(SandboxException, match=r"501.*(here|local)"):
            await waited(call())
        self.seen[name] = "501"

    def covers(self, kind: str) -> None:
        """What the page says is what happened; a method that differs answered too."""
        told = {name: "works" if state == "differs" else state for name, state in documented(kind).items()}
        assert self.seen == told


async def waited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def run(walk: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(walk, 60))


@pytest.fixture
def options(endpoint: Endpoint) -> dict[str, str]:
    return endpoint.sdk_options()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("face", [0, 1], ids=["sync", "async"])
def test_the_page_names_every_method_of_the_installed_sdk(kind: str, face: int) -> None:
    assert set(documented(kind)) == {name for name in dir(KINDS[kind][face]) if not name.startswith("_")}
    assert set(documented(kind).values()) <= STATES


@FACES
def test_sandbox(face: Any, options: dict[str, str]) -> None:
    async def walk_through() -> None:
        walk = Walk(face)
        sandbox = await walk.do("create", metadata={"walk": face.__name__}, envs={"A": "1"}, **options)
        own = Walk(sandbox)
        try:
            await running(own, face, sandbox)
            await contexts(own)
            await addresses(own, sandbox)
            await not_done(own, face, sandbox, options)
            await end(own, walk, face, sandbox, options)
        finally:
            await waited(sandbox.kill())
        own.seen |= walk.seen
        own.covers("Sandbox")

    run(walk_through())


async def running(own: Walk, face: Any, sandbox: Any) -> None:
    own.read(
        "connection_config", "default_mcp_template", "default_sandbox_timeout", "default_template", "envd_api_url",
        "envd_direct_url", "mcp_port", "sandbox_domain", "sandbox_id", "traffic_access_token", "files", "commands",
        "pty", "git",
    )  # fmt: skip
    assert await own.do("is_running")
    assert (await own.do("get_info")).metadata == {"walk": face.__name__}
    await own.do("set_timeout", 600)
    with pytest.raises(SandboxException, match="400"):
        await waited(sandbox.set_timeout(25 * 3600))
    metrics = await own.do("get_metrics")
    assert len(metrics) == 1
    assert metrics[0].mem_total > 0


async def contexts(own: Walk) -> None:
    assert (await own.do("run_code", "import os; os.environ['A']")).text == "1"
    context = await own.do("create_code_context", cwd="/tmp")
    assert context.id in [each.id for each in await own.do("list_code_contexts")]
    await own.do("run_code", "x = 1", context=context)
    await own.do("restart_code_context", context)
    assert (await own.do("run_code", "'x' in dir()", context=context)).text == "False"
    await own.do("remove_code_context", context)


async def addresses(own: Walk, sandbox: Any) -> None:
    await waited(sandbox.files.write("served/index.html", "hello"))
    await waited(sandbox.commands.run("cd served && python3 -m http.server 8000", background=True))
    await waited(sandbox.commands.run("until (: </dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.1; done"))
    host = await own.do("get_host", 8000)
    assert await asyncio.to_thread(fetched, f"http://{host}/") == b"hello"
    url = await own.do("download_url", "served/index.html")
    assert await asyncio.to_thread(fetched, url) == b"hello"
    assert "signature" in await own.do("upload_url", "up.txt", use_signature_expiration=60)


def fetched(url: str) -> bytes:
    """`*.localhost` is this machine for browsers and curl; for `urllib` it is said by the Host header."""
    name, _, rest = url.removeprefix("http://").partition("/")
    port = name.rpartition(":")[2]
    with urlopen(Request(f"http://127.0.0.1:{port}/{rest}", headers={"Host": name}), timeout=10) as answer:
        return answer.read()


async def not_done(own: Walk, face: Any, sandbox: Any, options: dict[str, str]) -> None:
    await own.refused("create_snapshot", sandbox.create_snapshot)
    await own.refused("list_snapshots", lambda: sandbox.list_snapshots().next_items())
    await own.refused("delete_snapshot", lambda: face.delete_snapshot("snapshot", **options))
    await own.refused("fork", sandbox.fork)
    await own.do("update_network", {"allow_out": ["example.org"]})
    for wish in ({"mcp": {"exa": {"apiKey": "x"}}}, {"volume_mounts": {"/data": "volume"}}):
        with pytest.raises(SandboxException, match="501"):
            await waited(face.create(**wish, **options))
    assert (await own.do("get_mcp_url")).startswith("https://")
    await own.refused("get_mcp_token", sandbox.get_mcp_token)


async def end(own: Walk, walk: Walk, face: Any, sandbox: Any, options: dict[str, str]) -> None:
    await own.do("run_code", "kept = 1")
    assert await own.do("pause")
    assert not await waited(sandbox.is_running())
    with pytest.raises(SandboxException, match="501"):
        await waited(face.connect(sandbox.sandbox_id, on_resume="reboot", **options))
    await own.do("connect")
    assert (await own.do("run_code", "kept")).text == "1"
    assert await own.do("beta_pause")
    again = await walk.do("connect", sandbox.sandbox_id, **options)
    with pytest.raises(SandboxException, match="501"):
        await waited(again.pause(mode="filesystem"))
    listed = await waited((await walk.do("list", **options)).next_items())
    assert sandbox.sandbox_id in [info.sandbox_id for info in listed]
    assert await own.do("kill")


@FACES
def test_files(face: Any, options: dict[str, str]) -> None:
    async def walk_through() -> None:
        sandbox = await waited(face.create(**options))
        walk = Walk(sandbox.files)
        try:
            await walk.do("write", "a.txt", "one")
            await walk.do("write_files", [{"path": "b.txt", "data": "two"}, {"path": "c.txt", "data": b"three"}])
            assert await walk.do("read", "a.txt") == "one"
            assert await walk.do("make_dir", "folder")
            assert {entry.name for entry in await walk.do("list", "/home/user")} >= {"a.txt", "b.txt", "folder"}
            assert (await walk.do("get_info", "a.txt")).size == 3
            await walk.do("rename", "a.txt", "folder/d.txt")
            assert not await walk.do("exists", "a.txt")
            await walk.do("remove", "folder/d.txt")
            await watch(walk, sandbox, face)
            with pytest.raises(SandboxException):
                await waited(sandbox.files.read("b.txt", user="root"))
        finally:
            await waited(sandbox.kill())
        walk.covers("files")

    run(walk_through())


async def watch(walk: Walk, sandbox: Any, face: Any) -> None:
    heard: list[Any] = []
    listener = {"on_event": heard.append} if face is AsyncSandbox else {}
    handle = await walk.do("watch_dir", "folder", **listener)
    await waited(sandbox.files.write("folder/new.txt", "x"))
    for _ in range(50):
        if heard:
            break
        await asyncio.sleep(0.1)
        heard += [] if listener else handle.get_new_events()
    assert "new.txt" in {event.name for event in heard}
    await waited(handle.stop())


@FACES
def test_commands(face: Any, options: dict[str, str]) -> None:
    async def walk_through() -> None:
        sandbox = await waited(face.create(**options))
        walk = Walk(sandbox.commands)
        try:
            assert (await walk.do("run", "echo $X", envs={"X": "y"})).stdout == "y\n"
            handle = await walk.do("run", "cat", background=True, stdin=True)
            assert handle.pid in [process.pid for process in await walk.do("list")]
            await walk.do("send_stdin", handle.pid, "a\n")
            await streamed(walk, face, handle.pid, ["b\n", "c\n"])
            await walk.do("connect", handle.pid)
            await walk.do("close_stdin", handle.pid)
            assert (await waited(handle.wait())).stdout == "a\nb\nc\n"
            sleeper = await walk.do("run", "sleep 60", background=True)
            assert await walk.do("kill", sleeper.pid)
            ended = await waited(sandbox.commands.run("sleep 30 & echo first"))
            assert ended.stdout == "first\n", "differs: E2B waits for the background child"
        finally:
            await waited(sandbox.kill())
        walk.covers("commands")

    run(walk_through())


async def streamed(walk: Walk, face: Any, pid: int, parts: list[Any]) -> None:
    """Blocking callers hand over the parts; the others get a handle to send them with."""
    if face is Sandbox:
        await walk.do("stream_input", pid, parts)
        return
    handle = await walk.do("stream_input", pid)
    for part in parts:
        await handle.send(part)
    await handle.close()


@FACES
def test_pty(face: Any, options: dict[str, str]) -> None:
    async def walk_through() -> None:
        sandbox = await waited(face.create(**options))
        walk, heard = Walk(sandbox.pty), bytearray()
        listener = {"on_data": heard.extend} if face is AsyncSandbox else {}
        try:
            terminal = await walk.do("create", PtySize(rows=24, cols=80), **listener)
            await walk.do("resize", terminal.pid, PtySize(rows=30, cols=100))
            await walk.do("connect", terminal.pid, **listener)
            await walk.do("send_stdin", terminal.pid, b"stty size\n")
            await streamed(walk, face, terminal.pid, [b"exit\n"])
            await waited(terminal.wait() if listener else terminal.wait(on_pty=heard.extend))
            assert b"30 100" in heard
            other = await walk.do("create", PtySize(rows=24, cols=80), **listener)
            assert await walk.do("kill", other.pid)
        finally:
            await waited(sandbox.kill())
        walk.covers("pty")

    run(walk_through())


@FACES
def test_git(face: Any, options: dict[str, str]) -> None:
    async def walk_through() -> None:
        sandbox = await waited(face.create(**options))
        if (await waited(sandbox.commands.run("command -v git || true"))).stdout == "":
            await waited(sandbox.kill())
            pytest.skip("git is not installed here")
        walk = Walk(sandbox.git)
        try:
            await repository(walk, sandbox)
            await branches(walk, sandbox)
            await remote(walk)
        finally:
            await waited(sandbox.kill())
        walk.covers("git")

    run(walk_through())


WORK, BARE = "/home/user/work", "/home/user/bare.git"


async def repository(walk: Walk, sandbox: Any) -> None:
    await walk.do("init", BARE, bare=True, initial_branch="main")
    await walk.do("init", WORK, initial_branch="main")
    await walk.do("configure_user", "Ann", "ann@example.org")
    await walk.do("set_config", "core.abbrev", "12")
    assert await walk.do("get_config", "core.abbrev") == "12"
    await waited(sandbox.files.write(f"{WORK}/a.txt", "one"))
    await walk.do("add", WORK)
    await walk.do("commit", WORK, "first")
    await waited(sandbox.files.write(f"{WORK}/a.txt", "two"))
    assert (await walk.do("status", WORK)).has_changes
    await walk.do("restore", WORK, ["a.txt"])
    assert await waited(sandbox.files.read(f"{WORK}/a.txt")) == "one"
    await walk.do("reset", WORK, mode="hard")


async def branches(walk: Walk, sandbox: Any) -> None:
    await walk.do("create_branch", WORK, "side")
    await walk.do("checkout_branch", WORK, "main")
    assert (await walk.do("branches", WORK)).current_branch == "main"
    await walk.do("delete_branch", WORK, "side")


async def remote(walk: Walk) -> None:
    """A repository in the same sandbox: no network."""
    await walk.do("remote_add", WORK, "origin", BARE)
    assert await walk.do("remote_get", WORK, "origin") == BARE
    await walk.do("push", WORK, remote="origin", branch="main")
    await walk.do("pull", WORK, remote="origin", branch="main")
    await walk.do("clone", BARE, "/home/user/copy")
    await walk.do("dangerously_authenticate", "ann", "not-a-password")
