"""`/metrics` of the server itself, in Prometheus' text format. It needs the extra `serve` (prometheus-client)."""

from __future__ import annotations

from collections import Counter

from ci_integrations.local.server.http import HttpError
from ci_integrations.local.server.state.sandboxes import SandboxTable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The version that prometheus-client's `generate_latest` writes."""
EVENTS = ("created", "killed", "died", "paused", "resumed")


class Metrics:
    """Counts what happens to sandboxes. Everything else is read from the table when somebody asks."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()

    def note(self, event: str) -> None:
        """Counts one of `EVENTS`."""
        self.events[event] += 1

    def text(self, table: SandboxTable) -> bytes:
        """Returns the answer to a scrape. Raises HttpError 501 when prometheus-client is not installed."""
        try:
            from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics, generate_latest
            from prometheus_client import Counter as Counted
        except ImportError:
            raise HttpError(501, 'metrics need an extra: pip install "ci-integrations[serve]"') from None
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would say when this answer was made
        # A registry for each answer: prometheus-client's global one would be shared by the servers of one process.
        registry = CollectorRegistry()
        alive = Gauge("ci_sandboxes", "Sandboxes alive", ["state"], registry=registry)
        running = Gauge("ci_requests_running", "Requests to sandboxes under way", registry=registry)
        events = Counted("ci_sandbox_events", "What happened to sandboxes", ["event"], registry=registry)
        records = table.all()
        for state in ("running", "paused"):
            alive.labels(state).set(sum(record.state == state for record in records))
        running.set(sum(len(record.exchanges) for record in records))
        for event in EVENTS:
            events.labels(event).inc(self.events[event])
        return generate_latest(registry)
