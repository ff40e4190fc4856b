"""A real server in the words of `FakeE2B`, so that the recovery matrix has one body for the stand-in and for each kind.

How often a cell ran is counted in the sandbox, by the cell: it appends to a file. The count of a sandbox that was lost
is lost with it; that it had begun there is known from what it printed.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, Self

import pytest
from e2b import NotFoundException, SandboxQuery
from e2b_code_interpreter import Sandbox
from sandbox_kinds import Kind

from ci_integrations.testing import Fault, FaultProxy

COUNTER = "/home/user/.runs"
COUNTS = f"open({COUNTER!r}, 'a').write('x') and None\n"
DIE = "import os, time; time.sleep(0.5); os._exit(1)"
"""In a cell: after what was printed has left the kernel."""
DIE_SOON = "import os, threading; threading.Timer(0.3, os._exit, [1]).start()"
"""Between two cells: nobody waits for this kernel's answer then."""
CREATE_SECONDS = 90


class RealBox:
    """One sandbox, and what is done to it behind the session's back."""

    def __init__(self, box_id: str, address: dict[str, Any]) -> None:
        self.id, self.address = box_id, address

    def stop(self) -> None:
        Sandbox.kill(self.id, **self.address)

    def pause(self, *, memory: bool = True) -> None:
        if not memory and self.address:
            pytest.skip("a paused local sandbox keeps its memory")
        Sandbox.pause(self.id, keep_memory=memory, **self.address)

    def kernels_die(self) -> None:
        Sandbox.connect(self.id, **self.address).run_code(DIE_SOON)
        time.sleep(0.6)

    def runs(self) -> int:
        """How often the counted cell has begun here."""
        try:
            return len(Sandbox.connect(self.id, **self.address).files.read(COUNTER))
        except NotFoundException:
            return 0


class RealE2B:
    """The sandboxes that one test makes at a server, found again by a tag."""

    def __init__(self, kind: Kind) -> None:
        self.address = kind.address
        self.tag = {"test": uuid.uuid4().hex}
        # The sandbox itself is made by the server of the kind; a proxy is between it and the session.
        self.options = {**kind.options, "api_key": self.address.get("api_key"), "metadata": self.tag}
        self.options |= {"backend": "e2b", "request_timeout": CREATE_SECONDS}
        self.proxy: FaultProxy | None = None

    @property
    def url(self) -> str:
        return str(self.address["api_url"])

    @property
    def alive(self) -> list[RealBox]:
        found = Sandbox.list(SandboxQuery(metadata=self.tag), **self.address).next_items()
        return [RealBox(one.sandbox_id, self.address) for one in found]

    @property
    def only(self) -> RealBox:
        (box,) = self.alive
        return box

    def kernels_die(self) -> None:
        self.only.kernels_die()

    def refuse(self, times: int) -> None:
        """The next sandboxes are refused."""
        assert self.proxy is not None
        self.proxy.inject(Fault("status", on="create", status=503, times=times))

    @staticmethod
    def counted(code: str) -> str:
        """The cell, which counts its runs."""
        return COUNTS + code.replace("die()", DIE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for box in self.alive:
            box.stop()
