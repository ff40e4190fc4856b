"""Carries tables into one session's kernels and out of them, and puts them again into a kernel that is a new one.

A table travels as a file (see `frames/`), which a hidden cell reads or writes. What the kernel answers and writes is a
stranger's word.
"""

from __future__ import annotations

import json
import logging
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from ci_integrations._core.client import SandboxClient
from ci_integrations._core.flow import Flow
from ci_integrations._core.hidden.shipping import EXTRACTOR, FINDER
from ci_integrations._core.kernels import Kernels, forgotten
from ci_integrations._core.notices import changed_table, not_put_again, put_again
from ci_integrations._core.state import KernelState, SessionState
from ci_integrations._errors import ArtifactError, ConfigurationError
from ci_integrations.errors import SandboxError
from ci_integrations.frames import files

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("ci_integrations")

Table: TypeAlias = "pd.DataFrame"
"""What `get` gives: a DataFrame, or what else the variable is: a Series, a frame of polars, a table of pyarrow."""

_FOLDER = "/tmp/.ci_frames"  # noqa: S108 - in the sandbox, outside the user's directory
"""The sandbox's folder for tables on their way."""
_ABSENT = "codec"
"""The key by which a cell says that the kernel has no codec yet."""
_SECONDS = 30.0
"""What a hidden cell has at least; each megabyte of tables gives it a little more."""
_SECONDS_PER_MEGABYTE = 0.5
_MAX_NOTES = 100
"""Sentences about one table that are taken from a kernel."""
_NOTE_CHARS = 400


@dataclass(frozen=True)
class PutTable:
    """Says what came of one table that was put into the sandbox."""

    name: str
    rows: int
    columns: int
    notes: tuple[str, ...] = ()
    """What is not there as it was here, a sentence for each: empty for nearly every table."""


class Carrier:
    """Carries tables for one session through one face. Its callers hold the kernel's lock."""

    def __init__(self, state: SessionState, client: SandboxClient, kernels: Kernels) -> None:
        self.state, self.client, self.kernels = state, client, kernels

    def ready(self, kernel: KernelState) -> Flow[None]:
        """Makes sure that the kernel is prepared and answers, and has the tables that belong to it."""
        yield from self.kernels.settle(kernel)
        if kernel.equipped:
            return
        if kernel.tables and kernel.language == "python":
            yield from self._furnish(kernel)
        kernel.equipped = True

    def put(self, kernel: KernelState, tables: Mapping[str, object]) -> Flow[list[PutTable]]:
        """Makes variables of `tables`. Raises ConfigurationError for what is no table."""
        there = yield from self._hello(kernel, ())
        sent = []
        places = []
        for name, table in tables.items():
            path = f"{_FOLDER}/in-{uuid.uuid4().hex}"
            said = yield from self._send(name, table, path, there)
            sent.append((name, said))
            places.append((name, path))
        megabytes = sum(said["bytes"] for _, said in sent) / 1e6
        answer = yield from self._ask(kernel, "load", places, megabytes=megabytes)
        notes = answer.get("notes")
        notes = notes if isinstance(notes, dict) else {}
        return [self._put_table(name, said, notes.get(name)) for name, said in sent]

    def _put_table(self, name: str, said: Mapping[str, Any], there: object) -> PutTable:
        found = dict.fromkeys([*said["notes"], *(_sentences(there))])
        for note in found:
            logger.warning("session %s: %s does not arrive as it was given: %s", self.state.id, name, note)
        return PutTable(name, said["rows"], said["columns"], tuple(found))

    def _send(self, name: str, table: object, path: str, there: Mapping[str, object]) -> Flow[dict[str, Any]]:
        known = {"arrow_there": there.get("arrow") is True, "polars_there": there.get("polars") is True}
        stream, said = yield partial(self.client.face.blocking, partial(files.written, name, table, **known))
        with stream:
            said["bytes"] = stream.seek(0, 2)
            stream.seek(0)
            yield from self.client.call(self.client.sandbox.files.write, path, stream)
        return said  # type: ignore[no-any-return]

    def get(self, kernel: KernelState, name: str, max_bytes: int) -> Flow[Table]:
        """Returns the table that a variable holds. Raises ArtifactError when there is none, or a larger one."""
        path = f"{_FOLDER}/out-{uuid.uuid4().hex}"
        here = yield partial(self.client.face.blocking, files.capabilities)
        said = yield from self._ask(kernel, "write", name, path, *here, megabytes=max_bytes / 1e6)
        try:
            if not isinstance(said.get("size"), int) or said["size"] > max_bytes:
                raise ArtifactError(f"{name}: {said.get('size')} bytes are more than max_bytes={max_bytes:,}")
            with tempfile.TemporaryFile(prefix="ci-frame-") as stream:
                yield from self._fetch(path, stream, max_bytes)
                table, notes = yield partial(self.client.face.blocking, partial(files.read_back, name, stream))
        finally:
            yield from self.client.quietly(self.client.call(self.client.sandbox.files.remove, path))
        for note in dict.fromkeys([*_sentences(said.get("notes")), *notes]):
            logger.warning("session %s: %s does not come out as it was: %s", self.state.id, name, note)
        return table

    def _fetch(self, path: str, stream: IO[bytes], max_bytes: int) -> Flow[None]:
        chunks = yield from self.client.call(self.client.sandbox.files.read, path, format="stream")
        yield partial(self.client.face.save, chunks, stream, max_bytes)
        stream.seek(0)

    def _furnish(self, kernel: KernelState) -> Flow[None]:
        """Puts those of the kernel's tables into it that it has not, and leaves events for its next result."""
        if self.state.options.on_sandbox_lost == "recreate" and self.state.generation:
            _let_go(kernel)
        there = yield from self._hello(kernel, tuple(kernel.tables))
        absent = [name for name in _names(there.get("absent")) if name in kernel.tables]
        if not absent:
            return
        _arrived(kernel, (yield from self.put(kernel, {name: kernel.tables[name] for name in absent})))

    def _hello(self, kernel: KernelState, names: tuple[str, ...]) -> Flow[dict[str, Any]]:
        """Returns what the kernel can read, and which of the names it has not."""
        return self._ask(kernel, "hello", names)

    def _ask(self, kernel: KernelState, call: str, *arguments: object, megabytes: float = 0) -> Flow[dict[str, Any]]:
        """Returns what a function of `frames/codec/kernel.py` answers. A kernel without the codec gets it before."""
        seconds = _SECONDS + min(600.0, _SECONDS_PER_MEGABYTE * megabytes)
        code = forgotten(_cell(call, *arguments))
        answer = yield from self._answered(kernel, code, seconds)
        if answer.get(_ABSENT) is False:
            yield from self.client.call(self.client.sandbox.files.write_files, EXTRACTOR.files)
            answer = yield from self._answered(kernel, code, seconds)
        if answer.get(_ABSENT) is False:
            raise ConfigurationError("tables go into a kernel that has pandas and NumPy: packages=['pandas']")
        if isinstance(answer.get("error"), str):
            raise ArtifactError(answer["error"][:2000])
        return answer

    def _answered(self, kernel: KernelState, code: str, seconds: float) -> Flow[dict[str, Any]]:
        execution = yield from self.kernels.hidden(kernel, code, seconds)
        if execution.error is not None:
            raise SandboxError(f"the kernel failed on a table: {execution.error.name}: {execution.error.value}"[:500])
        return _answer("".join(execution.logs.stdout))


def _let_go(kernel: KernelState) -> None:
    """Forgets the tables that were lost with a sandbox, where nothing is to be brought back."""
    gone = tuple(name for name, arrived in kernel.tables_arrived.items() if arrived)
    kernel.tables = {name: table for name, table in kernel.tables.items() if name not in gone}
    kernel.pending_events += [not_put_again(gone)] if gone else []


def _arrived(kernel: KernelState, put: list[PutTable]) -> None:
    """Notes which tables are in the kernel now, and leaves events for those that are back and those that changed."""
    again = tuple(one.name for one in put if kernel.tables_arrived.get(one.name))
    kernel.pending_events += [put_again(again)] if again else []
    kernel.pending_events += [changed_table(one.name, one.notes) for one in put if one.notes and one.name not in again]
    kernel.tables_arrived.update({one.name: True for one in put})


def _cell(call: str, *arguments: object) -> str:
    """Returns a cell that calls a function of `frames/codec/kernel.py` with the shell and `arguments`, plain JSON.

    It leaves no name. Where the kernel has no codec it prints `{"codec": false}`.
    """
    source = (
        f"{FINDER}\nimport json\nfound = find(*{EXTRACTOR.wanted('_ci_frames')!r})\n"
        f"if found is None:\n    print(json.dumps({{{_ABSENT!r}: False}}))\nelse:\n"
        f"    importlib.import_module(found.__name__ + '.kernel').{call}(shell, *json.loads({json.dumps(arguments)!r}))"
    )
    return f"exec({source!r}, {{'shell': get_ipython()}})"


def _answer(printed: str) -> dict[str, Any]:
    """Returns the last line of a hidden cell's output. Raises SandboxError when it is no answer."""
    try:
        answer = json.loads(printed.strip().rpartition("\n")[2])
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise SandboxError("the kernel gave no answer about a table")
    return answer


def _sentences(notes: object) -> list[str]:
    given = notes[:_MAX_NOTES] if isinstance(notes, list) else []
    return [" ".join(str(note)[:_NOTE_CHARS].split()) for note in given if isinstance(note, str)]


def _names(given: object) -> list[str]:
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
