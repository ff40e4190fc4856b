"""Runs code in a `QueryPipeline`: `CodeInterpreterComponent`. Pipelines exist only in llama-index-core 0.12.

This module cannot be imported on later versions. `ci_integrations.llamaindex` says there what replaced it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.llms import MockLLM
from llama_index.core.query_pipeline import CustomQueryComponent
from pydantic import PrivateAttr

from ci_integrations._adapters.sessions import AnyInterpreter, Given
from ci_integrations._core.flow import Flow, adrive, drive
from ci_integrations.llamaindex._kernels import OwnKernels, OwnsKernels
from ci_integrations.llamaindex._run import RunOptions, limits
from ci_integrations.llamaindex._sessions import Session, Sessions
from ci_integrations.llamaindex.analysis import rules
from ci_integrations.llamaindex.analysis.dataset import Dataset, listed, named
from ci_integrations.llamaindex.analysis.extract import extract_code, said_by
from ci_integrations.llamaindex.analysis.hosts import Host, awaiting_host, blocking_host
from ci_integrations.llamaindex.analysis.preparing import prepared
from ci_integrations.llamaindex.analysis.response import CodeInterpreterResponse, to_response
from ci_integrations.llamaindex.analysis.state import Analysis, Answer, Attempt
from ci_integrations.llamaindex.analysis.wording import output_text
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import render_text
from ci_integrations.tables.options import check_files
from ci_integrations.tables.reader.model import ReadOptions

if TYPE_CHECKING:
    import pandas as pd


class CellOutput(str):
    """Holds what the cell said, as text for the next component.

    `result` is the whole result, `response` the same as the query engine gives it, with `charts` and `dataframe()`.
    """

    __slots__ = ("response", "result")

    result: ExecutionResult
    response: CodeInterpreterResponse

    @classmethod
    def of(cls, code: str, result: ExecutionResult) -> CellOutput:
        """Makes the output of a result: the program's own words, or what went wrong."""
        output = cls(output_text(result) if result.ok else render_text(result))
        output.result = result
        attempt = Attempt(code=code, error=result.error, result=result)
        output.response = to_response(Answer(question="", attempts=[attempt], text=str(output)))
        return output


class CodeInterpreterComponent(OwnsKernels, CustomQueryComponent):
    """Runs the code that it is given. Input `code` (text, or a model's answer with code in it), output `output`.

    Variables stay from run to run. With `files` or `dataframes` every program starts on fresh tables instead, as in
    `CodeInterpreterQueryEngine`, which these options are from; `describe()` gives what a prompt tells the model of the
    tables. `files` as a mapping is an option of the interpreter, as everywhere. `interpreter` and `options`: as for
    `CodeInterpreterTool`.
    """

    _sessions: Sessions = PrivateAttr()
    _limits: RunOptions = PrivateAttr()
    _analysis: Analysis | None = PrivateAttr()
    _kernels: OwnKernels = PrivateAttr()

    def __init__(
        self,
        interpreter: Given = None,
        *,
        files: Sequence[str | Path] | Mapping[str, str | Path | bytes] = (),
        dataframes: Mapping[str, pd.DataFrame] | None = None,
        read_options: Mapping[str, ReadOptions] | None = None,
        descriptions: Mapping[str, str] | None = None,
        sample_rows: int = 5,
        send_values: bool = True,
        timeout: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if isinstance(files, Mapping):
            options, files = {**options, "files": files}, ()
        self._sessions = Sessions(interpreter, options=options)
        self._limits = limits(timeout)
        self._kernels = OwnKernels()
        data = Dataset(
            listed(files), named(dataframes), sample_rows, read_options, descriptions, send_values,
            shared=self._sessions.shares_interpreter,
        )  # fmt: skip
        check_files(data.files, self._sessions.backend, options.get("packages", ()))
        self._analysis = Analysis(data) if files or dataframes else None

    @classmethod
    def class_name(cls) -> str:
        return "CodeInterpreterComponent"

    def describe(self, question: str = "") -> str:
        """Returns the description of the tables, for a prompt: those first that the question speaks of."""
        return drive(self._described(self._sessions.blocking(), blocking_host, question))

    async def adescribe(self, question: str = "") -> str:
        """Returns it awaited. See `describe`."""
        return await adrive(self._described(await self._sessions.of(), awaiting_host, question))

    @property
    def _input_keys(self) -> set[str]:
        return {"code"}

    @property
    def _output_keys(self) -> set[str]:
        return {"output"}

    def _run_component(self, **kwargs: object) -> dict[str, CellOutput]:
        code = _code(said_by(kwargs["code"]))
        return {"output": drive(self._ran(self._sessions.blocking(), blocking_host, code))}

    async def _arun_component(self, **kwargs: object) -> dict[str, CellOutput]:
        code = _code(await _asaid_by(kwargs["code"]))
        return {"output": await adrive(self._ran(await self._sessions.of(), awaiting_host, code))}

    def _ran(self, session: Session[AnyInterpreter], host_of: Callable[..., Host], code: str) -> Flow[CellOutput]:
        host = yield from self._host(session, host_of)
        if self._analysis is None:
            return CellOutput.of(code, (yield lambda: host.run(code)))
        answer = Answer(question="")
        yield from rules.attempted(host, self._analysis, answer, code)
        result = answer.last.result.model_copy(update={"error": answer.error})
        return CellOutput.of(code, result)

    def _described(self, session: Session[AnyInterpreter], host_of: Callable[..., Host], question: str) -> Flow[str]:
        answer = Answer(question=question)
        if self._analysis is not None:
            host = yield from self._host(session, host_of)
            failure = yield from prepared(host, self._analysis, answer)
            return answer.profile if failure is None else render_text(failure)
        return answer.profile

    def _host(self, session: Session[AnyInterpreter], host_of: Callable[..., Host]) -> Flow[Host]:
        options = self._limits
        # The kernel of an interpreter that was handed in is its owner's, and fresh tables would be in its way.
        if self._analysis is not None:
            options = yield from self._in_own_kernel(options, session.interpreter)
        return host_of(MockLLM(), session, options)  # no model is asked here: another component does that


def _code(said: str) -> str:
    """Returns the code in what a model said; the text itself when there is none in it."""
    return extract_code(said) or said


async def _asaid_by(given: object) -> str:
    """Returns the text of what the component before gave. An asynchronous stream is read to its end."""
    if isinstance(given, AsyncIterable):
        return said_by([piece async for piece in given])
    return said_by(given)
