"""The data of a demo run: its turns and what each of them gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_integrations.results.result import ExecutionResult


@dataclass
class Turn:
    """What the agent said before it ran a cell, and what came of it. The conclusion has no cell."""

    text: str
    result: ExecutionResult | None = None
    saved: list[Path] = field(default_factory=list)


@dataclass
class Story:
    """All that the report tells."""

    data: str
    model: str
    turns: list[Turn] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def results(self) -> list[ExecutionResult]:
        return [turn.result for turn in self.turns if turn.result is not None]

    @property
    def saved(self) -> list[Path]:
        return [path for turn in self.turns for path in turn.saved]
