"""Does the steps of an analysis: asks the model, runs cells, uploads data, waits for locks.

A step returns its outcome, or an awaitable of it: `drive` of the core runs flows on a `BlockingHost`, `adrive` those on
an `AwaitingHost`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.workflow import Context

from ci_integrations._core.locks import FairLock
from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations.llamaindex import _run
from ci_integrations.llamaindex._run import RunOptions
from ci_integrations.llamaindex._sessions import Session
from ci_integrations.results.result import ExecutionResult


class Host(Protocol):
    """What the rules may ask for."""

    def predict(self, prompt: BasePromptTemplate, values: dict[str, str]) -> str | Awaitable[str]:
        """Gives the model's answer to `prompt`, filled in with `values`."""

    def run(self, code: str, *, quiet: bool = False) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Gives the result of one cell. `quiet=True`: the cell is the engine's own, and nobody is told of it."""

    def upload(self, content: Path | bytes, remote: str) -> str | Awaitable[str]:
        """Writes a file into the sandbox."""

    def acquire(self, lock: FairLock) -> bool | Awaitable[bool]:
        """Waits for `lock`. The rules release it."""


@dataclass(frozen=True)
class BlockingHost:
    """Does the steps in the calling thread. `run_options` are handed to every cell."""

    llm: LLM
    session: Session[CodeInterpreter]
    run_options: RunOptions = field(default_factory=RunOptions)

    def predict(self, prompt: BasePromptTemplate, values: dict[str, str]) -> str:
        return str(self.llm.predict(prompt, **values))

    def run(self, code: str, *, quiet: bool = False) -> ExecutionResult:
        return _run.run(self.session, code, **self.run_options)

    def upload(self, content: Path | bytes, remote: str) -> str:
        return self.session.interpreter.upload(content, remote)

    def acquire(self, lock: FairLock) -> bool:
        return lock.acquire()


@dataclass(frozen=True)
class AwaitingHost:
    """Does the steps on the running event loop. `ctx`: the workflow whose stream hears of the model's programs."""

    llm: LLM
    session: Session[AsyncCodeInterpreter]
    run_options: RunOptions = field(default_factory=RunOptions)
    ctx: Context | None = None

    async def predict(self, prompt: BasePromptTemplate, values: dict[str, str]) -> str:
        return str(await self.llm.apredict(prompt, **values))

    async def run(self, code: str, *, quiet: bool = False) -> ExecutionResult:
        return await _run.arun(self.session, code, ctx=None if quiet else self.ctx, **self.run_options)

    async def upload(self, content: Path | bytes, remote: str) -> str:
        return await self.session.interpreter.upload(content, remote)

    async def acquire(self, lock: FairLock) -> bool:
        return await lock.aacquire()
