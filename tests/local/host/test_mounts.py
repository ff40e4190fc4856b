"""Folders that whoever starts the server grants: read in every sandbox, written by none, and nothing beside them."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ci_integrations.local.host.engine import LocalEngine, start_engine
from ci_integrations.local.host.sandboxes import LocalSandbox
from ci_integrations.local.protocol.contract import EngineError
from ci_integrations.local.protocol.mounts import MountError, check_readable, checked
from tests.local.host.conftest import engine_at, new_sandbox, python


@dataclass
class Granted:
    """A sandbox at some level, and where it sees the folder."""

    sandbox: LocalSandbox
    place: str
    folder: Path


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a file, a folder in it, and links that lead out of it; a secret beside it."""
    # At level landlock a folder is seen at its own place, which may not be below /tmp or /var: only root makes another.
    top = Path(tempfile.mkdtemp(prefix="granted-", dir="/" if os.geteuid() == 0 else None))
    top.chmod(0o755)
    inside = top / "data"
    (inside / "sub").mkdir(parents=True)
    (inside / "a.csv").write_text("a,b\n1,2\n")
    (inside / "sub" / "b.txt").write_text("deep")
    (top / "secret.txt").write_text("secret")
    (inside / "absolute").symlink_to(top / "secret.txt")
    (inside / "relative").symlink_to("../secret.txt")
    (inside / "up").symlink_to("..")
    (inside / "root").symlink_to("/")
    yield inside
    shutil.rmtree(top)


@pytest_asyncio.fixture(params=["namespaces", "bubblewrap", "landlock"], scope="module", loop_scope="module")
async def engine(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[tuple[LocalEngine, str]]:
    if request.param == "landlock" and os.geteuid() != 0:
        pytest.skip("no folder of an ordinary user's is at a place that may be granted here")
    place = str(folder) if request.param == "landlock" else "/data"
    found = await engine_at(request.param, mounts=checked({place: folder}))
    yield found, place
    await found.close()


@pytest_asyncio.fixture(loop_scope="module")
async def granted(engine: tuple[LocalEngine, str], folder: Path) -> AsyncIterator[Granted]:
    sandbox = await new_sandbox(engine[0])
    yield Granted(sandbox, engine[1], folder)
    await sandbox.kill()


async def run(granted: Granted, code: str) -> Any:
    helpers = """
import os, json
def outcome(action):
    try:
        return repr(action())
    except OSError as error:
        return type(error).__name__
"""
    return await python(granted.sandbox, helpers + code, {"place": granted.place, "secret": str(granted.folder.parent)})


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_files_are_read(granted: Granted) -> None:
    code = "p = config['place']; result = [open(p + '/a.csv').read(), open(p + '/sub/b.txt').read(), os.listdir(p)]"
    first, deep, names = await run(granted, code)
    assert (first, deep) == ("a,b\n1,2\n", "deep")
    assert {"a.csv", "sub"} <= {*names}


WRITES = {
    "a new file": "open(p + '/new', 'w')",
    "an old file": "open(p + '/a.csv', 'a')",
    "cut off": "os.truncate(p + '/a.csv', 0)",
    "removed": "os.remove(p + '/a.csv')",
    "renamed": "os.rename(p + '/a.csv', p + '/b.csv')",
    "a new folder": "os.mkdir(p + '/new')",
    "a link": "os.symlink('/etc', p + '/link')",
    "a hard link": "os.link(p + '/a.csv', os.path.expanduser('~/a.csv'))",
    "another mode": "os.chmod(p + '/a.csv', 0o777)",
    "other times": "os.utime(p + '/a.csv', (0, 0))",
    "an attribute": "os.setxattr(p + '/a.csv', 'user.x', b'1')",
    "by its descriptor": "open(f\"/proc/self/fd/{os.open(p + '/a.csv', os.O_RDONLY)}\", 'w')",
}


@pytest.mark.parametrize("name", WRITES)
async def test_nothing_is_written(granted: Granted, name: str) -> None:
    before = {path: path.lstat() for path in sorted(granted.folder.rglob("*")) if not path.is_symlink()}
    said = await run(granted, f"p = config['place']\nresult = outcome(lambda: {WRITES[name]})")
    assert said in ("OSError", "PermissionError", "FileNotFoundError", "FileExistsError"), said
    after = {path: path.lstat() for path in sorted(granted.folder.rglob("*")) if not path.is_symlink()}
    assert {path: (x.st_mode, x.st_size, x.st_mtime) for path, x in before.items()} == {
        path: (x.st_mode, x.st_size, x.st_mtime) for path, x in after.items()
    }


@pytest.mark.parametrize("link", ["absolute", "relative", "up/secret.txt", "../secret.txt", "root/etc/shadow"])
async def test_links_lead_to_nothing_of_the_host(granted: Granted, link: str) -> None:
    said = await run(granted, f"result = outcome(lambda: open(config['place'] + '/{link}').read())")
    assert said in ("FileNotFoundError", "PermissionError"), said


async def test_a_path_of_the_host_is_no_path_inside(granted: Granted) -> None:
    said = await run(granted, "result = outcome(lambda: open(config['secret'] + '/secret.txt').read())")
    assert said in ("FileNotFoundError", "PermissionError")


async def test_it_cannot_be_mounted_anew(granted: Granted) -> None:
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
p = config['place'].encode()
MS_REMOUNT, MS_BIND = 32, 4096
result = [libc.mount(None, p, None, MS_REMOUNT | MS_BIND, None), libc.umount2(p, 2), libc.umount2(p, 0)]
"""
    assert await run(granted, code) == [-1, -1, -1]
    assert await run(granted, "result = open(config['place'] + '/a.csv').read()") == "a,b\n1,2\n"


async def test_levels_that_cannot_say_so(folder: Path) -> None:
    with pytest.raises(EngineError, match="without isolation"):
        await start_engine(isolation="none", preload=(), mounts=checked({"/data": folder}))


async def test_a_level_that_cannot_rename(folder: Path) -> None:
    await (await engine_at("landlock")).close()
    with pytest.raises(EngineError, match="their own places only"):
        await start_engine(isolation="landlock", preload=(), mounts=checked({"/data": folder}))


@pytest.mark.parametrize(
    ("place", "source", "why"),
    [
        ("data", ".", "begins with '/'"), ("/", ".", "name a folder"), ("/data/../etc", ".", "without"),
        ("/data//x", ".", "without"), ("/etc/x", ".", "/etc"), ("/usr", ".", "/usr"), ("/home/user/x", ".", "/home"),
        ("/tmp/x", ".", "/tmp"), ("/proc/x", ".", "/proc"), ("/data", "/", "not a folder of data"),
        ("/data", "/proc", "not a folder"), ("/data", "/dev", "not a folder"), ("/data", "/no/such/folder", "No such"),
        (1, ".", "no path"), ("/data", 5, "no path"), ("/d\0a", ".", "no path"),
    ],
)  # fmt: skip
async def test_what_cannot_be_mounted(place: Any, source: Any, why: str) -> None:
    with pytest.raises(MountError, match=why):
        checked({place: source})


async def test_mounts_are_checked_before_they_are_granted(tmp_path: Path) -> None:
    with pytest.raises(MountError, match="inside of"):
        checked({"/data": ".", "/data/more": "."})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(MountError, match="neither"):
            checked({"/data": tmp_path / "s"})
    (tmp_path / "link").symlink_to(tmp_path)
    assert checked({"/data/": tmp_path / "link"}) == {"/data": str(tmp_path)}
    tmp_path.chmod(0o700)
    with pytest.raises(MountError, match="chmod"):
        check_readable({"/data": str(tmp_path)})
