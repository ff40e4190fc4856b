"""Cleans and cuts text that came out of a sandbox: ANSI codes, carriage returns, base64, tracebacks."""

from __future__ import annotations

import re

MAX_TRACEBACK = 20_000
"""Characters."""


_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)


_HEADING = re.compile(r"^(-{20,})(?=\S)", re.MULTILINE)


_JOINED = "Traceback (most recent call last)"
"""Followed by the first frame without a line break in what the wire brings."""


def strip_ansi(value: str) -> str:
    """`value` without terminal escape sequences and control characters (tab, newline and return stay)."""
    return _ANSI.sub("", value)


def clean_traceback(trace: str) -> str:
    """Without colours; the line of dashes on a line of its own; the middle cut beyond `MAX_TRACEBACK` characters."""
    trace = _HEADING.sub(r"\1\n", strip_ansi(trace)).replace(_JOINED, f"{_JOINED}\n", 1)
    trace = trace.replace(f"{_JOINED}\n\n", f"{_JOINED}\n", 1)
    if len(trace) <= MAX_TRACEBACK:
        return trace
    half = MAX_TRACEBACK // 2
    return f"{trace[:half]}\n[... {len(trace) - 2 * half} characters cut ...]\n{trace[-half:]}"


IN_ARTIFACT = "in the artifact"


_BASE64 = re.compile(
    r"(?:data:(?P<mime>[\w.+-]+/[\w.+-]+)[\w;=.+-]*;base64,|(?=iVBORw0KGgo|/9j/|R0lGOD|UklGR|JVBERi0))[A-Za-z0-9+/=]*"
    r"(?:\n[A-Za-z0-9+/=]{60,})*"
)
"""A data URI, or bare base64 of PNG, JPEG, GIF, WebP and PDF, wrapped or not."""


_MIN_BASE64 = 120
"""Characters; shorter ones do no harm."""


def cut(text: str, limit: int, whole: str = IN_ARTIFACT) -> str:
    """`text` within `limit` characters: head and tail kept, the cut announced."""
    if len(text) <= limit:
        return text
    notice = f"\n[... {len(text) - limit:,} characters cut; the whole text is {whole} ...]\n"
    room = max(0, limit - len(notice))
    head = room * 2 // 3
    tail = room - head
    return text[:head] + notice + (text[-tail:] if tail else "")


def without_base64(text: str) -> str:
    """`text` with the bytes of pictures and documents in it replaced by how many characters they were."""
    return _BASE64.sub(lambda found: found[0] if len(found[0]) < _MIN_BASE64 else _told(found), text)


def _told(found: re.Match[str]) -> str:
    return f"[{found['mime'] or 'a file'} as base64: {len(found[0]):,} characters left out]"


def clean_output(text: str) -> str:
    """As a terminal would have left it: no escape sequences, progress bars collapsed to their last state."""
    text = strip_ansi(text.replace("\r\n", "\n"))
    if "\r" in text:
        text = "\n".join(_last_state(line) for line in text.split("\n"))
    return text.rstrip()


def _last_state(line: str) -> str:
    states = [state for state in line.split("\r") if state.strip()]
    return states[-1] if states else ""
