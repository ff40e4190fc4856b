"""Holds what an analysis is made of: its prompts and limits, and the answer that it has come to so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from llama_index.core.prompts import BasePromptTemplate
from pydantic import BaseModel

from ci_integrations._core.locks import FairLock
from ci_integrations.llamaindex.analysis import prompts
from ci_integrations.llamaindex.analysis.conversation import Conversation
from ci_integrations.llamaindex.analysis.dataset import Dataset, Placed
from ci_integrations.results.model import ExecutionError
from ci_integrations.results.result import ExecutionResult


class Attempt(BaseModel):
    """Holds one program and its result. `error` is None for the program that worked."""

    code: str
    error: ExecutionError | None
    result: ExecutionResult


@dataclass
class Analysis:
    """Holds the prompts and limits of one engine. Prompts may be replaced at any time."""

    dataset: Dataset
    code_prompt: BasePromptTemplate = field(default_factory=lambda: prompts.CODE_PROMPT)
    repair_prompt: BasePromptTemplate = field(default_factory=lambda: prompts.REPAIR_PROMPT)
    response_synthesis_prompt: BasePromptTemplate = field(default_factory=lambda: prompts.RESPONSE_SYNTHESIS_PROMPT)
    instruction_str: str = prompts.INSTRUCTIONS
    synthesize_response: bool = True
    max_repairs: int = 2
    max_output_chars: int = 20_000
    max_images: int = 0
    """Pictures that the model sees when it words the answer."""
    streaming: bool = False
    conversation: Conversation | None = None
    """What was asked before; None where every question stands alone."""
    preparing: FairLock = field(default_factory=FairLock)
    """Held while data is loaded: nobody reads a file that somebody else is uploading."""

    def copied(self) -> Analysis:
        """Returns the same analysis for another kernel, in which nothing is yet."""
        turns = Conversation(list(self.conversation.turns)) if self.conversation is not None else None
        dataset = replace(self.dataset, placed=Placed())
        return replace(self, dataset=dataset, conversation=turns, preparing=FairLock())

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "preparing"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, preparing=FairLock())


class Answer(BaseModel):
    """Holds what an analysis has come to. It can be plain JSON between any two steps."""

    question: str
    profile: str = ""
    unread: list[str] = []
    """Files in the sandbox that are no tables."""
    changed: list[str] = []
    """Names of files that were loaded anew, because they had changed since the last question."""
    attempts: list[Attempt] = []
    unworded: ExecutionError | None = None
    """Why the output of a program that worked could not be put into words."""
    text: str = ""

    @property
    def last(self) -> Attempt:
        """The newest attempt."""
        return self.attempts[-1]

    @property
    def ran(self) -> bool:
        """True when the newest program worked."""
        return bool(self.attempts) and self.last.error is None

    @property
    def error(self) -> ExecutionError | None:
        """What went wrong; None for a question that was answered."""
        return self.unworded or (self.last.error if self.attempts else None)

    @property
    def ok(self) -> bool:
        """True for a question that was answered."""
        return self.ran and self.unworded is None
