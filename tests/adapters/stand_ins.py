"""An interpreter of either face that keeps files in a dict and answers commands from a table."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ci_integrations._core.conversation.memory import Memory
from ci_integrations.interpreter import CommandOutput
from ci_integrations.results.model import SandboxEvent

LOST = SandboxEvent(type="state_lost", message="the sandbox was lost")


def output(stdout: str = "", stderr: str = "", exit_code: int = 0) -> CommandOutput:
    return CommandOutput(stdout=stdout, stderr=stderr, exit_code=exit_code)


class Blocking:
    """The blocking face."""

    def __init__(self, **commands: CommandOutput) -> None:
        self.files: dict[str, bytes] = {}
        self.commands = commands
        self.ran: list[str] = []
        self.fails: Exception | None = None
        self.sandbox_id: str | None = "sandbox"
        self.state = SimpleNamespace(backend="fake", memory=Memory())
        self.closed: list[str] = []

    def pending_events(self) -> tuple[SandboxEvent, ...]:
        return (LOST,)

    def _done(self) -> None:
        if self.fails is not None:
            raise self.fails

    def upload(self, data: bytes, path: str) -> str:
        self._done()
        self.files[path] = data
        return path

    def open(self) -> Any:
        def write(path: str, data: bytes) -> None:
            self.upload(data, path)

        return SimpleNamespace(files=SimpleNamespace(write=write), download_url=lambda path, **_: f"https://x{path}")

    def run(self, code: str) -> None:
        self._done()

    def run_command(self, command: str, **_: Any) -> CommandOutput:
        self._done()
        self.ran.append(command)
        return next((out for word, out in self.commands.items() if word in command), output())

    def as_sync(self) -> Blocking:
        return self

    def as_async(self) -> Awaiting:
        return Awaiting(self)


class Awaiting:
    """The face for `await`: each method of the blocking one, awaited."""

    def __init__(self, blocking: Blocking) -> None:
        self.blocking = blocking

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.blocking, name)
        return _awaited(value) if callable(value) and name not in ("pending_events", "as_sync") else value

    async def run(self, code: str) -> None:
        self.blocking.run(code)

    def as_async(self) -> Awaiting:
        return self


def _awaited(method: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return call


class Registry:
    """Keeps the contract of `SessionRegistry`."""

    def __init__(self) -> None:
        self.sessions: dict[str, Blocking] = {}
        self.closed = False

    def session(self, key: str) -> Blocking:
        return self.sessions.setdefault(key, Blocking())

    def asession(self, key: str) -> Awaiting:
        return Awaiting(self.session(key))

    def keys(self) -> list[str]:
        return list(self.sessions)

    def close_session(self, key: str) -> None:
        del self.sessions[key]

    async def aclose_session(self, key: str) -> None:
        self.close_session(key)

    def close(self) -> None:
        self.closed = True
