"""Run by `test_core_only.py` in a Python where langchain and langgraph cannot be imported."""

from __future__ import annotations

import asyncio
import sys

for name in ("langchain", "langgraph", "deepagents"):
    sys.modules[name] = None  # type: ignore[assignment]

from ci_integrations.errors import MissingDependencyError  # noqa: E402
from ci_integrations.langchain import CodeInterpreterTool, CodeInterpreterToolkit, to_notebook  # noqa: E402
from ci_integrations.testing import ScriptedChatModel  # noqa: E402

with CodeInterpreterTool(backend="local") as tool:
    assert tool.invoke({"code": "x = 41; x + 1"}) == "Out: 42"
    assert asyncio.run(tool.ainvoke({"code": "x"})) == "Out: 41"
    message = tool.invoke({"type": "tool_call", "name": tool.name, "id": "1", "args": {"code": "1 / 0"}})
    assert message.status == "error"
    assert len(to_notebook([message])["cells"]) == 1
    bound = ScriptedChatModel([ScriptedChatModel.call(tool.name, code="x + 2")]).bind_tools([tool])
    assert [tool.invoke(call).text for call in bound.invoke("go").tool_calls] == ["Out: 43"]
    assert len(CodeInterpreterToolkit(tool.sessions.registry).get_tools()) == 8

import ci_integrations.langchain as ours  # noqa: E402

for name, extra in (
    ("CodeInterpreterMiddleware", "langchain"), ("create_code_agent", "langchain"), ("E2BSandboxBackend", "deepagents")
):  # fmt: skip
    told = ""
    try:
        getattr(ours, name)
    except MissingDependencyError as missing:
        told = str(missing)
    assert f'pip install "ci-integrations[{extra}]"' in told, (name, told)
print("core alone is enough")
