"""What all tools of this package share: a session per conversation, one way to run, to fail and to answer.

A tool's work is a flow (see `_core/flow.py`): written once, driven blocking by `_run` and awaited by `_arun`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import Field, PrivateAttr

from ci_integrations._adapters.images import ImagePolicy
from ci_integrations._adapters.outcome import attempted
from ci_integrations._adapters.redaction import Redactor, Rule
from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._adapters.signatures import F, inspected
from ci_integrations._adapters.spill import spilled
from ci_integrations._adapters.whole_tables import stored
from ci_integrations._core.flow import Flow, adrive, drive
from ci_integrations._telemetry import calling
from ci_integrations.langchain._call import Call, Injected, call_id, called_as, genuine
from ci_integrations.langchain._inspection import KnownSchema, known
from ci_integrations.langchain._live import Live, RunManager
from ci_integrations.langchain._sessions import Sessions
from ci_integrations.langchain.messages import Content, Json, Presentation, tool_message
from ci_integrations.results.clean import IN_ARTIFACT
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.store import ArtifactStore
from ci_integrations.results.text import LEAST_CHARS, MAX_CHARS

Arguments = dict[str, Any]
"""What a model or a graph gives a tool."""


Answer = tuple[Content | ToolMessage, Json]
"""What LangChain expects of a tool with `response_format="content_and_artifact"`."""


@dataclass(frozen=True)
class Place:
    """Where a tool works and where its answers go. Tools that work together share one.

    One object, because pydantic takes microseconds to hand out each private attribute.
    """

    sessions: Sessions = field(default_factory=Sessions)
    store: ArtifactStore | None = None
    redactor: Redactor = field(default_factory=Redactor)


def _inspected(entry: F) -> F:
    """Keeps of the annotations of `entry` the one that LangChain looks for, because it evaluates all on every call."""
    inspected(entry).__annotations__ = {"config": RunnableConfig}
    return entry


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

    _place: Place = PrivateAttr(default_factory=Place)
    _known: KnownSchema = PrivateAttr(default=KnownSchema(None))

    def _work(self, session: AnyInterpreter, call: Call, *args: Any, **arguments: Any) -> Flow[ExecutionResult]:
        """Does what the tool is for, as steps on `session`."""
        raise NotImplementedError

    def join(self, other: SandboxTool) -> None:
        """Makes this tool work in the same sandboxes as `other`, by the same rules."""
        self._place = other._place

    def for_agent(self, redact: Sequence[Rule] = ()) -> Self:
        """Returns a copy in the same sandboxes that shows no pictures: the middleware does, which knows the model."""
        copy = self.model_copy(update={"images": "never"})
        copy._place = replace(self._place, redactor=self.redactor.also(redact))  # noqa: SLF001 - of our own class
        return copy

    @property
    def sessions(self) -> Sessions:
        """What hands out this tool's interpreters."""
        return self._place.sessions

    @property
    def redactor(self) -> Redactor:
        """What takes secrets out of answers."""
        return self._place.redactor

    @property
    def store(self) -> ArtifactStore | None:
        """Where large payloads are stored; None keeps them in the message's artifact."""
        return self._place.store

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the tool: see `BaseTool.run`."""
        # LangChain tells `run` the id of the tool call and does not hand it on to `_run`.
        with called_as(kwargs.get("tool_call_id")):
            return super().run(*args, **kwargs)

    async def arun(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the tool, awaited: see `BaseTool.arun`."""
        with called_as(kwargs.get("tool_call_id")):
            return await super().arun(*args, **kwargs)

    @_inspected
    def _run(
        self,
        *values: str,
        runtime: Injected = None,
        # Not `| None`: LangChain gives the config to a parameter that is annotated with exactly this type.
        config: RunnableConfig = None,  # type: ignore[assignment]
        run_manager: CallbackManagerForToolRun | None = None,
        **arguments: object,
    ) -> Answer:
        place = self._place
        live, call = self._call(runtime, config, run_manager, place.redactor)
        return drive(self._answered(place, place.sessions.session, call, live, self._named(values, arguments)))

    @_inspected
    async def _arun(
        self,
        *values: str,
        runtime: Injected = None,
        config: RunnableConfig = None,  # type: ignore[assignment]
        run_manager: AsyncCallbackManagerForToolRun | None = None,
        **arguments: object,
    ) -> Answer:
        place = self._place
        live, call = self._call(runtime, config, run_manager, place.redactor)
        return await adrive(self._answered(place, place.sessions.asession, call, live, self._named(values, arguments)))

    def _filter_injected_args(self, tool_input: Arguments) -> Arguments:
        """Leaves out what callbacks and traces must not see: see `BaseTool`."""
        # A private method of LangChain. Should it go away one day, this one is not called and nothing else changes.
        hidden = self._schema().hidden
        return {name: value for name, value in tool_input.items() if name not in hidden}

    def _parse_input(self, tool_input: str | Arguments, tool_call_id: str | None) -> str | Arguments:
        """Validates the arguments: see `BaseTool`."""
        model = self._schema().plain
        if model is None or isinstance(tool_input, str):
            return super()._parse_input(tool_input, tool_call_id)
        given = model.model_validate(tool_input)
        # Not `model_dump`, which copies: `runtime` holds the graph's whole state.
        return {name: getattr(given, name) for name in model.model_fields}

    def _schema(self) -> KnownSchema:
        """Returns what is known of the `args_schema` of today: users may assign another one."""
        schema = self._known
        if schema.schema is not self.args_schema:
            self._known = schema = known(self.args_schema, super()._filter_injected_args)
        return schema

    def _call(
        self, runtime: object, config: RunnableConfig | None, run_manager: RunManager | None, redactor: Redactor
    ) -> tuple[Live, Call]:
        graph = genuine(runtime)
        tool_call_id = call_id(graph)
        live = Live(graph, run_manager, tool_call_id, redactor)
        return live, Call(config or {}, graph, tool_call_id, live.tell if self.live_output and live.is_heard else None)

    def _named(self, values: tuple[str, ...], arguments: dict[str, object]) -> dict[str, object]:
        """Names the first arguments: `tool.invoke("code")` gives one without its name."""
        return {**dict(zip(self.args, values, strict=False)), **arguments} if values else arguments

    def _answered(
        self,
        place: Place,
        session_of: Callable[[str], AnyInterpreter],
        call: Call,
        live: Live,
        arguments: dict[str, object],
    ) -> Flow[Answer]:
        """Runs the call and presents what came of it."""
        sessions, whole = place.sessions, None
        key = sessions.key(call.config)

        def work(session: AnyInterpreter) -> Flow[ExecutionResult]:
            nonlocal whole
            sessions.follow(session, call.seen.sandbox())
            with calling(self.name, call.tool_call_id, call.thread):
                result = yield from self._work(session, call, **arguments)
            result = yield from stored(session, result, place.store, place.redactor)
            whole = (yield from spilled(session, result, self.max_output_chars)) if self._spills else None
            return result

        with sessions.turn(key, call.run, call.conversation):
            result = yield from attempted(partial(session_of, key), work, partial(self._asked, arguments))
            # After `attempted`, because a session of one call ends with a call that failed too.
            if sessions.ends_with_call:
                yield partial(sessions.end, session_of(key), key)
        yield live.end
        return self._presented(place, result, call, whole)

    def _asked(self, arguments: Mapping[str, object]) -> tuple[str, str]:
        """Returns (what was to be run, its language), for the artifact of a call that failed."""
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items() if name != "runtime")
        return f"{self.name}({given})", "tool"

    def _presented(self, place: Place, result: ExecutionResult, call: Call, whole: str | None) -> Answer:
        """Returns the message itself where the call's id is known, because only a message carries a status."""
        presentation = Presentation(
            max_chars=self.max_output_chars,
            images=call.shows_images(self.images),
            max_images=self.max_images,
            image_max_px=self.image_max_px,
            store=place.store,
            redactor=place.redactor,
            whole=f"in {whole}" if whole else IN_ARTIFACT,
        )
        # LangChain makes a message of a bare content itself, and that one always says "success".
        if call.tool_call_id is None:
            return presentation.of(result)
        message = tool_message(result, call.tool_call_id, self.name, presentation)
        return message, message.artifact
