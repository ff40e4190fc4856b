"""The two ways of doing a step: `SyncFace` blocks, `AsyncFace` returns awaitables. One flow serves both.

No decision is made here. The sync face runs the SDK's blocking calls in a worker thread while the caller waits in
Python: the SDK's Rust transport looks at no signal, so Ctrl-C, SIGTERM and deadlines would otherwise wait for the cell.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, cast

from ci_integrations._core.flow import AnyCall, MaybeAwaitable, T, adrive, drive
from ci_integrations._core.live_cell import AsyncCell, SyncCell
from ci_integrations._core.locks import FairLock
from ci_integrations._core.output import CellOutput, OutputHandler
from ci_integrations._core.threads import Outcome, awaited, from_worker, in_worker, outcome_of
from ci_integrations._errors import ArtifactError

if TYPE_CHECKING:
    from e2b import EntryInfo, SandboxInfo, SandboxQuery
    from e2b_code_interpreter import Context, Execution

_NO_SANDBOX = "no answer in time to the call that makes a sandbox"


class SdkCommands(Protocol):
    """Describes what is used of the SDK's `sandbox.commands`."""

    def run(self, cmd: str, **options: object) -> MaybeAwaitable[object]: ...


class SdkFiles(Protocol):
    """Describes what is used of the SDK's `sandbox.files`."""

    def read(self, path: str, *, format: Literal["bytes", "stream"]) -> MaybeAwaitable[Any]: ...
    def remove(self, path: str) -> MaybeAwaitable[None]: ...
    def write(self, path: str, data: object) -> MaybeAwaitable[object]: ...
    def write_files(self, files: list[dict[str, str]]) -> MaybeAwaitable[object]: ...
    def list(self, path: str) -> MaybeAwaitable[list[EntryInfo]]: ...
    def exists(self, path: str) -> MaybeAwaitable[bool]: ...


class SdkSandbox(Protocol):
    """Describes what is used of the SDK's `Sandbox` and `AsyncSandbox`, whose methods have the same names."""

    @property
    def sandbox_id(self) -> str: ...
    @property
    def commands(self) -> SdkCommands: ...
    @property
    def files(self) -> SdkFiles: ...
    def run_code(self, code: str, **options: object) -> MaybeAwaitable[Execution]: ...
    def create_code_context(self, cwd: str | None, language: str | None) -> MaybeAwaitable[Context]: ...
    def restart_code_context(self, context: Context) -> MaybeAwaitable[None]: ...
    def remove_code_context(self, context: Context) -> MaybeAwaitable[None]: ...
    def list_code_contexts(self) -> MaybeAwaitable[list[Context]]: ...
    def get_info(self) -> MaybeAwaitable[SandboxInfo]: ...
    def set_timeout(self, timeout: int) -> MaybeAwaitable[None]: ...
    def download_url(self, path: str, *, use_signature_expiration: int) -> str: ...


class SdkListing(Protocol):
    """Describes the SDK's pages of a list of sandboxes."""

    def next_items(self) -> MaybeAwaitable[Sequence[SandboxInfo]]: ...


class SdkSandboxClass(Protocol):
    """Describes what is used of the SDK's two classes themselves: calls that know a sandbox by its id."""

    default_template: str
    default_mcp_template: str

    def create(self, **options: object) -> MaybeAwaitable[SdkSandbox]: ...
    def connect(self, sandbox_id: str | None, timeout: int, **options: object) -> MaybeAwaitable[SdkSandbox]: ...
    def get_info(self, sandbox_id: str | None, **options: object) -> MaybeAwaitable[SandboxInfo]: ...
    def list(self, *, query: SandboxQuery, **options: object) -> SdkListing: ...
    def kill(self, sandbox_id: str | None, **options: object) -> MaybeAwaitable[bool]: ...
    def pause(self, sandbox_id: str | None, **options: object) -> MaybeAwaitable[bool]: ...


class SyncFace:
    """Blocks the caller, but never in a way that keeps signals from being handled."""

    kind: Literal["sync", "async"] = "sync"

    driver = staticmethod(drive)

    @staticmethod
    def start_cell(run: AnyCall, received: CellOutput, on_output: OutputHandler | None) -> SyncCell:
        """Starts the SDK's call that runs a cell. What it gives goes into `received` and to `on_output`."""
        return SyncCell(run, received, partial(SyncFace.tell, on_output) if on_output else None)

    @staticmethod
    def sandbox_class() -> SdkSandboxClass:
        """Returns the SDK's class, imported on first use because that takes a second."""
        from e2b_code_interpreter import Sandbox

        return cast("SdkSandboxClass", Sandbox)

    @staticmethod
    def call(function: AnyCall, /, *args: object, within: float | None = None, **known: object) -> object:
        """Makes a call of the SDK; TimeoutError after `within` seconds. In the main thread a signal interrupts it."""
        # A call in a worker costs two switches of threads: one that needs neither deadline nor signals goes without.
        if within is None and threading.current_thread() is not threading.main_thread():
            return function(*args, **known)
        return from_worker(lambda: function(*args, **known), within)

    @staticmethod
    def finish(create: AnyCall, keep: AnyCall, kwargs: Mapping[str, object], within: float) -> None:
        """Does `keep(create(**kwargs))`, also when the caller is interrupted meanwhile: no sandbox may be forgotten.

        TimeoutError after `within` seconds; a sandbox that comes later is killed.
        """
        done: SimpleQueue[Outcome] = SimpleQueue()
        decided = threading.Lock()  # taken once: by a sandbox that came, or by the caller who leaves

        def make() -> None:
            made = create(**kwargs)
            if decided.acquire(blocking=False):
                keep(made)
            else:
                made.kill()

        in_worker(lambda: done.put(outcome_of(make)))
        try:
            outcome = done.get(timeout=within)
        except Empty:
            if decided.acquire(blocking=False):
                raise TimeoutError(_NO_SANDBOX) from None
            outcome = done.get()
        except BaseException:  # Ctrl-C: the sandbox that is on its way is waited for, and kept
            with contextlib.suppress(Empty):
                done.get(timeout=within)
            decided.acquire(blocking=False)
            raise
        outcome.get()

    blocking = call  # for functions of our own, such as the one that starts the local server
    sleep = staticmethod(time.sleep)

    @staticmethod
    def save(chunks: Iterable[bytes], stream: IO[bytes], most: int) -> None:
        """Writes what a download brings into `stream`. ArtifactError when that is more than `most` bytes."""
        from_worker(lambda: _saved(chunks, stream, most), None)

    @staticmethod
    def shielded(call: Callable[[], T]) -> T:
        """Returns `call()`. Only the async face knows cancellation."""
        return call()

    @staticmethod
    def acquire(lock: FairLock, timeout: float | None = None) -> bool:
        """Waits for a lock. False when `timeout` seconds went by."""
        return lock.acquire(timeout)

    @staticmethod
    def tell(handler: Callable[[T], object] | None, event: T) -> None:
        """Calls a handler of the caller's, and waits for what an async one does.

        That is done in a thread of its own, because the caller's thread may have a running event loop.
        """
        answer = handler(event) if handler is not None else None
        if inspect.isawaitable(answer):
            from_worker(lambda: asyncio.run(awaited(answer)))


class AsyncFace:
    """Returns awaitables, for `adrive` to await in the caller's event loop."""

    kind: Literal["sync", "async"] = "async"

    driver = staticmethod(adrive)

    @staticmethod
    def start_cell(run: AnyCall, received: CellOutput, on_output: OutputHandler | None) -> AsyncCell:
        """See `SyncFace.start_cell`."""
        return AsyncCell(run, received, partial(AsyncFace.tell, on_output) if on_output else None)

    @staticmethod
    def sandbox_class() -> SdkSandboxClass:
        """See `SyncFace.sandbox_class`."""
        from e2b_code_interpreter import AsyncSandbox

        return cast("SdkSandboxClass", AsyncSandbox)

    @staticmethod
    async def call(function: AnyCall, /, *args: object, within: float | None = None, **known: object) -> object:
        """See `SyncFace.call`."""
        async with asyncio.timeout(within):
            return await function(*args, **known)

    @staticmethod
    async def finish(create: AnyCall, keep: AnyCall, kwargs: Mapping[str, object], within: float) -> None:
        """See `SyncFace.finish`. The task goes on after the caller has left, and kills what it made then."""
        late = False

        async def make() -> None:
            made = await create(**kwargs)
            if late:
                await made.kill()
            else:
                keep(made)

        task = asyncio.ensure_future(make())
        # An exception that nobody asks for would be logged as "never retrieved": the caller may have left.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            await AsyncFace.shielded(lambda: asyncio.wait({task}, timeout=within))
        finally:
            late = not task.done()
        if late:
            raise TimeoutError(_NO_SANDBOX)
        await task

    @staticmethod
    async def shielded(call: Callable[[], Awaitable[T]]) -> T:
        """Awaits `call()` to its end, whoever cancels meanwhile. The cancellation is raised after it."""
        from anyio import CancelScope

        task = asyncio.ensure_future(call())
        cancelled: asyncio.CancelledError | None = None
        with CancelScope(shield=True):  # a scope of anyio's cancels again and again, until its task gives in
            while not task.done():
                try:
                    await asyncio.wait({task})
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled
        return task.result()

    @staticmethod
    async def blocking(function: AnyCall, /, *args: object) -> object:
        """Calls a blocking function of our own off the loop."""
        return await asyncio.to_thread(function, *args)

    sleep = staticmethod(asyncio.sleep)

    @staticmethod
    async def save(chunks: AsyncIterable[bytes], stream: IO[bytes], most: int) -> None:
        """See `SyncFace.save`."""
        async for chunk in chunks:
            _saved((chunk,), stream, most)

    @staticmethod
    def acquire(lock: FairLock, timeout: float | None = None) -> Awaitable[bool]:
        """See `SyncFace.acquire`."""
        return lock.aacquire(timeout)

    @staticmethod
    async def tell(handler: Callable[[T], object] | None, event: T) -> None:
        """See `SyncFace.tell`."""
        answer = handler(event) if handler is not None else None
        if inspect.isawaitable(answer):
            await answer


def _saved(chunks: Iterable[bytes], stream: IO[bytes], most: int) -> None:
    for chunk in chunks:
        if stream.write(chunk) and stream.tell() > most:
            raise ArtifactError(f"the sandbox sends more than {most:,} bytes")


Face = SyncFace | AsyncFace
"""How one step is done. A flow yields `partial(face.method, ...)`, and the face's driver does the rest."""
