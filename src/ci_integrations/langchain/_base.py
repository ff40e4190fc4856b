"""What all tools of this package share: a session per conversation, one way to run, to fail and to answer.

A tool's work is a flow (see `_flow.py`): written once, driven blocking by `_run` and awaited by `_arun`.

No `from __future__ import annotations` here: LangChain reads the annotations of `_run` on every call, and to evaluate
them from strings costs a quarter of a millisecond each time.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import Field, PrivateAttr

from ci_integrations._adapters.outcome import failed, is_run_time_failure
from ci_integrations._core.flow import Flow, adrive, drive
from ci_integrations.langchain._call import Call, ImagePolicy, Injected, call_id, called_as, genuine
from ci_integrations.langchain._live import Live
from ci_integrations.langchain._redaction import Redactor, Rule
from ci_integrations.langchain._sessions import Sessions, opened
from ci_integrations.langchain.messages import Presentation, tool_message
from ci_integrations.results.clean import IN_ARTIFACT
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import LEAST_CHARS, MAX_CHARS, render_text

SPILL = "/home/user/.ci"
"""The sandbox's folder for outputs that are too long to show."""


class SandboxTool(BaseTool):
    """A tool that works in the conversation's sandbox. Subclasses give `_work`."""

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    max_output_chars: int = Field(MAX_CHARS, ge=LEAST_CHARS)
    """Characters of the text that the model reads. The artifact keeps the whole."""
    images: ImagePolicy = "auto"
    """Whether pictures go to the model: `auto` asks who called, and does not where a provider refuses them."""
    max_images: int = Field(4, ge=0)
    """Pictures of one call that the model is shown."""
    image_max_px: int = Field(1024, ge=1)
    """Longer edge of a picture that the model is shown, in pixels; larger ones are scaled down."""
    live_output: bool = True
    """While a call runs, to langgraph's streams `tools` and `custom` and to callbacks."""

    _spills: ClassVar[bool] = False
    """True for a tool whose output may be of any length: what does not fit is put into a file of the sandbox."""

    _sessions: Sessions = PrivateAttr(default_factory=Sessions)
    _store: Any = PrivateAttr(default=None)
    _redactor: Redactor = PrivateAttr(default_factory=Redactor)

    def _work(self, session: Any, call: Call, *args: Any, **arguments: Any) -> Flow[ExecutionResult]:
        """What the tool does, as steps on `session`."""
        raise NotImplementedError

    def join(self, other: "SandboxTool") -> None:
        """Work in the same sandboxes as `other`, by the same rules."""
        self._sessions, self._store, self._redactor = other.sessions, other.store, other.redactor

    def for_agent(self, redact: Sequence[Rule] = ()) -> Self:
        """A copy in the same sandboxes that shows no pictures: the middleware does, which knows the model."""
        copy = self.model_copy(update={"images": "never"})
        copy._redactor = self._redactor.also(redact)  # noqa: SLF001 - of our own class
        return copy

    @property
    def sessions(self) -> Sessions:
        """Who hands out this tool's interpreters."""
        return self._sessions

    @property
    def redactor(self) -> Redactor:
        """What takes secrets out of answers."""
        return self._redactor

    @property
    def store(self) -> Any:
        """The `ArtifactStore` for large payloads, or None."""
        return self._store

    def run(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """LangChain's entry: see `BaseTool.run`."""
        with called_as(kwargs.get("tool_call_id")):
            return super().run(tool_input, *args, **kwargs)

    async def arun(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """LangChain's entry: see `BaseTool.arun`."""
        with called_as(kwargs.get("tool_call_id")):
            return await super().arun(tool_input, *args, **kwargs)

    def _run(
        self,
        *values: str,
        runtime: Injected = None,
        config: RunnableConfig = None,  # type: ignore[assignment]
        run_manager: CallbackManagerForToolRun | None = None,
        **arguments: Any,
    ) -> tuple[Any, dict[str, Any]]:
        live = self._live(runtime, run_manager)
        call = self._call(runtime, config, live.tell)
        key = self._sessions.key(config)
        with self._sessions.turn(key, call.run):
            session = partial(self._sessions.session, key)
            result, whole = drive(self._attempt(session, call, self._named(values, arguments)))
            if self._sessions.ends_with_call:
                self._sessions.registry.close_session(key)
        live.end()
        return self._answer(result, call, whole)

    async def _arun(
        self,
        *values: str,
        runtime: Injected = None,
        config: RunnableConfig = None,  # type: ignore[assignment]
        run_manager: AsyncCallbackManagerForToolRun | None = None,
        **arguments: Any,
    ) -> tuple[Any, dict[str, Any]]:
        live = self._live(runtime, run_manager)
        call = self._call(runtime, config, live.atell)
        key = self._sessions.key(config)
        with self._sessions.turn(key, call.run):
            session = partial(self._sessions.asession, key)
            result, whole = await adrive(self._attempt(session, call, self._named(values, arguments)))
            if self._sessions.ends_with_call:
                await self._sessions.registry.aclose_session(key)
        await live.aend()
        return self._answer(result, call, whole)

    def _attempt(
        self, session_of: Callable[[], Any], call: Call, arguments: dict[str, Any]
    ) -> Flow[tuple[ExecutionResult, str | None]]:
        """What came of the call, and the file in the sandbox that has the whole text when it is too long to show."""
        session, began = None, time.monotonic()
        try:
            session = session_of()
            result = yield from self._work(session, call, **arguments)
        except Exception as error:
            if not is_run_time_failure(error, session):
                raise
            code, language = self._asked(arguments)
            return _placed(failed(code, error, language), session, began), None
        whole = (yield from self._spilled(session, result)) if self._spills else None
        return _placed(result, session, began), whole

    def _asked(self, arguments: dict[str, Any]) -> tuple[str, str]:
        """(what was to be run, its language), for the artifact of a call that failed."""
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items() if name != "runtime")
        return f"{self.name}({given})", "tool"

    def _spilled(self, session: Any, result: ExecutionResult) -> Flow[str | None]:
        """Put a text that the model can be shown only in part into a file that its code can read; where it is."""
        text = render_text(result, max_chars=sys.maxsize)
        if len(text) <= max(self.max_output_chars, LEAST_CHARS):
            return None
        path = f"{SPILL}/output-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}.txt"
        try:
            sandbox = yield opened(session)
            yield partial(sandbox.files.write, path, text.encode("utf-8", "replace"))
        except Exception as error:
            if not is_run_time_failure(error, session):
                raise
            return None
        return path

    def _live(self, runtime: Any, run_manager: Any) -> Live:
        runtime = genuine(runtime)
        return Live(runtime, run_manager, call_id(runtime), self._redactor)

    def _call(self, runtime: Any, config: RunnableConfig | None, tell: Any) -> Call:
        runtime = genuine(runtime)
        return Call(config or {}, runtime, call_id(runtime), tell if self.live_output else None)

    def _named(self, values: tuple[str, ...], arguments: dict[str, Any]) -> dict[str, Any]:
        """`tool.invoke("code")` gives the first argument without its name."""
        names = [name for name in self.args_schema.model_fields if name != "runtime"]  # type: ignore[union-attr]
        return {**dict(zip(names, values, strict=False)), **arguments}

    def _answer(self, result: ExecutionResult, call: Call, whole: str | None) -> tuple[Any, dict[str, Any]]:
        """The message itself where the call's id is known, because only a message carries a status."""
        result = self._redactor.result(result)
        presentation = Presentation(
            max_chars=self.max_output_chars,
            images=call.shows_images(self.images),
            max_images=self.max_images,
            image_max_px=self.image_max_px,
            store=self._store,
            whole=f"in {whole}" if whole else IN_ARTIFACT,
        )
        if call.tool_call_id is None:
            return presentation.of(result)
        message = tool_message(result, call.tool_call_id, self.name, presentation)
        return message, message.artifact


def _placed(result: ExecutionResult, session: Any, began: float) -> ExecutionResult:
    """The answer of a tool that ran no cell with what a cell's has: where it was, how long it took, what was lost."""
    if session is None or result.sandbox_id is not None:
        return result
    return result.model_copy(
        update={
            "sandbox_id": session.sandbox_id,
            "backend": session.state.backend,
            "duration": time.monotonic() - began,
            "events": (*session.pending_events(), *result.events),
        }
    )
