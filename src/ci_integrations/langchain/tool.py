"""`CodeInterpreterTool`: the door for every LangChain agent. Needs langchain-core alone.

    agent = create_agent("openai:gpt-5", tools=[CodeInterpreterTool()])

The tool never raises for what happens at run time: errors in the code, timeouts and lost sandboxes come back as a
`ToolMessage(status="error")` with its artifact. Only wrong configuration raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils import secret_from_env
from pydantic import BaseModel, Field, PrivateAttr, SecretStr, create_model

from ci_integrations.langchain._call import FAILURES, ImagePolicy, Injected, Origin, ToolInput, called_as, shows_images
from ci_integrations.langchain._live import Live
from ci_integrations.langchain._redaction import Redactor, Rule, secrets_in
from ci_integrations.langchain._sessions import Scope, Sessions
from ci_integrations.langchain.messages import Presentation, failed, tool_message
from ci_integrations.rendering import MAX_CHARS
from ci_integrations.results import ExecutionResult

DESCRIPTION = """\
Runs Python code in a sandboxed Jupyter kernel and returns what it printed, the value of the last expression, \
errors, charts, tables and files.
- State persists: variables, imports and files of earlier calls are still there. Do not repeat them.
- The last expression of a cell is shown, as in a notebook; print() what else you need to see.
- Draw charts with matplotlib or plotly: each figure is shown to the user, with its data. No plt.savefig() needed.
- Files: read and write under the current directory (/home/user). Name the files that the user should get.
- Shell commands run with a leading "!", packages are installed with "%pip install NAME". Top-level await works.
- There is no input(): code that waits for a person fails. Long cells are stopped; print progress, work in steps.
- When a message says that the sandbox was replaced, variables are gone: define them again.
After an error, read the traceback, correct the code and run only what is needed again."""


class CodeInterpreterInput(ToolInput):
    """What the model fills in."""

    code: str = Field(description="The code to run. The value of its last expression is returned.")


class CodeInterpreterTool(BaseTool):
    """Runs code in one sandbox for each conversation (`thread_id`), created at its first call.

    `interpreter` is a `SessionRegistry` to share with other tools; without one the tool makes its own from
    `interpreter_options`, which are those of `ci_integrations.CodeInterpreter`: `backend`, `template`, `envs`,
    `packages`, `files`, `setup_code`, `sandbox_timeout` (seconds the sandbox may live), `execution_timeout` (seconds a
    cell may run) and so on. Values may be `SecretStr`; secrets in `envs` are taken out of everything the code prints.

    Raises `ConfigurationError` for options that contradict each other; never for what happens at run time.
    """

    name: str = "code_interpreter"
    description: str = DESCRIPTION
    args_schema: Any = CodeInterpreterInput
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    api_key: SecretStr | None = Field(default_factory=secret_from_env("E2B_API_KEY", default=None), exclude=True)
    languages: tuple[str, ...] = ("python",)
    """With more than one the model is given a choice; the first is the default."""
    allow_restart: bool = False
    """True: the model may ask for a fresh kernel."""
    max_output_chars: int = MAX_CHARS
    """Of the text that the model reads. The artifact keeps the whole."""
    images: ImagePolicy = "auto"
    """Whether pictures go to the model: `auto` asks who called, and does not where a provider refuses them."""
    max_images: int = 4
    image_max_px: int = 1024
    live_output: bool = True
    """While a cell runs, to langgraph's streams `tools` and `custom` and to callbacks."""

    _sessions: Sessions = PrivateAttr()
    _store: Any = PrivateAttr(default=None)
    _redactor: Redactor = PrivateAttr(default_factory=Redactor)

    def __init__(
        self,
        interpreter: Any = None,
        *,
        session_scope: Scope = "thread",
        artifact_store: Any = None,
        redact: Sequence[Rule] = (),
        **options: Any,
    ) -> None:
        fields = {name: options.pop(name) for name in list(options) if name in type(self).model_fields}
        super().__init__(**fields)
        if self.api_key is not None and interpreter is None:
            options["api_key"] = self.api_key
        self._sessions = Sessions(options, session_scope, interpreter)
        self._redactor = Redactor([*secrets_in(options), *redact])
        self._store = artifact_store
        if "args_schema" not in fields:
            self.args_schema = _schema(self.languages, self.allow_restart)

    def session(self, config: RunnableConfig | None = None) -> Any:
        """The `CodeInterpreter` that serves the conversation of `config`."""
        return self._sessions.session(self._sessions.key(config))

    def asession(self, config: RunnableConfig | None = None) -> Any:
        """The same sandbox and kernel as an `AsyncCodeInterpreter`."""
        return self._sessions.asession(self._sessions.key(config))

    def close(self) -> None:
        """Close every session of this tool. One that was made elsewhere and handed in stays open."""
        self._sessions.close()

    async def aclose(self) -> None:
        await self._sessions.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

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
        code: str,
        *,
        language: str | None = None,
        restart: bool = False,
        runtime: Injected = None,
        config: RunnableConfig = None,  # type: ignore[assignment]
        run_manager: CallbackManagerForToolRun | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        origin = Origin.of(config, runtime)
        live = Live(origin.runtime, run_manager, origin.tool_call_id, self._redactor)
        key = self._sessions.key(config)
        with self._sessions.turn(key, origin.run):
            session = self._sessions.session(key)
            try:
                if restart:
                    session.restart_context()
                result = session.run(code, **self._options(language, live.tell, origin))
            except FAILURES as error:
                result = failed(code, error, language or self.languages[0])
        live.end()
        return self._answer(result, origin)

    async def _arun(
        self,
        code: str,
        *,
        language: str | None = None,
        restart: bool = False,
        runtime: Injected = None,
        config: RunnableConfig = None,  # type: ignore[assignment]
        run_manager: AsyncCallbackManagerForToolRun | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        origin = Origin.of(config, runtime)
        live = Live(origin.runtime, run_manager, origin.tool_call_id, self._redactor)
        key = self._sessions.key(config)
        with self._sessions.turn(key, origin.run):
            session = self._sessions.asession(key)
            try:
                if restart:
                    await session.restart_context()
                result = await session.run(code, **self._options(language, live.atell, origin))
            except FAILURES as error:
                result = failed(code, error, language or self.languages[0])
        await live.aend()
        return self._answer(result, origin)

    def _options(self, language: str | None, tell: Any, origin: Origin) -> dict[str, Any]:
        return {
            "language": language or self.languages[0],
            "on_output": tell if self.live_output else None,
            "tool_call_id": origin.tool_call_id,
        }

    def _answer(self, result: ExecutionResult, origin: Origin) -> tuple[Any, dict[str, Any]]:
        """The message itself where the call's id is known, because only it carries a status."""
        presentation = Presentation(
            max_chars=self.max_output_chars,
            images=shows_images(self.images, origin),
            max_images=self.max_images,
            image_max_px=self.image_max_px,
            store=self._store,
        )
        result = self._redactor.result(result)
        if origin.tool_call_id is None:
            return presentation.of(result)
        message = tool_message(result, origin.tool_call_id, self.name, presentation)
        return message, message.artifact


def _schema(languages: Sequence[str], allow_restart: bool) -> type[BaseModel]:  # noqa: FBT001
    """The input with the arguments that are enabled, and no other."""
    fields: dict[str, Any] = {}
    if len(languages) > 1:
        choice = Literal[tuple(languages)]  # type: ignore[valid-type]
        fields["language"] = (choice, Field(languages[0], description="The language of the code."))
    if allow_restart:
        told = "True: start a fresh kernel first. Every variable is lost, files stay."
        fields["restart"] = (bool, Field(default=False, description=told))
    if not fields:
        return CodeInterpreterInput
    return create_model("CodeInterpreterInput", __base__=CodeInterpreterInput, **fields)
