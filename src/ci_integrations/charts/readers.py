"""Payloads of charts, tables and file lists as plain values. Hostile input: bounded, never raises. (First cut.)"""

from __future__ import annotations

from typing import Any

from ci_integrations.charts.model import Chart


def chart_from_mime(mime: str, payload: Any) -> Chart | None:
    return None


def chart_from_e2b(payload: dict[str, Any]) -> Chart | None:
    return None


def table_from_mime(payload: Any) -> dict[str, Any] | None:
    return None


def files_from_mime(payload: Any) -> list[dict[str, Any]] | None:
    return None
