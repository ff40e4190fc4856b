"""Which level is chosen where, and what is said when none works. Machines that refuse are simulated, not described."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from ci_integrations.local.host import engine as engines
from ci_integrations.local.host import interpreters, levels
from ci_integrations.local.host.bubblewrap import Bubblewrap
from ci_integrations.local.host.sources import Zygote
from ci_integrations.local.protocol.contract import EngineError

from .conftest import engine_at, new_sandbox, python

REPORT = """
import asyncio, json, sys
from ci_integrations.local.protocol.contract import EngineError, Entry, Limits, SandboxSpec
from ci_integrations.local.host.engine import start_engine

CODE = '''
result = []
for path in ("/proc/sys/kernel/core_pattern", "/etc/passwd", "/usr/x"):
    try:
        open(path, "w").close()
        result.append(path)
    except OSError:
        pass
'''

async def main():
    try:
        engine = await start_engine(preload=())
    except EngineError as error:
        return {"refused": str(error)}
    sandbox = await engine.create(SandboxSpec(sandbox_id="s", limits=Limits(processes=40)))
    child = await sandbox.spawn(Entry("ci_integrations.local.guest.trial:main", {"code": CODE}))
    answer = json.loads(await asyncio.get_running_loop().sock_recv(child.control, 65536))
    child.close()
    await engine.close()
    return {"level": engine.level, "why": engine.why_not_stronger, "written": answer["result"]}

print(json.dumps(asyncio.run(main())))
"""

LIKE_A_CONTAINER = """
import os, sys
from ci_integrations.local.jail import seccomp, syscalls
code = seccomp._Assembler()
code.load(0)
for number in {refused}:  # unshare, mount, setns, umount2, pivot_root
    code.rule(number, [seccomp._Refuse.always(1)])
code.rule({clone3}, [seccomp._Refuse.always(38)])
code.rule({clone}, [seccomp._Refuse.bits(0, 0x7E020000, 1)])
for number in {landlock}:
    code.rule(number, [seccomp._Refuse.always(95)])
code.answer(0x7FFF0000)
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
syscalls.install_seccomp(code.program())
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def report(*prefix: str) -> dict:
    run = subprocess.run(
        [*prefix, sys.executable, "-c", REPORT], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def report_like_a_container(*prefix: str, landlock: bool = True) -> dict:
    source = LIKE_A_CONTAINER.format(
        refused=[272, 165, 308, 166, 155], clone=56, clone3=435, landlock=[] if landlock else [444]
    )
    command = [*prefix, sys.executable, "-c", source, REPORT]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def needs(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


async def test_the_strongest_level_that_works_is_taken():
    await (await engine_at("namespaces")).close()
    assert report() == {"level": "namespaces", "why": None, "written": []}


def test_uid_0_with_a_single_mapped_id_counts_as_an_ordinary_user():
    needs("unshare")
    assert report("unshare", "-r") == {"level": "namespaces", "why": None, "written": []}


def test_root_without_the_capability_to_mount_makes_itself_a_user_namespace():
    needs("capsh")
    if os.getuid() != 0:
        pytest.skip("needs root")
    drop = ("capsh", "--drop=cap_sys_admin", "--shell=" + sys.executable, "--", "-c", REPORT)
    run = subprocess.run(drop, capture_output=True, text=True, timeout=120, check=False)
    assert json.loads(run.stdout) == {"level": "namespaces", "why": None, "written": []}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the simulation knows x86-64 only")
async def test_in_a_container_that_refuses_namespaces_landlock_is_taken_and_the_reasons_are_told():
    await (await engine_at("landlock")).close()
    seen = report_like_a_container()
    assert (seen["level"], seen["written"]) == ("landlock", [])
    assert "namespaces: " in seen["why"]
    assert "Operation not permitted" in seen["why"]
    assert "bubblewrap: " in seen["why"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the simulation knows x86-64 only")
def test_where_nothing_works_it_is_refused_with_every_reason_and_one_remedy():
    refusal = report_like_a_container(landlock=False)["refused"]
    lines = refusal.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:4]] == ["namespaces", "bubblewrap", "landlock"]
    assert "no Landlock" in lines[3]
    assert lines[4].startswith("To mend it: ")
    assert "E2B_API_KEY" in lines[5]


async def test_none_is_only_taken_by_name_and_warns(caplog, monkeypatch):
    async def broken(*_: object) -> Zygote:
        raise EngineError("simulated")

    with monkeypatch.context() as patch:
        patch.setattr(levels, "start", broken)
        with pytest.raises(EngineError, match="cannot be isolated"):
            await engines.start_engine(preload=())
    engine = await engines.start_engine(isolation="none", preload=())
    assert engine.level == "none"
    assert "everything that you can do" in caplog.text
    await engine.close()


async def test_a_level_whose_trial_reaches_the_host_is_not_taken(monkeypatch):
    """`none` in the clothes of a level: the trial run notices, whatever the zygote said."""
    real = levels.start

    async def disguised(level, *rest):
        return await real("none", *rest)

    monkeypatch.setattr(levels, "start", disguised)
    with pytest.raises(EngineError, match=r"reached a file of the host and a service on the host's loopback"):
        await engines.start_engine(isolation="namespaces", preload=())


async def test_a_module_that_starts_a_thread_is_not_preloaded_and_can_be_imported(tmp_path, monkeypatch, caplog):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    (folder / "threads_at_import.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    engine = await engines.start_engine(isolation="namespaces", preload=["wave", "threads_at_import"])
    assert "started a thread: threads_at_import; not preloaded" in caplog.text
    sandbox = await new_sandbox(engine)
    there = "import sys; before = [n in sys.modules for n in ('wave', 'threads_at_import')]"
    assert await python(sandbox, f"{there}; import threads_at_import; result = before") == [True, False]
    await engine.close()


async def test_modules_that_are_not_installed_are_left_out_and_installed_ones_are_there_at_once():
    engine = await engine_at("namespaces", preload=["no_such_module", "wave"])
    sandbox = await new_sandbox(engine)
    assert await python(sandbox, "import sys; result = [n in sys.modules for n in ('wave', 'aifc')]") == [True, False]
    await engine.close()


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({"kernel/unprivileged_userns_clone": "0"}, "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ({"user/max_user_namespaces": "0"}, "sudo sysctl -w user.max_user_namespaces=15000"),
        ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, "apparmor_parser -r"),
        ({}, "sudo apt install bubblewrap"),
    ],
)
def test_the_remedy_fits_the_machine(monkeypatch, settings, command):
    monkeypatch.setattr(levels, "_sysctl", settings.get)
    monkeypatch.setattr(levels, "in_container", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/bwrap")
    assert command in levels.remedy()


def test_in_a_container_the_remedy_is_a_flag_of_docker(monkeypatch):
    monkeypatch.setattr(levels, "_sysctl", lambda name: None)
    monkeypatch.setattr(levels, "in_container", lambda: True)
    assert "docker run --security-opt seccomp=unconfined" in levels.remedy()


def test_without_bwrap_the_level_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(EngineError, match="bwrap is not installed"):
        Bubblewrap.find(interpreters.ours(), {})
