"""Puts the parts of one session together for one face. No rule stands here."""

from __future__ import annotations

from ci_integrations._core.cells import Cells
from ci_integrations._core.client import SandboxClient
from ci_integrations._core.faces import Face
from ci_integrations._core.furnish import Furnisher
from ci_integrations._core.kernels import Kernels
from ci_integrations._core.lifecycle import Lifecycle
from ci_integrations._core.placing.choosing import Placing
from ci_integrations._core.repair import Repair
from ci_integrations._core.state import SessionState
from ci_integrations._core.tables.carrier import Carrier
from ci_integrations._core.workspace import Workspace


class Engine:
    """Is one session through one face. A session's state may have several engines, at least one for each face in use.

    The parts know each other from left to right only: client, kernels, carrier, lifecycle, repair, workspace,
    placing, cells.
    Each can be made alone, with a stand-in for the parts below it.
    """

    def __init__(self, state: SessionState, face: Face) -> None:
        client = SandboxClient(state, face)
        kernels = Kernels(state, client)
        carrier = Carrier(state, client, kernels)
        self.lifecycle = Lifecycle(state, client, kernels, Furnisher(state, client, kernels))
        repair = Repair(state, client, self.lifecycle, kernels)
        self.workspace = Workspace(state, client, self.lifecycle, carrier, repair)
        self.cells = Cells(self.workspace, Placing(state, client, kernels, self.workspace))
