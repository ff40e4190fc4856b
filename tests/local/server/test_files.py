"""Files and watchers: through the SDK, by signed URL, and by hand where the SDK does not go."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import os
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from e2b import (
    FileNotFoundException,
    FilesystemEventType,
    FileType,
    InvalidArgumentException,
    NotEnoughSpaceException,
    SandboxException,
    SandboxNotRunningException,
)
from e2b.sandbox.filesystem.filesystem import WriteEntry
from e2b_code_interpreter import AsyncSandbox, Sandbox

from ci_integrations.local.launcher import Endpoint


def raw(endpoint: Endpoint, sandbox: Sandbox) -> httpx.Client:
    headers = {
        "E2b-Sandbox-Id": sandbox.sandbox_id,
        "E2b-Sandbox-Port": "49983",
        "X-Access-Token": str(sandbox._envd_access_token),
    }
    return httpx.Client(base_url=endpoint.url, headers=headers, timeout=20)


@pytest.mark.parametrize("data", ["", "text", "höß\u2028\U0001f389\n", b"\0\xff" * 1000])
def test_a_file_comes_back_as_it_went(shared: Sandbox, data: str | bytes) -> None:
    shared.files.write("same.bin", data)
    wanted = data if isinstance(data, bytes) else data.encode()
    assert bytes(shared.files.read("same.bin", format="bytes")) == wanted


def test_paths_begin_at_home(shared: Sandbox) -> None:
    for path in ("deep/er/x.txt", "~/deep/er/x.txt", "/home/user/deep/er/x.txt", "./deep/../deep/er/x.txt"):
        assert shared.files.write(path, path).path == "/home/user/deep/er/x.txt"
        assert shared.files.read("/home/user/deep/er/x.txt") == path
    assert shared.run_code("open('deep/er/x.txt').read()").text == "./deep/../deep/er/x.txt"


def test_many_files_in_one_request(shared: Sandbox) -> None:
    written = shared.files.write_files(
        [WriteEntry(path=f"many/{i}/f.txt", data=str(i)) for i in range(50)]
        + [WriteEntry(path='/tmp/ü "q" ;.txt', data=b"odd"), WriteEntry(path="many/io", data=io.BytesIO(b"stream"))]
    )
    assert len(written) == 52
    assert shared.files.read("many/49/f.txt") == "49"
    assert shared.files.read('/tmp/ü "q" ;.txt') == "odd"
    assert shared.files.read("many/io") == "stream"


def test_compressed_both_ways(shared: Sandbox) -> None:
    text = "again and again " * 10_000
    shared.files.write("packed.txt", text, gzip=True)
    assert shared.files.read("packed.txt") == text
    assert shared.files.read("packed.txt", gzip=True) == text


def test_streams_both_ways(shared: Sandbox) -> None:
    block = os.urandom(1 << 20)
    shared.files.write("big.bin", io.BytesIO(block * 20))
    assert b"".join(shared.files.read("big.bin", format="stream")) == block * 20


def test_what_is_not_there(shared: Sandbox) -> None:
    with pytest.raises(FileNotFoundException, match="does not exist"):
        shared.files.read("nope")
    with pytest.raises(FileNotFoundException):
        shared.files.list("nope")
    with pytest.raises(FileNotFoundException):
        shared.files.get_info("nope")
    with pytest.raises(FileNotFoundException):
        shared.files.rename("nope", "yes")
    assert not shared.files.exists("nope")
    shared.files.remove("nope")


def test_directories_are_not_files(shared: Sandbox) -> None:
    assert shared.files.make_dir("dir/sub")
    assert not shared.files.make_dir("dir/sub")
    with pytest.raises(InvalidArgumentException, match="directory"):
        shared.files.read("dir")
    with pytest.raises(InvalidArgumentException, match="directory"):
        shared.files.write("dir", "x")
    shared.files.write("plain", "x")
    with pytest.raises(InvalidArgumentException):
        shared.files.make_dir("plain")
    with pytest.raises(InvalidArgumentException):
        shared.files.list("plain")


def test_what_cannot_be_written_says_so(shared: Sandbox) -> None:
    with pytest.raises(SandboxException, match=r"permission denied|read-only"):
        shared.files.write("/etc/passwd", "x")


def test_pipes_and_devices_do_not_hang(shared: Sandbox) -> None:
    shared.run_code("import os; os.mkfifo('pipe')")
    with pytest.raises(SandboxException):
        shared.files.read("pipe")
    with pytest.raises(SandboxException):
        shared.files.write("pipe", "x")
    with pytest.raises(InvalidArgumentException):
        shared.files.read("/dev/zero")


def test_list_and_info(sandbox: Sandbox) -> None:
    sandbox.files.write_files([WriteEntry(path=f"tree/{p}", data="12345") for p in ("a", "b/c", "b/d/e")])
    sandbox.run_code("import os; os.symlink('a', 'tree/link'); os.chmod('tree/a', 0o640)")
    names = [entry.name for entry in sandbox.files.list("tree")]
    assert names == ["a", "b", "link"]
    paths = {entry.path.removeprefix("/home/user/tree/") for entry in sandbox.files.list("tree", depth=3)}
    assert paths == {"a", "b", "b/c", "b/d", "b/d/e", "link"}
    info = sandbox.files.get_info("tree/a")
    assert (info.name, info.type, info.size, info.mode, info.permissions) == (
        "a",
        FileType.FILE,
        5,
        0o640,
        "-rw-r-----",
    )
    assert (info.owner, info.group) == ("user", "user")
    assert abs(info.modified_time.timestamp() - time.time()) < 60
    assert sandbox.files.get_info("tree/link").symlink_target == "/home/user/tree/a"
    assert sandbox.files.get_info("tree/b").type is FileType.DIR


def test_names_that_are_not_utf8_are_listed(sandbox: Sandbox) -> None:
    sandbox.run_code("import os; os.mkdir('odd'); open(b'odd/\\xff\\xfe', 'w').close()")
    assert [entry.name for entry in sandbox.files.list("odd")] == ["\ufffd\ufffd"]


def test_rename_and_remove(shared: Sandbox) -> None:
    shared.files.write("from/x", "moved")
    assert shared.files.rename("from/x", "to/y").path == "/home/user/to/y"
    assert shared.files.read("to/y") == "moved"
    shared.files.remove("to")
    assert not shared.files.exists("to")


def test_metadata_travels_or_is_refused(shared: Sandbox) -> None:
    with pytest.raises(SandboxException, match="metadata") if not xattrs(shared) else contextlib.nullcontext():
        shared.files.write("tagged", "x", metadata={"source": "test"})
        assert shared.files.get_info("tagged").metadata == {"source": "test"}


def xattrs(sandbox: Sandbox) -> bool:
    return not sandbox.run_code("import os; open('probe', 'w').close(); os.setxattr('probe', 'user.e2b.a', b'b')").error


def test_a_full_disk_is_named(sandbox: Sandbox) -> None:
    def zeros() -> Iterator[bytes]:
        for _ in range(1100):
            yield b"\0" * (1 << 20)

    class Stream(io.RawIOBase):
        source = zeros()

        def read(self, size: int = -1) -> bytes:
            return next(self.source, b"")

    with pytest.raises(NotEnoughSpaceException, match=r"space|quota"):
        sandbox.files.write("full", Stream())  # type: ignore[arg-type]
    sandbox.files.remove("full")
    assert sandbox.files.write("fits", "x").name == "fits"


def test_only_the_user_is_there(shared: Sandbox) -> None:
    shared.files.write("mine", "x", user="user")
    for _ in range(20):  # the answer comes before the body was read: it must not meet a closed connection
        with pytest.raises(SandboxException, match="no root"):
            shared.files.write("mine", "x" * 900_000, user="root")


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "page.xhtml", "data", "notes.txt"])
def test_a_signed_address_runs_nothing_in_a_browser(shared: Sandbox, name: str) -> None:
    shared.files.write(name, "<script>alert(1)</script>")
    headers = httpx.get(shared.download_url(name)).headers
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"


def test_signed_urls_need_no_headers(endpoint: Endpoint, sandbox: Sandbox) -> None:
    sandbox.files.write("signed.txt", "signed")
    assert httpx.get(sandbox.download_url("signed.txt")).text == "signed"
    assert httpx.get(sandbox.download_url("signed.txt", use_signature_expiration=60)).text == "signed"
    upload = httpx.post(sandbox.upload_url("up+load.txt"), files={"file": ("up+load.txt", b"uploaded")})
    assert upload.status_code == 200
    assert sandbox.files.read("up+load.txt") == "uploaded"
    url = sandbox.download_url("signed.txt")
    assert httpx.get(url.replace("signed.txt", "other.txt")).status_code == 401
    assert httpx.get(sandbox.download_url("signed.txt", use_signature_expiration=-1)).status_code == 401
    assert httpx.post(url, files={"file": ("signed.txt", b"x")}).status_code == 401


@pytest.mark.parametrize(
    ("header", "status", "body"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=5-", 206, b"56789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=4-400", 206, b"456789"),
        ("bytes=10-", 416, b""),
        ("bytes=9-3", 416, b""),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=a-b", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
    ],
)
def test_ranges(endpoint: Endpoint, shared: Sandbox, header: str, status: int, body: bytes) -> None:
    shared.files.write("digits", "0123456789")
    with raw(endpoint, shared) as client:
        answer = client.get("/files", params={"path": "digits"}, headers={"Range": header})
    assert (answer.status_code, answer.content) == (status, body)


def test_files_of_proc_have_their_content(shared: Sandbox) -> None:
    assert "processor" in shared.files.read("/proc/cpuinfo")


@pytest.mark.parametrize(
    "path", ["../../../../etc/hostname", "/proc/1/root/etc/shadow", "/root/.bashrc", "a\0b", "x" * 5000]
)
def test_path_tricks_end_inside_the_sandbox(endpoint: Endpoint, shared: Sandbox, path: str) -> None:
    with raw(endpoint, shared) as client:
        answer = client.get("/files", params={"path": path})
    assert answer.status_code in (200, 400, 403, 404)
    if answer.status_code == 200:
        assert answer.text == shared.run_code(f"print(open({path!r}).read(), end='')").logs.stdout[0]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
        ),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\n--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 5000, b"x"),
        ("application/octet-stream", b"x"),
        ("text/plain", b"x"),
        ("", b"x"),
    ],
)
def test_a_broken_upload_is_a_400(endpoint: Endpoint, shared: Sandbox, content_type: str, body: bytes) -> None:
    with raw(endpoint, shared) as client:
        answer = client.post("/files", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (400, 400)


def test_a_broken_gzip_is_a_400_and_a_bomb_fills_only_the_sandbox(endpoint: Endpoint, sandbox: Sandbox) -> None:
    headers = {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}
    with raw(endpoint, sandbox) as client:
        for body in (b"not gzip", gzip.compress(b"x" * 1000)[:-5]):
            assert client.post("/files", params={"path": "z"}, content=body, headers=headers).status_code == 400
        bomb = gzip.compress(b"\0" * (64 << 20))
        assert client.post("/files", params={"path": "z"}, content=bomb, headers=headers).status_code == 200
    assert sandbox.files.get_info("z").size == 64 << 20


def test_an_upload_that_is_given_up_leaves_a_server_that_works(endpoint: Endpoint, sandbox: Sandbox) -> None:
    import socket
    from urllib.parse import urlsplit

    address = urlsplit(endpoint.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as connection:
        head = (
            "POST /files?path=half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            "Content-Type: application/octet-stream\r\n"
            f"E2b-Sandbox-Id: {sandbox.sandbox_id}\r\nE2b-Sandbox-Port: 49983\r\n"
            f"X-Access-Token: {sandbox._envd_access_token}\r\n\r\n"
        )
        connection.sendall(head.encode() + b"y" * 1000)
        time.sleep(0.2)
    assert sandbox.files.write("whole", "x").name == "whole"


def test_a_killed_file_worker_is_replaced(sandbox: Sandbox) -> None:
    sandbox.files.write("x", "1")
    sandbox.commands.run(
        "for p in /proc/[0-9]*; do [ $p != /proc/1 ] && [ $p != /proc/$$ ] && kill -9 ${p#/proc/}; done; true"
    )
    deadline = time.monotonic() + 5
    while True:
        try:
            assert sandbox.files.read("x") == "1"
            break
        except SandboxException:
            assert time.monotonic() < deadline


def test_a_kill_in_the_middle_of_transfers_is_told_within_a_second(endpoint: Endpoint, sandbox: Sandbox) -> None:
    sandbox.run_code("f = open('large', 'wb'); f.truncate(400_000_000); f.close()")
    told: list[tuple[str, float, BaseException]] = []

    class Slow(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            time.sleep(0.01)
            return b"x" * 1000

    def upload() -> None:
        sandbox.files.write("up", Slow())  # type: ignore[arg-type]

    def download() -> None:
        for _ in sandbox.files.read("large", format="stream"):
            time.sleep(0.02)

    def note(name: str, work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            told.append((name, time.monotonic(), error))

    threads = [threading.Thread(target=note, args=(f.__name__, f)) for f in (upload, download)]
    for thread in threads:
        thread.start()
    time.sleep(0.7)
    killed = time.monotonic()
    sandbox.kill()
    for thread in threads:
        thread.join(10)
    assert {name for name, _, _ in told} == {"upload", "download"}
    for name, moment, error in told:
        # the SDK hands a broken download stream through as httpx sees it
        wanted = httpx.RemoteProtocolError if name == "download" else SandboxNotRunningException
        assert isinstance(error, wanted), (name, error)
        assert moment - killed < 1, name


# -- watching


def test_a_watcher_tells_what_happened(sandbox: Sandbox) -> None:
    sandbox.files.make_dir("seen/deep")
    watcher = sandbox.files.watch_dir("seen", recursive=True)
    sandbox.run_code(
        "import os; open('seen/a', 'w').write('x'); os.rename('seen/a', 'seen/b'); os.chmod('seen/b', 0o600); "
        "os.remove('seen/b'); os.makedirs('seen/new'); open('seen/deep/z', 'w').close()"
    )
    time.sleep(0.3)
    sandbox.files.write("seen/new/late", "x")
    time.sleep(0.3)
    events = [(event.type, event.name) for event in watcher.get_new_events()]
    for wanted in [
        (FilesystemEventType.CREATE, "a"),
        (FilesystemEventType.WRITE, "a"),
        (FilesystemEventType.RENAME, "a"),
        (FilesystemEventType.CREATE, "b"),
        (FilesystemEventType.CHMOD, "b"),
        (FilesystemEventType.REMOVE, "b"),
        (FilesystemEventType.CREATE, "deep/z"),
        (FilesystemEventType.CREATE, "new/late"),
    ]:
        assert wanted in events
    assert watcher.get_new_events() == []
    watcher.stop()
    with pytest.raises(SandboxException):
        watcher.get_new_events()


def test_watching_nothing_is_an_error(shared: Sandbox) -> None:
    with pytest.raises(SandboxException, match="does not exist"):
        shared.files.watch_dir("nowhere")


async def test_a_watch_stream_ends_with_its_sandbox(endpoint: Endpoint) -> None:
    sandbox = await AsyncSandbox.create(**endpoint.sdk_options())
    events: list[str] = []
    ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    await sandbox.files.make_dir("seen")
    await sandbox.files.watch_dir(
        "seen", on_event=lambda event: events.append(event.name), on_exit=ended.set_result, timeout=0
    )
    await sandbox.files.write("seen/x", "1")
    async with asyncio.timeout(2):
        while "x" not in events:
            await asyncio.sleep(0.05)
        await sandbox.kill()
        killed = time.monotonic()
        assert isinstance(await ended, Exception)
    assert time.monotonic() - killed < 1
