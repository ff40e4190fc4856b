"""Sets a sandbox's environment variables in kernels of other languages than Python, where E2B's server cannot."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping

from ci_integrations._errors import ConfigurationError

_NODE = "process.env[{name}] = {value}"
_SETTING: dict[str, tuple[str, Callable[[str], str]]] = {
    "javascript": (_NODE, json.dumps),
    "typescript": (_NODE, json.dumps),
    "r": ("Sys.setenv({name} = {value})", lambda text: json.dumps(text, ensure_ascii=False)),
    "bash": ("export {name}={value}", shlex.quote),
}


def is_plain(value: str) -> bool:
    """Returns True for a value that means itself between any quotes, as E2B's server writes it into a cell."""
    return value.isprintable() and not any(char in "'\"\\$`" for char in value)


def setting(language: str, envs: Mapping[str, str]) -> str:
    """Returns a cell that sets variables, their values quoted; an empty one for a language that is not known."""
    if language not in _SETTING:
        return ""
    pattern, quoted = _SETTING[language]
    named = quoted if pattern is _NODE else str
    return "\n".join(pattern.format(name=named(name), value=quoted(value)) for name, value in envs.items())


def check_plain(language: str, envs: Mapping[str, str]) -> None:
    """Checks variables that E2B's server writes into a cell as they are, between quotes.

    Raises ConfigurationError, whose message never has a value in it, for one that would be another there, or an error.
    """
    for name, value in envs.items():
        if not (name.isidentifier() and is_plain(value)):
            raise ConfigurationError(
                f"envs= of a {language} cell: E2B's server cannot set {name!r}, whose value has a quote, a backslash, "
                "$ or a line end. Set it in the code, or in a file that the code reads"
            )
