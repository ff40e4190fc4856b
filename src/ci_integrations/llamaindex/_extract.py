"""The Python program in what a model said, however it was wrapped: fences, tags, prompts, prose around it, or bare."""

from __future__ import annotations

import ast
import re

_FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})[ \t]*(?P<tag>[^\n`]*)\n(?P<body>.*?)(?:\n[ \t]*(?P=fence)|\Z)", re.DOTALL)
_TAG = re.compile(r"<(execute|code|python)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_PYTHON = frozenset({"", "python", "python3", "py", "ipython", "tool_code"})
_MAX_LINES = 400


def extract_code(said: str) -> str | None:
    """The code in `said`; None when there is none. Several Python blocks are one program."""
    blocks = _fenced(said) or [match[1] for match in _TAG.findall(said)]
    if blocks:
        return _unprompted("\n\n".join(block.strip("\n") for block in blocks)).strip() or None
    if _FENCE.search(said):  # fenced, but in another language
        return None
    return _bare(_unprompted(said.strip().strip("`").strip()))


def _fenced(said: str) -> list[str]:
    found = [(_language(match["tag"]), match["body"]) for match in _FENCE.finditer(said)]
    return [body for language, body in found if language in _PYTHON and body.strip()]


def _language(tag: str) -> str:
    words = tag.strip().strip("{}.").lower().split()
    return words[0] if words else ""


def _unprompted(code: str) -> str:
    """Without the `>>>` and `...` of an interactive session."""
    lines = code.split("\n")
    if not any(line.startswith(">>> ") for line in lines):
        return code
    return "\n".join(line[4:] for line in lines if line.startswith((">>> ", "... ")))


def _bare(text: str) -> str | None:
    """The longest run of lines that is a program: prose before and after it is cut off."""
    if is_program(text):
        return text
    lines = text.split("\n")[:_MAX_LINES]
    for length in range(len(lines) - 1, 0, -1):
        for start in range(len(lines) - length + 1):
            part = "\n".join(lines[start : start + length]).strip("\n")
            if is_program(part):
                return part
        if length * (len(lines) - length) > _MAX_LINES * 10:
            return None
    return None


def is_program(text: str) -> bool:
    """True when `text` parses and does something; prose does not, even where it parses ("this is not code, really")."""
    plain = "\n".join("pass" if line.lstrip().startswith(("!", "%")) else line for line in text.split("\n"))
    try:
        body = ast.parse(plain).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not isinstance(statement, ast.Expr) or _does_something(statement) for statement in body)


def _does_something(statement: ast.Expr) -> bool:
    doing = (ast.Call, ast.Attribute, ast.Subscript, ast.BinOp, ast.Constant, ast.Await, ast.ListComp)
    return any(isinstance(node, doing) for node in ast.walk(statement.value))
