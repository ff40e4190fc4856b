"""Gathers what a tool call sees of its conversation, from langgraph's config and state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig

from ci_integrations._core.conversation.seen import Seen, traces_of


def seen_in(config: RunnableConfig, state: object, tool_call_id: str | None) -> Seen:
    """Returns what a call sees: `config` names the thread and the agent's run, `state` has the messages."""
    run, point = _run(config)
    lists = list(messages_of(state))
    messages = [message for one in lists for message in one]
    asking = asking_message(state, tool_call_id)
    return Seen(
        run=run,
        path="|".join(part.partition(":")[0] for part in run.split("|")) if run else "",
        point=point,
        asked_by=asking.id if asking is not None else None,
        messages=frozenset(message.id for message in messages if message.id),
        traces=traces_of(message.artifact for message in messages if isinstance(message, ToolMessage)),
        shows_state=bool(lists),
        is_summary=any(_is_summary(one[0]) for one in lists),
        is_root=not run,
    )


def asking_message(state: object, tool_call_id: str | None) -> AIMessage | None:
    """Returns the model's message that made this call, where the graph's state shows it."""
    last = [one[-1] for one in messages_of(state)]
    asking = [message for message in last if isinstance(message, AIMessage)]
    named = [m for m in asking if any(tool_call_id and call["id"] == tool_call_id for call in m.tool_calls)]
    return next(iter(named or asking), None)


def messages_of(state: object) -> Iterator[Sequence[BaseMessage]]:
    """Yields every list of messages in a graph's state: a dict, a dataclass or a pydantic model, as its schema says."""
    values = state if isinstance(state, Mapping) else getattr(state, "__dict__", None) or {}
    for value in values.values():
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], BaseMessage):
            yield [message for message in value if isinstance(message, BaseMessage)]


def _run(config: RunnableConfig) -> tuple[str, str]:
    """Returns the agent's own run and the point at which it was started."""
    configurable = config.get("configurable") or {}
    # langgraph joins the runs of nested graphs by "|": "agent:<run>|tools:<call>". The last part is the call.
    run, _, _ = str(configurable.get("checkpoint_ns") or "").rpartition("|")
    points = configurable.get("checkpoint_map")
    above, _, _ = run.rpartition("|")
    return run, str(points.get(above) or "") if isinstance(points, Mapping) else ""


def _is_summary(message: BaseMessage) -> bool:
    return message.additional_kwargs.get("lc_source") == "summarization"
