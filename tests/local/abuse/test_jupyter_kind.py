"""The same attacks from a cell of the kind `jupyter`: another program runs the code, in the same jail."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import LocalServerError, local_endpoint
from ci_integrations.local.server.state import service

from .conftest import ENV_NAME, Host, verdict_of
from .items import PLAIN, PRELUDE, Item
from .test_attacks import shown


@pytest.fixture(scope="module", params=service.LEVELS)
def sandbox(request: pytest.FixtureRequest, host: Host) -> Iterator[Sandbox]:
    os.environ[ENV_NAME] = host.secret
    try:
        endpoint = local_endpoint(isolation=request.param)
    except LocalServerError as error:
        pytest.skip(f"this machine cannot reach the level {request.param}: {error}")
    finally:
        del os.environ[ENV_NAME]
    with Sandbox.create("jupyter", timeout=1800, **endpoint.sdk_options()) as sandbox:
        yield sandbox


@pytest.mark.parametrize("item", PLAIN, ids=str)
def test_the_attack_is_stopped(item: Item, sandbox: Sandbox, host: Host) -> None:
    # A kernel's parent is jupyter-server here, which is as little trusted as the kernel; the jail's own process is not.
    attack = item.attack.replace("os.getppid()", "1")
    cell = sandbox.run_code(f"{PRELUDE}\n{host.names()}\n{attack}\nrun_attack(attack)")
    printed = [{"type": "stdout", "text": text} for text in cell.logs.stdout]
    verdict = verdict_of([*printed, {"type": "error", "text": str(cell.error)}])
    assert not verdict["through"], verdict
    assert shown(verdict) in item.stopped_by, verdict
