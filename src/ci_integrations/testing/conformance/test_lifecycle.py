"""Sandboxes are created, found, paused and killed; calls raise when they are gone."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import pytest
from e2b import SandboxNotFoundException, SandboxQuery, SandboxState, TimeoutException
from e2b_code_interpreter import Sandbox

from ci_integrations.testing.conformance import Options


def test_info_says_what_was_asked_for(options: Options) -> None:
    sandbox = Sandbox.create(timeout=100, metadata={"a b": "c&d=e"}, **options)
    info = sandbox.get_info()
    left = (info.end_at - datetime.now(UTC)).total_seconds()
    sandbox.kill()
    assert (info.metadata, info.sandbox_id, info.state) == ({"a b": "c&d=e"}, sandbox.sandbox_id, SandboxState.RUNNING)
    assert 80 < left <= 101


def test_set_timeout_counts_from_now(own_sandbox: Sandbox) -> None:
    """The new lease replaces the old one, also when it is shorter."""
    own_sandbox.set_timeout(30)
    left = (own_sandbox.get_info().end_at - datetime.now(UTC)).total_seconds()
    assert 20 < left <= 31


def test_listing_filters_by_metadata(options: Options) -> None:
    """The filter travels in the query string; its names and values may hold any character."""
    mark = uuid.uuid4().hex
    made = [Sandbox.create(timeout=60, metadata={"mark x": mark}, **options) for _ in range(3)]
    found, page = set[str](), Sandbox.list(query=SandboxQuery(metadata={"mark x": mark}), limit=2, **options)
    while page.has_next:
        found |= {info.sandbox_id for info in page.next_items()}
    for sandbox in made:
        sandbox.kill()
    assert found == {sandbox.sandbox_id for sandbox in made}


def test_a_killed_sandbox_is_gone_everywhere(options: Options) -> None:
    """The SDK raises TimeoutException for calls to a sandbox that is gone."""
    sandbox = Sandbox.create(timeout=60, **options)
    assert sandbox.is_running() is True
    assert sandbox.kill() is True
    assert (sandbox.kill(), sandbox.is_running()) == (False, False)
    with pytest.raises(TimeoutException):
        sandbox.run_code("1")
    with pytest.raises(TimeoutException):
        sandbox.commands.run("true")
    with pytest.raises(SandboxNotFoundException):
        Sandbox.connect(sandbox.sandbox_id, **options)


def test_a_sandbox_ends_with_its_lease(options: Options) -> None:
    sandbox = Sandbox.create(timeout=2, **options)
    deadline = time.monotonic() + 15
    while sandbox.is_running() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sandbox.is_running() is False


def test_pause_keeps_memory_and_files(own_sandbox: Sandbox, options: Options) -> None:
    own_sandbox.run_code("kept = 'memory'; open('kept', 'w').write('file')")
    assert own_sandbox.pause() is True
    assert own_sandbox.is_running() is False
    with pytest.raises(TimeoutException):
        own_sandbox.run_code("1")
    again = Sandbox.connect(own_sandbox.sandbox_id, timeout=60, **options)
    assert again.run_code("kept + open('kept').read()").text == "memoryfile"


def test_metrics_are_real_numbers(own_sandbox: Sandbox) -> None:
    """The endpoint measures only every few seconds, so the first answer may be empty."""
    own_sandbox.run_code("x = bytearray(30 << 20)")
    deadline, metrics = time.monotonic() + 15, own_sandbox.get_metrics()
    while not metrics and time.monotonic() < deadline:
        time.sleep(0.5)
        metrics = own_sandbox.get_metrics()
    assert metrics[-1].mem_used > 0
    assert metrics[-1].cpu_count >= 1


def test_a_wrong_key_is_refused(options: Options) -> None:
    from e2b import AuthenticationException

    with pytest.raises(AuthenticationException):
        Sandbox.create(**options | {"api_key": "e2b_" + "0" * 40})


def test_two_sandboxes_do_not_see_each_other(sandbox: Sandbox, own_sandbox: Sandbox) -> None:
    sandbox.files.write("/home/user/mine", "x")
    sandbox.run_code("mine = 1")
    assert own_sandbox.files.exists("/home/user/mine") is False
    error = own_sandbox.run_code("mine").error
    assert error is not None
