"""What all tools of this package share: a session per conversation, one way to run, to fail and to answer.

A tool's work is a flow (see `_flow.py`): written once, driven blocking by `_run` and awaited by `_arun`.

No `from __future__ import annotations` here: LangChain reads the annotations of `_run` on every call, and to evaluate
them from strings costs a quarter of a millisecond each time.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from ci_integrations._flow import Flow, adrive, drive
from ci_integrations.errors import QueueTimeoutError, SandboxError
from ci_integrations.langchain._call import Call, ImagePolicy, Injected, call_id, called_as, genuine
from ci_integrations.langchain._live import Live
from ci_integrations.langchain._redaction import Redactor, Rule
from ci_integrations.langchain._sessions import Sessions
from ci_integrations.langchain.messages import Presentation, failed, tool_message
from ci_integrations.recovery import Failure, classify
from ci_integrations.rendering import MAX_CHARS
from ci_integrations.results import ExecutionResult


def is_run_time_failure(error: Exception) -> bool:
    """What becomes an error message for the model. Everything else is the programmer's and is raised."""
    if isinstance(error, (SandboxError, QueueTimeoutError)):
        return True
    rule = classify(error)  # such as the SDK's FileNotFoundException: what a file or a command itself went wrong with
    return rule is not None and rule.failure not in (Failure.REFUSED, Failure.LIMIT)


class SandboxTool(BaseTool):
    """A tool that works in the conversation's sandbox. Subclasses give `_work`."""

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    max_output_chars: int = MAX_CHARS
    """Characters of the text that the model reads. The artifact keeps the whole."""
    images: ImagePolicy = "auto"
    """Whether pictures go to the model: `auto` asks who called, and does not where a provider refuses them."""
    max_images: int = 4
    """Pictures of one call that the model is shown."""
    image_max_px: int = 1024
    """Longer edge of a picture that the model is shown, in pixels; larger ones are scaled down."""
    live_output: bool = True
    """While a call runs, to langgraph's streams `tools` and `custom` and to callbacks."""

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
            result = drive(self._attempt(session, call, self._named(values, arguments)))
            if self._sessions.ends_with_call:
                self._sessions.registry.close_session(key)
        live.end()
        return self._answer(result, call)

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
            result = await adrive(self._attempt(session, call, self._named(values, arguments)))
            if self._sessions.ends_with_call:
                await self._sessions.registry.aclose_session(key)
        await live.aend()
        return self._answer(result, call)

    def _attempt(self, session: Callable[[], Any], call: Call, arguments: dict[str, Any]) -> Flow[ExecutionResult]:
        try:
            return (yield from self._work(session(), call, **arguments))
        except Exception as error:
            if not is_run_time_failure(error):
                raise
            return failed(str(arguments.get("code") or self.name), error)

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

    def _answer(self, result: ExecutionResult, call: Call) -> tuple[Any, dict[str, Any]]:
        """The message itself where the call's id is known, because only a message carries a status."""
        result = self._redactor.result(result)
        presentation = Presentation(
            max_chars=self.max_output_chars,
            images=call.shows_images(self.images),
            max_images=self.max_images,
            image_max_px=self.image_max_px,
            store=self._store,
        )
        if call.tool_call_id is None:
            return presentation.of(result)
        message = tool_message(result, call.tool_call_id, self.name, presentation)
        return message, message.artifact
