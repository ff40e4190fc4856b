"""Any order of create, run, kill, pause, expire, upload and close: the session's model is always right.

What the model knows: which variable the kernel has, which losses were told, how many sandboxes may exist.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ci_integrations import CodeInterpreter
from ci_integrations.errors import SessionClosedError
from ci_integrations.recovery import RecoveryPolicy

from .fake_e2b import FakeE2B


class Session(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.service = FakeE2B()
        policy = RecoveryPolicy(first_wait=0.001, longest_wait=0.01)
        self.it = CodeInterpreter(**self.service.options, recovery=policy)
        self.value: int | None = None
        self.files: set[str] = set()
        self.number = 0
        self.lost_untold = False
        self.closed = False

    def _kernel_is_gone(self) -> None:
        """Nothing is lost with a kernel that has run nothing: uploaded files are still there."""
        self.lost_untold = self.lost_untold or self.number > 0
        self.value = None

    @precondition(lambda self: not self.closed)
    @rule()
    def run(self) -> None:
        self.number += 1
        result = self.it.run(f"x = {self.number}\n[x, {self.number}]")
        assert result.text == f"[{self.number}, {self.number}]"
        told = any(event.type in ("state_lost", "context_restarted") for event in result.events)
        assert told == self.lost_untold
        self.value, self.lost_untold = self.number, False

    @precondition(lambda self: not self.closed and self.value is not None)
    @rule()
    def read(self) -> None:
        result = self.it.run("x")
        assert (result.text, result.events) == (str(self.value), ())

    @precondition(lambda self: not self.closed)
    @rule()
    def upload(self) -> None:
        path = self.it.upload(b"data", f"f{len(self.files)}.txt")
        self.files.add(path)

    @precondition(lambda self: not self.closed and self.files)
    @rule()
    def uploaded_files_are_there(self) -> None:
        for path in self.files:
            assert self.it.download(path) == b"data"

    @precondition(lambda self: self.service.alive and not self.closed)
    @rule()
    def kill(self) -> None:
        """Or its lease ends: the same, seen from here."""
        self.service.only.stop()
        self._kernel_is_gone()
        self.lost_untold = self.lost_untold or bool(self.files)

    @precondition(lambda self: self.service.alive and not self.closed)
    @rule()
    def pause(self) -> None:
        self.service.only.pause()

    @precondition(lambda self: self.service.alive and not self.closed)
    @rule()
    def pause_without_memory(self) -> None:
        self.service.only.pause(memory=False)
        self._kernel_is_gone()

    @precondition(lambda self: self.service.alive and not self.closed and self.service.only.state == "running")
    @rule()
    def kernel_dies(self) -> None:
        for kernel in self.service.only.kernels.values():
            kernel.restart()
        self._kernel_is_gone()

    @rule()
    def close(self) -> None:
        self.it.close()
        self.closed = True

    @precondition(lambda self: self.closed)
    @rule()
    def closed_is_closed(self) -> None:
        try:
            self.it.run("1")
        except SessionClosedError:
            return
        raise AssertionError("a closed session ran something")

    @invariant()
    def never_more_than_one_sandbox(self) -> None:
        if hasattr(self, "service"):
            assert len(self.service.alive) <= (0 if self.closed else 1)

    def teardown(self) -> None:
        if hasattr(self, "service"):
            self.it.close()
            assert self.service.alive == []
            self.service.close()


TestSession = Session.TestCase
TestSession.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
