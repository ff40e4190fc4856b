"""Sandboxes made, found, changed, paused and ended with the unmodified SDK."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest
from e2b import AuthenticationException, SandboxException, SandboxNotFoundException, TimeoutException
from e2b_code_interpreter import Sandbox, SandboxQuery, SandboxState

from ci_integrations.local.launcher import Endpoint


def test_a_wrong_key_is_an_authentication_error(endpoint: Endpoint) -> None:
    with pytest.raises(AuthenticationException, match="X-API-KEY"):
        Sandbox.create(**endpoint.sdk_options() | {"api_key": "e2b_0000"})


def test_create_says_what_it_made(endpoint: Endpoint) -> None:
    options = endpoint.sdk_options()
    with Sandbox.create(timeout=77, metadata={"user": "ada"}, envs={"COLOUR": "red"}, **options) as sandbox:
        info = sandbox.get_info()
        assert info.template_id == "code-interpreter-v1"
        assert info.metadata == {"user": "ada"}
        assert info.state is SandboxState.RUNNING
        assert 70 < (info.end_at - info.started_at).total_seconds() <= 78
        assert abs((datetime.now(UTC) - info.started_at).total_seconds()) < 5
        assert sandbox.run_code("import os; os.environ['COLOUR'], os.environ['E2B_SANDBOX_ID']").text == str(
            ("red", sandbox.sandbox_id)
        )


def test_a_create_that_is_sent_again_with_its_key_makes_one_sandbox(endpoint: Endpoint) -> None:
    options = endpoint.sdk_options()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: Sandbox.create(idempotency_key="once-1", **options), range(4)))
    assert len({sandbox.sandbox_id for sandbox in made}) == 1
    assert made[0].kill()
    with Sandbox.create(idempotency_key="once-1", **options) as another:
        assert another.sandbox_id != made[0].sandbox_id


def test_the_timeout_can_be_made_longer_and_shorter(sandbox: Sandbox) -> None:
    for seconds in (1000, 20):
        sandbox.set_timeout(seconds)
        left = (sandbox.get_info().end_at - datetime.now(UTC)).total_seconds()
        assert seconds - 5 < left <= seconds + 1


def test_connect_only_ever_extends(endpoint: Endpoint, sandbox: Sandbox) -> None:
    sandbox.set_timeout(500)
    again = Sandbox.connect(sandbox.sandbox_id, timeout=30, **endpoint.sdk_options())
    assert (again.get_info().end_at - datetime.now(UTC)).total_seconds() > 400
    assert again.run_code("6 * 7").text == "42"


def test_a_sandbox_is_killed_at_its_end_while_a_cell_runs(endpoint: Endpoint) -> None:
    sandbox = Sandbox.create(timeout=2, **endpoint.sdk_options())
    begun = time.monotonic()
    with pytest.raises(TimeoutException):
        sandbox.run_code("import time; time.sleep(60)", timeout=30)
    assert time.monotonic() - begun < 4
    assert not sandbox.is_running()
    assert sandbox.kill() is False


def test_what_was_killed_is_gone(endpoint: Endpoint) -> None:
    sandbox = Sandbox.create(**endpoint.sdk_options())
    assert sandbox.kill() is True
    assert sandbox.kill() is False
    assert sandbox.is_running() is False
    with pytest.raises(SandboxNotFoundException):
        sandbox.get_info()
    with pytest.raises(TimeoutException):
        sandbox.run_code("1")


def test_list_filters_by_metadata_and_pages(endpoint: Endpoint) -> None:
    options = endpoint.sdk_options()
    tag = {"a b": "c&d=é"}
    made = [Sandbox.create(metadata=tag, **options) for _ in range(3)]
    try:
        pages = Sandbox.list(query=SandboxQuery(metadata=tag), limit=2, **options)
        first = pages.next_items()
        assert pages.has_next
        rest = pages.next_items()
        assert not pages.has_next
        assert {info.sandbox_id for info in first + rest} == {sandbox.sandbox_id for sandbox in made}
        assert (len(first), len(rest)) == (2, 1)
        assert Sandbox.list(query=SandboxQuery(metadata={"a b": "other"}), **options).next_items() == []
        made[0].pause()
        paused = Sandbox.list(query=SandboxQuery(metadata=tag, state=[SandboxState.PAUSED]), **options)
        assert [info.sandbox_id for info in paused.next_items()] == [made[0].sandbox_id]
    finally:
        for sandbox in made:
            sandbox.kill()


def test_pause_keeps_memory_files_and_processes(endpoint: Endpoint, sandbox: Sandbox) -> None:
    sandbox.run_code("x = 41")
    sandbox.files.write("kept.txt", "kept")
    handle = sandbox.commands.run("sleep 300", background=True)
    assert sandbox.pause()
    assert sandbox.pause() is False
    assert sandbox.is_running() is False
    with pytest.raises(TimeoutException):
        sandbox.run_code("x")
    with pytest.raises(TimeoutException):
        sandbox.files.read("kept.txt")
    assert sandbox.get_info().state is SandboxState.PAUSED

    again = sandbox.connect(timeout=60)
    assert again.run_code("x + 1").text == "42"
    assert again.files.read("kept.txt") == "kept"
    assert handle.pid in [process.pid for process in again.commands.list()]


def test_a_cell_that_runs_at_the_pause_is_interrupted_after_it(sandbox: Sandbox) -> None:
    import threading

    raised: list[BaseException] = []

    def run() -> None:
        try:
            sandbox.run_code("import time\nfor i in range(600): time.sleep(0.1)", timeout=50)
        except TimeoutException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.5)
    sandbox.pause()
    thread.join(5)
    assert raised
    sandbox.connect()
    assert sandbox.run_code("i < 599").text == "True"


def test_auto_pause_and_auto_resume(endpoint: Endpoint) -> None:
    lifecycle = {"on_timeout": "pause", "auto_resume": True}
    with Sandbox.create(timeout=1, lifecycle=lifecycle, **endpoint.sdk_options()) as sandbox:
        assert sandbox.get_info().lifecycle == {"on_timeout": "pause", "auto_resume": True}
        sandbox.set_timeout(2)
        sandbox.run_code("x = 5")
        sandbox.set_timeout(0)
        deadline = time.monotonic() + 5
        while sandbox.get_info().state is not SandboxState.PAUSED:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert sandbox.run_code("x").text == "5"


def test_metrics_are_measured(sandbox: Sandbox) -> None:
    sandbox.files.write("block", b"x" * 5_000_000)
    sandbox.run_code("block = bytearray(50_000_000); [i * i for i in range(3_000_000)]; None")
    [sample] = sandbox.get_metrics()
    assert sample.mem_total >= sample.mem_used > 50_000_000
    assert sample.cpu_used_pct > 1
    assert 5_000_000 <= sample.disk_used < sample.disk_total
    assert sample.cpu_count >= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"volume_mounts": {"/data": "volume"}}, "volumes"),
        ({"mcp": {"time": {}}}, "mcp"),
        ({"network": {"egress_proxy": {"address": "proxy.example.org:1080"}}}, "egressProxy"),
        ({"lifecycle": {"on_timeout": {"action": "pause", "keep_memory": False}}}, "files only"),
    ],
)
def test_what_is_not_done_here_says_so(endpoint: Endpoint, options: dict[str, object], words: str) -> None:
    with pytest.raises(SandboxException, match=rf"501.*{words}"):
        Sandbox.create(**options, **endpoint.sdk_options())


def test_an_unknown_template_lists_the_known_ones(endpoint: Endpoint) -> None:
    with pytest.raises(SandboxException, match=r"404.*'nope'.*base, code-interpreter-v1"):
        Sandbox.create("nope", **endpoint.sdk_options())


def test_snapshots_and_forks_say_what_works_instead(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxException, match=r"501.*pause\(\)"):
        sandbox.create_snapshot()
    with pytest.raises(SandboxException, match=r"501.*second one"):
        sandbox.fork()


@pytest.mark.parametrize("path", ["/templates", "/v2/templates", "/v3/templates", "/volumes", "/secrets", "/snapshots"])
def test_other_rooms_of_the_control_plane_answer_501(endpoint: Endpoint, path: str) -> None:
    answer = httpx.get(endpoint.url + path, headers={"X-API-KEY": endpoint.token})
    assert answer.status_code == 501
    assert answer.json()["code"] == 501
    assert "here" in answer.json()["message"]


def test_a_path_that_nobody_has_is_a_404_in_json(endpoint: Endpoint) -> None:
    answer = httpx.get(endpoint.url + "/nonsense", headers={"X-API-KEY": endpoint.token})
    assert (answer.status_code, answer.json()["code"]) == (404, 404)


BROKEN = [
    b"{not json",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"templateID": 5}',
    b'{"templateID": "base", "timeout": -1}',
    b'{"templateID": "base", "timeout": true}',
    b'{"templateID": "base", "timeout": 999999999}',
    b'{"templateID": "base", "metadata": {"a": 1}}',
    b'{"templateID": "base", "envVars": {"A=B": "c"}}',
]


@pytest.mark.parametrize("body", BROKEN)
def test_a_broken_create_is_a_400(endpoint: Endpoint, body: bytes) -> None:
    answer = httpx.post(endpoint.url + "/v2/sandboxes", content=body, headers={"X-API-KEY": endpoint.token})
    assert (answer.status_code, answer.json()["code"]) == (400, 400)


def test_the_old_paths_still_work(endpoint: Endpoint) -> None:
    with httpx.Client(base_url=endpoint.url, headers={"X-API-KEY": endpoint.token}) as client:
        made = client.post("/sandboxes", json={"templateID": "base", "timeout": 15})
        assert made.status_code == 201
        sandbox_id = made.json()["sandboxID"]
        assert client.post(f"/sandboxes/{sandbox_id}/refreshes", json={"duration": 60}).status_code == 204
        assert sandbox_id in [info["sandboxID"] for info in client.get("/sandboxes").json()]
        metrics = client.get("/sandboxes/metrics", params={"sandbox_ids": sandbox_id}).json()
        assert metrics["sandboxes"][sandbox_id]["memTotal"] > 0
        assert client.post(f"/sandboxes/{sandbox_id}/resume", json={}).status_code == 409
        assert client.delete(f"/sandboxes/{sandbox_id}").status_code == 204
