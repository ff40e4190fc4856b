"""The data of a demo run: its turns, and what each of them gave. `command` writes it, `report` shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_integrations.results.result import ExecutionResult


@dataclass
class Turn:
    """What the agent said, the result of the cell that followed, and the saved files. The conclusion has no cell."""

    text: str
    result: ExecutionResult | None = None
    saved: list[Path] = field(default_factory=list)


@dataclass
class Story:
    """Everything that the report and the summary show."""

    data: str
    """The name of the CSV file."""
    model: str
    """`scripted`, or what --model said."""
    turns: list[Turn] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def results(self) -> list[ExecutionResult]:
        return [turn.result for turn in self.turns if turn.result is not None]

    @property
    def errors(self) -> int:
        """How many cells failed."""
        return sum(not result.ok for result in self.results)

    @property
    def backend(self) -> str | None:
        """Where the cells ran: `local` or `e2b`."""
        return next((result.backend for result in self.results), None)

    @property
    def saved(self) -> list[Path]:
        return [path for turn in self.turns for path in turn.saved]
