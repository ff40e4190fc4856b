"""When a figure is reported, and that it is reported once: shown, returned, saved, closed unseen, or drawn on Agg.

Displayed figures get their data from a formatter beside the PNG. Saved and closed figures are noted by hooks on
`Figure.savefig` and pyplot's figure manager, and published by the sweep at the end of the cell.
"""

# ruff: noqa: SLF001 - private names of the libraries it reads
from __future__ import annotations

import base64
import hashlib
import io
import marshal
import sys
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..state import STATE
from .figure import extract
from .hooks import hook

CHART_MIME = "application/vnd.ci-chart.v1+json"
MAX_PUBLISHED = 50
"""Figures that one cell may report without showing them."""
MAX_IMAGE = 8_000_000
"""Bytes of one saved picture that is sent along."""


@dataclass
class Pending:
    figure: Any
    payload: dict[str, Any]
    digest: str
    png: bytes | None = None


def digest_of(payload: dict[str, Any]) -> str:
    """The same for the same content, whatever way it was shown."""
    return hashlib.blake2b(marshal.dumps([payload["title"], payload["panels"]]), digest_size=12).hexdigest()


def is_figure(obj: Any) -> bool:
    return any(c.__module__ == "matplotlib.figure" and c.__name__ == "Figure" for c in type(obj).__mro__)


def safe_extract(figure: Any, how: str) -> dict[str, Any] | None:
    """Extraction that never raises: a figure that cannot be read has no data."""
    try:
        return extract(figure, how)
    except Exception:  # noqa: BLE001 - the picture is still shown; the cell must not fail for its data
        return None


def chart_of(figure: Any) -> dict[str, Any] | None:
    """What the formatter adds to a displayed figure: its payload, or None. Remembers that it was reported."""
    payload = safe_extract(figure, "returned" if _by_displayhook() else "shown")
    STATE.last = (figure, payload)
    if payload is not None and STATE.full:
        _remember(figure, digest_of(payload))
    return payload


def last_of(figure: Any) -> dict[str, Any] | None:
    """The payload that `chart_of` just made for this figure; asked for once, by the next formatter in line."""
    last, STATE.last = STATE.last, None
    return last[1] if last is not None and last[0] is figure else safe_extract(figure, "shown")


def already_reported(figure: Any) -> bool:
    """True when this very content was reported in this cell."""
    cell, digest = STATE.reported.get(figure, (-1, ""))
    if cell != STATE.cell:
        return False
    payload = safe_extract(figure, "shown")
    return payload is not None and digest_of(payload) == digest


def _by_displayhook() -> bool:
    frame: Any = sys._getframe()
    for _ in range(25):
        if frame is None:
            return False
        if frame.f_code.co_name == "compute_format_data":
            return True
        frame = frame.f_back
    return False


def _remember(figure: Any, digest: str) -> None:
    STATE.reported[figure] = (STATE.cell, digest)
    STATE.pending = [item for item in STATE.pending if item.figure is not figure or item.digest != digest]


def patch_figure(module: ModuleType) -> None:
    """`module` is matplotlib.figure."""
    hook(module.Figure, "savefig", _saved)


def patch_gcf(module: ModuleType) -> None:
    """`module` is matplotlib._pylab_helpers. Closing goes through here, however it was asked for."""
    gcf = module.Gcf
    for name in ("destroy", "destroy_all"):
        original = getattr(gcf, name)
        if hasattr(original, "_ci_hook"):
            continue
        setattr(gcf, name, classmethod(_closing(original.__func__, every=name == "destroy_all")))


def _closing(original: Any, *, every: bool) -> Any:
    def destroy(cls: Any, *args: Any) -> Any:
        __tracebackhide__ = True
        try:
            for manager in _managers(cls, args, every=every):
                _closed(manager.canvas.figure)
        except Exception:  # noqa: BLE001, S110 - closing is the user's business and goes on
            pass
        return original(cls, *args)

    destroy._ci_hook = True  # type: ignore[attr-defined]
    return destroy


def _managers(gcf: Any, args: Any, *, every: bool) -> list[Any]:
    if every:
        return list(gcf.figs.values())
    wanted = args[0]
    return [m for number, m in gcf.figs.items() if wanted is m or wanted == number]


def _saved(self: Any, a: dict[str, Any], result: Any) -> None:
    payload = safe_extract(self, "saved") if STATE.shell is not None else None
    if payload is None:
        return
    digest = digest_of(payload)
    if STATE.reported.get(self, (-1, ""))[1] == digest or len(STATE.pending) >= MAX_PUBLISHED:
        return
    STATE.pending = [item for item in STATE.pending if item.figure is not self or item.digest != digest]
    STATE.pending.append(Pending(self, payload, digest, _saved_png(a["fname"])))


def _saved_png(target: Any) -> bytes | None:
    """The picture just written, when it is a PNG of reasonable size."""
    if isinstance(target, io.BytesIO):
        data = target.getvalue()
    elif str(target).lower().endswith(".png"):
        with open(target, "rb") as file:  # noqa: PTH123 - any path-like will do
            data = file.read(MAX_IMAGE + 1)
    else:
        return None
    return data if data[:4] == b"\x89PNG" and len(data) <= MAX_IMAGE else None


def _closed(figure: Any) -> None:
    """A figure goes away: report what was never seen of it."""
    if STATE.shell is None or not is_figure(figure) or (figure in STATE.reported and not figure.stale):
        return
    payload = safe_extract(figure, "closed")
    if payload is None:
        return
    digest = digest_of(payload)
    saved = [item for item in STATE.pending if item.figure is figure]
    if any(item.digest == digest for item in saved):
        _flush(saved)
    elif STATE.reported.get(figure, (-1, ""))[1] != digest:
        _flush([*saved, Pending(figure, payload, digest)])


def sweep() -> None:
    """At the end of a cell: publish what was saved but not shown, and what a silent backend drew."""
    inline = _inline()
    open_figures = _open_figures()
    for item in list(STATE.pending):
        if inline and item.figure in open_figures and _current(item.figure) == item.digest:
            continue  # the inline backend shows it right after us
        _flush([item])
    STATE.pending = []
    if inline:
        return
    for figure in open_figures[:MAX_PUBLISHED]:
        payload = safe_extract(figure, "shown")
        if payload is not None and STATE.reported.get(figure, (-1, ""))[1] != digest_of(payload):
            _flush([Pending(figure, payload, digest_of(payload))])


def _current(figure: Any) -> str | None:
    payload = safe_extract(figure, "shown")
    return None if payload is None else digest_of(payload)


def _inline() -> bool:
    matplotlib = sys.modules.get("matplotlib")
    backend = matplotlib.rcParams._get("backend") if matplotlib is not None else ""
    return "inline" in str(backend)


def _open_figures() -> list[Any]:
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    return [m.canvas.figure for m in helpers.Gcf.get_all_fig_managers()] if helpers is not None else []


def _flush(items: list[Pending]) -> None:
    for item in items:
        png = item.png if item.png is not None else _render(item.figure)
        bundle: dict[str, Any] = {"text/plain": repr(item.figure), CHART_MIME: item.payload}
        if png is not None:
            bundle["image/png"] = base64.b64encode(png).decode("ascii")
        publish(bundle)
        _remember(item.figure, item.digest)


def publish(bundle: dict[str, Any]) -> None:
    """One display message, as long as this cell has not published too many."""
    if STATE.shell is None or STATE.published >= MAX_PUBLISHED:
        return
    STATE.published += 1
    STATE.shell.display_pub.publish(data=bundle, metadata={})


def _render(figure: Any) -> bytes | None:
    """The figure as PNG without touching its canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        canvas = figure.canvas
        try:
            FigureCanvasAgg(figure).print_figure(target, format="png", dpi=min(float(figure.dpi), 150))
        except Exception:  # noqa: BLE001 - data without a picture is better than nothing
            return None
        finally:
            figure.set_canvas(canvas)
    return target.getvalue()
