"""`/metrics` of the server itself, for Prometheus. An extra: without prometheus-client it says how to get it."""

from __future__ import annotations

from collections import Counter

from ci_integrations.local.server.http import HttpError
from ci_integrations.local.server.state.sandboxes import SandboxTable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts what happens to sandboxes, and says it in Prometheus' words."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()

    def note(self, event: str, _: str) -> None:
        """For `SandboxTable(on_event=...)`."""
        self.events[event] += 1

    def text(self, table: SandboxTable) -> bytes:
        """HttpError 501 when prometheus-client is not installed."""
        try:
            from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics, generate_latest
            from prometheus_client import Counter as Counted
        except ImportError:
            raise HttpError(501, 'metrics need an extra: pip install "ci-integrations[serve]"') from None
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would say when this answer was made
        registry = CollectorRegistry()
        alive = Gauge("ci_sandboxes", "Sandboxes alive", ["state"], registry=registry)
        running = Gauge("ci_requests_running", "Requests to sandboxes under way", registry=registry)
        events = Counted("ci_sandbox_events", "What happened to sandboxes", ["event"], registry=registry)
        records = table.all()
        for state in ("running", "paused"):
            alive.labels(state).set(sum(record.state == state for record in records))
        running.set(sum(len(record.exchanges) for record in records))
        for event in ("created", "killed", "died", "paused", "resumed"):
            events.labels(event).inc(self.events[event])
        return generate_latest(registry)
