"""Does the steps of an analysis: asks the model, runs cells, uploads data, waits for locks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate
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

    say: Callable[..., str | Awaitable[str]]
    """Gives the model's answer to a prompt template and pictures. The template's variables are keyword arguments."""
    stream: Callable[..., Generator[str, None, None] | Awaitable[AsyncGenerator[str, None]]]
    """Gives the answer's words as the model says them."""
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
    say, stream = partial(_say, llm), partial(_stream, llm)
    return Host(say, stream, run, run, shell.open, shell.upload, put, FairLock.acquire)


def awaiting_host(
    llm: LLM, session: Session[AsyncCodeInterpreter], options: RunOptions, ctx: Context | None = None
) -> Host:
    """Returns a host for `adrive`. `ctx`: the workflow whose stream gets the events of the model's programs."""
    quiet = partial(_run.arun, session, **options)
    shell = session.interpreter
    put = partial(shell.put, context=options.get("context"))
    say, stream = partial(_asay, llm), partial(_astream, llm)
    return Host(say, stream, partial(quiet, ctx=ctx), quiet, shell.open, shell.upload, put, FairLock.aacquire)


def _say(llm: LLM, prompt: BasePromptTemplate, images: Sequence[ImageBlock], **values: str) -> str:
    if not images:
        return llm.predict(prompt, **values)
    return llm.chat(_shown(llm, prompt, images, values)).message.content or ""


async def _asay(llm: LLM, prompt: BasePromptTemplate, images: Sequence[ImageBlock], **values: str) -> str:
    if not images:
        return await llm.apredict(prompt, **values)
    return (await llm.achat(_shown(llm, prompt, images, values))).message.content or ""


def _stream(
    llm: LLM, prompt: BasePromptTemplate, images: Sequence[ImageBlock], **values: str
) -> Generator[str, None, None]:
    if not images:
        return llm.stream(prompt, **values)
    said = llm.stream_chat(_shown(llm, prompt, images, values))
    return (piece.delta or "" for piece in said)


async def _astream(
    llm: LLM, prompt: BasePromptTemplate, images: Sequence[ImageBlock], **values: str
) -> AsyncGenerator[str, None]:
    if not images:
        return await llm.astream(prompt, **values)
    said = await llm.astream_chat(_shown(llm, prompt, images, values))
    return (piece.delta or "" async for piece in said)


def _shown(
    llm: LLM, prompt: BasePromptTemplate, images: Sequence[ImageBlock], values: Mapping[str, str]
) -> list[ChatMessage]:
    """Returns the prompt's messages, with the pictures in the last of them."""
    *before, last = prompt.format_messages(llm=llm, **values)
    blocks = last.blocks or [TextBlock(text=str(last.content or ""))]
    return [*before, last.model_copy(update={"blocks": [*blocks, *images]})]
