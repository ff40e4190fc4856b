"""Kernels of one sandbox: prepare, probe, signal, restart."""

from __future__ import annotations

import json
import logging

logger = logging.getLogger("ci_integrations")


WHO = 'print([__import__("os").getpid(), __import__("os").getuid()])'
"""Says which process the kernel is."""


PROBE = (
    WHO + '\n(getattr(__import__("sys").modules.get("_ci_extractor"), "forget_cell", None)'
    ' or (lambda shell: setattr(shell, "execution_count", shell.execution_count - 1)))(get_ipython())'
)
"""A hidden cell: the same, and it leaves the count where it was."""


PROBE_SECONDS = 10


GRACE = 0.4
"""Seconds that an interrupted cell has to end."""


PATIENCE = 0.8
"""Seconds that one call has while a cell is being stopped."""


def _process(text: str) -> tuple[int, int] | None:
    """Process and user id in what the hidden cell printed. It comes from a sandbox: anything else is ignored."""
    try:
        pid, uid = json.loads(text.strip() or "null")
    except (ValueError, TypeError):
        return None
    fine = isinstance(pid, int) and isinstance(uid, int) and 1 < pid < 2**31
    return (pid, uid) if fine else None
