"""Errors that the ground floors raise: no error here carries a result. `errors.py` draws the whole tree."""

from __future__ import annotations


class CodeInterpreterError(Exception):
    """Base class of everything this library raises."""


class ConfigurationError(CodeInterpreterError, ValueError):
    """A wrong argument or setting. For the programmer; the message names the remedy."""


class AuthenticationError(ConfigurationError):
    """The E2B key is missing or was refused. Never retried."""


class MissingDependencyError(ConfigurationError, ImportError):
    """An optional dependency is not installed; the message is the pip command."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs an extra: pip install "ci-integrations[{extra}]"')


class LocalSandboxUnavailable(ConfigurationError):  # noqa: N818 - states a condition, like ForkedSession
    """No isolation level passed its trial run on this machine."""


class ArtifactError(CodeInterpreterError):
    """The bytes of an artifact are missing or are not the ones it was made from; the message names the artifact."""


class QueryFailedError(CodeInterpreterError):
    """A query engine with `raise_on_error=True` found no answer; `.response` is what it would have returned."""

    def __init__(self, message: str, response: object = None) -> None:
        super().__init__(message)
        self.response = response
