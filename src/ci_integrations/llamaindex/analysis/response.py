"""Makes LlamaIndex's `Response` of an `Answer`: text, metadata as plain JSON, and source nodes.

SubQuestionQueryEngine drops a sub-engine's metadata and keeps its source nodes, so charts are in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llama_index.core.base.response.schema import Response
from llama_index.core.schema import ImageNode, NodeWithScore, TextNode

from ci_integrations.llamaindex.analysis.rules import Answer, output_text
from ci_integrations.results.clean import cut
from ci_integrations.results.model import ImageArtifact
from ci_integrations.results.result import ExecutionResult

MAX_NODE_CHARS = 4000


def to_response(answer: Answer, *, aliases: bool) -> Response:
    """Returns the response. `aliases`: also with PandasQueryEngine's metadata keys."""
    last = answer.last
    raw = last.result.model_dump(mode="json")
    attempts = [attempt.model_dump(mode="json", include={"code", "error"}) for attempt in answer.attempts]
    metadata: dict[str, object] = {
        "code": last.code,
        "attempts": attempts,
        "output": output_text(last.result) if answer.ok else "",
        "charts": [a for a in raw["artifacts"] if a["kind"] == "chart"],
        "tables": [a for a in raw["artifacts"] if a["kind"] == "table"],
        "artifacts": raw["artifacts"],
        "error": attempts[-1]["error"],
        "sandbox_id": last.result.sandbox_id,
        "execution": raw,
    }
    if aliases:
        metadata |= {"pandas_instruction_str": last.code, "raw_pandas_output": metadata["output"]}
    return Response(response=answer.text, source_nodes=list(_nodes(answer)), metadata=metadata)


def _nodes(answer: Answer) -> Iterator[NodeWithScore]:
    result = answer.last.result
    yield _node(answer.last.code, {"kind": "code", "language": "python"})
    if answer.ok:
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
