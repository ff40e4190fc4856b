"""Rules about pictures in a request: how many a model is shown, and where its provider takes them.

Providers refuse pictures in a tool message, drop them silently, or take them. An adapter knows the provider of a model;
what follows from that is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from ci_integrations.results.pictures import ModelImage, images_for_model
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.store import ArtifactStore

ImagePolicy = Literal["auto", "always", "never"]
Place = Literal["tool", "user"] | None
"""Where a model takes pictures of a tool's: in the tool message, in a user message after it, nowhere."""

Message = TypeVar("Message")
Block = TypeVar("Block")


def shows_images(policy: ImagePolicy, provider: str | None, *, is_responses_api: bool = False) -> bool:
    """True when a tool message may carry pictures. `auto`: yes when the provider is known to take them there."""
    if policy != "auto":
        return policy == "always"
    # OpenAI's chat completions take no picture in a tool message; its responses API does.
    return provider in ("anthropic", "google_genai") or (provider == "openai" and is_responses_api)


def last_pictures(
    answers: Iterable[tuple[int, ExecutionResult]], last: int, max_px: int, store: ArtifactStore | None = None
) -> dict[int, list[ModelImage]]:
    """Returns the last `last` pictures of a conversation by the index of their message.

    `answers` are the indexes and results of its messages, newest first; no more of them are read than needed. `store`
    has the bytes that were offloaded.
    """
    found: dict[int, list[ModelImage]] = {}
    left = last
    for index, answer in answers:
        whole = store.inline(answer) if store is not None else answer
        found[index] = images_for_model(whole, max_images=left, max_px=max_px)
        left -= len(found[index])
        if left <= 0:
            break
    return found


def after_answers(
    messages: Iterable[Message],
    shown: Mapping[int, Sequence[Block]],
    *,
    is_answer: Callable[[Message], bool],
    message_of: Callable[[list[Block]], Message],
) -> Iterator[Message]:
    """Yields `messages` with a message of pictures after each group of answers that drew something.

    The group itself is not broken: providers want the answers to the calls of one turn side by side.
    """
    waiting: list[Block] = []
    for index, message in enumerate(messages):
        if waiting and not is_answer(message):
            yield message_of(waiting)
            waiting = []
        yield message
        waiting += shown.get(index, [])
    if waiting:
        yield message_of(waiting)
