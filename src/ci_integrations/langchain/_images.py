"""Pictures for the request: taken from artifacts when a model call is made, so that the state keeps them once.

Only the last few go along, and only to a model that can see them. The state is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage

from ci_integrations.langchain.export import results_from
from ci_integrations.langchain.messages import image_block
from ci_integrations.results.pictures import images_for_model

Place = Literal["tool", "user"] | None
"""Where a model takes pictures of a tool's: in the tool message, in a user message after it, nowhere."""


def place_for(model: Any) -> Place:
    """Read from `model.profile`; a model without a profile is taken to be blind."""
    profile = getattr(model, "profile", None) or {}
    if not profile.get("image_inputs"):
        return None
    if profile.get("image_tool_message") is False or _is_chat_completions(model):
        return "user"
    return "tool"


def with_images(messages: list[AnyMessage], place: Place, *, last: int, max_px: int, store: Any) -> list[AnyMessage]:
    """`messages` with the last `last` pictures shown at `place`."""
    if place is None or last < 1:
        return messages
    shown = _last_pictures(messages, last, max_px, store)
    if place == "tool":
        return [_shown(message, shown.get(index, [])) for index, message in enumerate(messages)]
    return list(_followed(messages, shown))


def _is_chat_completions(model: Any) -> bool:
    """OpenAI's chat completions refuse pictures in a tool message although the profile says yes."""
    return type(model).__name__ in ("ChatOpenAI", "AzureChatOpenAI") and not getattr(model, "use_responses_api", False)


def _last_pictures(messages: list[AnyMessage], last: int, max_px: int, store: Any) -> dict[int, list[dict[str, Any]]]:
    """Blocks by the index of their message, newest first until `last` is reached."""
    found: dict[int, list[dict[str, Any]]] = {}
    left = last
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if left and isinstance(message, ToolMessage) and isinstance(message.content, str):
            found[index] = _pictures(message, left, max_px, store)
            left -= len(found[index])
    return found


def _pictures(message: ToolMessage, limit: int, max_px: int, store: Any) -> list[dict[str, Any]]:
    for result in results_from(message):
        whole = store.inline(result) if store is not None else result
        return [image_block(image) for image in images_for_model(whole, max_images=limit, max_px=max_px)]
    return []


def _shown(message: AnyMessage, blocks: list[dict[str, Any]]) -> AnyMessage:
    if not blocks:
        return message
    return message.model_copy(update={"content": [{"type": "text", "text": message.text}, *blocks]})


def _followed(messages: list[AnyMessage], shown: dict[int, list[dict[str, Any]]]) -> Iterable[AnyMessage]:
    """A user message after each group of tool messages that drew something: the group must not be broken."""
    waiting: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        if waiting and not isinstance(message, ToolMessage):
            yield _user(waiting)
            waiting = []
        yield message
        waiting += shown.get(index, [])
    if waiting:
        yield _user(waiting)


def _user(blocks: list[dict[str, Any]]) -> HumanMessage:
    return HumanMessage([{"type": "text", "text": "Pictures that the code above drew:"}, *blocks])
