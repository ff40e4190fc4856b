"""Finds the Python program in what a model said, however it is wrapped: fences, tags, prompts, prose, or bare."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable

_FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})[ \t]*(?P<tag>[^\n`]*)\n(?P<body>.*?)(?:\n[ \t]*(?P=fence)|\Z)", re.DOTALL)
_TAG = re.compile(r"<(execute|code|python)>(?P<body>.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_LLAMA_TAG = re.compile(r"\[PYTHON\](?P<body>.*?)\[/PYTHON\]", re.DOTALL)
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_INLINE = re.compile(r"`+(?:(?:python3?|py)[ \t]+)?([^`]+)`+")
# A sentence of one word has a full stop or begins with a capital letter; a table's name rarely does.
_ONE_NAME = re.compile(r"\s*[`'\"]*([a-z_]\w*)[`'\"]*;?\s*")
_ATTRIBUTE = re.compile(r"[\w-]+=\S|\{")
_PYTHON = frozenset({"", "python", "python3", "py", "ipython", "pycon", "tool_code"})
_MAX_LINES = 400


def said_by(given: object) -> str:
    """Returns the text of what a model gave: text, a chat or completion response, or the pieces of a stream."""
    if given is None or isinstance(given, str):
        return given or ""
    if isinstance(given, Iterable) and not hasattr(given, "message") and not hasattr(given, "text"):
        return "".join(_piece(piece) for piece in given)
    message = getattr(given, "message", None)
    return str(message.content or "") if message is not None else str(given)


def _piece(piece: object) -> str:
    """Returns what one piece of a stream adds: its `delta`, as LlamaIndex's responses have it, or the text itself."""
    delta = getattr(piece, "delta", None)
    return delta if isinstance(delta, str) else said_by(piece) if not hasattr(piece, "delta") else ""


def extract_code(said: str) -> str | None:
    """Returns the code in `said`; None when there is none. Several Python blocks are one program."""
    text = _THOUGHT.sub("", said.replace("\r\n", "\n"))
    blocks = _fenced(text) or [match["body"] for tag in (_TAG, _LLAMA_TAG) for match in tag.finditer(text)]
    if blocks:
        program = _unprompted("\n\n".join(_flush(block) for block in blocks)).strip()
        inline = _INLINE.fullmatch(program)
        return _shown(inline[1] if inline else program) or None
    if _FENCE.search(text):  # fenced, but in another language
        return None
    inline = _INLINE.fullmatch(text.strip())
    bare = _shown(_bare(_unprompted(_flush(inline[1] if inline else text))))
    return bare or _quoted_in_prose(text) or _name(text)


def _shown(code: str | None) -> str | None:
    """Returns a program that shows its value: without quotes around the whole of it, and `;` after it."""
    if code is None:
        return None
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError):  # with magics in it
        return code
    if len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        text = body[0].value.value
        # The whole answer in quotes: models do that when a prompt's example does.
        if isinstance(text, str) and is_program(text) and not _is_constant(text):
            return text.strip().rstrip(";").rstrip()
    return code.rstrip().rstrip(";").rstrip() if body and isinstance(body[-1], ast.Expr) else code


def _is_constant(text: str) -> bool:
    try:
        ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _quoted_in_prose(text: str) -> str | None:
    """Returns the one program that stands in backquotes within prose; the last of several, which models end with."""
    programs = [_shown(found.strip()) for found in _INLINE.findall(text) if is_program(found.strip())]
    return programs[-1] if programs else None


def _name(text: str) -> str | None:
    """Returns an answer that is one variable: its value is the answer. A word of prose is not told from it by form."""
    match = _ONE_NAME.fullmatch(text)
    return match[1] if match else None


def _fenced(text: str) -> list[str]:
    """Returns the Python blocks; those without a language count when no block names one."""
    found = [_block(match["tag"], match["body"]) for match in _FENCE.finditer(text)]
    named = [body for language, body in found if language and language in _PYTHON and body.strip()]
    return named or [body for language, body in found if not language and body.strip()]


def _block(tag: str, body: str) -> tuple[str, str]:
    """Returns a block's language and its code, which may begin on the line of the fence."""
    language, _, rest = tag.strip().strip("{}.").partition(" ")
    begins = rest.strip() and not _ATTRIBUTE.match(rest.strip()) and is_program(rest)
    return language.lower(), f"{rest.strip()}\n{body}" if begins else body


def _flush(code: str) -> str:
    return textwrap.dedent(code).strip("\n")


def _unprompted(code: str) -> str:
    """Returns the code without the `>>>` and `...` of an interactive session."""
    lines = code.split("\n")
    if not any(line.startswith(">>> ") for line in lines):
        return code
    return "\n".join(line[4:] for line in lines if line.startswith((">>> ", "... ")))


def _bare(text: str) -> str | None:
    """Returns the longest run of lines that is a program: prose before and after it is cut off."""
    if is_program(text):
        return text
    lines = text.split("\n")[:_MAX_LINES]
    for length in range(len(lines) - 1, 0, -1):
        for start in range(len(lines) - length + 1):
            part = _flush("\n".join(lines[start : start + length]))
            if is_program(part):
                return part
        # The search is quadratic: a long text without a program must not keep the host busy.
        if length * (len(lines) - length) > _MAX_LINES * 10:
            return None
    return None


def is_program(text: str) -> bool:
    """Returns whether `text` parses and does something. Prose may parse too ("this is not code"), but does nothing."""
    plain = "\n".join("pass" if line.lstrip().startswith(("!", "%")) else line for line in text.split("\n"))
    try:
        body = ast.parse(plain).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not isinstance(statement, ast.Expr) or _does_something(statement) for statement in body)


def _does_something(statement: ast.Expr) -> bool:
    doing = (ast.Call, ast.Attribute, ast.Subscript, ast.BinOp, ast.Constant, ast.Await, ast.ListComp)
    return any(isinstance(node, doing) for node in ast.walk(statement.value))
