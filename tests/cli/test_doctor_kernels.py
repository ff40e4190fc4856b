"""`doctor --sandbox` says which kind of kernel a sandbox has, and measures what differs between the kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from e2b_code_interpreter import Sandbox
from sandbox_kinds import VARIABLES, Kind

from ci_integrations.cli.doctor import kernel

WORDS = {"own": "ours, of the local sandbox", "jupyter": "E2B's kind: ipykernel", "e2b": "E2B's kind: ipykernel"}


@pytest.fixture
def sandbox(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in kind.address.items():
        if name in VARIABLES:
            monkeypatch.setenv(VARIABLES[name], str(value))
    with Sandbox.create(timeout=300, **kind.template, **kind.address) as made:
        yield made


def test_the_kind_and_its_times_are_told_and_nothing_is_left(
    kind: Kind, sandbox: Sandbox, cli: Callable[..., Any]
) -> None:
    sandbox.run_code("x = 5")
    before = {context.id for context in sandbox.list_code_contexts()}
    outcome = cli("doctor", "--sandbox", sandbox.sandbox_id, "--json")
    found = {check["name"]: check for check in outcome.json}
    assert WORDS[kind.name] in found["kernel"]["text"]
    assert found["chart extractor"]["details"]["preloaded"] is (kind.name == "own")
    assert found["a cell"]["details"]["seconds"] > 0
    assert found["a restart"]["details"]["first_answer"] > 0
    assert found["users"]["details"]["cells"] in {"user", "root"}
    ends = found["an interrupt"]["details"]
    assert set(ends) == {"time.sleep", "a top-level await"}
    assert ends["time.sleep"] is not None
    assert {context.id for context in sandbox.list_code_contexts()} == before
    assert sandbox.run_code("x").text == "5"


@pytest.mark.parametrize("said", ["", "[]", "null", '{"pid": "7"}', '{"kernel": {}, "user": "\\u001b[2J"}', "{" * 3000])
def test_what_a_kernel_says_of_itself_is_no_more_than_shown(said: str) -> None:
    found = kernel._said(said)
    assert kernel._kind_of(found) == "unknown"
    assert "\x1b" not in kernel._plain(found.get("user", ""))
