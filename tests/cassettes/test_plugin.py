"""The pytest plugin, used as a user would: in a project of its own, with nothing but a conftest line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import e2b_code_interpreter  # noqa: F401 - must be there before a run in this process, which forgets what it imported
import pytest

CONFTEST = 'pytest_plugins = ["ci_integrations.testing.cassettes.plugin"]'
TEST = """
from e2b_code_interpreter import Sandbox

def test_total(cassette):
    with Sandbox.create() as sandbox:
        assert sandbox.run_code("40 + 2").text is not None
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-q", *options)


def record_at(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options = server.options()
    monkeypatch.setenv("E2B_API_URL", options["api_url"])
    monkeypatch.setenv("E2B_SANDBOX_URL", options["sandbox_url"])
    monkeypatch.setenv("E2B_API_KEY", options["api_key"])


@pytest.mark.parametrize("recording", [True, False], ids=["with pytest-recording", "without"])
def test_record_then_replay_without_key_and_network(
    project: pytest.Pytester, server: Any, monkeypatch: pytest.MonkeyPatch, recording: bool
) -> None:
    options = [] if recording else ["-p", "no:recording"]
    test = project.makepyfile(test_totals=TEST)
    record_at(server, monkeypatch)
    run(project, "--record-mode=once", *options).assert_outcomes(passed=1)
    assert (test.parent / "cassettes" / "test_totals" / "test_total.yaml").is_file()

    for name in ("E2B_API_KEY", "E2B_API_URL", "E2B_SANDBOX_URL"):
        monkeypatch.delenv(name)
    server.seen.clear()
    run(project, *options).assert_outcomes(passed=1)
    assert server.seen == []


def test_replay_without_a_cassette_fails_and_says_how_to_record(project: pytest.Pytester) -> None:
    project.makepyfile(TEST)
    result = run(project)
    result.stdout.fnmatch_lines(["*CassetteMissError*", "*--record-mode*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_an_unplayed_interaction_fails_the_test(
    project: pytest.Pytester, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = project.makepyfile(test_totals=TEST)
    record_at(server, monkeypatch)
    run(project, "--record-mode=once").assert_outcomes(passed=1)
    Path(test).write_text("def test_total(cassette): pass\n")
    result = run(project)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*CassetteMismatchError*recorded requests were not asked for*"])


def test_a_blocked_test_cannot_reach_e2b(
    project: pytest.Pytester, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_at(server, monkeypatch)
    project.makepyfile("""
        from e2b_code_interpreter import Sandbox

        def test_leak(e2b_blocked):
            Sandbox.create()
    """)
    result = run(project)
    result.stdout.fnmatch_lines(["*TrafficBlockedError*POST /v2/sandboxes*"])
    assert server.seen == []


def test_a_miss_leaves_the_next_test_alone(project: pytest.Pytester) -> None:
    """The guard and the cassette are taken out again, whatever happened inside."""
    untouched = """
import pyqwest
from ci_integrations.testing.cassettes import _tape

def test_zzz_after():
    assert pyqwest.SyncHTTPTransport.execute_sync is _tape._SEND
"""
    project.makepyfile(TEST.replace("(cassette)", "(e2b_blocked, cassette)") + untouched)
    run(project).assert_outcomes(passed=1, failed=1, errors=1)


def test_with_a_key_the_cassettes_of_this_repository_are_recorded_where_it_leads(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command in CONTRIBUTING.md, on a copy. The stand-in cannot run a whole story; that it was asked is enough."""
    here = Path(__file__).parent
    for source in (here.parent / "conftest.py", here.parent / "sandbox_kinds.py", here / "test_recorded.py"):
        shutil.copy(source, tmp_path)
    record_at(server, monkeypatch)
    options = ["-n0", "-q", "-o", "asyncio_mode=auto", "--record-mode=all", "-k", "test_the_sdk_sync"]
    subprocess.run([sys.executable, "-m", "pytest", *options, "test_recorded.py"], cwd=tmp_path, check=False)
    assert "POST /v2/sandboxes" in server.seen
