"""Says how long a session waits after a failure, and when it gives up. tenacity computes both.

Nothing here talks to a sandbox and nothing sleeps: `client.py` and `repair.py` do. Users import `RecoveryPolicy` from
`ci_integrations.recovery`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from ci_integrations._core.failures import unanswered


@dataclass(frozen=True, kw_only=True)
class RecoveryPolicy:
    """Says how long to wait and when to give up.

    `arguments()` returns tenacity's own, for `Retrying` and `AsyncRetrying` alike; override it to replace the rules.
    Waits are random below their limit, so that clients that failed together do not come back together; `deadline`
    bounds all attempts together.
    """

    attempts: int = 4
    """Tries of one call, the first included."""
    deadline: float = 30.0
    """Seconds that a create or a reconnect may take, retries included."""
    first_wait: float = 0.2
    """Seconds before the second try, at most; it doubles from try to try, and each wait is random below that."""
    longest_wait: float = 5.0
    """Seconds; no wait is longer."""
    on_unreachable: Literal["error", "recreate"] = "error"
    """What to do when no answer comes although the control plane says that the sandbox is running."""
    exit_deadline: float = 5.0
    """Seconds that the end of the process waits for all sessions together to be closed."""
    retry: Callable[[BaseException], bool] = field(default=unanswered)
    """Which failure of a call that changes nothing twice is worth another try."""

    def pause(self, number: int) -> float:
        """Returns the seconds to wait after try `number` (1 is the first) before the next one."""
        return next(islice(self._pauses(), number - 1, None))

    def _pauses(self) -> Iterator[float]:
        """Yields the seconds after the first try, the second, and so on. tenacity computes them; nobody waits here."""
        from tenacity import Retrying, TryAgain, wait_none

        naps: list[float] = []
        for attempt in Retrying(wait=self.arguments().get("wait", wait_none()), sleep=naps.append):
            if naps:
                yield naps.pop()
            with attempt:  # a try that always fails makes tenacity say its next wait
                raise TryAgain

    def arguments(self) -> dict[str, Any]:
        """Returns keyword arguments for `tenacity.Retrying` and `tenacity.AsyncRetrying`."""
        from tenacity import retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

        return {
            "stop": stop_after_attempt(self.attempts) | stop_after_delay(self.deadline),
            "wait": wait_random_exponential(multiplier=self.first_wait, max=self.longest_wait),
            "retry": retry_if_exception(self.retry),
            "reraise": True,
        }
