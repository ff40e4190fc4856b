"""`serve` for other programs, and the commands that look at what it holds: `doctor --sandbox`, `reap`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations._core.client import TAG
from ci_integrations.cli import reap
from ci_integrations.sessions import SessionRegistry

CI = str(Path(sys.executable).with_name("ci-integrations"))


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, str]]:
    """What a foreground server says when it is ready."""
    with subprocess.Popen([CI, "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        yield dict(shlex.split(line)[1].split("=", 1) for line in lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


@pytest.fixture
def pointed(served: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in served.items():
        monkeypatch.setenv(name, value)


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def tags(**changed: str) -> dict[str, str]:
    ours = {TAG: "1", f"{TAG}_host": socket.gethostname(), f"{TAG}_pid": str(os.getpid()), f"{TAG}_session": "s"}
    return ours | {f"{TAG}_{name}": value for name, value in changed.items()}


@pytest.mark.usefixtures("pointed")
def test_any_sdk_can_use_it() -> None:
    with Sandbox.create() as sandbox:
        assert sandbox.run_code("1 + 1").text == "2"


@pytest.mark.usefixtures("pointed")
def test_doctor_examines_a_live_sandbox(cli: Callable[..., Any]) -> None:
    with Sandbox.create(timeout=120) as sandbox:
        outcome = cli("doctor", "--sandbox", sandbox.sandbox_id, "--json")
        left = (sandbox.get_info().end_at - sandbox.get_info().started_at).total_seconds()
    assert outcome.code == 0
    found = {check["name"]: check for check in outcome.json}
    assert {"sandbox", "lease", "envd", "code interpreter", "disk and memory"} <= set(found)
    assert all(check["status"] != "fail" for check in found.values())
    assert 0 < found["lease"]["details"]["seconds"] <= 120
    assert 118 <= left <= 122  # looking has not renewed the lease


@pytest.mark.usefixtures("pointed")
def test_doctor_of_a_sandbox_that_is_gone(cli: Callable[..., Any]) -> None:
    outcome = cli("doctor", "--sandbox", "nosuchsandbox")
    assert outcome.code == 1
    assert "does not exist" in outcome.out


@pytest.mark.usefixtures("pointed")
def test_doctor_does_not_wake_a_paused_sandbox(cli: Callable[..., Any]) -> None:
    sandbox = Sandbox.create()
    sandbox.pause()
    outcome = cli("doctor", "--sandbox", sandbox.sandbox_id)
    assert "that would wake it" in outcome.out
    assert str(Sandbox.get_info(sandbox.sandbox_id).state.value) == "paused"
    Sandbox.kill(sandbox.sandbox_id)


@pytest.mark.usefixtures("pointed")
def test_reap_lists_all_and_kills_what_belongs_to_the_dead(cli: Callable[..., Any]) -> None:
    mine = Sandbox.create(metadata=tags())
    orphan = Sandbox.create(metadata=tags(pid=str(dead_pid()), session="orphan"))
    foreign = Sandbox.create(metadata=tags(host="another-machine"))
    untagged = Sandbox.create()

    listed = cli("reap", "--json")
    owners = {entry["sandbox_id"]: entry["owner"] for entry in listed.json}
    assert owners == {mine.sandbox_id: "alive", orphan.sandbox_id: "dead", foreign.sandbox_id: "elsewhere"}
    assert not any(entry["killed"] for entry in listed.json)
    assert [e["sandbox_id"] for e in cli("reap", "--session", "orphan", "--json").json] == [orphan.sandbox_id]
    assert "ci-integrations reap --kill" in cli("reap").err

    assert "1 killed" in cli("reap", "--kill").err
    assert [box.is_running() for box in (mine, orphan, foreign, untagged)] == [True, False, True, True]
    assert "2 killed" in cli("reap", "--kill", "--all").err
    assert untagged.is_running()
    untagged.kill()
    assert cli("reap").out.strip() == "no sandbox of this library is running"


@pytest.mark.usefixtures("pointed")
def test_reap_leaves_alone_what_was_kept_on_purpose(cli: Callable[..., Any]) -> None:
    kept = Sandbox.create(metadata=tags(pid=str(dead_pid()), session="kept", idle="keep"))
    said = cli("reap")
    assert "1 kept on purpose" in said.err
    assert "belong to processes that are dead" not in said.err
    assert "0 killed" in cli("reap", "--kill").err
    assert kept.is_running()
    assert "1 killed" in cli("reap", "--kill", "--session", "kept").err
    assert not kept.is_running()


@pytest.mark.parametrize("idle", ["kill", "pause", "keep"])
def test_sessions_say_whether_they_are_kept(idle: Literal["kill", "pause", "keep"]) -> None:
    with SessionRegistry({"backend": "local"}, idle=idle) as registry:
        sandbox = registry.session("a").sandbox
        assert sandbox.get_info().metadata.get(f"{TAG}_idle", "kill") == idle
    sandbox.kill()


def test_reap_knows_the_tag_that_sessions_set() -> None:
    assert reap.TAG == TAG


def test_print_env_serves_the_shell_and_goes_with_it(tmp_path: Path) -> None:
    check = "from e2b_code_interpreter import Sandbox; s = Sandbox.create(); print(s.run_code('6 * 7').text); s.kill()"
    script = f'eval "$({CI} serve --print-env)"\n{sys.executable} -c "{check}"\necho "$CI_INTEGRATIONS_SERVER_PID"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    answer, pid = done.stdout.split()
    assert answer == "42"
    deadline = time.monotonic() + 10
    while alive(int(pid)):
        assert time.monotonic() < deadline, "the server outlived the shell"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_templates_of_a_file_are_served(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text("[templates.mine]\nenvs = { COLOUR = 'blue' }\nsetup = ['echo made > made.txt']\n")
    code = "import os; os.environ['COLOUR'] + open('/home/user/made.txt').read()"
    check = f"from e2b_code_interpreter import Sandbox; s = Sandbox.create('mine'); print(s.run_code({code!r}).text)"
    script = f'eval "$({CI} serve --print-env --templates t.toml)"\n{sys.executable} -c "$CHECK"'
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "CHECK": check},
    )
    assert done.stdout.strip() == "bluemade\\n"


def test_a_port_that_is_taken(cli: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for background in ([], ["--print-env"]):
            outcome = cli("serve", "--port", taken.getsockname()[1], *background)
            assert outcome.code == 2
            assert str(taken.getsockname()[1]) in outcome.err
            assert outcome.out == ""


def test_doctor_of_this_machine(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_secret0123456789")
    outcome = cli("doctor", "--json")
    found = {check["name"]: check for check in json.loads(outcome.out)}
    assert outcome.code == 0
    assert found["local sandbox"]["status"] == "ok"
    assert found["isolation"]["text"].startswith(("namespaces", "bubblewrap", "landlock"))
    assert found["limits of a sandbox"]["details"]["memory"] > 0
    assert "python" in found["languages"]["details"]
    assert "e2b_secret" not in outcome.out + outcome.err


def test_doctor_warns_of_versions_it_was_not_tested_with(monkeypatch: pytest.MonkeyPatch) -> None:
    from ci_integrations.cli.doctor import machine

    real = machine.metadata.version
    monkeypatch.setattr(machine.metadata, "version", lambda name: "3.0.0" if name == "e2b" else real(name))
    [warned] = [check for check in machine._versions() if check.status == "warn"]
    assert warned.name == "e2b"
    assert "not tested" in warned.text
