"""Runs a flow on both faces: what holds for `drive` holds for `adrive`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ci_integrations._core.flow import Flow, adrive, drive

sys.path.insert(0, str(Path(__file__).parent))  # for `stand_ins`
from stand_ins import Blocking

Done = Callable[[Blocking, Callable[[Any], Flow[Any]]], Any]


@pytest.fixture(params=["sync", "async"])
def done(request: pytest.FixtureRequest) -> Done:
    """Runs the flow that a function makes for a session, with that session's face."""
    if request.param == "sync":
        return lambda session, flow_of: drive(flow_of(session))
    return lambda session, flow_of: asyncio.run(adrive(flow_of(session.as_async())))
