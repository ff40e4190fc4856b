"""Generate, execute, repair, answer: as steps, with events, resumable between any two of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib.resources import files as package_files
from pathlib import Path
from typing import Annotated, Any

import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.workflow import Context, JsonSerializer, StartEvent, StopEvent, Workflow, step

from ci_integrations import AsyncCodeInterpreter
from ci_integrations.llamaindex import (
    CodeExecutionEndEvent,
    CodeExecutionStartEvent,
    CodeInterpreterTool,
    CodeInterpreterWorkflow,
    ProgramFailed,
    artifacts_from,
    code_interpreter_resource,
)
from ci_integrations.testing import ScriptedLLM

PENGUINS = Path(str(package_files("ci_integrations.data").joinpath("penguins.csv")))


@pytest.fixture
async def flow(kind: Any) -> AsyncIterator[Any]:
    made: list[CodeInterpreterWorkflow] = []

    def make(*turns: Any, **options: Any) -> CodeInterpreterWorkflow:
        made.append(CodeInterpreterWorkflow(llm=ScriptedLLM(list(turns)), **kind.options, **options))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


async def test_the_whole_way_with_its_events(flow: Any) -> None:
    plot = (
        "import matplotlib.pyplot as plt\npenguins.species.value_counts().plot.bar()\nplt.show()\nprint(len(penguins))"
    )
    worker = flow("penguins.nope", plot, "There are 344.")
    handler = worker.run(query="How many?", files=[PENGUINS])
    events = [event async for event in handler.stream_events()]
    response = await handler
    assert str(response) == "There are 344."
    told = [type(event).__name__ for event in events if type(event).__name__ != "StopEvent"]
    order = ["ProgramWritten", "CodeExecutionStarted", "CodeExecutionFinished", "ProgramFailed"]
    assert [name for name in told if name in order][:4] == order
    assert {"CodeOutput", "ChartCreated", "ProgramSucceeded"} <= set(told)
    (failed,) = [event for event in events if isinstance(event, ProgramFailed)]
    assert failed.attempt == 1
    assert "AttributeError" in failed.error
    assert "chart" in {artifact.kind for artifact in artifacts_from(response)}


async def test_giving_up(flow: Any) -> None:
    response = await flow("1/0", "1/0", max_repairs=1).run(query="?")
    assert response.metadata["error"]["name"] == "ZeroDivisionError"
    assert len(response.metadata["attempts"]) == 2


async def test_its_context_is_plain_json(flow: Any) -> None:
    worker = flow("print(1)", "one", synthesize_response=True)
    ctx = Context(worker)
    await worker.run(query="?", ctx=ctx)
    state = (await ctx.store.get("code_interpreter_workflow")) or {}
    assert json.loads(json.dumps(state)) == state
    assert state["identity"]["sandbox_id"]
    json.dumps(ctx.to_dict(serializer=JsonSerializer()))


class WithResource(Workflow):
    @step
    async def first(
        self, ev: StartEvent, interpreter: Annotated[AsyncCodeInterpreter, code_interpreter_resource(backend="local")]
    ) -> StopEvent:
        result = await interpreter.run("6 * 7")
        await interpreter.aclose()
        return StopEvent(result=result.text)


async def test_a_step_can_ask_for_an_interpreter(kind: Any) -> None:
    assert await WithResource().run() == "42"


class Listener(BaseEventHandler):
    heard: list[Any] = []  # noqa: RUF012 - pydantic copies it

    @classmethod
    def class_name(cls) -> str:
        return "Listener"

    def handle(self, event: Any, **_: Any) -> None:
        if isinstance(event, (CodeExecutionStartEvent, CodeExecutionEndEvent)):
            self.heard.append(event)


async def test_tracing_hears_start_and_end_without_code_or_output(registry: Any) -> None:
    listener = Listener()
    root = get_dispatcher()
    root.add_event_handler(listener)
    try:
        tool = CodeInterpreterTool(registry)
        await tool.acall(code="print('private')\n1/0")
        tool.call(code="picture()")
    finally:
        root.event_handlers.remove(listener)
    start, end, _, second = listener.heard
    assert start.code_length == len("print('private')\n1/0")
    assert (end.error, end.n_artifacts, end.incomplete) == ("ZeroDivisionError", 0, False)
    assert second.n_artifacts == 1
    assert "private" not in "".join(event.model_dump_json() for event in listener.heard)
    assert start.span_id == end.span_id is not None


async def test_what_the_developer_says_of_a_file(flow: Any, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("title\na;b\n1,5;007\n2,5;008\n")
    said = {"t.csv": {"skiprows": 1, "sep": ";", "decimal": ","}}
    worker = flow("t.a.sum()", "4.0", read_options=said, descriptions={"t.csv.a": "weight in tons"})
    response = await worker.run(query="Sum?", files=[tmp_path / "t.csv"])
    assert "4.0" in str(response)
    assert "weight in tons" in str(worker._llm.seen)
