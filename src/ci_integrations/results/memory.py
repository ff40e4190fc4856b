"""Keeps results that may be asked for again, within a budget of bytes: of the oldest only the ends stay.

A `Budget` is shared by all sessions of a registry; a `Kept` holds what one session keeps.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from weakref import ReferenceType, ref

from pydantic import BaseModel

from ci_integrations.results.result import ExecutionResult

DEFAULT_BYTES = 8 * 1024 * 1024
"""What results may take together, unless the caller says otherwise."""
MAX_KEPT = 256
"""Results that one session keeps."""
SMALL = 4096
"""Bytes; a text or an artifact up to this size stays in a result that is shortened."""
_OTHER = 32
"""Bytes that a number takes, and everything else that is no text."""


class Budget:
    """Counts what several `Kept` hold together, and has the oldest shortened when that is more than `most` bytes.

    The newest result of all stays whole, however large it is.
    """

    def __init__(self, most: int = DEFAULT_BYTES) -> None:
        self.most = most
        self._used = 0
        self._lock = threading.RLock()
        self._whole: OrderedDict[tuple[int, str], tuple[ReferenceType[Kept], int]] = OrderedDict()

    def took(self, holder: Kept, name: str, size: int) -> None:
        """Notes that `holder` keeps a result of `size` bytes under `name` now."""
        with self._lock:
            self.let_go(holder, name)
            self._whole[id(holder), name] = ref(holder), size
            self._used += size
            while self._used > self.most and len(self._whole) > 1:
                (_, oldest), (found, bytes_) = self._whole.popitem(last=False)
                self._used -= bytes_
                if (other := found()) is not None:
                    other.shorten(oldest)

    def let_go(self, holder: Kept, name: str) -> None:
        """Notes that `holder` does not keep that result whole any more."""
        with self._lock:
            _, size = self._whole.pop((id(holder), name), (None, 0))
            self._used -= size


class Kept:
    """Keeps results by name, the newest `MAX_KEPT` of them."""

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._results: OrderedDict[str, ExecutionResult] = OrderedDict()

    def get(self, name: str) -> ExecutionResult | None:
        """Returns the result of that name, which may have been shortened since; None where there is none."""
        return self._results.get(name)

    def keep(self, name: str, result: ExecutionResult) -> None:
        """Keeps `result` under `name`, in the place of an earlier one."""
        self._results[name] = result
        self._results.move_to_end(name)
        while len(self._results) > MAX_KEPT:
            oldest, _ = self._results.popitem(last=False)
            self._budget.let_go(self, oldest)
        self._budget.took(self, name, size_of(result))

    def newest(self) -> ExecutionResult | None:
        """Returns the result that was kept last."""
        return next(reversed(self._results.values()), None)

    def shorten(self, name: str) -> None:
        """Leaves the ends of what a result holds."""
        result = self._results.get(name)
        if result is not None:
            self._results[name] = shortened(result)

    def shorten_all(self) -> None:
        """Does what `shorten` does with each result."""
        for name in list(self._results):
            self.shorten(name)
            self._budget.let_go(self, name)

    def clear(self) -> None:
        """Forgets all results. It takes no lock: the budget finds out when their turn comes."""
        self._results.clear()


def shortened(result: ExecutionResult) -> ExecutionResult:
    """Returns `result` with the ends of its long texts and without its large artifacts; `truncated` counts the rest."""
    cuts = result.truncated
    stdout, lost_out = _ends(result.stdout)
    stderr, lost_err = _ends(result.stderr)
    small = tuple(artifact for artifact in result.artifacts if size_of(artifact) <= SMALL)
    dropped = len(result.artifacts) - len(small)
    return result.model_copy(
        update={
            "stdout": stdout,
            "stderr": stderr,
            "text": result.text if result.text is None else _ends(result.text)[0],
            "artifacts": small,
            "truncated": cuts.model_copy(
                update={
                    "stdout": cuts.stdout + lost_out,
                    "stderr": cuts.stderr + lost_err,
                    "results": cuts.results + dropped,
                }
            ),
        }
    )


def _ends(text: str) -> tuple[str, int]:
    """Returns the first and the last part of a long text, and how many characters between them are gone."""
    lost = len(text) - SMALL
    if lost <= 0:
        return text, 0
    half = SMALL // 2
    return f"{text[:half]}\n[... {lost:,} characters are not kept ...]\n{text[-half:]}", lost


def size_of(value: object) -> int:
    """Returns about how many bytes a result, or a part of one, takes in memory."""
    if isinstance(value, str):
        return sys.getsizeof(value)
    if isinstance(value, BaseModel):
        return sum(map(size_of, vars(value).values()))
    if isinstance(value, Mapping):
        return sum(size_of(key) + size_of(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        numbers = bool(value) and isinstance(value[0], (int, float))
        return len(value) * _OTHER if numbers else sum(map(size_of, value))
    return _OTHER
