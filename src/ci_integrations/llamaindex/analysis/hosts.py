"""Does the steps of an analysis: asks the model, runs cells, uploads data, waits for locks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from llama_index.core.llms import LLM
from llama_index.core.workflow import Context

from ci_integrations._core.locks import FairLock
from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter, PutTable
from ci_integrations.llamaindex import _run
from ci_integrations.llamaindex._run import RunOptions
from ci_integrations.llamaindex._sessions import Session
from ci_integrations.results.result import ExecutionResult


@dataclass(frozen=True)
class Host:
    """What the rules may ask for. A call gives its outcome, or an awaitable of it."""

    predict: Callable[..., str | Awaitable[str]]
    """Gives the model's answer to a prompt template. The template's variables are keyword arguments."""
    run: Callable[[str], ExecutionResult | Awaitable[ExecutionResult]]
    """Runs a program of the model."""
    run_quietly: Callable[[str], ExecutionResult | Awaitable[ExecutionResult]]
    """Runs a cell of the engine's own, and sends no events about it."""
    open: Callable[[], Any]
    """Gives the SDK's own sandbox object."""
    upload: Callable[[Path | bytes, str], str | Awaitable[str]]
    """Writes a local file, or bytes, to a path in the sandbox."""
    put: Callable[[Mapping[str, object]], list[PutTable] | Awaitable[list[PutTable]]]
    """Makes variables of tables in the kernel where the programs run."""
    acquire: Callable[[FairLock], bool | Awaitable[bool]]
    """Waits for a lock. The rules release it."""


def blocking_host(llm: LLM, session: Session[CodeInterpreter], options: RunOptions) -> Host:
    """Returns a host for `drive`, which does the steps in the calling thread. `options` go to every cell."""
    run = partial(_run.run, session, **options)
    shell = session.interpreter
    put = partial(shell.put, context=options.get("context"))
    return Host(llm.predict, run, run, shell.open, shell.upload, put, FairLock.acquire)


def awaiting_host(
    llm: LLM, session: Session[AsyncCodeInterpreter], options: RunOptions, ctx: Context | None = None
) -> Host:
    """Returns a host for `adrive`. `ctx`: the workflow whose stream gets the events of the model's programs."""
    quiet = partial(_run.arun, session, **options)
    shell = session.interpreter
    put = partial(shell.put, context=options.get("context"))
    return Host(llm.apredict, partial(quiet, ctx=ctx), quiet, shell.open, shell.upload, put, FairLock.aacquire)
