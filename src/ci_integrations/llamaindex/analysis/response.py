"""Makes LlamaIndex's `Response` of an `Answer`: text, metadata as plain JSON, and source nodes.

SubQuestionQueryEngine drops a sub-engine's metadata and keeps its source nodes, so charts are in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

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
    error = last.error.model_dump(mode="json") if last.error else None
    metadata: dict[str, object] = {
        "code": last.code,
        "attempts": [
            {"code": a.code, "error": a.error.model_dump(mode="json") if a.error else None} for a in answer.attempts
        ],
        "output": output_text(last.result) if answer.ok else "",
        "charts": [a for a in raw["artifacts"] if a["kind"] == "chart"],
        "tables": [a for a in raw["artifacts"] if a["kind"] == "table"],
        "artifacts": raw["artifacts"],
        "error": error,
        "sandbox_id": last.result.sandbox_id,
        "execution": raw,
    }
    if aliases:
        metadata |= {"pandas_instruction_str": last.code, "raw_pandas_output": metadata["output"]}
    return Response(response=answer.text, source_nodes=list(_nodes(answer)), metadata=metadata)


def _nodes(answer: Answer) -> Iterator[NodeWithScore]:
    result = answer.last.result
    yield _text(answer.last.code, {"kind": "code", "language": "python"})
    if answer.ok:
        yield _text(cut(output_text(result), MAX_NODE_CHARS), {"kind": "output"})
    for table in result.tables:
        yield _text(cut(table.text(), MAX_NODE_CHARS), {"kind": "table", "table": table.model_dump(mode="json")})
    yield from _pictures(result)


def _pictures(result: ExecutionResult) -> Iterator[NodeWithScore]:
    """Yields a node for each chart, with its picture where it has one, and a node for each other picture."""
    images = {image.id: image for image in result.images}
    for chart in result.charts:
        image = images.pop(chart.image or "", None)
        known: dict[str, object] = {"kind": "chart", "chart": chart.model_dump(mode="json")}
        yield _image(image, chart.line(), known) if image else _text(chart.line(), known)
    for image in images.values():
        yield _image(image, image.line(), {"kind": "image"})


def _image(image: ImageArtifact, text: str, metadata: dict[str, object]) -> NodeWithScore:
    node = ImageNode(image=image.data, image_mimetype=image.mime, text=text, metadata=metadata, **_excluded(metadata))
    return NodeWithScore(node=node, score=1.0)


def _text(text: str, metadata: dict[str, object]) -> NodeWithScore:
    return NodeWithScore(node=TextNode(text=text, metadata=metadata, **_excluded(metadata)), score=1.0)


def _excluded(metadata: dict[str, object]) -> dict[str, list[str]]:
    """Returns what keeps the large data out of prompts and embeddings."""
    # LlamaIndex puts all metadata of a node into prompts, unless its key is excluded.
    big = [key for key, value in metadata.items() if not isinstance(value, str) or len(json.dumps(value)) > 200]
    return {"excluded_llm_metadata_keys": big, "excluded_embed_metadata_keys": big}
