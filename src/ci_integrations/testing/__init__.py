"""What users need to test *their* agents without a model or a key. Every name is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
