"""Answers questions over files and DataFrames by a program that runs in a sandbox: `CodeInterpreterQueryEngine`.

One class serves all versions: `QueryPipeline` of llama-index-core 0.12 takes it as a component, and every version takes
it in `RouterQueryEngine`, `SubQuestionQueryEngine`, agents and workflows.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.llms.types import TextBlock
from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse
from llama_index.core.callbacks.base import CallbackManager, EventContext
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.prompts.mixin import PromptDictType, PromptMixinType
from llama_index.core.schema import QueryBundle
from llama_index.core.settings import Settings
from llama_index.core.tools import QueryEngineTool, ToolMetadata, ToolOutput

from ci_integrations._adapters.sessions import AnyInterpreter, Given
from ci_integrations._core.flow import Flow, adrive, drive
from ci_integrations._errors import QueryFailedError
from ci_integrations.llamaindex._kernels import OwnKernels, OwnsKernels
from ci_integrations.llamaindex._pickling import is_free_of_keys
from ci_integrations.llamaindex._run import limits
from ci_integrations.llamaindex._sessions import Session, Sessions
from ci_integrations.llamaindex.analysis import prompts, rules
from ci_integrations.llamaindex.analysis.conversation import Conversation
from ci_integrations.llamaindex.analysis.dataset import Dataset, listed, named
from ci_integrations.llamaindex.analysis.hosts import Host, awaiting_host, blocking_host
from ci_integrations.llamaindex.analysis.response import AnyResponse, to_response, to_stream, with_sandbox
from ci_integrations.llamaindex.analysis.state import Analysis, Answer
from ci_integrations.llamaindex.analysis.wording import Tokens
from ci_integrations.llamaindex.chat_engine import CodeInterpreterChatEngine
from ci_integrations.llamaindex.output import Presentation
from ci_integrations.results.result import ExecutionResult
from ci_integrations.tables.options import check_files
from ci_integrations.tables.reader.model import ReadOptions

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)
_PROMPTS = ("code_prompt", "repair_prompt", "response_synthesis_prompt")


class Outcome(NamedTuple):
    """What came of a question: how it was asked, the answer, and its words where they are streamed."""

    analysis: Analysis
    answer: Answer
    tokens: Tokens | None


class CodeInterpreterQueryEngine(OwnsKernels, BaseQueryEngine):
    """Answers questions over `files` and `dataframes` (`{name: DataFrame}`) with code that runs in a sandbox.

    Every table is described to the model: each sheet of a workbook is one, columns that join two tables are named.
    The model's program runs on fresh copies; when it fails it is written again, at most `max_repairs` times, and every
    attempt is in `response.metadata["attempts"]`. Charts and tables are in the metadata (plain JSON) and in the source
    nodes.

    `interpreter`, `options`: as for `CodeInterpreterTool`.
    `files`: local paths of CSV-like text, Excel, ODS, JSON, JSON lines, Parquet, Feather, ORC, Stata, SAS, SPSS, HTML,
    XML, SQLite and DuckDB files, also packed (`.gz`, `.bz2`, `.xz`, `.zst`, `.zip`). The model is told what is a guess.
    `dataframes`: `{name: DataFrame}`, taken as they are at the first question.
    `read_options`: how to read a file, for what you know of it: `{"sales.csv": {"sep": ";", "header": None}}`.
    `descriptions`: what tables and columns mean: `{"sales.csv": "...", "sales.csv.rev": "net, in EUR"}`.
    `llm`: writes the programs. None: `Settings.llm`.
    `code_prompt`, `repair_prompt`, `response_synthesis_prompt`: templates in place of our own.
    `instruction_str`: what the model is told about the program's form.
    `synthesize_response`: False: the answer is the program's own output.
    `max_repairs`: how often a program that failed is written again.
    `sample_rows`: rows of each table that the model is shown. 0 is `send_values=False`.
    `send_values`: False: no value of a cell is in a prompt before a program has run: names, dtypes and counts only, and
    of a program that failed the error without its output.
    `chat`: True: a question may be about the last answer. The model is told of the earlier questions, and its program
    finds what the last one came to as `last_result`. One engine is one conversation: see `as_chat_engine`.
    `streaming`: True: the response's words come as the model says them (`response_gen`).
    `max_images`: pictures of the program's that the model sees when it words the answer, for models that see.
    `timeout`: seconds for a program. None: `execution_timeout` of the interpreter.
    `raise_on_error`: True: a question that cannot be answered raises `QueryFailedError`. False: a Response that says
    so, with `metadata["error"]`.
    `verbose`: True: programs and their output are logged at INFO.
    `callback_manager`: None: `Settings.callback_manager`.
    """

    def __init__(
        self,
        interpreter: Given = None,
        *,
        files: Sequence[str | Path] = (),
        dataframes: Mapping[str, pd.DataFrame] | None = None,
        read_options: Mapping[str, ReadOptions] | None = None,
        descriptions: Mapping[str, str] | None = None,
        llm: LLM | None = None,
        code_prompt: BasePromptTemplate | None = None,
        repair_prompt: BasePromptTemplate | None = None,
        response_synthesis_prompt: BasePromptTemplate | None = None,
        instruction_str: str | None = None,
        synthesize_response: bool = True,
        max_repairs: int = 2,
        sample_rows: int = 5,
        send_values: bool = True,
        chat: bool = False,
        streaming: bool = False,
        max_images: int = 0,
        timeout: float | None = None,
        raise_on_error: bool = False,
        verbose: bool = False,
        callback_manager: CallbackManager | None = None,
        **options: Any,
    ) -> None:
        super().__init__(callback_manager or Settings.callback_manager)
        self._llm = llm
        self._sessions = Sessions(interpreter, options=options)
        self.analysis = Analysis(
            Dataset(
                listed(files), named(dataframes), sample_rows, read_options, descriptions, send_values,
                shared=self._sessions.shares_interpreter,
            ),
            code_prompt or prompts.CODE_PROMPT,
            repair_prompt or prompts.REPAIR_PROMPT,
            response_synthesis_prompt or prompts.RESPONSE_SYNTHESIS_PROMPT,
            instruction_str or prompts.INSTRUCTIONS,
            synthesize_response,
            max_repairs,
            max_images=max_images,
            streaming=streaming,
            conversation=Conversation() if chat else None,
        )  # fmt: skip
        check_files(self.analysis.dataset.files, self._sessions.backend, options.get("packages", ()))
        # The kernel of an interpreter that was handed in is its owner's: the engine uses one of its own beside it.
        self._kernels = OwnKernels()
        self._run_options = limits(timeout)
        self._raise_on_error = raise_on_error
        self._verbose = verbose
        self._pandas_aliases = False

    @classmethod
    def from_dataframe(
        cls,
        df: pd.DataFrame,
        interpreter: Given = None,
        *,
        instruction_str: str | None = None,
        pandas_prompt: BasePromptTemplate | None = None,
        head: int = 5,
        synthesize_response: bool = False,
        instruction_parser: object = None,
        output_kwargs: Mapping[str, object] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Makes an engine with `PandasQueryEngine`'s arguments and defaults. The model's code calls the DataFrame `df`.

        `instruction_parser` and `output_kwargs` mean nothing here: whole programs run as they are. The metadata also
        has `pandas_instruction_str` and `raw_pandas_output`.
        """
        if instruction_parser is not None or output_kwargs:
            _log.info("instruction_parser and output_kwargs are PandasQueryEngine's; they are not used here")
        engine = cls(
            interpreter, dataframes={"df": df}, code_prompt=pandas_prompt, instruction_str=instruction_str,
            sample_rows=head, synthesize_response=synthesize_response, **kwargs,
        )  # fmt: skip
        engine._pandas_aliases = True
        return engine

    @property
    def llm(self) -> LLM:
        """The model that was given, or `Settings.llm`. It may be set, for example after the engine was pickled."""
        return self._llm or Settings.llm

    @llm.setter
    def llm(self, llm: LLM) -> None:
        self._llm = llm

    def as_tool(
        self, name: str, description: str, *, max_images: int = 4, return_direct: bool = False
    ) -> CodeInterpreterQueryTool:
        """Returns the engine as an agent's tool, with its charts as image blocks."""
        metadata = ToolMetadata(description, name, return_direct=return_direct)
        return CodeInterpreterQueryTool(self, metadata, max_images=max_images)

    def as_chat_engine(self) -> CodeInterpreterChatEngine:
        """Returns a chat engine over the same data, with a conversation and a kernel of its own, which it closes."""
        return CodeInterpreterChatEngine(copy.copy(self))

    @property
    def conversation(self) -> Conversation:
        """What was asked before. Asking for it makes the engine's questions follow each other, as `chat=True` does."""
        self.analysis.conversation = self.analysis.conversation or Conversation()
        return self.analysis.conversation

    def ask(self, question: str, *, streaming: bool) -> AnyResponse:
        """Answers `question` as `query` does; `streaming` takes the place of the engine's own."""
        analysis = replace(self.analysis, streaming=streaming)
        return self._response(drive(self._answered(self._sessions.blocking(), blocking_host, analysis, question)))

    async def aask(self, question: str, *, streaming: bool) -> AnyResponse:
        """Answers `question` as `aquery` does; `streaming` takes the place of the engine's own."""
        analysis = replace(self.analysis, streaming=streaming)
        session = await self._sessions.of()
        return self._response(await adrive(self._answered(session, awaiting_host, analysis, question)), awaited=True)

    # The base class says Response, and means each of its kinds.

    def _query(self, query_bundle: QueryBundle) -> Response:
        with self._told(query_bundle) as event:
            response = cast("Response", self.ask(query_bundle.query_str, streaming=self.analysis.streaming))
            event.on_end({EventPayload.RESPONSE: response})
        return response

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        with self._told(query_bundle) as event:
            response = cast("Response", await self.aask(query_bundle.query_str, streaming=self.analysis.streaming))
            event.on_end({EventPayload.RESPONSE: response})
        return response

    def _told(self, query_bundle: QueryBundle) -> AbstractContextManager[EventContext]:
        """Tells the callbacks of a question, as LlamaIndex's own engines do."""
        return self.callback_manager.event(CBEventType.QUERY, {EventPayload.QUERY_STR: query_bundle.query_str})

    def _answered(
        self, session: Session[AnyInterpreter], host_of: Callable[..., Host], analysis: Analysis, question: str
    ) -> Flow[Outcome]:
        try:
            options = yield from self._in_own_kernel(self._run_options, session.interpreter)
        except Exception as error:  # noqa: BLE001 - what is the programmer's is raised again
            return Outcome(analysis, rules.unanswered(question, error), None)
        answer, tokens = yield from rules.analyse(host_of(self.llm, session, options), analysis, question)
        return Outcome(analysis, answer, tokens)

    def _response(self, outcome: Outcome, *, awaited: bool = False) -> AnyResponse:
        analysis, answer, tokens = outcome
        for attempt in answer.attempts:
            _log.log(
                logging.INFO if self._verbose else logging.DEBUG,
                "ran:\n%s\n-> %s", attempt.code, attempt.error.name if attempt.error else "ok",
            )  # fmt: skip
        response: AnyResponse = to_response(answer, aliases=self._pandas_aliases)
        if self._raise_on_error and not answer.ok:
            raise QueryFailedError(answer.text, response)
        if analysis.streaming:
            response = to_stream(answer, tokens, awaited=awaited, aliases=self._pandas_aliases)
        return with_sandbox(response, lambda: self._sessions.blocking().interpreter)

    def __copy__(self) -> Self:
        made = type(self).__new__(type(self))
        made.__dict__.update(self._copied())
        return made

    # The model, the prompts and the frames are nobody's to change: a deep copy has the same ones.
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return copy.copy(self)

    def __getstate__(self) -> dict[str, Any]:
        """Returns what is pickled: not a model that holds a key, nor what `AdapterSessions` leaves out."""
        llm = self._llm if self._llm is not None and is_free_of_keys(self._llm) else None
        return {**self._copied(), "_llm": llm, "callback_manager": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, callback_manager=Settings.callback_manager)

    def _copied(self) -> dict[str, Any]:
        """Returns the attributes of a copy, which has a session and a kernel of its own."""
        own = {"analysis": self.analysis.copied(), "_kernels": OwnKernels(), "_sessions": copy.copy(self._sessions)}
        return {**self.__dict__, **own}

    def _get_prompts(self) -> PromptDictType:
        return {name: getattr(self.analysis, name) for name in _PROMPTS}

    def _update_prompts(self, prompts_dict: PromptDictType) -> None:
        for name in _PROMPTS:
            if name in prompts_dict:
                setattr(self.analysis, name, prompts_dict[name])

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}


class CodeInterpreterQueryTool(QueryEngineTool):
    """Offers an engine as a tool. Its output also has the charts as image blocks, and says when the question failed."""

    def __init__(
        self, query_engine: CodeInterpreterQueryEngine, metadata: ToolMetadata, *, max_images: int = 4
    ) -> None:
        super().__init__(query_engine, metadata)
        self._max_images = max_images

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Asks the engine and waits."""
        question = self._get_query_str(*args, **kwargs)
        response: object = self.query_engine.query(question)
        if isinstance(response, StreamingResponse):  # a tool's output is whole
            response = response.get_response()
        return self._output(question, cast("Response", response))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Asks the engine, awaited."""
        question = self._get_query_str(*args, **kwargs)
        response: object = await self.query_engine.aquery(question)
        if isinstance(response, AsyncStreamingResponse):
            response = await response.get_response()
        return self._output(question, cast("Response", response))

    def _output(self, question: str, response: Response) -> ToolOutput:
        metadata = response.metadata or {}
        result = ExecutionResult.model_validate(metadata["execution"])
        return ToolOutput(
            tool_name=self.metadata.get_name(),
            blocks=[TextBlock(text=str(response)), *Presentation(max_images=self._max_images).image_blocks(result)],
            raw_input={"input": question},
            raw_output=response,
            is_error=metadata["error"] is not None,
        )
