"""Which language runs by what inside a sandbox. `context` asks here; nothing is started."""

from __future__ import annotations

from ci_integrations.local.sandbox.api import EngineError, Entry, Limits

_ALIASES = {"js": "javascript", "ts": "typescript", "": "python", "python3": "python", "sh": "bash"}
_PACKAGE = "ci_integrations.local.sandbox"


class LanguageError(EngineError):
    """Nothing installed here runs this language; the message names what to install."""


def normalise(language: str | None) -> str:
    """The language's one name: lower case, without spaces, aliases resolved."""
    name = (language or "").strip().lower()
    return _ALIASES.get(name, name)


def entry(language: str, *, cwd: str, envs: dict[str, str], limits: Limits) -> Entry:
    """What to spawn for a context in `language`. Raises LanguageError."""
    config: dict[str, object] = {"envs": envs, "cwd": cwd, "results": limits.results}
    if language == "python":
        return Entry(f"{_PACKAGE}.kernel:main", config)
    if language == "bash":
        return Entry(f"{_PACKAGE}.kernel_bash:main", config)
    raise LanguageError(f"no kernel for {language!r}")
