"""Keeps what was asked before, so that a question may be about the answer to the last one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from ci_integrations._core.locks import FairLock
from ci_integrations.results.clean import cut

MAX_TURNS = 6
"""Earlier questions that the model is told of."""
_MAX_OUTPUT = 1500
"""Characters of an earlier answer."""
_MAX_CODE = 3000


class Turn(NamedTuple):
    """One question with the program that answered it, and what the program gave."""

    question: str
    code: str
    output: str

    def told(self, *, values: bool) -> str:
        """Returns the turn in words. `values`: False leaves out what the program gave."""
        parts = [f"Question: {self.question}"]
        parts += [f"Program:\n{cut(self.code, _MAX_CODE)}"] if self.code else []
        parts += [f"Answer:\n{cut(self.output, _MAX_OUTPUT)}"] if self.output and values else []
        return "\n".join(parts)


@dataclass
class Conversation:
    """The turns so far, oldest first. One question is answered at a time: the next one may be about its answer."""

    turns: list[Turn] = field(default_factory=list)
    ended: int = 0
    """How many conversations there were before this one: their last result is not this one's."""
    lock: FairLock = field(default_factory=FairLock)

    @classmethod
    def of(cls, turns: Iterable[Sequence[str]]) -> Conversation:
        """Returns the conversation of turns that were kept as lists of text."""
        return cls([Turn(*turn) for turn in turns])

    def add(self, turn: Turn) -> None:
        """Keeps a turn, and forgets the oldest."""
        self.turns = [*self.turns, turn][-MAX_TURNS:]

    def clear(self) -> None:
        """Forgets the turns, and what the last program came to."""
        self.turns, self.ended = [], self.ended + 1

    def told(self, *, values: bool) -> str:
        """Returns the turns in words."""
        return "\n\n".join(turn.told(values=values) for turn in self.turns)

    def __getstate__(self) -> dict[str, Any]:
        return {"turns": list(self.turns), "ended": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=FairLock())


def turns_of(messages: Iterable[ChatMessage]) -> list[Turn]:
    """Returns the turns of a chat's messages: each of the user's with the assistant's words after it."""
    turns: list[Turn] = []
    for message in messages:
        if message.role == MessageRole.USER:
            turns.append(Turn(str(message.content or ""), "", ""))
        elif message.role == MessageRole.ASSISTANT and turns:
            turns[-1] = turns[-1]._replace(output=str(message.content or ""))
    return turns[-MAX_TURNS:]
