"""Cells and contexts of the kind `jupyter`: what E2B's own server answers, recorded there, is answered here."""

from __future__ import annotations

import json
import re
import time

import httpx
import pytest
from e2b import CommandExitException, NotFoundException, SandboxException
from e2b_code_interpreter import AsyncSandbox, Sandbox

from ci_integrations.local.launcher import Endpoint


def lines_of(http: httpx.Client, **body: object) -> list[dict[str, object]]:
    with http.stream("POST", "/execute", json=body) as response:
        assert response.status_code == 200
        return [json.loads(line) for line in response.iter_lines()]


def test_a_cell_is_the_kernels_first_and_its_value_comes_back(sandbox: Sandbox) -> None:
    context = sandbox.create_code_context()
    execution = sandbox.run_code("x = 20\nx + 1", context=context)
    assert (execution.text, execution.execution_count, execution.error) == ("21", 1, None)
    assert sandbox.run_code("x", context=context).text == "20"


def test_the_kernel_is_a_real_ipykernel_without_anything_of_ours(sandbox: Sandbox) -> None:
    found = sandbox.run_code("import sys; type(get_ipython()).__module__, 'ci_integrations' in sys.modules")
    assert found.text == "('ipykernel.zmqshell', False)"


def test_health(http: httpx.Client) -> None:
    response = http.get("/health")
    assert (response.status_code, response.json()) == (200, "OK")


def test_output_streams_while_the_cell_runs(sandbox: Sandbox) -> None:
    seen: list[tuple[str, float]] = []
    code = "import time\nfor i in range(3):\n    print(i, flush=True); time.sleep(0.7)"
    sandbox.run_code(code, on_stdout=lambda message: seen.append((message.line, time.monotonic())))
    assert "".join(text for text, _ in seen) == "0\n1\n2\n"
    assert seen[-1][1] - seen[0][1] > 1  # had they come together, there would be nothing between them


def test_a_silent_cell_is_kept_alive_by_lines_that_say_nothing(http: httpx.Client) -> None:
    kinds = [line["type"] for line in lines_of(http, code="import time; time.sleep(7)")]
    assert kinds == ["number_of_executions", "keepalive", "end_of_execution"]


def test_an_error_has_a_name_a_value_and_a_traceback_without_colours(sandbox: Sandbox) -> None:
    error = sandbox.run_code("print('before')\n1/0").error
    assert error is not None
    assert (error.name, error.value) == ("ZeroDivisionError", "division by zero")
    assert re.search(r"----> \d+ 1/0\nZeroDivisionError: division by zero$", error.traceback)
    assert "\x1b" not in error.traceback


def test_nobody_can_be_asked(sandbox: Sandbox) -> None:
    error = sandbox.run_code("input('name? ')").error
    assert error is not None
    assert error.name == "StdinNotImplementedError"


def test_results_in_the_shapes_that_e2bs_formatters_give(sandbox: Sandbox) -> None:
    assert sandbox.run_code("[1, {'a': None}]").results[0].json == [1, {"a": None}]
    assert sandbox.run_code("'quoted'").text == "quoted"
    table = sandbox.run_code("import pandas as pd; pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})").results[0]
    assert table.data == {"a": [1, 2], "b": ["x", "y"]}
    assert table.is_main_result


def test_a_figure_is_a_picture_with_e2bs_chart(sandbox: Sandbox) -> None:
    code = (
        "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [4, 5, 6], label='line')\nplt.title('Title')\nplt.show()"
    )
    figure = sandbox.run_code(code).results[0]
    assert figure.png
    assert figure.chart is not None
    assert (figure.chart.type.value, figure.chart.title) == ("line", "Title")
    assert not figure.is_main_result


def test_variables_are_set_by_lines_before_the_first_cell(sandbox: Sandbox) -> None:
    """Of the sandbox, in each context: `In[1]` shows them, and the kernel has them from then on."""
    context = sandbox.create_code_context()
    assert "os.environ['WHERE'] = 'here'\n\nIn[1]" in (sandbox.run_code("In[1]", context=context).text or "").replace(
        "\\n", "\n"
    )
    assert sandbox.run_code("import os; os.environ['WHERE']", context=context).text == "here"


def test_variables_of_a_call_are_gone_after_it(sandbox: Sandbox) -> None:
    read = "import os; os.environ.get('CALL'), os.environ['WHERE']"
    with_them = sandbox.run_code(read, envs={"CALL": "c", "WHERE": "there"})
    assert with_them.text == "('c', 'there')"
    assert sandbox.run_code(read).text == "(None, 'here')"


@pytest.mark.parametrize(
    ("code", "envs"), [("1", {"A": "it's"}), ("1", {"A": "a\nb"}), ("%%bash\necho $A", {"A": "a"})]
)
def test_a_quote_or_a_line_end_in_a_variable_breaks_the_cell_and_so_does_a_cell_magic(
    sandbox: Sandbox, code: str, envs: dict[str, str]
) -> None:
    error = sandbox.run_code(code, envs=envs).error
    assert error is not None
    assert error.name == "SyntaxError"


def test_contexts_are_kernels_of_their_own(sandbox: Sandbox) -> None:
    one, two = sandbox.create_code_context(cwd="/tmp"), sandbox.create_code_context()
    sandbox.run_code("mine = 1", context=one)
    assert sandbox.run_code("import os; os.getcwd()", context=one).text == "/tmp"
    error = sandbox.run_code("mine", context=two).error
    assert error is not None
    assert error.name == "NameError"
    assert {one.id, two.id} <= {context.id for context in sandbox.list_code_contexts()}
    sandbox.restart_code_context(one)
    assert sandbox.run_code("'mine' in globals()", context=one).text == "False"
    sandbox.remove_code_context(one)
    with pytest.raises(NotFoundException, match=f"Context {one.id} not found"):
        sandbox.run_code("1", context=one)


@pytest.mark.parametrize("language", ["javascript", "r", "cobol"])
def test_a_language_without_a_kernel_is_refused_in_jupyters_words(sandbox: Sandbox, language: str) -> None:
    said = rf"500.*Failed to create context: .*The '{language}' kernel is not available"
    with pytest.raises(SandboxException, match=said):
        sandbox.run_code("1", language=language)
    with pytest.raises(SandboxException, match=said):
        sandbox.create_code_context(language=language)


def test_the_language_python_is_the_default_context(sandbox: Sandbox) -> None:
    sandbox.run_code("shared = 7")
    assert sandbox.run_code("shared", language=" PYTHON ").text == "7"


@pytest.mark.parametrize(
    ("request_line", "content", "status", "said"),
    [
        ("POST /execute", '{"code": "1", "context_id": "a", "language": "python"}', 400, "Only one of context_id"),
        ("POST /execute", '{"code": "1", "context_id": "nope"}', 404, "Context nope not found"),
        ("POST /execute", "{}", 422, '"loc": ["body", "code"], "msg": "Field required"'),
        ("POST /execute", '{"code": 5}', 422, "Input should be a valid string"),
        ("POST /execute", '{"code": "1", "env_vars": {"A": 1}}', 422, '"loc": ["body", "env_vars", "A"]'),
        ("POST /execute", '{"code": "1", "env_vars": [1]}', 422, "Input should be a valid dictionary"),
        ("POST /execute", "[]", 422, "valid dictionary or object"),
        ("POST /execute", "{not json", 422, "JSON decode error"),
        ("POST /contexts", "", 422, "Field required"),
        ("POST /contexts", '{"language": 1}', 422, "Input should be a valid string"),
        ("GET /execute", "", 405, '{"detail": "Method Not Allowed"}'),
        ("GET /nowhere", "", 404, '{"detail": "Not Found"}'),
        ("DELETE /contexts/nope", "", 404, "Context nope not found"),
        ("POST /contexts/nope/restart", "", 404, "Context nope not found"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_as_at_e2b(
    http: httpx.Client, request_line: str, content: str, status: int, said: str
) -> None:
    response = http.request(*request_line.split(), content=content)
    assert (response.status_code, said in response.text) == (status, True), response.text


def test_cells_of_one_context_wait_for_each_other_and_other_contexts_do_not(sandbox: Sandbox) -> None:
    from concurrent.futures import ThreadPoolExecutor

    code = "import time; a = time.time(); time.sleep(1); (a, time.time())"
    other = sandbox.create_code_context()
    with ThreadPoolExecutor() as pool:
        cells = [pool.submit(sandbox.run_code, code, context=where) for where in (None, None, other)]
        first, second, apart = (json.loads(str(cell.result().text).translate({40: "[", 41: "]"})) for cell in cells)
    assert max(first[0], second[0]) >= min(first[1], second[1])
    assert apart[0] < max(first[0], second[0])


def test_the_token_of_the_sandbox_is_asked_for(endpoint: Endpoint, sandbox: Sandbox) -> None:
    headers = {"E2b-Sandbox-Id": sandbox.sandbox_id, "E2b-Sandbox-Port": "49999"}
    assert httpx.post(f"{endpoint.url}/execute", json={"code": "1"}, headers=headers).status_code == 401


def test_files_and_commands_are_those_of_the_same_home(sandbox: Sandbox) -> None:
    sandbox.files.write("note.txt", "from outside")
    assert sandbox.run_code("open('note.txt').read()").text == "from outside"
    sandbox.run_code("open('answer.txt', 'w').write('from the kernel')")
    assert sandbox.commands.run("cat answer.txt").stdout == "from the kernel"
    assert sandbox.files.read("answer.txt") == "from the kernel"


def test_a_command_cannot_change_what_a_cell_has_written_and_a_cell_can_change_all(sandbox: Sandbox) -> None:
    """Kernels are root at E2B, and here in name: both read all, and only one of them writes all."""
    if sandbox.run_code("import os; os.getuid()").text != "0":
        pytest.skip("this server may not give a sandbox two users")
    sandbox.run_code("open('cells', 'w').write('kept'); os.makedirs('of_cells', exist_ok=True)")
    for command in ("echo more >> cells", "touch of_cells/new"):
        with pytest.raises(CommandExitException, match="Permission denied"):
            sandbox.commands.run(command)
    assert sandbox.commands.run("cat cells").stdout == "kept"
    sandbox.commands.run("echo command > commands; mkdir of_commands")
    sandbox.files.write("uploaded", "upload")
    written = sandbox.run_code("[open(name, 'a').write('!') for name in ('commands', 'uploaded', 'of_commands/new')]")
    assert written.error is None
    sandbox.files.write("cells", "replaced")  # envd is root, too, and makes the file the user's
    assert sandbox.commands.run("echo ' and added to' >> cells; cat cells").stdout == "replaced and added to\n"


def test_a_kernel_can_be_signalled_by_root_alone(sandbox: Sandbox) -> None:
    if sandbox.run_code("import os; os.getuid()").text != "0":
        pytest.skip("this server may not give a sandbox two users")
    context = sandbox.create_code_context()
    pid = sandbox.run_code("import os; os.getpid()", context=context).text
    with pytest.raises(CommandExitException, match="not permitted"):
        sandbox.commands.run(f"kill -KILL {pid}")
    assert sandbox.commands.run(f"id -un; kill -KILL {pid}", user="root").stdout == "root\n"
    sandbox.run_code("1", context=context)
    assert sandbox.run_code("'os' in globals()", context=context).text == "False"


async def test_the_asynchronous_sdk(endpoint: Endpoint, sandbox: Sandbox) -> None:
    reached = await AsyncSandbox.connect(sandbox.sandbox_id, **endpoint.sdk_options())
    assert (await reached.run_code("'async'")).text == "async"
