"""Secrets and patterns taken out of what a run says, before it reaches a message, a stream or a store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import SecretStr

from ci_integrations._errors import ConfigurationError
from ci_integrations.results.result import ExecutionResult

MASK = "[redacted]"
_SHORTEST = 6
"""Characters: a shorter secret would blank innocent words."""
_KEPT = frozenset({"schema", "kind", "id", "ref", "sha256", "mime", "image", "type"})
"""Fields that hold no words of the user's code. Base64 is left alone by `_is_bytes`."""

Rule = Any
"""A literal, a compiled pattern, a function from text to text, or LangChain's `RedactionRule`."""


class Redactor:
    """Applies rules to every text of a result. Literals are also found when live output splits them."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._given = rules = [_plain(rule) for rule in rules]
        literals = sorted({rule for rule in rules if isinstance(rule, str)}, key=len, reverse=True)
        self._literals = literals
        self._rules = [rule for rule in rules if not isinstance(rule, str)]
        self._longest = max(map(len, literals), default=1) - 1

    def __bool__(self) -> bool:
        return bool(self._literals or self._rules)

    def also(self, rules: Iterable[Rule]) -> Redactor:
        """One with more rules."""
        if isinstance(rules, str):
            raise ConfigurationError("redact takes a list of rules: redact=[...]")
        return Redactor([*self._given, *rules])

    def text(self, value: str) -> str:
        for literal in self._literals:
            value = value.replace(literal, MASK)
        for rule in self._rules:
            value = rule.sub(MASK, value) if isinstance(rule, re.Pattern) else rule(value)
        return value

    def result(self, result: ExecutionResult) -> ExecutionResult:
        """The same run without the secrets: text, errors, events, tables, JSON; pictures and PDFs are left alone."""
        if not self:
            return result
        return ExecutionResult.model_validate(self._json(result.model_dump(mode="json")))

    def held_back(self, value: str) -> int:
        """How many characters at the end of `value` may be the beginning of a secret."""
        for length in range(min(self._longest, len(value)), 0, -1):
            tail = value[-length:]
            if any(literal.startswith(tail) for literal in self._literals):
                return length
        return 0

    def _json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._json(item) for item in value]
        if isinstance(value, Mapping):
            kept = _KEPT | {"data"} if _is_bytes(value) else _KEPT
            return {self.text(key): item if key in kept else self._json(item) for key, item in value.items()}
        return value


def secrets_in(value: Any) -> Iterable[str]:
    """Every SecretStr in `value`, opened, that is long enough to be told from a word."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        if len(secret) >= _SHORTEST:
            yield secret
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)


def _is_bytes(value: Mapping[str, Any]) -> bool:
    return value.get("kind") in ("image", "pdf")


def _plain(rule: Rule) -> Any:
    if isinstance(rule, SecretStr):
        return rule.get_secret_value()
    if rule == "":
        raise ConfigurationError("redact: an empty literal is everywhere")
    if isinstance(rule, (str, re.Pattern)):
        return rule
    if hasattr(rule, "resolve"):
        return _langchain_rule(rule)
    if callable(rule):
        return rule
    raise ConfigurationError(f"redact: no rule for text: {type(rule).__name__}; give a literal, a pattern, a function")


def _langchain_rule(rule: Any) -> Callable[[str], str]:
    resolved = rule.resolve()
    if resolved.strategy == "block":
        raise ConfigurationError("redact: the strategy 'block' would raise in the middle of a run; use 'redact'")
    return lambda text: str(resolved.apply(text)[0])
