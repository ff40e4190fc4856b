"""E2B's Execution and Result, as an `ExecutionResult`. The only module that knows the SDK's result fields.

Everything in an envelope was written by code that a language model wrote: it is bounded in size and count, and a
payload that is not what its name says becomes an artifact of kind `other` with a note, never an exception.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from ci_integrations._json import plain, text
from ci_integrations.results.clean import MAX_TRACEBACK, clean_traceback, strip_ansi
from ci_integrations.results.model import (
    Artifact,
    ChartArtifact,
    ExecutionError,
    FileArtifact,
    ImageArtifact,
    JsonArtifact,
    OtherArtifact,
    PdfArtifact,
    TableArtifact,
    TextArtifact,
    Truncation,
)
from ci_integrations.results.pictures import image_size
from ci_integrations.results.result import ExecutionResult

log = logging.getLogger(__name__)

CHART_MIME = "application/vnd.ci-chart.v1+json"
TABLE_MIME = "application/vnd.ci-table.v1+json"
FILES_MIME = "application/vnd.ci-files.v1+json"

MAX_ARTIFACTS = 256
"""Of one run; what comes after is counted in `truncated.results`."""
MAX_PAYLOAD = 32 * 1024 * 1024
"""Characters of one artifact's text, JSON or base64."""

_TEXT_KINDS: tuple[Literal["html", "markdown", "svg", "latex", "javascript"], ...] = (
    "html", "markdown", "svg", "latex", "javascript",
)  # fmt: skip


def result_from_execution(execution: Any, **known: Any) -> ExecutionResult:
    """The SDK's `Execution` as ours. `known` gives the fields that it does not have: `code`, `sandbox_id` ..."""
    known.setdefault("execution_count", execution.execution_count)
    logs = execution.logs
    return result_from_parts(execution.results, "".join(logs.stdout), "".join(logs.stderr), execution.error, **known)


def result_from_parts(
    results: Sequence[Any], stdout: str = "", stderr: str = "", error: Any = None, **known: Any
) -> ExecutionResult:
    """The same from what the SDK's callbacks gave, for a run that did not end well and left no `Execution`."""
    found = list(_artifacts(results))
    kept = tuple(item.model_copy(update={"id": f"a{n}"}) for n, item in enumerate(found[:MAX_ARTIFACTS]))
    known.setdefault("truncated", Truncation(results=max(0, len(found) - MAX_ARTIFACTS)))
    return ExecutionResult(
        text=_main_text(results),
        stdout=stdout,
        stderr=stderr,
        error=None if error is None else error_from(error),
        artifacts=_link_charts(kept),
        **known,
    )


def error_from(error: Any) -> ExecutionError:
    """An SDK error with its traceback cleaned of colours and bounded."""
    trace = clean_traceback(str(error.traceback or ""))
    return ExecutionError(name=str(error.name), value=strip_ansi(str(error.value))[:MAX_TRACEBACK], traceback=trace)


def artifacts_from_result(result: Any, display: int = 0) -> tuple[Artifact, ...]:
    """The artifacts of one SDK `Result`, for live output; ids are given when the run is complete."""
    return tuple(_forms(result, display))


def _main_text(results: Iterable[Any]) -> str | None:
    for result in results:
        if result.is_main_result and result.text is not None:
            return str(result.text)
    return None


def _artifacts(results: Sequence[Any]) -> Iterator[Artifact]:
    for display, result in enumerate(results):
        yield from _forms(result, display)


def _forms(result: Any, display: int) -> Iterator[Artifact]:
    """As `_read_forms`; a payload that breaks its reader is our fault: logged, but never the caller's exception."""
    try:
        yield from list(_read_forms(result, display))
    except Exception as error:
        log.exception("display %d could not be read", display)
        note = f"could not be read ({type(error).__name__})"
        yield OtherArtifact(
            id="",
            display=display,
            main=bool(result.is_main_result),
            mime="text/plain",
            data=str(result.text)[:1000],
            note=note,
        )


def _read_forms(result: Any, display: int) -> Iterator[Artifact]:
    """One displayed object in all the forms it came in. The picture comes first, then the data behind it."""
    extra = dict(result.extra) if isinstance(result.extra, Mapping) else {}
    common: dict[str, Any] = {"id": "", "display": display, "main": bool(result.is_main_result)}
    forms = [*_pictures(result, common), *_data(result, extra, common), *_texts(result, common), *_rest(extra, common)]
    if not forms and not result.is_main_result and result.text is not None:
        forms = [OtherArtifact(**common, mime="text/plain", data=_bounded(str(result.text)))]
    if forms and result.text is not None and not result.is_main_result:
        forms[0] = forms[0].model_copy(update={"alt": text(str(result.text)[:1000])})
    yield from forms


def _pictures(result: Any, common: dict[str, Any]) -> Iterator[Artifact]:
    for mime, data in (("image/png", result.png), ("image/jpeg", result.jpeg)):
        if data is not None:
            yield _image(mime, data, common)
    if result.pdf is not None:
        raw = _decode(result.pdf)
        yield (
            PdfArtifact(**common, data=_one_line(result.pdf), size=len(raw), sha256=hashlib.sha256(raw).hexdigest())
            if raw is not None
            else _malformed("application/pdf", result.pdf, common)
        )


def _image(mime: str, data: Any, common: dict[str, Any]) -> Artifact:
    raw = _decode(data)
    if raw is None:
        return _malformed(mime, data, common)
    width, height = image_size(raw)
    return ImageArtifact(
        **common,
        mime=mime,
        data=_one_line(data),
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        width=width,
        height=height,
    )


def _data(result: Any, extra: dict[str, Any], common: dict[str, Any]) -> Iterator[Artifact]:
    """The data forms; what they were read from is taken out of `extra`."""
    chart = _chart(result, extra)
    if chart is not None:
        yield ChartArtifact(**common, chart=chart)
    table = _table(result, extra)
    if table is not None:
        yield TableArtifact(**{**table, **common})
    for file in _take(extra, FILES_MIME, _tables().files_from_mime) or ():
        yield FileArtifact(**{**file, **common})
    if result.json is not None:
        yield _json(result.json, common)


def _readers() -> Any:
    """Loaded when a first result needs it: the chart readers are not for everybody."""
    from ci_integrations.charts.read import dispatch

    return dispatch


def _tables() -> Any:
    from ci_integrations.charts.read import tables

    return tables


def _take(extra: dict[str, Any], mime: str, read: Callable[[Any], Any]) -> Any:
    """What `read` makes of `extra[mime]`; it leaves `extra` only when it could be read."""
    if mime not in extra:
        return None
    found = read(extra[mime])
    if found is not None:
        del extra[mime]
    return found


def _chart(result: Any, extra: dict[str, Any]) -> Any:
    """Ours first, then a plotting library's own MIME form, then E2B's chart, marked as not to be trusted."""
    for mime in sorted(extra, key=lambda mime: mime != CHART_MIME):
        chart = _take(extra, mime, partial(_readers().chart_from_mime, mime))
        if chart is not None:
            return chart
    raw = result.chart.to_dict() if result.chart is not None else None
    return _readers().chart_from_e2b(raw) if isinstance(raw, dict) else None


def _table(result: Any, extra: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = _take(extra, TABLE_MIME, _tables().table_from_mime)
    if found is None and isinstance(result.data, Mapping):
        return _table_from_columns(result.data)
    return found


def _table_from_columns(data: Mapping[str, Any]) -> dict[str, Any]:
    """E2B's `data`: a dict of columns. Its index and types are lost there, and so they are here."""
    columns = {str(name): values if isinstance(values, list) else [values] for name, values in data.items()}
    height = max((len(values) for values in columns.values()), default=0)
    rows = [[values[n] if n < len(values) else None for values in columns.values()] for n in range(min(height, 1000))]
    return {
        "columns": [{"name": name, "dtype": "object"} for name in columns],
        "rows": plain(rows),
        "shape": (height, len(columns)),
        "note": "index and column types were not sent",
    }


def _texts(result: Any, common: dict[str, Any]) -> Iterator[Artifact]:
    for kind in _TEXT_KINDS:
        value = getattr(result, kind)
        if value is not None:
            yield TextArtifact(**common, kind=kind, text=_bounded(str(value)))


def _rest(extra: Mapping[str, Any], common: dict[str, Any]) -> Iterator[Artifact]:
    """MIME types that none of the above has taken, as they came."""
    for mime, payload in list(extra.items())[:MAX_ARTIFACTS]:
        if mime.startswith("image/") and image_size(_decode(payload) or b"") != (None, None):
            yield _image(mime, payload, common)
            continue
        note = "malformed payload" if mime in (CHART_MIME, TABLE_MIME, FILES_MIME) else None
        yield OtherArtifact(**common, mime=mime[:200], data=_bounded_json(payload), note=note)


def _json(value: Any, common: dict[str, Any]) -> Artifact:
    bounded = _bounded_json(value)
    note = "too large: kept as cut text" if isinstance(bounded, str) and not isinstance(value, str) else None
    return JsonArtifact(**common, data=bounded, note=note)


def _malformed(mime: str, data: Any, common: dict[str, Any]) -> OtherArtifact:
    return OtherArtifact(**common, mime=mime, data=_bounded(str(data)[:1000]), note=f"not valid base64 {mime}")


def _link_charts(artifacts: tuple[Artifact, ...]) -> tuple[Artifact, ...]:
    """Each chart names the picture of its own display."""
    picture = {a.display: a.id for a in reversed(artifacts) if isinstance(a, ImageArtifact)}
    return tuple(
        a.model_copy(update={"image": picture.get(a.display)}) if isinstance(a, ChartArtifact) else a for a in artifacts
    )


def _bounded(value: str) -> str:
    value = text(value)
    return value if len(value) <= MAX_PAYLOAD else value[:MAX_PAYLOAD]


def _bounded_json(value: Any) -> Any:
    safe = plain(value)
    if isinstance(safe, (str, list, dict)):
        dumped = json.dumps(safe)
        return safe if len(dumped) <= MAX_PAYLOAD else dumped[:MAX_PAYLOAD]
    return safe


def _one_line(data: Any) -> str:
    return "".join(str(data).split())


def _decode(data: Any) -> bytes | None:
    """The bytes, or None when this is not base64 or too large."""
    if not isinstance(data, str) or len(data) > MAX_PAYLOAD:
        return None
    try:
        return base64.b64decode(_one_line(data), validate=True)
    except (binascii.Error, ValueError):
        return None
