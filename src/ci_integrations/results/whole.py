"""Gets the whole of a table back, with its dtypes: from the artifact itself, a store, or the sandbox.

Sees tables through a Protocol, because `model.py` imports this module.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ci_integrations._errors import ArtifactError
from ci_integrations._fetching import fetched
from ci_integrations.frames.files import check_pandas, read_back

if TYPE_CHECKING:
    import pandas as pd


class Whole(Protocol):
    """What is needed of a `WholeTable`."""

    @property
    def sha256(self) -> str: ...
    @property
    def data(self) -> str | None: ...
    @property
    def path(self) -> str | None: ...
    @property
    def url(self) -> str | None: ...
    @property
    def ref(self) -> str | None: ...


class Named(Protocol):
    """A column."""

    @property
    def name(self) -> str: ...


class Table(Protocol):
    """What is needed of a `TableArtifact`."""

    @property
    def id(self) -> str: ...
    @property
    def whole(self) -> Any: ...
    @property
    def rows(self) -> Sequence[Sequence[Any]]: ...
    @property
    def columns(self) -> Sequence[Named]: ...
    @property
    def shape(self) -> tuple[int, int] | None: ...


def whole_table(table: Table, source: object) -> pd.DataFrame:
    """Returns the table of an artifact: see `TableArtifact.to_pandas`."""
    check_pandas("to_pandas")
    title = f"table {table.id}"
    whole: Whole | None = table.whole
    if whole is None:
        return _from_rows(table, title)
    data = _bytes(whole, source, title)
    if hashlib.sha256(data).hexdigest() != whole.sha256:
        raise ArtifactError(f"{title}: its bytes are not what they were when the cell ended")
    found, _ = read_back(title, io.BytesIO(data))
    return found


def _from_rows(table: Table, title: str) -> pd.DataFrame:
    import pandas as pd

    if table.shape is not None and len(table.rows) < table.shape[0]:
        raise ArtifactError(f"{title}: only its first {len(table.rows)} rows were kept")
    return pd.DataFrame([list(row) for row in table.rows], columns=[column.name for column in table.columns])


def _bytes(whole: Whole, source: object, title: str) -> bytes:
    if isinstance(source, (bytes, bytearray)):
        return bytes(source)
    if whole.data is not None:
        return base64.b64decode(whole.data)
    return _fetched(whole, source, title)


def _fetched(whole: Whole, source: object, title: str) -> bytes:
    """Returns what lies in a store, or in the sandbox."""
    read, download = getattr(source, "read", None), getattr(source, "download", None)
    if whole.ref is not None and callable(read):
        return bytes(read(whole.ref, name=title))
    if whole.path is not None and callable(fetch := download or source):
        return _downloaded(fetch, whole.path, title)
    if whole.path is not None and whole.url is not None and source is None:
        return fetched(whole.path, whole.url, whole.sha256)
    raise ArtifactError(f"{title} is {_where(whole)}")


def _where(whole: Whole) -> str:
    return "in a store: to_pandas(store)" if whole.ref else f"in the sandbox: to_pandas(interpreter), {whole.path}"


def _downloaded(fetch: Callable[[str], Any], path: str, title: str) -> bytes:
    data = fetch(path)
    if inspect.iscoroutine(data):
        data.close()
        raise ArtifactError(f"{title}: give the bytes, to_pandas(await interpreter.download(table.whole.path))")
    return bytes(data)
