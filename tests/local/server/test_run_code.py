"""Cells and contexts through the unmodified SDK, and the lines they travel in."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from e2b import NotFoundException, SandboxException
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import Endpoint


def raw(endpoint: Endpoint, sandbox: Sandbox) -> httpx.Client:
    headers = {
        "E2b-Sandbox-Id": sandbox.sandbox_id,
        "E2b-Sandbox-Port": "49999",
        "X-Access-Token": str(sandbox._envd_access_token),
    }
    return httpx.Client(base_url=endpoint.url, headers=headers, timeout=20)


def test_the_first_cell_is_the_first_in_the_history(sandbox: Sandbox) -> None:
    """Whatever the fork server ran to warm up."""
    assert sandbox.run_code("In, Out, _i").text == "(['', 'In, Out, _i'], {}, '')"
    sandbox.run_code("41")
    assert sandbox.run_code("_ + 1, __name__, __doc__[:9]").text == "(42, '__main__', 'Automatic')"


def test_output_results_and_errors_arrive_in_order(sandbox: Sandbox) -> None:
    seen: list[tuple[str, str]] = []
    execution = sandbox.run_code(
        "import time\nprint('one', flush=True)\ntime.sleep(0.3)\ndisplay('two')\ntime.sleep(0.3)\n1/0",
        on_stdout=lambda message: seen.append(("stdout", message.line)),
        on_result=lambda result: seen.append(("result", result.text or "")),
        on_error=lambda error: seen.append(("error", error.name)),
    )
    printed = "".join(text for kind, text in seen if kind == "stdout")  # a line may come in pieces
    assert printed == "one\n"
    assert seen[0][0] == "stdout"
    assert seen[-2:] == [("result", "two"), ("error", "ZeroDivisionError")]
    assert execution.error is not None
    assert execution.execution_count == 1


def test_output_streams_while_the_cell_runs(sandbox: Sandbox) -> None:
    begun = time.monotonic()
    times: list[float] = []
    sandbox.run_code(
        "import time\nfor i in range(3):\n    print(i, flush=True); time.sleep(0.6)",
        on_stdout=lambda _: times.append(time.monotonic() - begun),
    )
    assert len(times) >= 3
    assert times[0] < 0.6


def test_values_have_the_keys_of_the_reference(shared: Sandbox) -> None:
    listed = shared.run_code("[1, float('nan'), 'x']").results[0]
    assert listed.json == [1, None, "x"]
    frame = shared.run_code("import pandas as pd; pd.DataFrame({'a': [1, 2]})").results[0]
    assert frame.data == {"a": [1, 2]}
    figure = shared.run_code("import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()").results[-1]
    assert figure.png
    assert shared.run_code("'quoted'").text == "quoted"


def test_env_vars_of_a_call_go_away_with_it(shared: Sandbox) -> None:
    value = "a'b\"c\n\\d"
    code = "import os; os.environ.get('ONCE') == " + repr(value)
    assert shared.run_code(code, envs={"ONCE": value}).text == "True"
    assert shared.run_code("os.environ.get('ONCE')").text is None


def test_lines_are_ascii_and_end_with_the_end(endpoint: Endpoint, shared: Sandbox) -> None:
    with raw(endpoint, shared) as client:
        answer = client.post("/execute", json={"code": "print('\\u2028\\x85é\U0001f389'); '\\x0c'"})
    assert answer.content.isascii()
    lines = answer.content.split(b"\n")
    assert lines[-1] == b""
    assert all(lines[:-1])
    assert json.loads(lines[-2]) == {"type": "end_of_execution"}
    assert "content-type" not in answer.headers


def test_silence_is_filled_with_keepalives(endpoint: Endpoint, shared: Sandbox) -> None:
    with raw(endpoint, shared) as client:
        answer = client.post("/execute", json={"code": "import time; time.sleep(5.6)"})
    assert [json.loads(line)["type"] for line in answer.text.splitlines()] == [
        "number_of_executions",
        "keepalive",
        "end_of_execution",
    ]


def test_a_client_that_leaves_interrupts_its_cell_and_the_next_works(endpoint: Endpoint, sandbox: Sandbox) -> None:
    sandbox.run_code("done = False")
    with raw(endpoint, sandbox) as client, client.stream("POST", "/execute", json={"code": SLOW}) as answer:
        lines = answer.iter_lines()
        assert "inside" in next(lines) + next(lines)
    begun = time.monotonic()
    assert sandbox.run_code("done").text == "interrupted"
    assert time.monotonic() - begun < 3


SLOW = """
import time
try:
    print('inside', flush=True)
    for i in range(600): time.sleep(0.1)
except KeyboardInterrupt:
    done = 'interrupted'
"""


def test_a_client_that_leaves_while_it_waits_never_runs(endpoint: Endpoint, sandbox: Sandbox) -> None:
    with raw(endpoint, sandbox) as busy, busy.stream("POST", "/execute", json={"code": SLEEP_2}) as running:
        lines = running.iter_lines()
        next(lines)
        with raw(endpoint, sandbox) as waiting, waiting.stream("POST", "/execute", json={"code": "ran = True"}):
            time.sleep(0.3)
        for _ in lines:
            pass
    assert sandbox.run_code("'ran' in globals()").text == "False"


SLEEP_2 = "import time; time.sleep(2)"


def test_one_context_takes_turns_and_contexts_run_side_by_side(sandbox: Sandbox) -> None:
    other = sandbox.create_code_context()
    begun = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(sandbox.run_code, "import time; time.sleep(1); 'a'")
        time.sleep(0.2)
        second = pool.submit(sandbox.run_code, "'b'")
        aside = pool.submit(sandbox.run_code, "'c'", context=other)
        assert aside.result().text == "c"
        assert time.monotonic() - begun < 0.9
        assert (first.result().text, second.result().text) == ("a", "b")


@pytest.mark.parametrize("death", ["import os; os._exit(3)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_dead_kernel_is_told_and_replaced(sandbox: Sandbox, death: str) -> None:
    sandbox.run_code("x = 1")
    execution = sandbox.run_code(death)
    assert execution.error is not None
    assert (execution.error.name, execution.error.value) == ("ContextRestarting", "Context was restarted")
    again = sandbox.run_code("'x' in globals()")
    assert again.text == "False"
    assert again.execution_count == 1


def test_exit_ends_the_context_cleanly(sandbox: Sandbox) -> None:
    for _ in range(5):
        sandbox.run_code("x = 1")
        assert sandbox.run_code("exit()").error is None
        after = sandbox.run_code("'x' in globals()")
        assert (after.text, after.execution_count) == ("False", 1)


def test_contexts_are_made_listed_restarted_and_removed(sandbox: Sandbox) -> None:
    context = sandbox.create_code_context(cwd="/tmp")
    assert sandbox.run_code("import os; x = 1; os.getcwd()", context=context).text == "/tmp"
    assert sandbox.run_code("'x' in globals()").text == "False"
    assert context.id in [found.id for found in sandbox.list_code_contexts()]
    sandbox.restart_code_context(context)
    assert sandbox.run_code("'x' in globals()", context=context).text == "False"
    sandbox.remove_code_context(context)
    with pytest.raises(NotFoundException, match="not found"):
        sandbox.run_code("1", context=context)
    with pytest.raises(NotFoundException):
        sandbox.remove_code_context(context)


def test_removing_a_context_ends_its_cell(sandbox: Sandbox) -> None:
    context = sandbox.create_code_context()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sandbox.run_code, "import time; time.sleep(60)", context=context)
        time.sleep(0.5)
        sandbox.remove_code_context(context)
        error = running.result(5).error
    assert error is not None
    assert error.name == "UnexpectedEndOfExecution"


def test_bash_keeps_its_state(sandbox: Sandbox) -> None:
    sandbox.run_code("cd /tmp; X=5", language="bash")
    assert "".join(sandbox.run_code("echo $X $PWD", language="bash").logs.stdout) == "5 /tmp\n"


def test_an_unknown_language_is_named(shared: Sandbox) -> None:
    with pytest.raises(SandboxException, match=r"Failed to create context.*cobol"):
        shared.run_code("1", language="cobol")


def test_a_large_output_is_whole(sandbox: Sandbox) -> None:
    execution = sandbox.run_code("print('x' * 5_000_000); [print(i) for i in range(20_000)]; None")
    assert "".join(execution.logs.stdout) == "x" * 5_000_000 + "\n" + "".join(f"{i}\n" for i in range(20_000))


def test_a_slow_reader_loses_nothing_and_hurts_nobody(endpoint: Endpoint, sandbox: Sandbox) -> None:
    received = 0
    with (
        raw(endpoint, sandbox) as client,
        client.stream("POST", "/execute", json={"code": "for i in range(8): print('y' * 1_000_000)"}) as answer,
    ):
        time.sleep(1)
        other = Sandbox.create(**endpoint.sdk_options())
        assert other.run_code("1").text == "1"
        other.kill()
        for line in answer.iter_lines():
            event = json.loads(line)
            received += len(event.get("text", "")) if event["type"] == "stdout" else 0
    assert received == 8 * 1_000_001


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"null", 422),
        (b"\xff", 422),
        (b"[" * 50_000, 422),
        (b'{"code": 5}', 422),
        (b'{"code": "1", "env_vars": {"A": 1}}', 422),
        (b'{"code": "1", "env_vars": []}', 422),
        (b'{"code": "1", "context_id": "x", "language": "python"}', 400),
        (b'{"code": "1", "context_id": "x"}', 404),
    ],
)
def test_broken_requests_have_a_status(endpoint: Endpoint, shared: Sandbox, body: bytes, status: int) -> None:
    with raw(endpoint, shared) as client:
        assert client.post("/execute", content=body).status_code == status


def problem(kind: str, where: list[str | int], words: str, given: object, **more: object) -> dict[str, object]:
    return {"type": kind, "loc": ["body", *where], "msg": words, "input": given, **more}


OBJECT = "Input should be a valid dictionary or object to extract fields from"
NO_NAME = {"error": "Expecting property name enclosed in double quotes"}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", problem("missing", [], "Field required", None)),
        (b"{}", problem("missing", ["code"], "Field required", {})),
        (b'{"code": 5}', problem("string_type", ["code"], "Input should be a valid string", 5)),
        (
            b'{"code": "1", "env_vars": {"A": 1}}',
            problem("string_type", ["env_vars", "A"], "Input should be a valid string", 1),
        ),
        (
            b'{"code": "1", "env_vars": []}',
            problem("dict_type", ["env_vars"], "Input should be a valid dictionary", []),
        ),
        (b"[]", problem("model_attributes_type", [], OBJECT, [])),
        (b"{not json", problem("json_invalid", [1], "JSON decode error", {}, ctx=NO_NAME)),
    ],
)
def test_a_broken_request_is_answered_in_the_words_of_e2bs_server(
    endpoint: Endpoint, shared: Sandbox, body: bytes, found: dict[str, object]
) -> None:
    with raw(endpoint, shared) as client:
        answer = client.post("/execute", content=body)
    assert (answer.status_code, answer.json()) == (422, {"detail": [found]})


def test_a_million_wrong_variables_are_refused_at_once(endpoint: Endpoint, shared: Sandbox) -> None:
    variables = {f"{number}": 1 for number in range(1_000_000)}
    with raw(endpoint, shared) as client:
        answer = client.post("/execute", json={"code": "1", "env_vars": variables})
    assert answer.status_code == 422
    assert [problem["type"] for problem in answer.json()["detail"]] == ["too_long"]


def test_execute_needs_the_sandbox_token(endpoint: Endpoint, shared: Sandbox) -> None:
    with raw(endpoint, shared) as client:
        client.headers["X-Access-Token"] = "wrong"
        assert client.post("/execute", json={"code": "1"}).status_code == 401


def test_many_threads_share_a_server_without_crosstalk(endpoint: Endpoint) -> None:
    def work(number: int) -> list[str | None]:
        with Sandbox.create(**endpoint.sdk_options()) as sandbox:
            sandbox.run_code(f"me = {number}")
            sandbox.files.write("me.txt", str(number))
            said = sandbox.commands.run("cat me.txt").stdout
            return [said, *[sandbox.run_code("me").text for _ in range(5)]]

    with ThreadPoolExecutor(8) as pool:
        for number, answers in enumerate(pool.map(work, range(16))):
            assert answers == [str(number)] * 6


def test_a_kill_in_the_middle_of_a_cell_is_told_within_a_second(sandbox: Sandbox) -> None:
    from e2b import TimeoutException

    killed: list[float] = []

    def kill() -> None:
        killed.append(time.monotonic())
        sandbox.kill()

    threading.Timer(0.5, kill).start()
    with pytest.raises(TimeoutException, match="killed"):
        sandbox.run_code("import time; time.sleep(60)", timeout=30)
    assert time.monotonic() - killed[0] < 1
