"""`CodeInterpreterMiddleware` adds the code interpreter to an agent and manages the sandbox's lifetime.

    agent = create_agent(model, middleware=[CodeInterpreterMiddleware()], checkpointer=...)

It brings the tools and a short system prompt, opens the sandbox beside the first model call, puts attached files into
it, shows the model the last pictures, keeps the session's identity in the graph's state so that another process goes
on in the same kernel, and keeps, pauses or kills the sandbox at the end of a run.

(langchain_quickjs has a middleware of the same name, for JavaScript without a sandbox; this is another one.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AIMessage, SystemMessage, ToolMessage

from ci_integrations._adapters.attachments import met, staged
from ci_integrations._adapters.redaction import Rule
from ci_integrations._adapters.sessions import AnyInterpreter, Given
from ci_integrations._core.flow import Flow, adrive, drive
from ci_integrations._errors import ConfigurationError, MissingDependencyError
from ci_integrations.langchain._attachments import attachments, named_instead
from ci_integrations.langchain._base import SandboxTool
from ci_integrations.langchain._images import place_for, with_images
from ci_integrations.langchain.tool import CodeInterpreterTool
from ci_integrations.langchain.toolkit import CodeInterpreterToolkit
from ci_integrations.sessions import SessionRegistry

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse, ToolCallRequest
    from langchain.agents.middleware.types import PrivateStateAttr
    from langgraph.config import get_config
    from langgraph.runtime import Runtime
    from langgraph.types import Command
except ImportError as missing:
    raise MissingDependencyError("CodeInterpreterMiddleware", "langchain") from missing

try:  # from langchain 1.3.15 on
    from langchain.agents.middleware import TracePolicy, omit_payload

    _TRACED = TracePolicy(process_inputs=omit_payload, process_outputs=omit_payload)
except ImportError:
    _TRACED = None  # type: ignore[assignment]

PROMPT = """\
You can run code with the tool `code_interpreter`. Use it to compute, to read files and to draw; do not guess what \
code can tell. Its variables and files stay between calls. The user sees the charts, tables and files that it gives: \
refer to them instead of repeating them. Say so when code failed or was stopped."""

EndOfRun = Literal["keep", "pause", "kill"]

Update = dict[str, object] | None
"""What a hook changes of the graph's state."""


def merged(held: Update, update: Update) -> Update:
    """Joins updates of the state: parallel calls write the same identity; None forgets the session."""
    return None if update is None else {**(held or {}), **update}


class CodeInterpreterState(AgentState[Any]):
    """The session's identity and the attachments already staged: plain JSON, unseen by callers and the model."""

    code_interpreter: NotRequired[Annotated[Update, PrivateStateAttr, merged]]


GraphRuntime = Runtime[Any]
Request = ModelRequest[Any]
Response = ModelResponse[Any]
Answer = ToolMessage | Command[Any]
Tool = CodeInterpreterTool | CodeInterpreterToolkit | Given


class CodeInterpreterMiddleware(AgentMiddleware[CodeInterpreterState, Any, Any]):
    """Gives an agent the code interpreter: see the module.

    `tool`: a `CodeInterpreterTool` or a `CodeInterpreterToolkit`, or what `CodeInterpreterTool` takes first. None: a
    `CodeInterpreterTool` made from `options`.
    `options`: those of `CodeInterpreterTool`.
    `prewarm`: True: the sandbox is made beside the first model call.
    `stage_attachments`: True: files in messages are put into the sandbox, and the model is told their paths.
    `last_images`: pictures shown in a request, 0 for none; none to a model whose profile says it is blind.
    `persist_session`: True: the session's identity is kept in the graph's state, for another process to go on with.
    `end_of_run`: `"keep"`, `"pause"` or `"kill"` the sandbox. After a kill the next run gets a new one and, with
    `persist_session`, is told what is gone. Not reached when a tool or the model raises: the sandbox's own lifetime is
    the safety net.
    `system_prompt`: added to the agent's own; None adds nothing.
    `redact`: what is taken out of every answer: see `CodeInterpreterTool`.
    """

    state_schema = CodeInterpreterState
    trace_policy = _TRACED
    """Tracers get the tool's call and its answer; the hooks do not hand the whole state to them once more."""

    def __init__(
        self,
        tool: Tool = None,
        *,
        prewarm: bool = True,
        stage_attachments: bool = True,
        last_images: int = 2,
        persist_session: bool = True,
        end_of_run: EndOfRun = "keep",
        system_prompt: str | None = PROMPT,
        redact: Sequence[Rule] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        if end_of_run not in ("keep", "pause", "kill"):
            raise ConfigurationError(f'end_of_run is "keep", "pause" or "kill", not {end_of_run!r}')
        if not isinstance(last_images, int) or last_images < 0:
            raise ConfigurationError(
                f"last_images is how many pictures a request shows, 0 or more, not {last_images!r}"
            )
        if tool is not None and options:
            raise ConfigurationError(f"{sorted(options)} belong to the tool that is handed in: set them there")
        tools = [one.for_agent(redact) for one in _tools(tool, options)]
        self.tools = tools
        self._names = {one.name for one in tools}
        self._first = tools[0]  # all of them have the same sessions, store and picture size
        self._sessions = self._first.sessions
        self._prewarm, self._stage_attachments = prewarm, stage_attachments
        self._last_images = last_images
        self._system_prompt = _prompt(tools) if system_prompt is PROMPT else system_prompt
        self._persist, self._end = persist_session, end_of_run

    @property
    def sessions(self) -> SessionRegistry:
        """The `SessionRegistry` behind the tools."""
        return self._sessions.registry

    def close(self) -> None:
        """Closes every session that was made here."""
        self._sessions.close()

    async def aclose(self) -> None:
        """Closes every session that was made here, awaited."""
        await self._sessions.aclose()

    def before_agent(self, state: CodeInterpreterState, runtime: GraphRuntime) -> Update:
        """Takes over a session that another process left in the state; opens the sandbox in the background."""
        key = self._key()
        identity = _held(state).get("identity")
        if identity:
            self._sessions.adopt(key, identity)
        if self._prewarm:
            self._sessions.prewarm(key)
        return None

    async def abefore_agent(self, state: CodeInterpreterState, runtime: GraphRuntime) -> Update:
        """Does the same as `before_agent`, in which nothing waits."""
        return self.before_agent(state, runtime)

    def wrap_model_call(self, request: Request, handler: Callable[[Request], Response]) -> Response:
        """Adds the prompt and the pictures to a request, and names attached files by their paths."""
        return handler(self._prepared(request))

    async def awrap_model_call(self, request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
        """Does the same as `wrap_model_call`, awaited."""
        return await handler(self._prepared(request))

    def after_model(self, state: CodeInterpreterState, runtime: GraphRuntime) -> Update:
        """Uploads attached files, if the model has asked for a tool that may need them."""
        return drive(self._stage(self._sessions.session, state))

    async def aafter_model(self, state: CodeInterpreterState, runtime: GraphRuntime) -> Update:
        """Does the same as `after_model`, awaited."""
        return await adrive(self._stage(self._sessions.asession, state))

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Answer]) -> Answer:
        """Puts the session's identity into the graph's state after a call of our tools."""
        return self._recorded(request, handler(request))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Answer]]
    ) -> Answer:
        """Does the same as `wrap_tool_call`, awaited."""
        return self._recorded(request, await handler(request))

    def after_agent(self, state: CodeInterpreterState, runtime: GraphRuntime) -> Update:
        """Pauses or kills the sandbox, as `end_of_run` says."""
        if self._end == "keep":
            return None
        return drive(self._leave(self._sessions.session))

    async def aafter_agent(self, state: CodeInterpreterState, runtime: GraphRuntime) -> Update:
        """Does the same as `after_agent`, awaited."""
        if self._end == "keep":
            return None
        return await adrive(self._leave(self._sessions.asession))

    def _key(self) -> str:
        return self._sessions.key(get_config())

    def _prepared(self, request: Request) -> Request:
        """Returns the request as the model should see it; the state stays as it is."""
        messages = request.messages
        if self._stage_attachments:
            messages = named_instead(messages, attachments(messages), _held(request.state).get("failed") or {})
        place = place_for(request.model)
        messages = with_images(
            messages, place, last=self._last_images, max_px=self._first.image_max_px, store=self._first.store
        )
        return request.override(messages=messages, system_message=self._prompted(request.system_message))

    def _prompted(self, message: SystemMessage | None) -> SystemMessage | None:
        if not self._system_prompt:
            return message
        # Blocks, not text: other middleware marks blocks for the provider's prompt cache.
        before = message.content_blocks if message is not None else []
        text = f"\n\n{self._system_prompt}" if before else self._system_prompt
        return SystemMessage(content=[*map(dict, before), {"type": "text", "text": text}])

    def _is_about_to_run(self, state: CodeInterpreterState) -> bool:
        last = state["messages"][-1] if state["messages"] else None
        return isinstance(last, AIMessage) and any(call["name"] in self._names for call in last.tool_calls)

    def _stage(self, session_of: Callable[[str], AnyInterpreter], state: CodeInterpreterState) -> Flow[Update]:
        """Uploads what this sandbox has not got, when the model is about to use it.

        What could not be uploaded is told to the model in its next request, and tried again.
        """
        # Not earlier: a conversation that never runs code must not wait for a sandbox.
        if not self._stage_attachments or not self._is_about_to_run(state):
            return None
        files = attachments(state["messages"])
        if not files:
            return None
        key = self._key()
        session = session_of(key)
        # The sandbox of another process may be gone. Its successor has another id, and `_staged` then lists no file.
        if self._sessions.is_taken_over(key):
            yield from met(session)
        here = _staged(state, session)
        there, failed = yield from staged(session, files, here)
        if there == here and not failed:
            return None
        return {"code_interpreter": {"staged": {"in": session.sandbox_id, "files": there}, "failed": failed}}

    def _recorded(self, request: ToolCallRequest, answer: Answer) -> Answer:
        """Returns the answer, with the session's identity for the state where that has changed."""
        if not self._persist or not isinstance(answer, ToolMessage):
            return answer
        if request.tool_call["name"] not in self._names:
            return answer
        identity = self._sessions.identity(self._sessions.key(request.runtime.config))
        if not identity or identity == _held(request.state).get("identity"):
            return answer
        # A tool message cannot change the state of a graph, a Command can.
        return Command(update={"messages": [answer], "code_interpreter": {"identity": identity}})

    def _leave(self, session_of: Callable[[str], AnyInterpreter]) -> Flow[Update]:
        key = self._key()
        if not self._sessions.knows(key):
            return None
        if self._end == "kill":
            yield partial(self._sessions.end, session_of(key), key)
            # The identity stays in the state: with it the next run finds the sandbox gone, and says so.
            return None if self._persist else {"code_interpreter": None}
        yield from self._sessions.pause(session_of(key))
        return None


def _held(state: Mapping[str, object]) -> dict[str, Any]:
    held = state.get("code_interpreter")
    return held if isinstance(held, dict) else {}


def _staged(state: Mapping[str, object], session: AnyInterpreter) -> list[str]:
    """Returns the files that are in this very sandbox; one that took a lost one's place may not have them."""
    there = _held(state).get("staged") or {}
    return list(there.get("files") or ()) if there.get("in") == session.sandbox_id else []


def _tools(tool: Tool, options: dict[str, Any]) -> list[SandboxTool]:
    if isinstance(tool, CodeInterpreterToolkit):
        tools = tool.sandbox_tools
        if not tools:
            raise ConfigurationError("the toolkit that is handed in has no tools")
        return tools
    return [tool if isinstance(tool, SandboxTool) else CodeInterpreterTool(tool, **options)]


def _prompt(tools: Sequence[SandboxTool]) -> str | None:
    """Returns our prompt, where there is a tool that it speaks of."""
    code = next((tool.name for tool in tools if isinstance(tool, CodeInterpreterTool)), None)
    return PROMPT.replace("code_interpreter", code) if code else None
