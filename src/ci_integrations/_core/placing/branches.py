"""Finds what a conversation does not know of the kernel that its call got, for the answer to begin with.

A conversation may go back: time travel, an edited message, an answer made again. The kernel does not. What ran in
between and is in none of the messages is told, once for each message that asks.
"""

from __future__ import annotations

from ci_integrations._core.conversation.seen import Seen
from ci_integrations._core.notices import kernel_ahead, kernel_is_another
from ci_integrations._core.placing.choosing import Placing
from ci_integrations._core.state import KernelState
from ci_integrations._core.variables import names_made
from ci_integrations.results.model import SandboxEvent
from ci_integrations.results.result import ExecutionResult

_LOSSES = {"state_lost", "context_restarted"}


def with_news(placing: Placing, seen: Seen, kernel: KernelState, result: ExecutionResult) -> ExecutionResult:
    """Returns the result, with an event for what the messages do not show of its kernel."""
    asked_by = seen.asked_by
    if asked_by is None or result.kernel is None:
        return result
    if any(event.type in _LOSSES for event in result.events):
        kernel.told_by[asked_by] = None
        return result
    if asked_by in kernel.told_by:
        return result
    news = _another_kernel(placing, seen, kernel, result.kernel.id)
    news = news or _cells_between(placing, seen, kernel, result.kernel.id, result.kernel.count)
    if news is None:
        return result
    kernel.told_by[asked_by] = None
    return result.model_copy(update={"events": (news, *result.events)})


def _another_kernel(placing: Placing, seen: Seen, kernel: KernelState, name: str) -> SandboxEvent | None:
    newest = placing.newest(seen)
    if newest is None or newest.kernel_id == name or not seen.messages.isdisjoint(kernel.told_by):
        return None
    other = placing.state.memory.kernels.get(newest.kernel_id or "")
    return kernel_is_another(is_shared=other is not None and other is not kernel)


def _cells_between(placing: Placing, seen: Seen, kernel: KernelState, name: str, count: int) -> SandboxEvent | None:
    last = placing.last_count(seen, name)
    if not last and seen.is_summary:
        return None
    between = [ran for ran in kernel.ran if last < ran.number < count]
    unseen = [ran for ran in between if ran.asked_by not in (None, seen.asked_by, *seen.messages)]
    codes = [ran.code for ran in unseen]
    # What this process did not run itself: another worker has. Nothing but the number is known of it.
    elsewhere = max(0, count - last - 1 - len({ran.number for ran in between})) if last else 0
    if not codes and not elsewhere:
        return None
    return kernel_ahead(len(codes) + elsewhere, names_made(codes))
