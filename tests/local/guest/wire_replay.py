"""Recorded cells of the reference server, run in our contexts and compared as its own `compare.py` compares them.

Only what reaches a kernel is replayed here (no HTTP). The server's own mapping of events to wire lines is tested in its
room; this one is as small as the comparison needs.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("CI_WIRE_FOLDER", Path(__file__).parents[4] / "shared" / "wire"))
KEYS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
    "e2b/data": "data",
    "e2b/chart": "chart",
}
OURS = ("application/vnd.ci-chart.v1+json", "application/vnd.ci-table.v1+json")
GLOBAL_ENVS = {"E2B_TEST_VARIABLE": "true", "E2B_LOCAL": "true"}


def load_compare() -> dict[str, Any]:
    """The names of compare.py without its last line, which would run it."""
    tree = ast.parse((FOLDER / "compare.py").read_text())
    tree.body = tree.body[:-1]
    names: dict[str, Any] = {}
    exec(compile(tree, "compare.py", "exec"), names)
    return names


def groups() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (FOLDER / "corpus.jsonl").read_text().splitlines():
        record = json.loads(line)
        found.setdefault(record["group"], []).append(record)
    return found


def wire(event: dict[str, Any]) -> dict[str, Any]:
    """A kernel event as the line the reference would send."""
    kind = event["type"]
    if kind == "started":
        return {"type": "number_of_executions", "execution_count": event["execution_count"]}
    if kind == "done":
        return {"type": "end_of_execution"}
    if kind == "display":
        return {"type": "result", **dict(_keys(event["data"])), "is_main_result": event["is_main_result"]}
    return event


def _keys(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "extra", {mime: value for mime, value in data.items() if mime not in KEYS and mime not in OURS}
    for mime, value in data.items():
        if mime in KEYS:
            yield KEYS[mime], _unquoted(value) if mime == "text/plain" else value


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
