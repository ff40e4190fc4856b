"""Makes LlamaIndex's responses of an `Answer`: text or words that are streamed, metadata as plain JSON, source nodes.

SubQuestionQueryEngine drops a sub-engine's metadata and keeps its source nodes, so charts are in both.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse
from llama_index.core.schema import ImageNode, NodeWithScore, TextNode

from ci_integrations._errors import ArtifactError
from ci_integrations.interpreter import CodeInterpreter
from ci_integrations.llamaindex.analysis.rules import run_time_error
from ci_integrations.llamaindex.analysis.state import Answer
from ci_integrations.llamaindex.analysis.wording import Tokens, named, output_text
from ci_integrations.results.clean import cut
from ci_integrations.results.model import ChartArtifact, ImageArtifact, TableArtifact
from ci_integrations.results.result import ExecutionResult

if TYPE_CHECKING:
    import pandas as pd

MAX_NODE_CHARS = 4000


class Findings:
    """Gives what a response has beside its words: the run, its charts and its table."""

    metadata: dict[str, Any] | None
    _sandbox: Callable[[], CodeInterpreter] | None = None

    @property
    def execution(self) -> ExecutionResult:
        """The run of the program that answered the question."""
        return ExecutionResult.model_validate((self.metadata or {})["execution"])

    @property
    def charts(self) -> list[ChartArtifact]:
        """The figures that the program drew, as data: `response.charts[0].chart`."""
        return list(self.execution.charts)

    def dataframe(self, source: object = None) -> pd.DataFrame:
        """Returns the table that the program ended with, whole and with its dtypes; otherwise the last one it showed.

        `source`: see `TableArtifact.to_pandas`; None: the engine's own sandbox, while it is there. Raises
        `ArtifactError` when the answer has no table, and when a large one is gone with its sandbox.
        """
        tables = self.execution.tables
        shown = next((table for table in tables if table.main), tables[-1] if tables else None)
        if shown is None:
            raise ArtifactError("the answer has no table: its program did not end with one")
        return _frame(shown, source if source is not None or self._sandbox is None else self._sandbox())

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_sandbox", "_lock")}


class CodeInterpreterResponse(Findings, Response):
    """Is LlamaIndex's `Response` with `charts` and `dataframe()`."""


class CodeInterpreterStreamingResponse(Findings, StreamingResponse):
    """Is LlamaIndex's `StreamingResponse` with `charts` and `dataframe()`, which are there before the words."""


class CodeInterpreterAsyncStreamingResponse(Findings, AsyncStreamingResponse):
    """Is LlamaIndex's `AsyncStreamingResponse` with `charts` and `dataframe()`, which are there before the words."""


AnyResponse = CodeInterpreterResponse | CodeInterpreterStreamingResponse | CodeInterpreterAsyncStreamingResponse


def to_response(answer: Answer, *, aliases: bool = False) -> CodeInterpreterResponse:
    """Returns the response. `aliases`: also with PandasQueryEngine's metadata keys."""
    return CodeInterpreterResponse(answer.text, list(_nodes(answer)), _metadata(answer, aliases=aliases))


def to_stream(
    answer: Answer, tokens: Tokens | None, *, awaited: bool, aliases: bool = False
) -> CodeInterpreterStreamingResponse | CodeInterpreterAsyncStreamingResponse:
    """Returns the response whose words come one after the other. `tokens`: None for an answer that is there already."""
    nodes, metadata = list(_nodes(answer)), _metadata(answer, aliases=aliases)
    if awaited:
        words = tokens if isinstance(tokens, AsyncGenerator) else _aone(answer.text)
        return CodeInterpreterAsyncStreamingResponse(_aunbroken(words, metadata), nodes, metadata)
    said = tokens if isinstance(tokens, Generator) else _one(answer.text)
    return CodeInterpreterStreamingResponse(_unbroken(said, metadata), nodes, metadata)


T = TypeVar("T", bound=AnyResponse)


def with_sandbox(response: T, sandbox: Callable[[], CodeInterpreter]) -> T:
    """Lets the response fetch large tables from the sandbox that the program ran in."""
    response._sandbox = sandbox  # noqa: SLF001 - of our own class
    return response


def _one(text: str) -> Generator[str, None, None]:
    yield text


async def _aone(text: str) -> AsyncGenerator[str, None]:
    yield text


def _unbroken(tokens: Generator[str, None, None], metadata: dict[str, Any]) -> Generator[str, None, None]:
    try:
        yield from tokens
    except Exception as error:  # noqa: BLE001 - the programmer's are raised again
        yield _broken(error, metadata)


async def _aunbroken(tokens: AsyncGenerator[str, None], metadata: dict[str, Any]) -> AsyncGenerator[str, None]:
    try:
        async for token in tokens:
            yield token
    except Exception as error:  # noqa: BLE001 - the programmer's are raised again
        yield _broken(error, metadata)


def _broken(error: Exception, metadata: dict[str, Any]) -> str:
    """Says in the stream, and in the metadata, that the model has not ended its answer."""
    what = run_time_error(error)
    metadata["error"] = what.model_dump(mode="json")
    return f"\n[the answer breaks off here: {named(what)}]"


def _frame(table: TableArtifact, source: object) -> pd.DataFrame:
    """Returns a table as a DataFrame of pandas, also where it is a Series or a frame of another library."""
    found: Any = table.to_pandas(source)
    if not hasattr(found, "iloc") and hasattr(found, "to_pandas"):
        found = found.to_pandas()
    return found.to_frame() if hasattr(found, "to_frame") else found


def _metadata(answer: Answer, *, aliases: bool) -> dict[str, Any]:
    last = answer.last
    raw = last.result.model_dump(mode="json")
    attempts = [attempt.model_dump(mode="json", include={"code", "error"}) for attempt in answer.attempts]
    metadata: dict[str, Any] = {
        "code": last.code,
        "attempts": attempts,
        "output": output_text(last.result) if answer.ran else "",
        "charts": [a for a in raw["artifacts"] if a["kind"] == "chart"],
        "tables": [a for a in raw["artifacts"] if a["kind"] == "table"],
        "artifacts": raw["artifacts"],
        "error": answer.error.model_dump(mode="json") if answer.error else None,
        "changed_files": answer.changed,
        "sandbox_id": last.result.sandbox_id,
        "execution": raw,
    }
    if aliases:
        metadata |= {"pandas_instruction_str": last.code, "raw_pandas_output": metadata["output"]}
    return metadata


def _nodes(answer: Answer) -> Iterator[NodeWithScore]:
    result = answer.last.result
    yield _node(answer.last.code, {"kind": "code", "language": "python"})
    if answer.ran:
        yield _node(cut(output_text(result), MAX_NODE_CHARS), {"kind": "output"})
    for table in result.tables:
        yield _node(cut(table.text(), MAX_NODE_CHARS), {"kind": "table", "table": table.model_dump(mode="json")})
    yield from _pictures(result)


def _pictures(result: ExecutionResult) -> Iterator[NodeWithScore]:
    """Yields a node for each chart, with its picture where it has one, and a node for each other picture."""
    images = {image.id: image for image in result.images}
    for chart in result.charts:
        known = {"kind": "chart", "chart": chart.model_dump(mode="json")}
        yield _node(chart.line(), known, images.pop(chart.image or "", None))
    for image in images.values():
        yield _node(image.line(), {"kind": "image"}, image)


def _node(text: str, metadata: dict[str, Any], image: ImageArtifact | None = None) -> NodeWithScore:
    # LlamaIndex puts all metadata of a node into prompts and embeddings, unless its key is excluded.
    big = [key for key, value in metadata.items() if not isinstance(value, str) or len(json.dumps(value)) > 200]
    common: dict[str, Any] = {
        "text": text, "metadata": metadata, "excluded_llm_metadata_keys": big, "excluded_embed_metadata_keys": big,
    }  # fmt: skip
    shown = None if image is None else ImageNode(image=image.data, image_mimetype=image.mime, **common)
    return NodeWithScore(node=shown or TextNode(**common), score=1.0)
