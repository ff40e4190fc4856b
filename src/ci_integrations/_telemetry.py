"""Records OpenTelemetry spans and metrics for create, run and recover, when its API package is installed.

Code and output are left out, unless OpenTelemetry's own variable `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`
is `true`.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.trace import Tracer

SCOPE = "ci_integrations"
_MOST_CONTENT = 10_000

_call: ContextVar[Mapping[str, str | None]] = ContextVar("ci_integrations_traced_call")

_Attribute = str | bool | int | float | None
"""What a span's attribute can be; None leaves it out."""


@functools.cache
def _api() -> tuple[Tracer, Histogram, Counter] | None:
    """Returns tracer, duration histogram and recovery counter. None without the API package."""
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return None
    meter = metrics.get_meter(SCOPE)
    return (
        trace.get_tracer(SCOPE),
        meter.create_histogram(f"{SCOPE}.duration", unit="s", description="Duration of create, run and recover"),
        meter.create_counter(f"{SCOPE}.losses", description="Sandboxes that were lost and replaced"),
    )


@contextmanager
def calling(tool: str, call_id: str | None, conversation: str | None) -> Iterator[None]:
    """Says which tool call the cells inside belong to, for their spans: in the names of OpenTelemetry's GenAI."""
    named = {"tool.name": tool, "tool.call.id": call_id, "conversation.id": conversation}
    token = _call.set(named)
    try:
        yield
    finally:
        with suppress(ValueError):  # a flow that was given up is closed wherever the garbage collector runs
            _call.reset(token)


def _gen_ai(operation: str) -> dict[str, str | bool | int | float]:
    """Returns the attributes by which tools for GenAI traces know a cell as the execution of a tool."""
    if operation != "run":
        return {}
    call = {"operation.name": "execute_tool", "tool.name": "code_interpreter", **_call.get({})}
    return {f"gen_ai.{name}": value for name, value in call.items() if value is not None}


@contextmanager
def span(operation: str, **attributes: _Attribute) -> Iterator[dict[str, _Attribute]]:
    """Records `operation`. What is put into the dict that it yields becomes attributes of the span."""
    api = _api()
    said: dict[str, _Attribute] = {}
    if api is None:
        yield said
        return
    tracer, duration, _ = api
    began = time.monotonic()
    # Not made current: the steps of a flow may run in different contexts, and "current" belongs to one.
    current = tracer.start_span(f"{SCOPE}.{operation}", attributes=_named(attributes) | _gen_ai(operation))
    outcome = "ok"
    try:
        yield said
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        outcome = str(said.pop("outcome", outcome))
        if current.is_recording():
            failed = {} if outcome == "ok" else {"error.type": outcome}
            current.set_attributes(_named(said) | failed | {f"{SCOPE}.outcome": outcome})
        current.end()
        duration.record(time.monotonic() - began, {"operation": operation, "outcome": outcome})


def content(**texts: str) -> dict[str, str]:
    """Returns code and output for a span, each cut to 10,000 characters. Nothing unless it was asked for."""
    asked = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower() == "true"
    return {name: text[:_MOST_CONTENT] for name, text in texts.items()} if asked else {}


def count_loss(backend: str | None) -> None:
    """Counts one more sandbox that was lost."""
    api = _api()
    if api is not None:
        api[2].add(1, {"backend": backend or "unknown"})


def _named(attributes: Mapping[str, _Attribute]) -> dict[str, str | bool | int | float]:
    return {f"{SCOPE}.{name}": value for name, value in attributes.items() if value is not None}
