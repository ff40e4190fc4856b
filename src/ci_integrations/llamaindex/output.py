"""Makes LlamaIndex's `ToolOutput` of an `ExecutionResult`, and finds artifacts in whatever LlamaIndex hands back.

Both directions are public: `to_tool_output` for people who run the SDK themselves, `artifacts_from` for their apps.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.tools import ToolOutput

from ci_integrations._adapters.harvest import artifacts_from, results_from
from ci_integrations._names import GIF, JPEG, PNG, WEBP
from ci_integrations.results.clean import IN_ARTIFACT
from ci_integrations.results.model import Artifact, ImageArtifact
from ci_integrations.results.pictures import ModelImage, images_for_model
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import MAX_CHARS, render_text

__all__ = ["artifacts_from", "results_from", "to_tool_output"]

Images = Literal["blocks", "path", "none"]
"""How pictures reach the model: in the block, as a file the block names (small saved Contexts), or not at all."""

_SUFFIX = {PNG: "png", JPEG: "jpg", GIF: "gif", WEBP: "webp"}


def to_tool_output(
    execution: ExecutionResult | Any,
    *,
    tool_name: str = "code_interpreter",
    raw_input: dict[str, object] | None = None,
    max_output_chars: int = MAX_CHARS,
    max_images: int = 4,
    image_max_px: int = 1024,
    images: Images = "blocks",
    artifact_dir: str | Path | None = None,
) -> ToolOutput:
    """Returns what a tool returns for `execution`: an `ExecutionResult`, or the SDK's own `Execution`.

    One text block, then at most `max_images` image blocks, their longer edge at most `image_max_px` pixels;
    `raw_output` is the whole result as plain JSON, `is_error` says whether the cell failed. `images="path"` needs
    `artifact_dir`: pictures are written there, once.
    """
    result = execution if isinstance(execution, ExecutionResult) else ExecutionResult.from_execution(execution)
    look = Presentation(max_output_chars, max_images, image_max_px, images, artifact_dir)
    return look.of(result, tool_name, raw_input if raw_input is not None else {"code": result.code})


@dataclass(frozen=True)
class Presentation:
    """How a result is shown to the model. The fields are options of `CodeInterpreterTool`."""

    max_output_chars: int = MAX_CHARS
    max_images: int = 4
    image_max_px: int = 1024
    images: Images = "blocks"
    artifact_dir: str | Path | None = None

    def of(
        self, result: ExecutionResult, tool_name: str, raw_input: dict[str, object], whole: str | None = None
    ) -> ToolOutput:
        """Returns the tool's output. `whole`: the sandbox's file with the whole text, where it is too long to show."""
        text = render_text(result, max_chars=self.max_output_chars, whole=f"in {whole}" if whole else IN_ARTIFACT)
        return ToolOutput(
            tool_name=tool_name,
            blocks=[TextBlock(text=text), *self.image_blocks(result)],
            raw_input=raw_input,
            raw_output=_raw(result, self._folder),
            is_error=not result.ok,
        )

    def image_blocks(self, result: ExecutionResult) -> list[ImageBlock]:
        """Returns the pictures that the model is shown."""
        if self.images == "none":
            return []
        shown = images_for_model(result, max_images=self.max_images, max_px=self.image_max_px)
        return [self._image_block(image) for image in shown]

    def _image_block(self, image: ModelImage) -> ImageBlock:
        if self._folder is not None:
            return ImageBlock(path=_saved(image.data, image.mime, self._folder), image_mimetype=image.mime)
        return ImageBlock(image=image.data.encode(), image_mimetype=image.mime)

    @property
    def _folder(self) -> Path | None:
        """Where pictures are written, when they go as files."""
        return Path(self.artifact_dir) if self.images == "path" and self.artifact_dir is not None else None


def _raw(result: ExecutionResult, folder: Path | None) -> dict[str, object]:
    """Returns the result as plain JSON; with a `folder`, pictures are references to their files in it."""
    # A saved Context has a tool's output up to three times: with paths instead of pictures it stays small.
    if folder is not None:
        artifacts = tuple(_referenced(artifact, folder) for artifact in result.artifacts)
        result = result.model_copy(update={"artifacts": artifacts})
    return result.model_dump(mode="json")


def _referenced(artifact: Artifact, folder: Path) -> Artifact:
    if not isinstance(artifact, ImageArtifact) or not artifact.data:
        return artifact
    return artifact.model_copy(update={"ref": str(_saved(artifact.data, artifact.mime, folder)), "data": None})


def _saved(data: str, mime: str, folder: Path) -> Path:
    """Writes a picture under a name made of its content, so that one picture is one file; returns the path."""
    raw = base64.b64decode(data)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(raw).hexdigest()[:24]}.{_SUFFIX.get(mime, 'bin')}"
    if not path.exists():
        path.write_bytes(raw)
    return path.resolve()
