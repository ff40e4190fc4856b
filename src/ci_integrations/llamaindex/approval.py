"""Asks a person before code runs, by LlamaIndex's human-in-the-loop events, before anything has happened.

    async for event in handler.stream_events():
        if isinstance(event, CodeApprovalRequest):
            handler.ctx.send_event(event.answer(approved=True))

Since workflows 2.9 the tool starts again from the top after the answer, so nothing may happen before the question.
"""

from __future__ import annotations

import hashlib
import inspect
import uuid
from collections.abc import Awaitable, Callable, Container
from typing import Any, Literal

from llama_index.core.workflow import Event, HumanResponseEvent, InputRequiredEvent

Approval = Literal["never", "always"] | Callable[[str], bool | Awaitable[bool]]
"""Which code needs an approval: none, all, or what the function returns True for."""

REFUSED = "The user did not approve this code, so nothing was run."
NO_CONTEXT = "This code needs the user's approval, which can only be asked for inside a workflow; nothing was run."
NO_ANSWER = "The user was asked whether this code may run and did not answer in time, so nothing was run."

_YES = frozenset({"y", "yes", "true", "ok", "approve", "approved"})


class CodeApprovalRequest(InputRequiredEvent):
    """Asks whether `code` may run. Answer with `handler.ctx.send_event(event.answer(approved=...))`."""

    prefix: str = "Run this code?"
    code: str = ""
    approval_id: str = ""
    question_id: str = ""
    """The id of this question. It keeps a second answer to it from running the code a second time."""

    def answer(self, *, approved: bool, reason: str = "") -> HumanResponseEvent:
        """Returns the event to send back. The model is told the `reason`."""
        return HumanResponseEvent(
            response="yes" if approved else "no",
            approval_id=self.approval_id, question_id=self.question_id, reason=reason,
        )  # fmt: skip


async def needed(approval: Approval, code: str) -> bool:
    """Returns whether `code` needs an approval."""
    if not callable(approval):
        return approval == "always"
    verdict = approval(code)
    return bool(await verdict) if inspect.isawaitable(verdict) else bool(verdict)


async def verdict(
    approval: Approval, tool_name: str, code: str, ctx: Any, used: Container[str] = ()
) -> tuple[str | None, str]:
    """Asks if it must. Returns (what the model is told when the code may not run, the id of the answered question).

    `used`: ids of questions whose approval was already consumed and must not be honoured again.
    """
    if approval == "never" or not await needed(approval, code):
        return None, ""
    if ctx is None:
        return NO_CONTEXT, ""
    try:
        answer = await _asked(tool_name, code, ctx, used)
    except TimeoutError:
        return NO_ANSWER, ""
    if str(answer.get("response", default="")).strip().lower() in _YES:
        return None, str(answer.get("question_id", default=""))
    reason = answer.get("reason", default="")
    return (f"{REFUSED} Reason: {reason}" if reason else REFUSED), ""


async def _asked(tool_name: str, code: str, ctx: Any, used: Container[str]) -> Any:
    answer = await _ask(tool_name, code, ctx)
    while answer.get("question_id", default="") in used:
        another = await _ask(tool_name, code, ctx)
        if another is answer:  # newer workflows: a second click started the tool once more; this start ends here
            await ctx.wait_for_event(_Nothing, timeout=None)
        answer = another
    return answer


class _Nothing(Event):
    """An event that is never sent: waiting for it ends a start of the tool without an answer."""


async def _ask(tool_name: str, code: str, ctx: Any) -> Any:
    # The same call must ask under the same id when the tool is started again after the answer. Without a `waiter_id`,
    # workflows tell two calls with the same code apart (since 2.26, by the work item).
    approval_id = hashlib.sha256(f"{tool_name}\0{code}".encode()).hexdigest()[:16]
    return await ctx.wait_for_event(
        HumanResponseEvent,
        waiter_event=CodeApprovalRequest(code=code, approval_id=approval_id, question_id=uuid.uuid4().hex),
        requirements={"approval_id": approval_id},
    )
