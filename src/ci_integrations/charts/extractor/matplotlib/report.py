"""Reports each figure once: when it is shown, returned, saved, closed unseen, or drawn on a silent backend.

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
from types import FrameType, ModuleType
from typing import TYPE_CHECKING

from ..state import STATE, Pending
from .figure import extract
from .hooks import hook

if TYPE_CHECKING:
    from ..foreign import Bundle, Call, Drawn, Figure, Function, Gcf, Manager, Payload, UserData


CHART_MIME = "application/vnd.ci-chart.v1+json"
MAX_PUBLISHED = 50
"""Figures that one cell may report without showing them."""
MAX_IMAGE = 8_000_000
"""Bytes of one saved picture that is sent along."""


def digest_of(payload: Payload) -> str:
    """Returns a hash that is the same for the same content, in whatever way it was shown."""
    return hashlib.blake2b(marshal.dumps([payload["title"], payload["panels"]]), digest_size=12).hexdigest()


def is_figure(obj: object) -> bool:
    """Says whether an object is a matplotlib figure, without importing matplotlib."""
    return any(c.__module__ == "matplotlib.figure" and c.__name__ == "Figure" for c in type(obj).__mro__)


def safe_extract(figure: Figure, how: str) -> Payload | None:
    """Returns the figure as data, or None when that fails. Never raises."""
    try:
        return extract(figure, how)
    except Exception:  # noqa: BLE001 - the picture is still shown; the cell must not fail for its data
        return None


def chart_of(figure: Figure) -> Payload | None:
    """Returns the payload that the formatter adds to a displayed figure, or None, and notes that it was reported."""
    payload = safe_extract(figure, "returned" if _by_displayhook() else "shown")
    STATE.last = (figure, payload)
    if payload is not None and STATE.full:
        _remember(figure, digest_of(payload))
    return payload


def last_of(figure: Figure) -> Payload | None:
    """Returns the payload that `chart_of` just made for this figure; the next formatter asks for it once."""
    last, STATE.last = STATE.last, None
    return last[1] if last is not None and last[0] is figure else safe_extract(figure, "shown")


def already_reported(figure: Figure) -> bool:
    """Says whether this very content was reported in this cell."""
    cell, digest = STATE.reported.get(figure, (-1, ""))
    if cell != STATE.cell:
        return False
    payload = safe_extract(figure, "shown")
    return payload is not None and digest_of(payload) == digest


def _by_displayhook() -> bool:
    """Says whether the running formatter was called for the value of a cell, rather than by `display`."""
    frame: FrameType | None = sys._getframe()
    for _ in range(25):  # it is a few frames away, and user code may be very deep
        if frame is None or frame.f_code.co_name == "compute_format_data":
            return frame is not None
        frame = frame.f_back
    return False


def _remember(figure: Figure, digest: str) -> None:
    """Notes that this content was reported, so that it no longer waits."""
    STATE.reported[figure] = (STATE.cell, digest)
    _forget(figure, digest)


def _forget(figure: Figure, digest: str) -> None:
    """Takes this content of a figure out of what waits for the end of the cell."""
    STATE.pending = [item for item in STATE.pending if item.figure is not figure or item.digest != digest]


def _last_digest(figure: Figure) -> str:
    """Returns the digest under which a figure was last reported, empty when it never was."""
    return STATE.reported.get(figure, (-1, ""))[1]


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


def _closing(original: Function, *, every: bool) -> Function:
    """Returns `destroy` or `destroy_all` of pyplot's manager, with a look at the figures before they go."""

    def destroy(cls: Gcf, *args: UserData) -> object:
        __tracebackhide__ = True
        try:
            for manager in _managers(cls, args, every=every):
                _closed(manager.canvas.figure)
        except Exception:  # noqa: BLE001, S110 - closing is the user's business and goes on
            pass
        return original(cls, *args)

    destroy._ci_hook = True  # type: ignore[attr-defined]
    return destroy


def _managers(gcf: Gcf, args: tuple[UserData, ...], *, every: bool) -> list[Manager]:
    """Returns the managers that are about to be closed: all, or the one that is named by itself or its number."""
    if every:
        return list(gcf.figs.values())
    wanted = args[0]
    return [m for number, m in gcf.figs.items() if wanted is m or wanted == number]


def _saved(self: Figure, a: Call, result: Drawn) -> None:
    """Notes a figure that `savefig` wrote; it is reported at the end of the cell unless it is shown until then."""
    payload = safe_extract(self, "saved") if STATE.shell is not None else None
    if payload is None:
        return
    digest = digest_of(payload)
    if _last_digest(self) != digest and len(STATE.pending) < MAX_PUBLISHED:
        _forget(self, digest)
        STATE.pending.append(Pending(self, payload, digest, _saved_png(a["fname"])))


def _saved_png(target: UserData) -> bytes | None:
    """Returns the picture just written, when it is a PNG of at most `MAX_IMAGE` bytes."""
    if isinstance(target, io.BytesIO):
        data = target.getvalue()
    elif str(target).lower().endswith(".png"):
        with open(target, "rb") as file:  # noqa: PTH123 - any path-like will do
            data = file.read(MAX_IMAGE + 1)
    else:
        return None
    return data if data[:4] == b"\x89PNG" and len(data) <= MAX_IMAGE else None


def _closed(figure: Figure) -> None:
    """Reports what was never seen of a figure that is closed."""
    if STATE.shell is None or not is_figure(figure) or (figure in STATE.reported and not figure.stale):
        return
    payload = safe_extract(figure, "closed")
    if payload is None:
        return
    digest = digest_of(payload)
    saved = [item for item in STATE.pending if item.figure is figure]
    if any(item.digest == digest for item in saved):
        _flush(saved)
    elif _last_digest(figure) != digest:
        _flush([*saved, Pending(figure, payload, digest)])


def sweep() -> None:
    """Publishes at the end of a cell what was saved but not shown, and what a silent backend drew."""
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
        if payload is not None and _last_digest(figure) != (digest := digest_of(payload)):
            _flush([Pending(figure, payload, digest)])


def _current(figure: Figure) -> str | None:
    """Returns the digest of a figure as it is now."""
    payload = safe_extract(figure, "shown")
    return None if payload is None else digest_of(payload)


def _inline() -> bool:
    """Says whether the inline backend will show the open figures."""
    # `_get` reads the setting as it is: `rcParams["backend"]` would choose a backend if there is none yet.
    matplotlib = sys.modules.get("matplotlib")
    backend = matplotlib.rcParams._get("backend") if matplotlib is not None else ""
    return "inline" in str(backend)


def _open_figures() -> list[Figure]:
    """Returns the figures that pyplot keeps, without importing it."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    return [m.canvas.figure for m in helpers.Gcf.get_all_fig_managers()] if helpers is not None else []


def _flush(items: list[Pending]) -> None:
    """Publishes figures with their pictures."""
    for item in items:
        png = item.png if item.png is not None else _render(item.figure)
        bundle: Bundle = {"text/plain": repr(item.figure), CHART_MIME: item.payload}
        if png is not None:
            bundle["image/png"] = base64.b64encode(png).decode("ascii")
        publish(bundle)
        _remember(item.figure, item.digest)


def publish(bundle: Bundle) -> None:
    """Sends one display message, unless this cell has published `MAX_PUBLISHED` already."""
    if STATE.shell is None or STATE.published >= MAX_PUBLISHED:
        return
    STATE.published += 1
    STATE.shell.display_pub.publish(data=bundle, metadata={})


def _render(figure: Figure) -> bytes | None:
    """Returns the figure as PNG and leaves it its canvas; None when it cannot be drawn."""
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
