"""Collects what does not arrive as it was given: in words, place by place, each kind of change once."""

from __future__ import annotations

MAX_NOTES = 50
"""Sentences of one frame; what comes after is counted."""
_MAX_WORDS = 300
"""Characters of one sentence."""


class Notes:
    """Holds the changes of one frame. `at` says where the next ones are."""

    def __init__(self) -> None:
        self.at = "the frame"
        self._counts: dict[tuple[str, str], int] = {}

    def value(self, was: str, now: str) -> None:
        """Notes that one value of the type `was` arrives as `now`."""
        key = (self.at, f"of type {was} arrive as {now}")
        self._counts[key] = self._counts.get(key, 0) + 1

    def say(self, words: str) -> None:
        """Notes a change of the whole place: `"dtype X arrives as Y"`."""
        self._counts[self.at, words] = 0

    def sentences(self) -> list[str]:
        """Returns the changes: `column 'place': 3 values of type Point arrive as their text`."""
        found = [
            f"{place}: {f'{count} values ' if count else ''}{words}"[:_MAX_WORDS]
            for (place, words), count in self._counts.items()
        ]
        if len(found) > MAX_NOTES:
            found[MAX_NOTES:] = [f"and {len(found) - MAX_NOTES} more changes of this kind"]
        return found
