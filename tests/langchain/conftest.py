"""What the LangChain tests share: the real local sandbox, a fake registry, an agent in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage

from ci_integrations.langchain import CodeInterpreterTool
from ci_integrations.sessions import SessionRegistry
from ci_integrations.testing import ScriptedChatModel

sys.path.insert(0, str(Path(__file__).parent))  # for `fakes`
from fakes import FakeRegistry


def pytest_configure(config: pytest.Config) -> None:
    # langchain-tests marks tests of chat models, which are not ours, with markers of plugins that are switched off
    config.addinivalue_line("markers", "benchmark: of langchain-tests")
    config.addinivalue_line("markers", "vcr: of langchain-tests")


@pytest.fixture(scope="session")
def local_backend(kind: Any) -> Iterator[SessionRegistry]:
    """Sessions in the real local sandbox, shared by tests that use keys of their own."""
    with SessionRegistry(kind.options) as registry:
        yield registry


@pytest.fixture
def local_tool(local_backend: SessionRegistry) -> CodeInterpreterTool:
    """A tool in the real local sandbox, with a session of its own where no thread_id is given."""
    return CodeInterpreterTool(local_backend)


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def run_agent() -> Callable[..., list[ToolMessage]]:
    """Lets a scripted agent make these calls, one per turn; gives the tool messages."""

    def run(tools: list[Any], *turns: Any, thread_id: str | None = None, **options: Any) -> list[ToolMessage]:
        agent = create_agent(ScriptedChatModel([*turns, "done"]), tools=tools, **options)
        config = {"configurable": {"thread_id": thread_id}} if thread_id else {}
        state = agent.invoke({"messages": "go"}, config)
        return [message for message in state["messages"] if isinstance(message, ToolMessage)]

    return run


def call(**arguments: Any) -> dict[str, Any]:
    """A tool call as a model makes it."""
    return {"type": "tool_call", "name": "code_interpreter", "id": "call_1", "args": arguments}
