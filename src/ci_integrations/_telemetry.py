"""OpenTelemetry spans and metrics for create, run and recover, when its API package is installed.

Code and output are left out, unless OpenTelemetry's own variable `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`
is `true`.

Spans are not made current: a flow's steps may run in different contexts.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SCOPE = "ci_integrations"
_MOST_CONTENT = 10_000


@functools.cache
def _api() -> Any:
    """Tracer, duration histogram and recovery counter; None without the API package."""
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
def span(operation: str, **attributes: Any) -> Iterator[dict[str, Any]]:
    """Record `operation`; what is put into the dict it gives becomes attributes of its end."""
    api = _api()
    said: dict[str, Any] = {}
    if api is None:
        yield said
        return
    tracer, duration, _ = api
    began = time.monotonic()
    current = tracer.start_span(f"{SCOPE}.{operation}", attributes=_named(attributes))
    outcome = "ok"
    try:
        yield said
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        outcome = said.pop("outcome", outcome)
        current.set_attributes(_named(said) | {f"{SCOPE}.outcome": outcome})
        current.end()
        duration.record(time.monotonic() - began, {"operation": operation, "outcome": outcome})


def content(**texts: str) -> dict[str, str]:
    """Code and output for a span, each cut to 10,000 characters; nothing unless it was asked for."""
    asked = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower() == "true"
    return {name: text[:_MOST_CONTENT] for name, text in texts.items()} if asked else {}


def count_loss(backend: str | None) -> None:
    """One more sandbox was lost."""
    api = _api()
    if api is not None:
        api[2].add(1, {"backend": backend or "unknown"})


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"{SCOPE}.{name}": value for name, value in attributes.items() if value is not None}
