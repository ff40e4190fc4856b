"""Reads the E2B SDK's objects as plain dicts of fields. The only module that knows the SDK's result fields.

Everything that a cell displays was written by code that a language model wrote: it is bounded in size and count, and a
payload that is not what its name says becomes an artifact of kind `other` with a note, never an exception. `result.py`
makes the models out of the dicts; the dicts are plain JSON already, except for a chart, which is a typed `Chart`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ci_integrations import _names
from ci_integrations._json import plain, text
from ci_integrations.results import tables as tables_text
from ci_integrations.results.clean import MAX_TRACEBACK, clean_traceback, strip_ansi
from ci_integrations.results.pictures import image_size

if TYPE_CHECKING:
    from ci_integrations.charts.chart import Chart

log = logging.getLogger(__name__)

MAX_ARTIFACTS = 256
"""Of one run; what comes after is counted in `truncated.results`."""
MAX_PAYLOAD = 32 * 1024 * 1024
"""Characters of one artifact's text, JSON or base64."""
_MAX_ALT = 1000
"""Characters of the text form of an object that has other forms, and of a payload that could not be read."""
_MAX_TABLE_ROWS = 1000
_MAX_MIME = 200
"""Characters."""

_TEXT_KINDS = ("html", "markdown", "svg", "latex", "javascript")
_OURS = (_names.CHART_MIME, _names.TABLE_MIME, _names.FILES_MIME)

BETWEEN = {
    "background": "written between two cells, in the background",
    "outside": "written between two cells",
}
"""The note of a file that changed while no cell ran, by what the kernel says of it."""

Fields = dict[str, object]
Read = TypeVar("Read")


class Display:
    """One object that a cell displayed: the SDK's `Result`, read once, when somebody first asks for its forms."""

    def __init__(self, result: object, number: int) -> None:
        """`number`: its place among everything that the cell displayed."""
        self._result = result
        self.number = number
        self.main = bool(getattr(result, "is_main_result", False))
        """True for the value of the cell's last expression."""
        shown: object = getattr(result, "text", None)
        self.text = None if shown is None else str(shown)
        """Its text form."""
        self.files_left_out = (0, 0)
        """How many files that the cell wrote are not named, and how many folders were not searched for them."""

    @cached_property
    def forms(self) -> list[Fields]:
        """The fields of its artifacts, without ids. The picture comes first, then the data behind it."""
        try:
            return list(self._read())  # to its end: an exception must not wait for whoever iterates
        except Exception as error:
            log.exception("display %d could not be read", self.number)
            return [self._unreadable(error)]

    def give_up(self, error: Exception) -> None:
        """Leaves a note in place of the forms: the model refused them, which is our fault."""
        self.forms = [self._unreadable(error)]

    def _unreadable(self, error: Exception) -> Fields:
        note = f"could not be read ({type(error).__name__})"
        return self._form("other", mime=_names.TEXT, data=text(str(self.text)[:_MAX_ALT]), note=note)

    def _form(self, kind: str, **fields: object) -> Fields:
        return {"id": "", "display": self.number, "main": self.main, **fields, "kind": kind}

    def _read(self) -> Iterator[Fields]:
        extra = getattr(self._result, "extra", None)
        rest = dict(extra) if isinstance(extra, Mapping) else {}
        forms = [*self._pictures(), *self._data(rest), *self._texts(), *self._others(rest)]
        if self.text is not None and not self.main:
            if forms:  # the first form stands for the object, so it gets its text
                forms[0]["alt"] = text(self.text[:_MAX_ALT])
            elif not any(self.files_left_out):
                forms = [self._form("other", mime=_names.TEXT, data=_bounded(self.text))]
        return iter(forms)

    def _pictures(self) -> Iterator[Fields]:
        for mime, name in ((_names.PNG, "png"), (_names.JPEG, "jpeg")):
            if (data := getattr(self._result, name, None)) is not None:
                yield self._image(mime, data)
        if (data := getattr(self._result, "pdf", None)) is not None:
            raw = _decode(data)
            yield self._malformed(_names.PDF, data) if raw is None else self._form("pdf", **_bytes(data, raw))

    def _image(self, mime: str, data: object) -> Fields:
        raw = _decode(data)
        if raw is None:
            return self._malformed(mime, data)
        width, height = image_size(raw)
        return self._form("image", mime=text(mime), **_bytes(data, raw), width=width, height=height)

    def _malformed(self, mime: str, data: object) -> Fields:
        start = text(str(data)[:_MAX_ALT])
        return self._form("other", mime=text(mime), data=start, note=text(f"not valid base64 {mime}"))

    def _data(self, rest: MutableMapping[str, object]) -> Iterator[Fields]:
        """Yields the data forms; what they were read from is taken out of `rest`."""
        chart = self._chart(rest)
        if chart is not None:
            # What a kernel calls an address is none: the host's own come with the whole run.
            yield self._form("chart", chart=chart.with_addresses(lambda _: None))
        table = self._table(rest)
        if table is not None:
            yield self._form("table", **table)
        if _names.FILES_MIME in rest:
            from ci_integrations.charts.read import tables

            found = _take(rest, _names.FILES_MIME, tables.files_from_mime)
            if found is not None:
                self.files_left_out = (found.more, found.folders)
                yield from (self._form("file", **file) for file in found.files)
        value: object = getattr(self._result, "json", None)
        if value is not None:
            bounded = _bounded_json(value)
            is_cut = isinstance(bounded, str) and not isinstance(value, str)
            yield self._form("json", data=bounded, note="too large: kept as cut text" if is_cut else None)

    def _chart(self, rest: MutableMapping[str, object]) -> Chart | None:
        """Ours first, then a plotting library's own MIME form, then E2B's chart, marked as not to be trusted."""
        e2b: object = getattr(self._result, "chart", None)
        if e2b is None and not rest:
            return None
        from ci_integrations.charts.read import dispatch  # here: the readers are slow to load, and few cells draw

        for mime in sorted(rest, key=lambda mime: mime != _names.CHART_MIME):
            chart = _take(rest, mime, partial(dispatch.chart_from_mime, mime))
            if chart is not None:
                return chart
        raw: object = e2b.to_dict() if hasattr(e2b, "to_dict") else None
        return dispatch.chart_from_e2b(raw) if isinstance(raw, dict) else None

    def _table(self, rest: MutableMapping[str, object]) -> Fields | None:
        if _names.TABLE_MIME in rest:
            from ci_integrations.charts.read import tables

            found = _take(rest, _names.TABLE_MIME, tables.table_from_mime)
            if found is not None:
                # Made here, because the rows themselves may go to a store.
                return _with_markdown(found)
        data = getattr(self._result, "data", None)
        return _table_from_columns(data) if isinstance(data, Mapping) else None

    def _texts(self) -> Iterator[Fields]:
        for kind in _TEXT_KINDS:
            if (value := getattr(self._result, kind, None)) is not None:
                yield self._form(kind, text=_bounded(str(value)))

    def _others(self, rest: Mapping[str, object]) -> Iterator[Fields]:
        """Yields MIME types that none of the above has taken, as they came."""
        for mime, payload in list(rest.items())[:MAX_ARTIFACTS]:
            # The name is a claim of hostile code: only bytes with a size are taken for a picture.
            if mime.startswith("image/") and image_size(_decode(payload) or b"") != (None, None):
                yield self._image(mime, payload)
                continue
            note = "malformed payload" if mime in _OURS else None
            yield self._form("other", mime=text(mime[:_MAX_MIME]), data=_bounded_json(payload), note=note)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the SDK gave of one run, and what is needed to read it."""

    displays: Sequence[Display] = ()
    stdout: str = ""
    stderr: str = ""
    error: object = None
    """The SDK's error, or one of ours with the same fields."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Characters of each stream that were not kept."""
    address: Callable[[str], str | None] | None = None
    """Gives the download address of a file in the sandbox, or None."""
    origin: Callable[[Fields], str | None] | None = None
    """Says where a file came from that changed between two cells; None: it is not the code's, and is left out."""

    def fields(self) -> Fields:
        """Returns the fields of a result: artifacts numbered, each chart linked to the picture of its own display."""
        found = [form for display in self.displays for form in display.forms if self._is_news(form)]
        left_out = [display.files_left_out for display in self.displays]
        kept = _linked(found[:MAX_ARTIFACTS])
        if self.address is not None:
            for form in kept:
                _add_address(form, self.address)
        main = (text(display.text) for display in self.displays if display.main and display.text is not None)
        return {
            "text": next(main, None),
            "stdout": text(self.stdout),
            "stderr": text(self.stderr),
            "error": None if self.error is None else _error_fields(self.error),
            "artifacts": kept,
            "truncated": {
                **self.lost,
                "results": max(0, len(found) - MAX_ARTIFACTS),
                "files": sum(files for files, _ in left_out),
                "folders": sum(folders for _, folders in left_out),
            },
        }

    def _is_news(self, form: Fields) -> bool:
        """Returns False for a file that somebody else put into the sandbox; says of others where they came from."""
        between = form.get("between")
        if form["kind"] != "file" or between is None:
            return True
        note = self.origin(form) if self.origin is not None else BETWEEN.get(str(between))
        form["note"] = note
        return note is not None


def _linked(forms: list[Fields]) -> list[Fields]:
    """Returns artifacts with their ids, and each chart with the picture of its own display."""
    numbered = [{**form, "id": f"a{number}"} for number, form in enumerate(forms)]
    # Reversed, so that the first picture of a display is the one that counts.
    pictures = {form["display"]: form["id"] for form in reversed(numbered) if form["kind"] == "image"}
    for form in numbered:
        if form["kind"] == "chart":
            form["image"] = pictures.get(form["display"])
    return numbered


def _with_markdown(table: dict[str, Any]) -> Fields:
    """Returns a table's fields with its first rows as text, made here because the rows themselves may go to a store."""
    names = [column["name"] for column in table["columns"]]
    shown = table.pop("shown", table["rows"])
    return {**table, "markdown": tables_text.markdown(names, shown, table["shape"][0])}


def _add_address(form: Fields, address: Callable[[str], str | None]) -> None:
    """Adds where to download what an artifact has in the sandbox: a file, the whole of a table, columns of a chart."""
    if form["kind"] == "file":
        form["url"] = address(str(form["path"]))
    elif form["kind"] == "chart":
        form["chart"] = cast("Chart", form["chart"]).with_addresses(address)
    elif form["kind"] == "table":
        whole = form.get("whole")
        if isinstance(whole, dict) and whole.get("path"):
            form["whole"] = {**whole, "url": address(str(whole["path"]))}


def _error_fields(error: object) -> Fields:
    """Returns an SDK error's fields, its traceback cleaned of colours and bounded."""
    name, value, trace = (getattr(error, field, None) for field in ("name", "value", "traceback"))
    return {
        "name": text(str(name)),
        "value": text(strip_ansi(str(value))[:MAX_TRACEBACK]),
        "traceback": text(clean_traceback(str(trace or ""))),
    }


def _take(rest: MutableMapping[str, object], mime: str, read: Callable[[object], Read | None]) -> Read | None:
    """Returns what `read` makes of `rest[mime]`, which leaves `rest` only when it could be read."""
    found = read(rest[mime])
    if found is not None:
        del rest[mime]
    return found


def _table_from_columns(data: Mapping[object, object]) -> Fields:
    """Reads E2B's `data`, a dict of columns. Its index and types are lost there, and so they are here."""
    columns = {str(name): values if isinstance(values, list) else [values] for name, values in data.items()}
    height = max((len(values) for values in columns.values()), default=0)
    shown = range(min(height, _MAX_TABLE_ROWS))
    return {
        "columns": [{"name": text(name), "dtype": "object"} for name in columns],
        "rows": plain([[values[n] if n < len(values) else None for values in columns.values()] for n in shown]),
        "shape": (height, len(columns)),
        "note": "index and column types were not sent",
    }


def _bytes(data: object, raw: bytes) -> Fields:
    return {"data": _one_line(data), "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def _bounded(value: str) -> str:
    return text(value)[:MAX_PAYLOAD]


def _bounded_json(value: object) -> object:
    safe: object = plain(value)
    # Numbers and None are short; what contains others is measured as it will be sent.
    if isinstance(safe, (str, list, dict)):
        dumped = json.dumps(safe)
        return safe if len(dumped) <= MAX_PAYLOAD else dumped[:MAX_PAYLOAD]
    return safe


def _one_line(data: object) -> str:
    return "".join(str(data).split())  # Jupyter breaks base64 into lines of 76 characters


def _decode(data: object) -> bytes | None:
    """Returns the bytes, or None when this is not base64 or too large."""
    if not isinstance(data, str) or len(data) > MAX_PAYLOAD:
        return None
    try:
        # Without `validate` Python skips whatever is no base64 and returns rubbish.
        return base64.b64decode(_one_line(data), validate=True)
    except (binascii.Error, ValueError):
        return None
