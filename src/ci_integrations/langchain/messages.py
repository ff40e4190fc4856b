"""Makes a LangChain message of a run: words and pictures for the model in `content`, plain JSON in `artifact`.

The bytes of a picture are in one place only: when the message shows it to the model unchanged, the artifact refers to
the message (`ref="content:<id>"`), and `ExecutionResult.from_message` puts them together again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import ToolMessage

from ci_integrations._adapters.redaction import Redactor
from ci_integrations.results.clean import IN_ARTIFACT
from ci_integrations.results.pictures import ModelImage, images_for_model
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import MAX_CHARS, render_text

if TYPE_CHECKING:
    from ci_integrations.results.store import ArtifactStore

Json = dict[str, object]
Content = str | list[str | Json]
"""The content of a message, as LangChain types it."""

_JSON_BEGINS = tuple('{["-0123456789tfnNI')
"""The characters with which Python's JSON begins: most texts are told from it by the first one."""


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """How a run is shown: the text's budget in characters, whether pictures go along, where large payloads go."""

    max_chars: int = MAX_CHARS
    images: bool = False
    max_images: int = 4
    image_max_px: int = 1024
    store: ArtifactStore | None = None
    redactor: Redactor = field(default_factory=Redactor)
    whole: str = IN_ARTIFACT
    """Where the text is that had to be cut, in words for the model."""

    def of(self, result: ExecutionResult) -> tuple[Content, Json]:
        """Returns the content and the artifact of a message."""
        result, artifact = self.redactor.dumped(result)
        text = _as_words(render_text(result, max_chars=self.max_chars, whole=self.whole))
        shown = images_for_model(result, max_images=self.max_images, max_px=self.image_max_px) if self.images else []
        content = cast("Content", [{"type": "text", "text": text}, *map(image_block, shown)]) if shown else text
        _refer_to_content(cast("list[Json]", artifact["artifacts"]), shown)
        return content, self.store.offload_json(artifact) if self.store else artifact


def to_tool_message(
    execution: Any,
    *,
    tool_call_id: str,
    name: str = "code_interpreter",
    images: bool = False,
    **known: Any,
) -> ToolMessage:
    """Returns the answer to a tool call from an `ExecutionResult` or from the SDK's own `Execution`.

    `known` (`code=`, `sandbox_id=`, ...) tells what the SDK's object does not. `images=True` shows the pictures to the
    model as well.
    """
    result = execution if isinstance(execution, ExecutionResult) else ExecutionResult.from_execution(execution, **known)
    return tool_message(result, tool_call_id, name, Presentation(images=images))


def tool_message(result: ExecutionResult, tool_call_id: str, name: str, presentation: Presentation) -> ToolMessage:
    """Returns a result as the message that answers the call `tool_call_id` of the tool `name`."""
    content, artifact = presentation.of(result)
    status = "success" if result.ok else "error"
    message = ToolMessage(content, artifact=artifact, tool_call_id=tool_call_id, name=name, status=status)
    if result.events:
        # LangChain's keys for what the harness added (`add_notification_metadata`, which takes human messages only).
        told = [{"type": event.type, "message": event.message} for event in result.events]
        message.additional_kwargs |= {"lc_source": "ci_integrations", "lc_data": {"events": told}}
    return message


def image_block(image: ModelImage) -> Json:
    """Returns a picture as LangChain's own block, which every provider's converter takes."""
    return {"type": "image", "base64": image.data, "mime_type": image.mime, "id": image.artifact_id}


def _as_words(text: str) -> str:
    # Google's converter reads a text that is JSON as data, and the model then sees something else than was printed.
    if not text.lstrip().startswith(_JSON_BEGINS):
        return text
    try:
        json.loads(text)
    except ValueError:
        return text
    return f"stdout:\n{text}"


def _refer_to_content(artifacts: list[dict[str, object]], shown: Sequence[ModelImage]) -> None:
    """Leaves out the bytes of pictures that the content of the message has unchanged."""
    data = {image.artifact_id: image.data for image in shown}
    for artifact in artifacts:
        if artifact["kind"] == "image" and artifact["data"] and artifact["data"] == data.get(str(artifact["id"])):
            artifact.update(data=None, ref=f"content:{artifact['id']}")
