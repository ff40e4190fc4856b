"""What else a session does with its sandbox: files, commands, contexts. Each is one flow over one SDK call."""

from __future__ import annotations

from ci_integrations._running import Running


class Using(Running):
    """Files, commands, contexts."""
