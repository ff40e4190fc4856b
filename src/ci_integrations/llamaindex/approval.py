"""A person says yes before code runs: LlamaIndex's human-in-the-loop events, asked before any side effect.

    async for event in handler.stream_events():
        if isinstance(event, CodeApprovalRequest):
            handler.ctx.send_event(event.answer(approved=True))

Since workflows 2.9 the tool starts again from the top after the answer, so nothing may happen before the question.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from llama_index.core.workflow import HumanResponseEvent, InputRequiredEvent

Approval = Literal["never", "always"] | Callable[[str], bool | Awaitable[bool]]
"""Which code needs a yes: none, all, or what the function returns True for."""

REFUSED = "The user did not approve this code, so nothing was run."
NO_CONTEXT = "This code needs the user's approval, which can only be asked for inside a workflow; nothing was run."

_YES = frozenset({"y", "yes", "true", "ok", "approve", "approved"})


class CodeApprovalRequest(InputRequiredEvent):
    """Asks whether `code` may run. Answer with `handler.ctx.send_event(event.answer(approved=...))`."""

    prefix: str = "Run this code?"
    code: str = ""
    approval_id: str = ""

    def answer(self, *, approved: bool, reason: str = "") -> HumanResponseEvent:
        """The event to send back; `reason` is told to the model."""
        response = "yes" if approved else "no"
        return HumanResponseEvent(response=response, approval_id=self.approval_id, reason=reason)


async def needed(approval: Approval, code: str) -> bool:
    """True when `code` needs a yes."""
    if not callable(approval):
        return approval == "always"
    verdict = approval(code)
    return bool(await verdict) if inspect.isawaitable(verdict) else bool(verdict)


async def refusal(approval: Approval, tool_name: str, code: str, ctx: Any) -> str | None:
    """Ask if need be. None: run it; otherwise what to tell the model."""
    if approval == "never" or not await needed(approval, code):
        return None
    if ctx is None:
        return NO_CONTEXT
    answer = await _ask(tool_name, code, ctx)
    if str(answer.get("response", default="")).strip().lower() in _YES:
        return None
    reason = answer.get("reason", default="")
    return f"{REFUSED} Reason: {reason}" if reason else REFUSED


async def _ask(tool_name: str, code: str, ctx: Any) -> Any:
    # The same call must ask under the same id when the tool is started again after the answer.
    approval_id = hashlib.sha256(f"{tool_name}\0{code}".encode()).hexdigest()[:16]
    return await ctx.wait_for_event(
        HumanResponseEvent,
        waiter_id=f"approve_{approval_id}",
        waiter_event=CodeApprovalRequest(code=code, approval_id=approval_id),
        requirements={"approval_id": approval_id},
    )
