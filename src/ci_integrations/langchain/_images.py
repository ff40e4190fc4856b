"""Pictures for the request: taken from artifacts when a model call is made, so that the state keeps them once.

Only the last few go along, and only to a model that can see them. The state is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage

from ci_integrations._adapters.harvest import results_from
from ci_integrations._adapters.images import Place, after_answers, last_pictures
from ci_integrations.langchain.messages import Json, image_block
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.store import ArtifactStore


def place_for(model: BaseChatModel) -> Place:
    """Returns where `model` takes pictures, read from its profile; a model without one is taken to be blind."""
    profile = getattr(model, "profile", None) or {}
    if not profile.get("image_inputs"):
        return None
    if profile.get("image_tool_message") is False or _is_chat_completions(model):
        return "user"
    return "tool"


def with_images(
    messages: list[AnyMessage], place: Place, *, last: int, max_px: int, store: ArtifactStore | None
) -> list[AnyMessage]:
    """Returns `messages` with the last `last` pictures shown at `place`."""
    if place is None or last < 1:
        return messages
    pictures = last_pictures(_answers(messages), last, max_px, store)
    shown = {index: list(map(image_block, images)) for index, images in pictures.items()}
    if place == "tool":
        return [_shown(message, shown.get(index, ())) for index, message in enumerate(messages)]
    return list(
        after_answers(messages, shown, is_answer=lambda one: isinstance(one, ToolMessage), message_of=_of_pictures)
    )


def _is_chat_completions(model: BaseChatModel) -> bool:
    # OpenAI's chat completions refuse pictures in a tool message although the profile says yes.
    return type(model).__name__ in ("ChatOpenAI", "AzureChatOpenAI") and not getattr(model, "use_responses_api", False)


def _answers(messages: list[AnyMessage]) -> Iterator[tuple[int, ExecutionResult]]:
    """Yields the runs behind tool messages, newest first; without those whose message shows its pictures already."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        # A content that is a list holds its pictures already: the tool was told to show them itself.
        if isinstance(message, ToolMessage) and isinstance(message.content, str):
            yield from ((index, result) for result in results_from(message))


def _shown(message: AnyMessage, blocks: Sequence[Json]) -> AnyMessage:
    if not blocks:
        return message
    return message.model_copy(update={"content": [{"type": "text", "text": message.text}, *blocks]})


def _of_pictures(blocks: list[Json]) -> AnyMessage:
    return HumanMessage([{"type": "text", "text": "Pictures that the code above drew:"}, *blocks])
