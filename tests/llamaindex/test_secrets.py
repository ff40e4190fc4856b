"""Secrets and long output: what the code prints of them reaches no message, no stream, no saved Context."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.workflow import Context, JsonSerializer
from pydantic import SecretStr

from ci_integrations.errors import ConfigurationError
from ci_integrations.llamaindex import (
    CodeInterpreterQueryEngine,
    CodeInterpreterTool,
    CodeInterpreterToolSpec,
    CodeOutput,
)
from ci_integrations.results import ExecutionResult
from ci_integrations.testing import ScriptedLLM, tool_call

NAME = "code_interpreter"
CANARY = "canary-7f3a9b-in-the-mine"
LEAKS = """
import os, sys
from IPython.display import HTML, JSON, display
token = os.environ["TOKEN"]
print(token); print(token, file=sys.stderr)
for piece in (token[:7], token[7:]): print(piece, end="", flush=True)
display(HTML(f"<b>{token}</b>"), JSON({"token": token}))
raise ValueError(token)
"""


@pytest.fixture
async def tool(kind: Any) -> AsyncIterator[CodeInterpreterTool]:
    async with CodeInterpreterTool(**kind.options, envs={"TOKEN": SecretStr(CANARY)}) as made:
        yield made


async def test_what_the_code_says_of_its_secrets_reaches_nobody(kind: Any) -> None:
    heard: list[Any] = []
    tool = CodeInterpreterTool(**kind.options, envs={"TOKEN": SecretStr(CANARY)}, on_output=heard.append)
    async with tool:
        llm = ScriptedLLM([tool_call(NAME, code=LEAKS), "done"])
        worker = FunctionAgent(tools=[tool], llm=llm)
        ctx = Context(worker)
        handler = worker.run(user_msg="go", ctx=ctx)
        events = [event async for event in handler.stream_events()]
        answer = await handler
        saved = json.dumps(ctx.to_dict(serializer=JsonSerializer()))
    assert "[redacted]" in str(llm.seen[-1])
    assert "[redacted]" in "".join(event.text for event in events if isinstance(event, CodeOutput))
    for text in (str(events), str(heard), str(llm.seen), answer.model_dump_json(), saved, repr(tool)):
        assert CANARY not in text


@pytest.mark.parametrize("blocking", [True, False])
async def test_typed_results_have_no_secrets_either(tool: CodeInterpreterTool, blocking: bool) -> None:
    result = tool.run(LEAKS) if blocking else await tool.arun(LEAKS)
    assert result.error is not None
    assert "[redacted]" in result.stdout
    assert CANARY not in result.model_dump_json()


@pytest.mark.parametrize("blocking", [True, False])
async def test_rules_are_literals_patterns_and_functions(registry: Any, blocking: bool) -> None:
    rules = ["4711", re.compile(r"\b[A-Z]{2}\d{3}\b"), lambda text: text.replace("Anna", "someone")]
    tool = CodeInterpreterTool(registry, redact=rules)
    code = "print(4711, 'AB123', 'Anna')"
    output = tool.call(code=code) if blocking else await tool.acall(code=code)
    assert output.content.splitlines()[0] == "[redacted] [redacted] someone"
    assert "4711" not in output.model_dump_json()


@pytest.mark.parametrize("redact", ["text", [""], [object()]])
def test_wrong_rules_are_refused_in_words(registry: Any, redact: Any) -> None:
    with pytest.raises(ConfigurationError, match="redact"):
        CodeInterpreterTool(registry, redact=redact)


async def test_every_tool_of_a_spec_takes_secrets_out(kind: Any) -> None:
    with CodeInterpreterToolSpec(**kind.options, envs={"TOKEN": SecretStr(CANARY)}) as spec:
        assert CANARY not in str(spec.code_interpreter("import os\nopen('t.txt', 'w').write(os.environ['TOKEN'])"))
        run, read = spec.to_tool_list(["run_command", "read_file"])
        for output in (
            run.call(command="echo $TOKEN"),
            await run.acall(command="echo $TOKEN"),
            read.call(path="t.txt"),
        ):
            assert "[redacted]" in output.content
            assert CANARY not in output.model_dump_json()
        with pytest.raises(Exception, match="does not exist") as caught:
            read.call(path=f"{CANARY}.txt")
        assert CANARY not in str(caught.value)


def test_a_query_engine_shows_no_secret_to_its_model(kind: Any) -> None:
    llm = ScriptedLLM(["```python\nimport os\nprint(os.environ['TOKEN'])\n```", "I may not say."])
    with CodeInterpreterQueryEngine(llm=llm, **kind.options, envs={"TOKEN": SecretStr(CANARY)}) as engine:
        response = engine.query("What is the token?")
    assert "[redacted]" in str(llm.seen[-1])
    assert CANARY not in str(llm.seen) + json.dumps(response.metadata)


LONG = "for n in range(4000): print('line', n)"


@pytest.mark.parametrize("blocking", [True, False])
async def test_output_too_long_to_show_is_in_a_file_that_the_code_can_read(tool: Any, blocking: bool) -> None:
    output = tool.call(code=LONG) if blocking else await tool.acall(code=LONG)
    said = re.search(r"the whole text is in (/home/user/\.ci/output-[0-9a-f]{8}\.txt)", output.content)
    assert said is not None
    assert len(output.content) < 25_000
    again = await tool.arun(f"print(open({said[1]!r}).read().count('line'))")
    assert again.stdout == "4000\n"
    assert ExecutionResult.from_message(output).stdout.count("line") == 4000


async def test_a_short_output_makes_no_file(tool: CodeInterpreterTool) -> None:
    await tool.acall(code="print(1)")
    assert "no" in (await tool.arun("import os\nprint('yes' if os.path.exists('/home/user/.ci') else 'no')")).stdout


def test_a_commands_long_output_is_in_a_file_too(kind: Any) -> None:
    with CodeInterpreterToolSpec(**kind.options) as spec:
        said = spec.run_command("seq 1 20000")
        path = re.search(r"the whole text is in (\S+)", said)
        assert path is not None
        assert said.endswith("exit code 0")
        assert spec.run_command(f"grep -c . {path[1]}").startswith("200")


def test_pictures_are_scaled_down_for_the_model_and_whole_for_the_application(kind: Any) -> None:
    image = pytest.importorskip("PIL.Image")
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    with CodeInterpreterTool(**kind.options, image_max_px=100) as tool:
        output = tool.call(code=code)
    (shown,) = [block for block in output.blocks if isinstance(block, ImageBlock)]
    with image.open(shown.resolve_image()) as picture:
        assert max(picture.size) == 100
    (kept,) = ExecutionResult.from_message(output).images
    assert max(kept.width or 0, kept.height or 0) > 100
