"""Lets a person say yes before code runs: what LangChain's `HumanInTheLoopMiddleware` needs from us.

    HumanInTheLoopMiddleware(interrupt_on={"code_interpreter": code_approval(when=is_risky)})

Code that the person edits is what runs, and what the artifact records as `code`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from langchain_core.messages import ToolCall

_MAX_SHOWN = 20_000
"""Characters of code in a description."""
_MODULES = frozenset({
    "aiohttp", "boto3", "ctypes", "ftplib", "http", "httpx", "importlib", "multiprocessing", "paramiko", "pickle",
    "pty", "requests", "shutil", "signal", "smtplib", "socket", "subprocess", "urllib", "urllib3",
})  # fmt: skip
_CALLS = frozenset({
    "__import__", "compile", "eval", "exec", "fork", "getenv", "kill", "popen", "remove", "rmdir", "rmtree", "system",
    "unlink", "write_bytes", "write_text",
})  # fmt: skip
_NAMES = frozenset({"__builtins__", "__subclasses__", "environ"})
_ADDRESS = re.compile(r"(?:https?|ftp|s3|gs|ssh|wss?)://", re.IGNORECASE)
_WRITING = re.compile(r"[wax+]")
_ESCAPES = re.compile(r"^\s*(?:!|%{1,2}(?:pip|conda|sh|bash|script|system|sx|run|load_ext)\b)", re.MULTILINE)


class HasToolCall(Protocol):
    """What LangChain gives a `when` predicate: its `ToolCallRequest`."""

    tool_call: ToolCall


def code_approval(
    when: Callable[[str], bool] | None = None,
    allowed_decisions: Sequence[str] = ("approve", "edit", "reject"),
) -> dict[str, Any]:
    """Returns an `InterruptOnConfig` for a tool that takes `code`: the code is shown readably.

    `when` is given the code and says whether it needs a yes (`is_risky`, or your own); without it all code does.
    """
    config: dict[str, object] = {"allowed_decisions": list(allowed_decisions), "description": describe_code}
    if when is is_risky:
        config["when"] = is_risky  # it looks at the call: its language, its other arguments
    elif when is not None:
        config["when"] = lambda request: when(code_of(request.tool_call))
    return config


def describe_code(tool_call: ToolCall, *_: object) -> str:
    """Returns the code of a tool call as a fenced Markdown block, with what is risky about it.

    A tool that takes neither code nor command is described by its arguments. Takes what LangChain gives a
    `description` factory: the call, the state and the runtime.
    """
    language = _language(tool_call)
    code = code_of(tool_call) if language != "json" else json.dumps(tool_call["args"], indent=2, ensure_ascii=False)
    shown = code if len(code) <= _MAX_SHOWN else f"{code[:_MAX_SHOWN]}\n[... {len(code) - _MAX_SHOWN:,} more ...]"
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall(r"`+", code)), default=0))
    lines = [f"The agent wants to run this with `{tool_call['name']}`:", "", f"{fence}{language}", shown, fence]
    found = risks(code) if language == "python" else []
    return "\n".join([*lines, "", f"Note: {'; '.join(found)}."] if found else lines)


def _language(tool_call: ToolCall) -> str:
    args = tool_call["args"]
    if "code" in args:
        return str(args.get("language") or "python")
    return "bash" if "command" in args else "json"


def code_of(tool_call: ToolCall) -> str:
    """Returns what a tool call would run: its `code`, or its `command`."""
    args = tool_call["args"]
    return str(args.get("code") or args.get("command") or "")


def is_risky(code: str | ToolCall | HasToolCall) -> bool:
    """Returns True when `risks` finds something. A help for people, not a wall: the wall is the sandbox.

    `code` is Python, or the request that LangChain gives a `when` predicate; a call that runs anything but Python
    (a shell command, another language, a file to write) is always risky.
    """
    if isinstance(code, str):
        return bool(risks(code))
    tool_call = code if isinstance(code, dict) else code.tool_call
    return _language(tool_call) != "python" or bool(risks(code_of(tool_call)))


def risks(code: str) -> list[str]:
    """Returns what in Python `code` reaches out of plain computing: network, processes, files, dynamic code."""
    found = ["it runs shell or magic commands"] if _ESCAPES.search(code) else []
    try:
        # A line with a magic is no Python; as a comment it lets the rest of the cell be parsed.
        tree = ast.parse(_ESCAPES.sub("#", code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # CPython raises the last two for deep nesting
        return [*found, "it could not be read as Python"]
    return list(dict.fromkeys([*found, *_found_in(tree)]))


def _found_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_imports(alias.name) for alias in node.names if _is_risky_module(alias.name))
        elif isinstance(node, ast.ImportFrom) and _is_risky_module(node.module or ""):
            yield _imports(node.module or "")
        elif isinstance(node, ast.Call):
            yield from _call(node)
        elif isinstance(node, (ast.Name, ast.Attribute, ast.Constant)):
            yield from _word(node)


def _word(node: ast.Name | ast.Attribute | ast.Constant) -> Iterator[str]:
    """Yields what a single name or text gives away: a module of an earlier cell, a name that leads out, an address."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and _ADDRESS.search(node.value):
            yield "it names an address on the network"
        return
    name = node.id if isinstance(node, ast.Name) else node.attr
    if name in _NAMES:
        yield f"it uses {name}"
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _MODULES:
        yield f"it uses {node.value.id}"


def _is_risky_module(name: str) -> bool:
    return name.partition(".")[0] in _MODULES


def _imports(name: str) -> str:
    return f"it imports {name.partition('.')[0]}"


def _call(node: ast.Call) -> Iterator[str]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in _CALLS:
        yield f"it calls {name}()"
    elif name == "open" and _opens_for_writing(node):
        yield "it opens a file for writing"


def _opens_for_writing(node: ast.Call) -> bool:
    # A mode that is computed counts as writing: it cannot be read off the code.
    modes = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "mode")]
    return any(not isinstance(mode, ast.Constant) or bool(_WRITING.search(str(mode.value))) for mode in modes)
