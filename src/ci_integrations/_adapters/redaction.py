"""Takes secrets and patterns out of what a run says, before it reaches a message, a stream or a store."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from pydantic import SecretStr

from ci_integrations._errors import ConfigurationError
from ci_integrations.interpreter import OutputEvent
from ci_integrations.results.result import ExecutionResult

MASK = "[redacted]"
WITHHELD = "the whole table is left out, because it holds a secret"
_SECRET_OPTIONS = frozenset({"api_key", "access_token"})
"""Options that are secret in plain text too."""
_SHORTEST = 6
"""Characters: a shorter secret would blank innocent words."""
_KEPT = frozenset({"schema", "kind", "id", "ref", "sha256", "mime", "image", "type"})
"""Fields that hold no words of the user's code."""
_BINARY = frozenset({"image", "pdf"})
"""Kinds of artifact whose `data` is Base64: replacing text in it would only break the file."""


class Resolved(Protocol):
    """A rule of a framework, ready to be applied."""

    strategy: str

    def apply(self, content: str, /) -> tuple[str, Any]:
        """Returns the text without what the rule finds, and the matches."""


class ResolvableRule(Protocol):
    """A rule of a framework, such as LangChain's `RedactionRule`."""

    def resolve(self) -> Resolved:
        """Returns the rule, ready to be applied."""


Rule = str | SecretStr | re.Pattern[str] | Callable[[str], str] | ResolvableRule
"""A literal, a compiled pattern, a function from text to text, or LangChain's `RedactionRule`."""
_PlainRule = str | re.Pattern[str] | Callable[[str], str]


class Redactor:
    """Applies rules to every text of a result. Literals are also found when live output splits them.

    Raises `ConfigurationError` for a rule that is none of the kinds in `Rule`.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._given = [_plain(rule) for rule in rules]
        literals = {rule for rule in self._given if isinstance(rule, str)}
        # The longest first: a literal may contain another one, and the rest of it must not stay behind.
        self._literals = sorted(literals, key=len, reverse=True)
        self._rules = [rule for rule in self._given if not isinstance(rule, str)]
        self._longest = max(map(len, literals), default=1) - 1

    def __bool__(self) -> bool:
        return bool(self._given)

    def also(self, rules: Iterable[Rule]) -> Redactor:
        """Returns a redactor with more rules."""
        if isinstance(rules, str):
            raise ConfigurationError("redact takes a list of rules: redact=[...]")
        return Redactor([*self._given, *rules])

    def take(self, rules: Iterable[Rule]) -> None:
        """Adds rules in place: who holds this redactor applies them from now on."""
        self.__init__([*self._given, *rules])  # type: ignore[misc]  # the rules decide about everything else

    @property
    def literals(self) -> frozenset[str]:
        """The texts that are taken out as they are: secrets, most of them."""
        return frozenset(self._literals)

    # It never changes but by `take`, which is meant for every holder.
    def __deepcopy__(self, memo: dict[int, object]) -> Redactor:
        return self

    def __reduce__(self) -> tuple[type[Redactor], tuple[object, ...]]:
        """Pickles the rules without the literals: whoever unpickles them gives these again."""
        return Redactor, (self._rules,)

    def text(self, value: str) -> str:
        """Returns `value` with everything that a rule finds replaced."""
        for literal in self._literals:
            value = value.replace(literal, MASK)
        for rule in self._rules:
            value = rule.sub(MASK, value) if isinstance(rule, re.Pattern) else rule(value)
        return value

    def result(self, result: ExecutionResult) -> ExecutionResult:
        """Returns the same run without the secrets: text, errors, events, tables, JSON. Pictures and PDFs stay."""
        return self.dumped(result)[0] if self else result

    def dumped(self, result: ExecutionResult) -> tuple[ExecutionResult, dict[str, object]]:
        """Returns the same run without the secrets, and that run as plain JSON, for a message.

        The run is dumped once, and validated again only when a rule has found something.
        """
        raw: dict[str, object] = result.model_dump(mode="json")
        clean = self.plain(raw) if self else raw
        return (result if clean == raw else ExecutionResult.model_validate(clean)), clean

    def held_back(self, value: str) -> int:
        """Returns how many characters at the end of `value` may be the beginning of a secret."""
        for length in range(min(self._longest, len(value)), 0, -1):
            tail = value[-length:]
            if any(literal.startswith(tail) for literal in self._literals):
                return length
        return 0

    def plain(self, value: Any) -> Any:
        """Returns plain JSON without the secrets, in the keys of its objects as well."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        if isinstance(value, Mapping):
            if value.get("kind") == "table":
                value = self._without_whole(value)
            kept = _KEPT | {"data"} if value.get("kind") in _BINARY else _KEPT
            return {self.text(key): item if key in kept else self.plain(item) for key, item in value.items()}
        return value

    def finds(self, data: bytes) -> bool:
        """Returns True when a rule finds something in bytes that hold text: a table as a file, or a download."""
        text = data.decode("utf-8", "replace")
        escaped = (json.dumps(literal)[1:-1] for literal in self._literals)
        return self.text(text) != text or any(literal in text for literal in escaped)

    def _without_whole(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a table's artifact without the whole of it where that holds what a rule finds."""
        whole = table.get("whole")
        if not isinstance(whole, Mapping) or not whole.get("data") or not self.finds(base64.b64decode(whole["data"])):
            return table
        return {**table, "whole": None, "note": f"{table.get('note') or 'the first rows'}; {WITHHELD}"}


class LiveRedactor:
    """Takes secrets out of output events as they come, also those that two events share.

    The end of a stream that may be the beginning of a literal is held back until the next event, or `rest`, shows.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held: dict[str, OutputEvent] = {}

    def events(self, event: OutputEvent) -> Iterator[OutputEvent]:
        """Yields what may be handed on now."""
        if not self._redactor:
            yield event
            return
        text = event.text
        if event.kind in ("stdout", "stderr"):
            held = self._held.pop(event.kind, None)
            text = (held.text if held else "") + text
            shown = len(text) - self._redactor.held_back(text)
            if shown < len(text):
                self._held[event.kind] = replace(event, text=text[shown:])
            text = text[:shown]
            if not text:
                return
        artifacts = event.artifacts
        if artifacts:
            artifacts = self._redactor.result(ExecutionResult(artifacts=artifacts)).artifacts
        yield replace(event, text=self._redactor.text(text), artifacts=artifacts)

    def rest(self) -> Iterator[OutputEvent]:
        """Yields what was held back: the run is over, so it is not the beginning of a secret."""
        for event in self._held.values():
            yield replace(event, text=self._redactor.text(event.text))
        self._held = {}


def secrets_in(value: object) -> Iterable[str]:
    """Yields every `SecretStr` in `value`, opened, that is long enough to be told from a word."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        if len(secret) >= _SHORTEST:
            yield secret
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)


def revealed(value: Any) -> Any:
    """Returns `value` with every `SecretStr` opened, at the last moment before the interpreter gets it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items()}
    return value


def without_secrets(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Returns options without every `SecretStr` and the API key, and what was left out: `api_key`, `envs['TOKEN']`."""
    kept: dict[str, Any] = {}
    left_out: list[str] = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            kept[name] = {key: item for key, item in value.items() if not isinstance(item, SecretStr)}
            left_out += [f"{name}[{key!r}]" for key in value if key not in kept[name]]
        elif isinstance(value, SecretStr) or (name in _SECRET_OPTIONS and value is not None):
            left_out.append(name)
        else:
            kept[name] = value
    return kept, left_out


def _plain(rule: Rule) -> _PlainRule:
    if isinstance(rule, SecretStr):
        return rule.get_secret_value()
    if rule == "":
        raise ConfigurationError("redact: an empty literal is everywhere")
    if isinstance(rule, (str, re.Pattern)):
        return rule
    if hasattr(rule, "resolve"):
        return _framework_rule(rule)
    if callable(rule):
        return rule
    raise ConfigurationError(f"redact: no rule for text: {type(rule).__name__}; give a literal, a pattern, a function")


def _framework_rule(rule: ResolvableRule) -> Callable[[str], str]:
    resolved = rule.resolve()
    if resolved.strategy == "block":
        raise ConfigurationError("redact: the strategy 'block' would raise in the middle of a run; use 'redact'")
    return lambda text: str(resolved.apply(text)[0])
