"""Evaluates the part of Vega's expression language that filters and calculations use, safely, in Python.

It is a small precedence parser without `eval` or attribute access and with a fixed list of functions. What it does not
know raises `Unknown`, and the chart is then marked as incomplete.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from ci_integrations.charts.read.plain import Json

MAX_LENGTH = 5000
"""Characters of one expression."""
MAX_DEPTH = 100
"""Nesting of parentheses, lists and operators."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<name>[A-Za-z_$][\w$]*)|(?P<op>===|!==|==|!=|<=|>=|&&|\|\||[-+*/%<>!?:().,\[\]]))"
)
_BINARY = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "===": 3, "!==": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5,
    "*": 6, "/": 6, "%": 6,
}  # fmt: skip


class Unknown(Exception):  # noqa: N818 - it is an answer, not a fault
    """Raised for something in an expression, or a whole transform, that is not evaluated here."""


def evaluate(text: str, datum: Json) -> object:
    """Returns the value of `text` for one row. Raises `Unknown`."""
    if len(text) > MAX_LENGTH:
        raise Unknown("too long")
    parser = _Parser(_tokens(text), datum)
    value = parser.ternary(0)
    if parser.peek() is not None:
        raise Unknown(str(parser.peek()))
    return value


def _tokens(text: str) -> list[tuple[str, str]]:
    """The kind and the text of each token. Raises `Unknown` for a character that begins none."""
    found, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unknown(text[at : at + 20])
        found.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        at = match.end()
    return found


class _Parser:
    """Evaluates while it parses, by precedence climbing. `depth` bounds the recursion."""

    def __init__(self, tokens: list[tuple[str, str]], datum: Json) -> None:
        self._tokens, self._datum, self._at = tokens, datum, 0

    def peek(self) -> str | None:
        """Returns the next token without taking it; None at the end."""
        return self._tokens[self._at][1] if self._at < len(self._tokens) else None

    def _next(self) -> tuple[str, str]:
        """Takes a token. Raises `Unknown` at the end."""
        if self._at >= len(self._tokens):
            raise Unknown("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, op: str) -> None:
        """Takes a token that has to be this one. Raises `Unknown` for another."""
        if self._next()[1] != op:
            raise Unknown(f"no {op}")

    def ternary(self, depth: int) -> object:
        """Returns the value of a whole expression, `test ? yes : no` included."""
        if depth > MAX_DEPTH:
            raise Unknown("too deep")
        test = self._binary(0, depth)
        if self.peek() != "?":
            return test
        self._next()
        yes = self.ternary(depth + 1)
        self._expect(":")
        no = self.ternary(depth + 1)
        return yes if truthy(test) else no

    def _binary(self, level: int, depth: int) -> object:
        """Operators that bind more tightly than `level`, from left to right."""
        left = self._unary(depth)
        while (op := self.peek()) in _BINARY and _BINARY[str(op)] > level:
            self._next()
            left = _apply(str(op), left, self._binary(_BINARY[str(op)], depth + 1))
        return left

    def _unary(self, depth: int) -> object:
        """Signs and negation."""
        if depth > MAX_DEPTH:
            raise Unknown("too deep")
        op = self.peek()
        if op in _UNARY:
            self._next()
            return _UNARY[str(op)](self._unary(depth + 1))
        return self._postfix(self._primary(depth), depth)

    def _primary(self, depth: int) -> object:
        """Literals, lists, parentheses, calls, `datum` and constants."""
        kind, word = self._next()
        if kind == "number":
            return float(word)
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", word[1:-1])
        if word == "(":
            value = self.ternary(depth + 1)
            self._expect(")")
            return value
        if word == "[":
            return self._list("]", depth)
        # `datum` is the only name that is a value.
        if kind == "name" and self.peek() == "(" and word != "datum":
            self._next()
            return _call(word, self._list(")", depth))
        if word == "datum":
            return self._datum
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        raise Unknown(word)

    def _list(self, end: str, depth: int) -> list[object]:
        """The values up to `end`, separated by commas."""
        found = []
        while self.peek() != end:
            found.append(self.ternary(depth + 1))
            if self.peek() == ",":
                self._next()
        self._next()
        return found

    def _postfix(self, value: object, depth: int) -> object:
        """Members by `.name` and `[key]`."""
        while self.peek() in (".", "["):
            if self._next()[1] == ".":
                key: object = self._next()[1]
            else:
                key = self.ternary(depth + 1)
                self._expect("]")
            value = _member(value, key)
        return value


_CONSTANTS: dict[str, object] = {
    "true": True, "false": False, "null": None, "undefined": None, "PI": math.pi, "E": math.e, "NaN": math.nan,
    "Infinity": math.inf, "LN2": math.log(2), "LN10": math.log(10), "LOG2E": math.log2(math.e),
    "LOG10E": math.log10(math.e), "SQRT2": math.sqrt(2), "SQRT1_2": math.sqrt(0.5),
}  # fmt: skip


def _member(value: object, key: object) -> object:
    """A field of an object, an item of a list, or a length; None for anything else, as in JavaScript."""
    if isinstance(value, Mapping):
        return value.get(str(key))
    if isinstance(value, (list, str)) and key == "length":
        return float(len(value))
    if isinstance(value, list) and isinstance(key, float) and 0 <= key < len(value):
        return value[int(key)]
    return None


def truthy(value: object) -> bool:
    """Returns JavaScript's idea of truth."""
    # NaN is the only value that differs from itself.
    return not (value is None or value is False or value in (0, "") or value != value)


def to_number(value: object) -> float:
    """Returns JavaScript's idea of a value as a number: dates are milliseconds since 1970, other things NaN."""
    if isinstance(value, bool) or value is None:
        return float(bool(value))
    if isinstance(value, datetime):
        return value.timestamp() * 1000
    try:
        return float(value) if isinstance(value, (str, int, float)) else math.nan
    except ValueError:
        return math.nan


_UNARY: dict[str, Callable[[object], float]] = {
    "!": lambda value: not truthy(value), "-": lambda value: -to_number(value), "+": to_number,
}  # fmt: skip


def _apply(op: str, a: object, b: object) -> object:
    """The value of a binary operator."""
    # Both operators give one of their operands, which need not be a boolean.
    if op == "&&":
        return b if truthy(a) else a
    if op == "||":
        return a if truthy(a) else b
    if op in _EQUAL:
        return (_plain(a) == _plain(b)) is _EQUAL[op]
    if op == "+" and str in (type(a), type(b)):
        return _text(a) + _text(b)
    if op in _ORDER:
        return compare(op, a, b)
    return _arithmetic(op, to_number(a), to_number(b))


_EQUAL = {"==": True, "===": True, "!=": False, "!==": False}
"""What an operator says to two equal values."""


def compare(op: str, a: object, b: object) -> bool:
    """Returns what JavaScript says to `a op b`: two texts by their characters, anything else by numbers."""
    if not (isinstance(a, str) and isinstance(b, str)):
        a, b = to_number(a), to_number(b)
    return bool(_ORDER[op](a, b))


_ORDER = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


def _plain(value: object) -> object:
    """A value that can be compared: dates as numbers."""
    return to_number(value) if isinstance(value, datetime) else value


def _text(value: object) -> str:
    """A value as JavaScript writes it."""
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    # JavaScript has one type of numbers and writes 2.0 as 2.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _arithmetic(op: str, a: float, b: float) -> float:
    """Division by zero gives what JavaScript gives, and no exception."""
    if op in ("+", "-", "*"):
        return {"+": a + b, "-": a - b, "*": a * b}[op]
    if b == 0:
        return math.nan if op == "%" or a == 0 else math.copysign(math.inf, a)
    return a / b if op == "/" else math.fmod(a, b)


def moment(value: object) -> datetime:
    """Returns a row's date, which is ISO text or milliseconds since 1970. Raises `Unknown`."""
    try:
        if isinstance(value, datetime):
            return value
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        if not isinstance(value, (int, float)):
            raise Unknown(f"date {value!r}")
        return datetime.fromtimestamp(value / 1000)  # noqa: DTZ006 - Vega's local time; sandboxes run in UTC
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise Unknown(f"date {value!r}") from error


def _datetime(*parts: object) -> datetime:
    """Vega's `datetime(...)`: a date, or year, month from 0, and so on."""
    if len(parts) == 1:
        return moment(parts[0])
    year, month, day, hour, minute, second = [
        *(int(to_number(part)) for part in parts[:6]),
        *(0, 0, 1, 0, 0, 0)[len(parts[:6]) :],
    ]
    # Months count from zero in JavaScript.
    return datetime(year, month + 1, day, hour, minute, second)  # noqa: DTZ001 - Vega's local time


def _round(value: float) -> float:
    """JavaScript's rounding: halves go up, also below zero."""
    return math.floor(value + 0.5)


def _safe(function: Callable[..., float]) -> Callable[..., float]:
    """A function of numbers that takes any values and gives NaN where Python would raise."""

    def call(*args: object) -> float:
        try:
            return function(*map(to_number, args))
        except (ValueError, OverflowError, ZeroDivisionError):
            return math.nan

    return call


_FUNCTIONS: dict[str, Callable[..., object]] = {
    **{
        name: _safe(getattr(math, name))
        for name in ("sqrt", "exp", "sin", "cos", "tan", "floor", "ceil", "atan2", "log")
    },
    "abs": _safe(abs), "pow": _safe(math.pow), "round": _safe(_round), "min": _safe(min), "max": _safe(max),
    "toNumber": to_number, "parseFloat": to_number, "toString": _text, "length": lambda v: float(len(v)),
    "lower": lambda v: str(v).lower(), "upper": lambda v: str(v).upper(), "trim": lambda v: str(v).strip(),
    "isValid": lambda v: v is not None and v == v, "isNaN": lambda v: to_number(v) != to_number(v),
    "isDefined": lambda v: v is not None, "if": lambda t, a, b: a if truthy(t) else b,
    "indexof": lambda v, item: float(v.index(item) if item in v else -1),
    "inrange": lambda v, ends: min(ends) <= to_number(v) <= max(ends),
    "year": lambda v: float(moment(v).year), "month": lambda v: float(moment(v).month - 1),
    "quarter": lambda v: float((moment(v).month + 2) // 3), "date": lambda v: float(moment(v).day),
    "day": lambda v: float((moment(v).weekday() + 1) % 7), "hours": lambda v: float(moment(v).hour),
    "minutes": lambda v: float(moment(v).minute), "seconds": lambda v: float(moment(v).second),
    "toDate": moment, "datetime": _datetime,
    "time": lambda v: moment(v).timestamp() * 1000,
}  # fmt: skip


def _call(name: str, args: list[object]) -> object:
    """Calls a known function. Raises `Unknown` for others and for arguments that do not fit."""
    function = _FUNCTIONS.get(name)
    if function is None:
        raise Unknown(f"{name}()")
    try:
        return function(*args)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise Unknown(f"{name}()") from error
