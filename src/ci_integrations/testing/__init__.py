"""Tools with which users test *their* agents without a model or a key. Every name is loaded on first use.

`ScriptedChatModel` (LangChain) and `ScriptedLLM` (LlamaIndex) say what a test tells them to; `use_cassette` replays
recorded traffic of the E2B SDK, and `block_traffic` forbids it; `FaultProxy` makes a server fail at a chosen moment.
"""

from __future__ import annotations

from ci_integrations._lazy import loader

_HOME = {
    "Fault": "faults",
    "FaultProxy": "faults",
    "ScriptedChatModel": "scripted_chat_model",
    "ScriptEndedError": "scripted_llm",
    "ScriptedLLM": "scripted_llm",
    "block_traffic": "cassettes",
    "tool_call": "scripted_llm",
    "tool_calls": "scripted_llm",
    "use_cassette": "cassettes",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the table is the truth

__getattr__ = loader(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__
