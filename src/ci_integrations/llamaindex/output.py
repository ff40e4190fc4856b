"""From `ExecutionResult` to LlamaIndex's `ToolOutput`, and from whatever LlamaIndex hands back to artifacts.

Both directions are public: `to_tool_output` for people who run the SDK themselves, `artifacts_from` for their apps.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from llama_index.core.base.llms.types import ContentBlock, ImageBlock, TextBlock
from llama_index.core.tools import ToolOutput

from ci_integrations.results.model import SCHEMA, Artifact
from ci_integrations.results.pictures import ModelImage, images_for_model
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import MAX_CHARS, render_text

Images = Literal["blocks", "path", "none"]
"""How pictures reach the model: in the block, as a file the block names (small saved Contexts), or not at all."""

_SUFFIX = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}


def to_tool_output(
    execution: Any,
    *,
    tool_name: str = "code_interpreter",
    raw_input: dict[str, Any] | None = None,
    max_output_chars: int = MAX_CHARS,
    max_images: int = 4,
    images: Images = "blocks",
    artifact_dir: str | Path | None = None,
) -> ToolOutput:
    """What a tool returns for `execution`: an `ExecutionResult`, or the SDK's own `Execution`.

    One text block, then at most `max_images` image blocks; `raw_output` is the whole result as plain JSON, `is_error`
    says whether the cell failed. `images="path"` needs `artifact_dir`: pictures are written there, once.
    """
    result = execution if isinstance(execution, ExecutionResult) else ExecutionResult.from_execution(execution)
    return ToolOutput(
        tool_name=tool_name,
        blocks=content_blocks(result, max_output_chars, max_images, images, artifact_dir),
        raw_input=raw_input if raw_input is not None else {"code": result.code},
        raw_output=_raw(result, images, artifact_dir),
        is_error=not result.ok,
    )


def content_blocks(
    result: ExecutionResult,
    max_output_chars: int = MAX_CHARS,
    max_images: int = 4,
    images: Images = "blocks",
    artifact_dir: str | Path | None = None,
) -> list[ContentBlock]:
    """What the model reads and sees: one text block, then the pictures."""
    text = TextBlock(text=render_text(result, max_chars=max_output_chars))
    return [text, *image_blocks(result, max_images, images, artifact_dir)]


def image_blocks(
    result: ExecutionResult, max_images: int = 4, images: Images = "blocks", artifact_dir: str | Path | None = None
) -> list[ImageBlock]:
    """The pictures alone."""
    shown = [] if images == "none" else images_for_model(result, max_images=max_images)
    return [_image_block(image, images, artifact_dir) for image in shown]


def _image_block(image: ModelImage, images: Images, artifact_dir: str | Path | None) -> ImageBlock:
    if images == "path" and artifact_dir is not None:
        return ImageBlock(path=_saved(image.data, image.mime, artifact_dir), image_mimetype=image.mime)
    return ImageBlock(image=image.data.encode(), image_mimetype=image.mime)


def _raw(result: ExecutionResult, images: Images, artifact_dir: str | Path | None) -> dict[str, Any]:
    """The result as plain JSON; with `images="path"`, pictures are references to their files."""
    raw: dict[str, Any] = result.model_dump(mode="json")
    if images != "path" or artifact_dir is None:
        return raw
    for artifact in raw["artifacts"]:
        if artifact["kind"] == "image" and artifact.get("data"):
            artifact["ref"] = str(_saved(artifact["data"], artifact["mime"], artifact_dir))
            artifact["data"] = None
    return raw


def _saved(data: str, mime: str, artifact_dir: str | Path) -> Path:
    """Named by content, so that one picture is one file."""
    import hashlib

    raw = base64.b64decode(data)
    folder = Path(artifact_dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(raw).hexdigest()[:24]}.{_SUFFIX.get(mime, 'bin')}"
    if not path.exists():
        path.write_bytes(raw)
    return path.resolve()


def results_from(source: Any) -> list[ExecutionResult]:
    """Every execution in an AgentOutput, ToolOutput, ToolCallResult, Response, ToolMessage-like dict, or a list."""
    return [ExecutionResult.model_validate(raw) for raw in _executions(source)]


def artifacts_from(source: Any) -> list[Artifact]:
    """Charts, tables, pictures and files out of whatever LlamaIndex gave back.

    `source`: AgentOutput (`return_direct` too), ToolOutput, ToolCallResult, Response, a plain dict, or a list of these.
    Nothing found: an empty list.
    """
    return [artifact for result in results_from(source) for artifact in result.artifacts]


def _executions(source: Any) -> Iterator[dict[str, Any]]:
    """The plain dicts of the executions in `source`, each once."""
    if isinstance(source, ExecutionResult):
        yield source.model_dump(mode="json")
    elif isinstance(source, dict):
        yield from [source] if source.get("schema") == SCHEMA else _in_values(source)
    elif isinstance(source, (list, tuple)):
        yield from (found for item in source for found in _executions(item))
    else:
        yield from _in_object(source)


def _in_values(source: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A saved ToolOutput, ToolCallResult or metadata: dicts, after a Context was restored."""
    for name in ("tool_output", "raw_output", "execution", "metadata"):
        if isinstance(source.get(name), dict):
            yield from _executions(source[name])


def _in_object(source: Any) -> Iterator[dict[str, Any]]:
    tool_calls = getattr(source, "tool_calls", None)
    if isinstance(tool_calls, list):
        found = list(_executions(tool_calls))
        # On the return_direct path the calls carry no outputs; the result is in `raw`.
        yield from found or _executions(getattr(source, "raw", None) or [])
        return
    for name in ("tool_output", "raw_output", "metadata"):
        inner = getattr(source, name, None)
        if inner is not None:
            yield from _executions(_execution_of(inner))


def _execution_of(inner: Any) -> Any:
    """A Response's metadata holds the execution under its own key."""
    return inner.get("execution", inner) if isinstance(inner, dict) else inner


def text_of(blocks: Iterable[ContentBlock]) -> str:
    """The text blocks, joined."""
    return "\n".join(block.text for block in blocks if isinstance(block, TextBlock))
