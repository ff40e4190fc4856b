"""Runs code in a `QueryPipeline`: `CodeInterpreterComponent`. Pipelines exist only in llama-index-core 0.12.

This module cannot be imported on later versions. `ci_integrations.llamaindex` says there what replaced it.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.query_pipeline import CustomQueryComponent
from pydantic import PrivateAttr

from ci_integrations._adapters.sessions import Given
from ci_integrations.llamaindex import _run
from ci_integrations.llamaindex._run import RunOptions
from ci_integrations.llamaindex._sessions import OwnsSessions, Sessions
from ci_integrations.llamaindex.analysis.extract import extract_code
from ci_integrations.llamaindex.analysis.wording import output_text
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import render_text


class CellOutput(str):
    """Holds what the cell said, as text for the next component. `result` is the whole result."""

    __slots__ = ("result",)

    result: ExecutionResult

    @classmethod
    def of(cls, result: ExecutionResult) -> CellOutput:
        """Makes the output of a result: the program's own words, or what went wrong."""
        output = cls(output_text(result) if result.ok else render_text(result))
        output.result = result
        return output


class CodeInterpreterComponent(OwnsSessions, CustomQueryComponent):
    """Runs the code that it is given. Input `code` (text, or a model's answer with code in it), output `output`.

    Variables stay from run to run. `interpreter` and `options`: as for `CodeInterpreterTool`.
    """

    _sessions: Sessions = PrivateAttr()
    _limits: RunOptions = PrivateAttr()

    def __init__(self, interpreter: Given = None, *, timeout: float | None = None, **options: Any) -> None:
        super().__init__()
        self._sessions = Sessions(interpreter, options=options)
        self._limits = _run.limits(timeout)

    @classmethod
    def class_name(cls) -> str:
        return "CodeInterpreterComponent"

    @property
    def _input_keys(self) -> set[str]:
        return {"code"}

    @property
    def _output_keys(self) -> set[str]:
        return {"output"}

    def _run_component(self, **kwargs: object) -> dict[str, CellOutput]:
        result = _run.run(self._sessions.blocking(), _code(kwargs["code"]), **self._limits)
        return {"output": CellOutput.of(result)}

    async def _arun_component(self, **kwargs: object) -> dict[str, CellOutput]:
        result = await _run.arun(await self._sessions.of(), _code(kwargs["code"]), **self._limits)
        return {"output": CellOutput.of(result)}


def _code(given: object) -> str:
    """Returns the code in a text, or in a chat or completion response; the text itself when there is none in it."""
    # A pipeline hands on what the component before gave: a ChatResponse, a CompletionResponse or text.
    message = getattr(given, "message", None)
    said = str(message.content or "") if message is not None else str(given)
    return extract_code(said) or said
