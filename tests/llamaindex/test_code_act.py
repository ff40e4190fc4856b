"""CodeActAgent with a sandbox: programs run there, the user's functions exist there, the model sees the charts."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import CodeActAgent
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.workflow import Context

from ci_integrations.errors import ConfigurationError
from ci_integrations.llamaindex import (
    CodeInterpreterExecutor,
    CodeInterpreterTool,
    artifacts_from,
    create_code_act_agent,
)
from ci_integrations.llamaindex._shipping import source_of
from ci_integrations.testing import ScriptedLLM

SECRET = "a value of this module"


def helper(x: float) -> float:
    return math.floor(x) + 0.5


def rounded(x: float, digits: int = 2) -> float:
    """Round half a step down."""
    return round(helper(x), digits)


def leaks() -> str:
    return SECRET


def uses_os() -> str:
    return os.sep


async def slowly(x: int) -> int:
    return x * 2


def made_by(factor: int) -> Callable[[int], int]:
    def times(x: int) -> int:
        return x * factor

    return times


def test_functions_travel_with_their_helpers_and_modules() -> None:
    names: dict[str, Any] = {}
    exec(source_of([rounded, uses_os, slowly]), names)
    assert names["rounded"](2.9) == 2.5
    assert names["uses_os"]() == os.sep
    assert names["rounded"].__doc__ == "Round half a step down."


@pytest.mark.parametrize("function", [leaks, made_by(3), lambda x: x, len, "text"])
def test_what_cannot_travel_is_refused(function: Any) -> None:
    with pytest.raises(ConfigurationError):
        source_of([function])


async def test_the_agent_calls_the_users_function_in_the_sandbox(registry: Any) -> None:
    llm = ScriptedLLM(
        [
            "Let me see.\n<execute>\nvalue = rounded(2.9)\nprint(value)\n</execute>",
            "<execute>\npicture()\nprint(value + 1)\n</execute>",
            "It is 3.5.",
        ]
    )
    agent = create_code_act_agent(llm, functions=[rounded], interpreter=registry)
    assert isinstance(agent, CodeActAgent)
    answer = await agent.run(user_msg="go", ctx=Context(agent))
    assert str(answer) == "It is 3.5."
    assert "def rounded(x: " in llm.seen[0][0].content
    assert "2.5" in llm.seen[1][-1].content
    shown = llm.seen[2][-1]
    assert shown.role.value == "user"
    assert any(isinstance(block, ImageBlock) for block in shown.blocks)
    assert [artifact.kind for artifact in artifacts_from(answer)] == ["image"]
    (kernel,) = registry.kernels.values()
    assert sum("def rounded" in code for code in kernel.ran) == 1


async def test_your_own_agent_takes_the_function(registry: Any) -> None:
    executor = CodeInterpreterExecutor(registry)
    llm = ScriptedLLM(["<execute>\nprint(6 * 7)\n</execute>", "<execute>\n1/0\n</execute>", "ok"])
    agent = CodeActAgent(executor.code_execute_fn, llm=llm, tools=[])
    await agent.run(user_msg="go")
    assert "42" in llm.seen[1][-1].content
    assert "ZeroDivisionError" in llm.seen[2][-1].content


async def test_the_list_of_functions_is_not_changed(registry: Any) -> None:
    functions = [rounded]
    create_code_act_agent(ScriptedLLM([]), functions=functions, interpreter=registry)
    assert functions == [rounded]
    _ = CodeInterpreterTool


async def test_on_the_real_sandbox(kind: Any) -> None:
    llm = ScriptedLLM(
        [
            "<execute>\nimport os\nprint(rounded(2.9), os.getcwd(), await slowly(4))\n</execute>",
            "<execute>\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()\n</execute>",
            "done",
        ]
    )
    async with CodeInterpreterExecutor(functions=[rounded, slowly], **kind.options) as executor:
        answer = await create_code_act_agent(llm, executor=executor).run(user_msg="go")
    assert "2.5 /home/user 8" in llm.seen[1][-1].content
    assert {"image", "chart"} <= {artifact.kind for artifact in artifacts_from(answer)}
    assert any(isinstance(block, ImageBlock) for block in llm.seen[2][-1].blocks)
