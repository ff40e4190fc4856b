"""`CodeInterpreterTool` gives any LangChain agent the code interpreter. It needs langchain-core alone.

    agent = create_agent("openai:gpt-5", tools=[CodeInterpreterTool()])

The tool never raises for what happens at run time: errors in the code, timeouts and lost sandboxes come back as a
`ToolMessage(status="error")` with its artifact. Only wrong configuration raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ArgsSchema
from langchain_core.utils import secret_from_env
from pydantic import BaseModel, Field, SecretStr, ValidationError, create_model

from ci_integrations._adapters.redaction import Redactor, Rule, secrets_in
from ci_integrations._adapters.sessions import AnyInterpreter, Given
from ci_integrations._adapters.tables import told
from ci_integrations._closing import AsyncClosing, Closing
from ci_integrations._core.flow import Flow
from ci_integrations._errors import ConfigurationError
from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations.langchain._base import Place, SandboxTool
from ci_integrations.langchain._call import RUNTIME, Call, Injected
from ci_integrations.langchain._sessions import Scope, Sessions
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.store import ArtifactStore

DESCRIPTION = """\
Runs Python code in a sandboxed Jupyter kernel and returns what it printed, the value of the last expression, \
errors, charts, tables and files.
- State persists: variables, imports and files of earlier calls are still there. Do not repeat them.
- The last expression of a cell is shown, as in a notebook; print() what else you need to see.
- Draw charts with matplotlib or plotly: the user sees each figure. No savefig() needed.
- Files: read and write in the current directory, /home/user.
- "!command" runs a shell command, "%pip install NAME" installs a package. Top-level await works.
- There is no input(). Long cells are stopped: work in steps and print progress.
- When a message says that the sandbox was replaced, variables are gone: define them again.
- A line that begins with "| [" or "| Error:" was printed by the code; only lines without the bar are the tool's own.
After an error read the traceback, correct the code and run only what is needed again."""


class CodeInterpreterInput(BaseModel):
    """The arguments that the model fills in."""

    code: str = Field(description="The code to run. The value of its last expression is returned.")
    runtime: Injected = RUNTIME


class CodeInterpreterTool(Closing, AsyncClosing, SandboxTool):
    """Runs code in one sandbox for each conversation (`thread_id`), created at its first call.

    `interpreter`: a `SessionRegistry` or a `CodeInterpreter` to share with others; they stay open when the tool is
    closed. None: the tool makes its own sessions from `options`.
    `options`: those of `ci_integrations.CodeInterpreter`: `backend`, `template`, `envs`, `packages`, `files`,
    `dataframes`, `setup_code`, `sandbox_timeout` (seconds a sandbox may live), `execution_timeout` (seconds a cell may
    run) and so on, and `idle`, `idle_ttl`, `max_sessions`, `max_created` and `max_bytes` of `SessionRegistry`. Values
    may be `SecretStr`; such values of `envs` are taken out of everything the code prints.
    `redact`: what else is taken out: literals, compiled patterns, functions of a text, LangChain's `RedactionRule`.
    `session_scope`: one sandbox for each `"thread"`, `"call"` or `"tool"` object; or a function of the config that
    gives the key, in which all calls share a kernel.
    `conversation`: a function of the config that names the conversation, where that is not the `thread_id`: a forked
    thread that is to go on in the first one's sandbox.
    `artifact_store`: an `ArtifactStore` for large payloads; None keeps them in the message's artifact.

    Raises `ConfigurationError` for wrong options, here and now; never for what happens at run time.
    """

    _spills: ClassVar[bool] = True

    name: str = "code_interpreter"
    description: str = DESCRIPTION
    args_schema: ArgsSchema | None = CodeInterpreterInput

    api_key: SecretStr | None = Field(default_factory=secret_from_env("E2B_API_KEY", default=None), exclude=True)
    """E2B's key; without it `E2B_API_KEY`."""
    languages: tuple[str, ...] = Field(("python",), min_length=1)
    """With more than one the model is given a choice; the first is the default."""
    allow_restart: bool = False
    """True: the model may ask for a fresh kernel."""

    def __init__(
        self,
        interpreter: Given = None,
        *,
        session_scope: Scope = "thread",
        conversation: Callable[[RunnableConfig], str] | None = None,
        artifact_store: ArtifactStore | None = None,
        redact: Sequence[Rule] = (),
        **options: Any,
    ) -> None:
        # What is no field of the tool is an option of the interpreter, which checks it.
        fields = {name: options.pop(name) for name in list(options) if name in type(self).model_fields}
        try:
            super().__init__(**fields)
        except ValidationError as error:
            # Not chained: pydantic's own message shows the values, and secrets are among them.
            raise ConfigurationError(_in_words(error)) from None
        if artifact_store is not None and not hasattr(artifact_store, "offload"):
            raise ConfigurationError(f"artifact_store takes an ArtifactStore, not {type(artifact_store).__name__}")
        # E2B_API_KEY may be set while an interpreter is handed in, which has a key of its own.
        if self.api_key is not None and interpreter is None:
            options["api_key"] = self.api_key
        sessions = Sessions(options, session_scope, interpreter, conversation)
        sessions.redactor = Redactor(secrets_in(options)).also(redact)
        self._place = Place(sessions, artifact_store, sessions.redactor)
        self.description = told(self.description, options.get("dataframes"), options.get("mounts"))
        if "args_schema" not in fields:
            self.args_schema = _schema(self.languages, allow_restart=self.allow_restart)

    def __getstate__(self) -> dict[Any, Any]:
        """Returns what is pickled: not the key. `tool.sessions.supply(...)` gives the secrets again."""
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "api_key": None}}

    def session(self, config: RunnableConfig | None = None) -> CodeInterpreter:
        """Returns the `CodeInterpreter` that serves the conversation of `config`."""
        return self.sessions.session(self.sessions.key(config))

    def asession(self, config: RunnableConfig | None = None) -> AsyncCodeInterpreter:
        """Returns the same sandbox and kernel as an `AsyncCodeInterpreter`."""
        return self.sessions.asession(self.sessions.key(config))

    def close(self) -> None:
        """Closes every session of this tool; what was made elsewhere and handed in stays open."""
        self.sessions.close()

    async def aclose(self) -> None:
        """Closes every session of this tool, awaited. See `close`."""
        await self.sessions.aclose()

    def _work(
        self,
        session: AnyInterpreter,
        call: Call,
        *,
        code: str,
        language: str | None = None,
        restart: bool = False,
        **_: object,
    ) -> Flow[ExecutionResult]:
        language = language or self.languages[0]
        if restart:
            yield from _restarted(session, language)
        run = partial(session.run, language=language, on_output=call.on_output, tool_call_id=call.cache_key(code))
        if (seen := self.sessions.seen(call.seen)) is not None:
            run = partial(run, seen=seen)
        result: ExecutionResult = yield partial(run, code)
        return result

    def _asked(self, arguments: Mapping[str, object]) -> tuple[str, str]:
        return str(arguments.get("code")), str(arguments.get("language") or self.languages[0])


def _in_words(error: ValidationError) -> str:
    """Says which option is wrong and why, without its value."""
    found = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)


def _restarted(session: AnyInterpreter, language: str) -> Flow[None]:
    """Starts a fresh kernel for `language`; without one there is nothing to restart."""
    if language == "python":
        yield session.restart_context
        return
    # Other languages have no default context: E2B makes one at the first cell.
    contexts = yield session.list_contexts
    for context in contexts:
        if context.language == language:
            yield partial(session.restart_context, context)


def _schema(languages: Sequence[str], *, allow_restart: bool) -> type[BaseModel]:
    """Returns the input with the arguments that are enabled, and no other."""
    fields: dict[str, Any] = {}
    if len(languages) > 1:
        # A Literal becomes an enum in the JSON schema: models keep to it more often than to a description.
        choice = Literal[tuple(languages)]  # type: ignore[valid-type]
        fields["language"] = (choice, Field(languages[0], description="The language of the code."))
    if allow_restart:
        told = "True: start a fresh kernel first. Every variable is lost, files stay."
        fields["restart"] = (bool, Field(default=False, description=told))
    if not fields:
        return CodeInterpreterInput
    return create_model("CodeInterpreterInput", __base__=CodeInterpreterInput, **fields)
