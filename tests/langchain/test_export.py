"""Artifacts, files and notebooks taken out of a conversation."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import nbformat
import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from pictures import ONE_PICTURE, picture

from ci_integrations.errors import ArtifactError
from ci_integrations.langchain import (
    CodeInterpreterMiddleware,
    CodeInterpreterTool,
    CodeInterpreterToolkit,
    artifacts_from,
    results_from,
    save_artifacts,
    to_notebook,
    to_tool_message,
)
from ci_integrations.results import ExecutionError, ExecutionResult, FileArtifact, TextArtifact
from ci_integrations.testing import ScriptedChatModel

CONFIG = {"configurable": {"thread_id": "notebook"}}


def conversation(tool: Any, *codes: str, **options: Any) -> Any:
    turns = [ScriptedChatModel.call("code_interpreter", text=f"Step {n}.", code=code) for n, code in enumerate(codes)]
    return create_agent(ScriptedChatModel([*turns, "All **done**."]), tools=[tool], **options)


def test_artifacts_come_from_a_state_messages_a_message_or_a_result():
    result = ExecutionResult(artifacts=(ONE_PICTURE,))
    message = to_tool_message(result, tool_call_id="c", images=True)
    for source in (result, message, [message], {"messages": [message]}):
        assert [artifact.read() for artifact in artifacts_from(source)] == [ONE_PICTURE.read()]


def test_they_come_from_a_snapshot_too(registry):
    agent = conversation(CodeInterpreterTool(registry), "6 * 7", checkpointer=InMemorySaver())
    agent.invoke({"messages": "go"}, CONFIG)
    assert [result.text for result in results_from(agent.get_state(CONFIG))] == ["42"]


def test_other_messages_are_passed_over():
    assert artifacts_from([{"no": "message"}, "text", object()]) == []


def test_saving_writes_every_artifact_and_overwrites_none(tmp_path):
    html = TextArtifact(id="a1", kind="html", text="<b>")
    runs = [
        to_tool_message(ExecutionResult(artifacts=(picture(9, 9, seed), html)), tool_call_id="c") for seed in range(2)
    ]
    saved = save_artifacts(runs, tmp_path / "out")
    assert len(set(saved)) == 4
    assert sorted(path.suffix for path in saved) == [".html", ".html", ".png", ".png"]
    assert saved[0].read_bytes() == picture(9, 9, 0).read()
    assert saved[2].read_bytes() == picture(9, 9, 1).read()


def test_a_hostile_name_does_not_leave_the_directory(tmp_path):
    evil = TextArtifact(id="a0", kind="html", text="x", name="../../evil.html")
    [saved] = save_artifacts(ExecutionResult(artifacts=(evil,)), tmp_path / "out")
    assert saved == tmp_path / "out" / "evil.html"


def test_files_that_stayed_in_the_sandbox_are_passed_over(tmp_path):
    stayed = FileArtifact(id="a0", path="/home/user/x.csv")
    assert save_artifacts(ExecutionResult(artifacts=(stayed,)), tmp_path) == []


def test_a_payload_in_a_store_needs_the_store(tmp_path):
    from ci_integrations.store import ArtifactStore

    store = ArtifactStore("memory://langchain-export")
    small = store.offload(ExecutionResult(artifacts=(ONE_PICTURE,)), inline_bytes=10)
    with pytest.raises(ArtifactError, match="store"):
        save_artifacts(small, tmp_path)
    [saved] = save_artifacts(small, tmp_path, store=store)
    assert saved.read_bytes() == ONE_PICTURE.read()


def test_a_conversation_becomes_a_notebook_that_runs_again(local_tool, tmp_path):
    agent = conversation(
        local_tool,
        "import matplotlib.pyplot as plt\nx = [1, 2, 3]\nplt.plot(x)\nplt.show()\nprint('drawn')",
        "import pandas as pd\npd.DataFrame({'x': x})",
        "1 / 0",
        "sum(x)",
    )
    state = agent.invoke({"messages": "Sum it up"}, CONFIG)
    path = tmp_path / "conversation.ipynb"
    notebook = to_notebook(state, path, title="Sums")
    nbformat.validate(nbformat.from_dict(notebook))
    assert json.loads(path.read_text()) == notebook
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    kinds = [[output["output_type"] for output in cell["outputs"]] for cell in code]
    assert kinds == [["stream", "display_data"], ["execute_result"], ["error"], ["execute_result"]]
    assert code[0]["outputs"][1]["data"]["image/png"]
    assert "text/html" in code[1]["outputs"][0]["data"]
    words = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    assert words[:3] == ["# Sums", "**User**\n\n> Sum it up", "Step 0."]
    assert words[-1] == "All **done**."
    assert ran_again(path, tmp_path) == "6"


def ran_again(path: Any, where: Any) -> str:
    """The last cell's value when the notebook is executed by Jupyter."""
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(where)}})
    asyncio.run(client.async_execute())
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    return last.outputs[0]["data"]["text/plain"]


def test_shell_commands_become_cells_too():
    shell = ExecutionResult(code="ls -la", language="bash", stdout="x\n")
    error = ExecutionResult(code="1/0", error=ExecutionError(name="ZeroDivisionError", value="division by zero"))
    notebook = to_notebook([to_tool_message(result, tool_call_id="c") for result in (shell, error)])
    nbformat.validate(nbformat.from_dict(notebook))
    assert notebook["cells"][0]["source"] == "%%bash\nls -la"
    assert notebook["cells"][1]["outputs"][0]["ename"] == "ZeroDivisionError"


def test_a_cell_that_would_not_run_again_is_shown_and_not_run():
    stopped = ExecutionResult(
        code="while True: pass", error=ExecutionError(name="ExecutionTimeout", value="60 s"), incomplete=True
    )
    javascript = ExecutionResult(code="console.log(1)", language="javascript", stdout="1\n")
    listing = ExecutionResult(code="list_files('/')", language="tool", stdout="etc/")
    cells = to_notebook([to_tool_message(result, tool_call_id="c") for result in (stopped, javascript, listing)])[
        "cells"
    ]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "markdown"]
    assert "```python\nwhile True: pass\n```" in cells[0]["source"]
    assert "ExecutionTimeout" in cells[0]["source"]
    assert "```javascript\nconsole.log(1)\n```" in cells[1]["source"]


def test_files_that_a_user_attached_and_a_tool_wrote_come_along(local_backend, tmp_path):
    csv = {"type": "file", "mime_type": "text/csv", "filename": "a.csv", "base64": base64.b64encode(b"1\n2\n").decode()}
    middleware = CodeInterpreterMiddleware(CodeInterpreterToolkit(local_backend))
    model = ScriptedChatModel(
        [
            ScriptedChatModel.call("write_file", path="/home/user/b.txt", content="30"),
            ScriptedChatModel.call("run_shell_command", command="exit 3"),
            ScriptedChatModel.call("code_interpreter", code="1 / 0"),
            ScriptedChatModel.call("code_interpreter", code="sum(map(int, open('a.csv'))) + int(open('b.txt').read())"),
            "done",
        ]
    )
    agent = create_agent(model, middleware=[middleware])
    question = HumanMessage([{"type": "text", "text": "Add it up"}, csv])
    state = agent.invoke({"messages": [question]}, {"configurable": {"thread_id": "attached"}})
    path = tmp_path / "conversation.ipynb"
    to_notebook(state, path)
    assert ran_again(path, tmp_path) == "33"
