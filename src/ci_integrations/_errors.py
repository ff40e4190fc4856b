"""Defines the errors that the lower packages raise. None carries a result. `errors.py` draws the whole tree."""

from __future__ import annotations


class CodeInterpreterError(Exception):
    """Is the base class of everything that this library raises."""


class ConfigurationError(CodeInterpreterError, ValueError):
    """Says that an argument or a setting is wrong. It is for the programmer; the message names the remedy."""


class AuthenticationError(ConfigurationError):
    """Says that the E2B key is missing or was refused. Such a call is never retried."""


class MissingDependencyError(ConfigurationError, ImportError):
    """Says that an optional dependency is not installed. The message is the pip command."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs an extra: pip install "ci-integrations[{extra}]"')


class LocalSandboxUnavailable(ConfigurationError):  # noqa: N818 - states a condition, like ForkedSession
    """Says that no isolation level passed its trial run on this machine."""


class ArtifactError(CodeInterpreterError):
    """Says that an artifact's bytes are missing or are not those that it was made from. The message names it."""


class QueryFailedError(CodeInterpreterError):
    """Says that a query engine with `raise_on_error=True` found no answer. `.response` is what it would return."""

    def __init__(self, message: str, response: object = None) -> None:
        super().__init__(message)
        self.response = response
