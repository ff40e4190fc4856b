"""Sets environment variables as E2B's server does: by code before the user's, and by another cell after it.

Nothing is quoted, on purpose: a quote or a line end in a value breaks the cell there, too.
"""

from __future__ import annotations

from collections.abc import Mapping

_SET = {
    "python": "import os; os.environ['{name}'] = '{value}'",
    "javascript": "process.env['{name}'] = '{value}'",
    "typescript": "process.env['{name}'] = '{value}'",
    "r": 'Sys.setenv({name} = "{value}")',
    "bash": "export {name}='{value}'",
}
_DELETE = {
    "python": "import os; del os.environ['{name}']",
    "javascript": "delete process.env['{name}']",
    "typescript": "delete process.env['{name}']",
    "r": "Sys.unsetenv('{name}')",
    "bash": "unset {name}",
}


def setting(language: str, values: Mapping[str, str]) -> str:
    """Returns code that sets these variables, one line for each; empty for a language that is not known."""
    pattern = _SET.get(language)
    return "\n".join(pattern.format(name=name, value=value) for name, value in values.items()) if pattern else ""


def resetting(language: str, names: Mapping[str, str], everywhere: Mapping[str, str]) -> str:
    """Returns code that takes a cell's variables back: to the sandbox's own value, or away."""
    if language not in _DELETE:
        return ""
    return "\n".join(
        setting(language, {name: everywhere[name]}) if name in everywhere else _DELETE[language].format(name=name)
        for name in names
    )


def before(code: str, everywhere: str, call: str) -> str:
    """Returns `code` with what sets the sandbox's and the call's variables before it, indented as its first line is."""
    if not everywhere and not call:
        return code
    first = next((line for line in code.split("\n") if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    lines = [indent + line if line.strip() else line for line in f"{everywhere}\n{call}".split("\n")]
    return "\n".join([*lines, code])
