"""What is done about a failure: the decisions of `recovery.TABLE`, carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ci_integrations._cell import Received
from ci_integrations._flow import Flow, Life
from ci_integrations._session import Kernel
from ci_integrations.errors import SandboxError
from ci_integrations.recovery import Rule
from ci_integrations.results import ExecutionResult, SandboxEvent


class Recovering(Life):
    def recover(
        self,
        rule: Rule,
        error: Exception,
        kernel: Kernel,
        request: Any,
        received: Received,
        partial_result: Callable[..., ExecutionResult],
    ) -> Flow[ExecutionResult | None]:
        explained = self.explained(error)
        if isinstance(explained, SandboxError):
            explained.result = partial_result()
        raise explained from error
        yield

    def kernel_lost(self, kernel: Kernel, why: str) -> None:
        kernel.forget()
        kernel.news.append(SandboxEvent(type="state_lost", message=f"Variables are gone: {why}. Files are kept.", reason=why))

    def is_new_process(self, kernel: Kernel, count: int | None) -> bool:
        return kernel.count is not None and count is not None and count < kernel.count
