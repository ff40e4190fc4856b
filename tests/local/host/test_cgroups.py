"""The memory cgroups below the watchdog: where they are made, what they hold, that none is left.

v2 is a made-up tree: where these tests were written there was only v1.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from ci_integrations.local.host import cgroups
from ci_integrations.local.protocol.contract import Limits, MiB

from .conftest import engine_at, new_sandbox, python, start_python

BLOCK = """
if config.get('wait'):
    control.recv(1)
block = bytearray(config['size'])
for i in range(0, len(block), 4096):
    block[i] = 1
result = 'all of it'
"""
SCOPE = "user.slice/user-1000.slice/user@1000.service/app.slice/terminal.scope"


def _groups(parent: Path) -> set[Path]:
    """Of this process: other tests may keep an engine for a while."""
    return set(parent.glob(f"ci-sandbox-{os.getpid()}-*"))


def _tree(root: Path, own: str, **controllers: str) -> Path:
    """A made-up v2 hierarchy; each folder on the way to `own` hands on what `controllers` has for its name."""
    for folder in (root / own, *(root / own).parents):
        if folder.is_relative_to(root):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cgroup.procs").touch()
            (folder / "cgroup.subtree_control").write_text(controllers.get(folder.name.partition("@")[0], ""))
    membership = root.parent / "membership"
    membership.write_text(f"0::/{own}\n")
    return membership


def test_v2_is_used_where_the_nearest_that_hands_memory_on_is_ours(tmp_path):
    root = tmp_path / "cgroup"
    own = _tree(root, SCOPE, user="cpu memory pids")
    found = cgroups.find(root, own)
    assert found is not None
    assert (found.parent, found._version) == (root / SCOPE.partition("/app")[0], cgroups.V2)


def test_v2_without_memory_or_that_is_not_ours_is_left_alone(tmp_path):
    root = tmp_path / "cgroup"
    assert cgroups.find(root, _tree(root, SCOPE, user="cpu pids")) is None
    own = _tree(root, SCOPE, user="memory")
    (root / SCOPE.partition("/app")[0] / "cgroup.procs").unlink()
    assert cgroups.find(root, own) is None


def test_v1_is_used_where_our_own_group_is_ours(tmp_path):
    place = tmp_path / "memory" / "docker" / "x"
    own = tmp_path / "membership"
    own.write_text("5:cpu,cpuacct:/y\n4:memory:/docker/x\n0::/\n")
    assert cgroups.find(tmp_path, own) is None
    place.mkdir(parents=True)
    (place / "cgroup.procs").touch()
    found = cgroups.find(tmp_path, own)
    assert found is not None
    assert (found.parent, found._version) == (place, cgroups.V1)


def test_no_cgroups_at_all_are_no_error(tmp_path):
    assert cgroups.find(tmp_path, tmp_path / "missing") is None


@pytest.mark.parametrize("version", [cgroups.V1, cgroups.V2])
def test_the_limit_is_memory_and_disk_and_kills_are_told_once(tmp_path, version):
    group = cgroups.Cgroup(tmp_path / "group", version)
    group.make(Limits(memory=100 * MiB, disk=50 * MiB))
    assert (tmp_path / "group" / version.limit).read_text() == str((100 + 50 + 64) * MiB)
    (tmp_path / "group" / version.events).write_text("low 0\noom 3\noom_kill 0\n")
    assert not group.has_killed_again()
    (tmp_path / "group" / version.events).write_text("low 0\noom 3\noom_kill 2\n")
    assert (group.has_killed_again(), group.has_killed_again()) == (True, False)


def test_those_of_a_server_that_was_killed_are_removed(tmp_path):
    place = tmp_path / "memory"
    for name in ("ci-sandbox-999999999-1", f"ci-sandbox-{os.getpid()}-1", "else"):
        (place / name).mkdir(parents=True)
    (place / "cgroup.procs").touch()
    own = tmp_path / "membership"
    own.write_text("4:memory:/\n")
    assert cgroups.find(tmp_path, own) is not None
    assert sorted(path.name for path in place.iterdir() if path.is_dir()) == [f"ci-sandbox-{os.getpid()}-1", "else"]


async def test_the_kernel_ends_what_the_watchdog_has_not_seen_and_no_group_is_left():
    """Without a limit of the process's own, as for V8, and while the watchdog stands still."""
    found = cgroups.find()
    if found is None:
        pytest.skip("no memory cgroup is delegated to us here")
    before = _groups(found.parent)
    engine = await engine_at("namespaces")
    neighbour = await new_sandbox(engine)
    sandbox = await new_sandbox(engine, Limits(memory=64 * MiB, disk=16 * MiB))
    groups = _groups(found.parent) - before
    assert len(groups) == 2
    assert await python(sandbox, BLOCK, {"size": 30 * MiB}) == "all of it"
    child = await start_python(sandbox, BLOCK, {"size": 1000 * MiB, "wait": True}, address_space_limit=False)
    agent = sandbox.host_pid
    os.kill(agent, signal.SIGSTOP)
    child.control.send(b"!")
    async with asyncio.timeout(30):
        while not sum(cgroups.Cgroup(path, found._version)._count_kills() for path in groups):
            await asyncio.sleep(0.02)
    os.kill(agent, signal.SIGCONT)
    assert (await child.exited).reason == "out of memory (limit 64 MiB)"
    assert await python(neighbour, "result = 6 * 7") == 42
    child.close()
    await engine.close()
    assert [path for path in groups if path.exists()] == []


async def test_sandboxes_of_two_engines_have_groups_of_their_own():
    found = cgroups.find()
    if found is None:
        pytest.skip("no memory cgroup is delegated to us here")
    before = _groups(found.parent)
    engines = [await engine_at("namespaces"), await engine_at("namespaces")]
    for engine in engines:
        await new_sandbox(engine)
    assert len(_groups(found.parent) - before) == 2
    for engine in engines:
        await engine.close()


def test_processes_are_counted_only_where_their_limit_is_not_kept(tmp_path, monkeypatch):
    for controller in ("memory", "pids"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    own = tmp_path / "membership"
    own.write_text("4:memory:/\n3:pids:/\n")
    monkeypatch.setattr(cgroups, "limits_processes", lambda: True)
    assert cgroups.find(tmp_path, own)._pids is None
    monkeypatch.setattr(cgroups, "limits_processes", lambda: False)
    assert cgroups.find(tmp_path, own)._pids == tmp_path / "pids"
    (tmp_path / "pids" / "cgroup.procs").unlink()
    assert cgroups.find(tmp_path, own)._pids is None


def test_the_limit_of_processes_is_written_beside_that_of_memory(tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "pids").mkdir()
    group = cgroups.Cgroup(tmp_path / "memory" / "x", cgroups.V1, tmp_path / "pids" / "x")
    group.make(Limits(processes=32))
    assert (tmp_path / "pids" / "x" / "pids.max").read_text() == "32"
