"""Cleans and cuts text that came out of a sandbox: ANSI codes, carriage returns, base64, tracebacks."""

from __future__ import annotations

import re

MAX_TRACEBACK = 20_000
"""Characters."""

# CSI sequences, OSC sequences (titles, links), two-character escapes, then control characters.
_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_HEADING = re.compile(r"^(-{20,})(?=\S)", re.MULTILINE)
_JOINED = "Traceback (most recent call last)"
"""Followed by the first frame without a line break in what the wire brings."""


def strip_ansi(value: str) -> str:
    """Returns `value` without terminal escape sequences and control characters (tab, newline and return stay)."""
    return _ANSI.sub("", value)


def one_line(value: str, limit: int) -> str:
    """Returns `value` on one line, without escape sequences, within `limit` characters."""
    return cut(" ".join(strip_ansi(value).split()), limit).replace("\n", " ")


def bytes_in_words(size: int | None) -> str:
    """Returns a number of bytes as a reader says it: `512 bytes`, `1.5 KB`, `20.0 MB`."""
    if size is None:
        return "size unknown"
    if size < 1024:
        return f"{size} bytes"
    return f"{size / 1024:.1f} KB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MB"


def clean_traceback(trace: str) -> str:
    """Returns a traceback without colours, its line of dashes on a line of its own.

    Beyond `MAX_TRACEBACK` characters the middle is cut.
    """
    trace = _HEADING.sub(r"\1\n", strip_ansi(trace)).replace(_JOINED, f"{_JOINED}\n", 1)
    trace = trace.replace(f"{_JOINED}\n\n", f"{_JOINED}\n", 1)  # kernels other than E2B's do send the line break
    if len(trace) <= MAX_TRACEBACK:
        return trace
    half = MAX_TRACEBACK // 2
    return f"{trace[:half]}\n[... {len(trace) - 2 * half} characters cut ...]\n{trace[-half:]}"


IN_ARTIFACT = "in the artifact"
"""Where the whole of a text is that was cut, unless it is somewhere else."""
_BASE64 = re.compile(
    r"(?:data:(?P<mime>[\w.+-]+/[\w.+-]+)[\w;=.+-]*;base64,|(?=iVBORw0KGgo|/9j/|R0lGOD|UklGR|JVBERi0))[A-Za-z0-9+/=]*"
    r"(?:\n[A-Za-z0-9+/=]{60,})*"
)
"""A data URI, or bare base64 of PNG, JPEG, GIF, WebP and PDF, wrapped or not."""
_BASE64_STARTS = ("data:", "iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "JVBERi0")
"""Every match of `_BASE64` begins with one of these."""
_MIN_BASE64 = 120
"""Characters; a shorter piece is left as it is, because it costs a model little and may be no picture at all."""


def cut(text: str, limit: int, whole: str = IN_ARTIFACT) -> str:
    """Returns `text` within `limit` characters: head and tail kept, the cut announced."""
    if len(text) <= limit:
        return text
    notice = f"\n[... {len(text) - limit:,} characters cut; the whole text is {whole} ...]\n"
    room = max(0, limit - len(notice))
    head = room * 2 // 3  # the beginning says what it is; the end has the last line of an error
    tail = room - head
    return text[:head] + notice + (text[-tail:] if tail else "")


def without_base64(text: str) -> str:
    """Returns `text` with the bytes of pictures and documents in it replaced by how many characters they were."""
    # The pattern tries every position of the text; a search for its possible beginnings is many times faster.
    if len(text) < _MIN_BASE64 or not any(start in text for start in _BASE64_STARTS):
        return text
    return _BASE64.sub(_left_out, text)


def _left_out(found: re.Match[str]) -> str:
    if len(found[0]) < _MIN_BASE64:
        return found[0]
    return f"[{found['mime'] or 'a file'} as base64: {len(found[0]):,} characters left out]"


def clean_output(text: str) -> str:
    """Returns `text` as a terminal would have left it: no escape sequences, progress bars at their last state."""
    text = strip_ansi(text.replace("\r\n", "\n"))
    if "\r" in text:
        text = "\n".join(_last_state(line) for line in text.split("\n"))
    return text.rstrip()


def _last_state(line: str) -> str:
    # A progress bar returns to the start of its line and writes over it.
    states = [state for state in line.split("\r") if state.strip()]
    return states[-1] if states else ""
