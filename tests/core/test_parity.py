"""`CodeInterpreter` and `AsyncCodeInterpreter` promise the same: their methods are written twice, and compared here."""

from __future__ import annotations

import inspect

import pytest

from ci_integrations import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations._core.handle import AnyInterpreter
from ci_integrations._core.options import OLD_NAMES

ONLY_ASYNC = {"aclose"}
"""`close` is the name on both faces; `aclose` is what `contextlib.aclosing` calls."""
OF_ITS_FACE = {"open", "sandbox"}
"""They return the SDK's object, which has a class for each face."""


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")} - set(OLD_NAMES)


SHARED = sorted(public(CodeInterpreter))


def test_both_have_the_same_names() -> None:
    assert public(AsyncCodeInterpreter) == public(CodeInterpreter) | ONLY_ASYNC


@pytest.mark.parametrize("name", [name for name in SHARED if callable(getattr(CodeInterpreter, name))])
def test_a_method_takes_and_returns_the_same_and_says_the_same(name: str) -> None:
    ours, theirs = getattr(CodeInterpreter, name), getattr(AsyncCodeInterpreter, name)
    mine, its = inspect.signature(ours), inspect.signature(theirs)
    assert its.parameters == mine.parameters
    assert name in OF_ITS_FACE or its.return_annotation == mine.return_annotation
    assert inspect.getdoc(ours)
    assert inspect.getdoc(theirs) == inspect.getdoc(ours)


@pytest.mark.parametrize("name", sorted(set(SHARED) - OF_ITS_FACE))
def test_what_is_no_method_on_one_face_is_none_on_the_other(name: str) -> None:
    assert callable(getattr(CodeInterpreter, name)) == callable(getattr(AsyncCodeInterpreter, name))


@pytest.mark.parametrize("cls", [CodeInterpreter, AsyncCodeInterpreter])
def test_the_protocol_for_adapters_promises_what_both_have(cls: type) -> None:
    for name in public(AnyInterpreter):
        promised, kept = getattr(AnyInterpreter, name), getattr(cls, name)
        if callable(promised):
            assert inspect.signature(kept).parameters == inspect.signature(promised).parameters, name
