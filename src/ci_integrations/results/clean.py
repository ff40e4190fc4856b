"""Cleans and cuts text that came out of a sandbox: ANSI codes, carriage returns, base64, tracebacks."""

from __future__ import annotations

import json
import re

MAX_TRACEBACK = 20_000
"""Characters."""

# CSI sequences, OSC sequences (titles, links), two-character escapes, the first two in their form of one character
# (C1), then control characters.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|\x1b[@-Z\\-_]"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
# What no reader sees, but a model does or a terminal obeys: marks, overrides and isolates of the writing direction,
# zero-width spaces, invisible operators, musical controls, and tag letters, in which whole sentences can be hidden. The
# joiners that Persian, Indic scripts and emoji need stay.
_UNSEEN = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
# Two of them in a row are an emoji's; in more, something is hidden.
_JOINED_RUN = re.compile(
    "([\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]{2})[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]+"
)
_LINE_ENDS = str.maketrans({"\u2028": "\n", "\u2029": "\n"})
_SPACE = r"[^\S\n]*"
_LIKE_OURS = re.compile(
    rf"^(?={_SPACE}(?:[\[\uff3b](?:\.{{3}}|\u2026|[\d,.]*{_SPACE}[^\W\d_]\w*)[\s:/]"
    rf"|(?:Out|stderr|Error|Hint){_SPACE}:|(?:output|results) truncated after |\(no output\){_SPACE}$))"
    rf"(?!{_SPACE}\[\s*(?:True|False|None|nan|inf|NaT)\b)",
    re.MULTILINE,
)
"""Where a line begins that reads like one of the tool's own. Lists and arrays begin with a bracket too, and do not."""
QUOTE = "| "
"""Stands before a line of the code's output that reads like one of the tool's own."""
_HEADING = re.compile(r"^(-{20,})(?=\S)", re.MULTILINE)
_JOINED = "Traceback (most recent call last)"
"""Followed by the first frame without a line break in what the wire brings."""


def strip_ansi(value: str) -> str:
    """Returns `value` without escape sequences, control characters and what is invisible.

    Tab, newline and return stay, and the letters of all scripts.
    """
    if value.isascii():
        return _ANSI.sub("", value) if not value.isprintable() else value
    lines = value.replace("\u2028", "\n").replace("\u2029", "\n")
    return _JOINED_RUN.sub(r"\1", _UNSEEN.sub("", _ANSI.sub("", lines)))


def quoted(value: str) -> str:
    """Returns cleaned text of a sandbox in which each line that reads like one of the tool's own stands behind `| `."""
    return _LIKE_OURS.sub(QUOTE, value.replace("\r", "\n") if "\r" in value else value)


def one_line(value: str, limit: int) -> str:
    """Returns `value` on one line, without escape sequences, within `limit` characters."""
    return cut(" ".join(strip_ansi(value).split()), limit).replace("\n", " ")


def as_name(value: str) -> str:
    """Returns a file's name within a line of ours: in quotes when its brackets could end ours."""
    name = one_line(value, 300)
    return json.dumps(name, ensure_ascii=False) if set(name) & set("[]") else name


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
