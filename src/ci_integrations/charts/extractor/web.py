"""Sends the specifications of plotly, altair and bokeh, which are decoded on the client, also of saved charts.

plotly and altair are told to show their JSON instead of megabytes of HTML. A figure that a cell writes to a file
without showing it is published at the end of the cell.
"""

# ruff: noqa: SIM105 - each `except` says why it drops the failure
from __future__ import annotations

import base64
import functools
import json
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from .matplotlib.hooks import hook
from .matplotlib.report import publish
from .state import STATE

if TYPE_CHECKING:
    from .foreign import Call, Drawn, Json, Reader, UserData


PLOTLY_MIME = "application/vnd.plotly.v1+json"
VEGALITE_MIME = "application/vnd.vegalite.v6+json"
BOKEH_MIME = "application/vnd.ci-bokeh.v1+json"
MAX_SPEC = 20_000_000
"""Characters; a larger specification is not sent."""


class _Shown:
    """Holds what this cell showed and saved, by object. Saved ones are kept alive until the sweep."""

    def __init__(self) -> None:
        self.cell = -1
        self.shown: list[object] = []
        self.saved: list[tuple[object, str]] = []

    def fresh(self) -> _Shown:
        """Forgets what earlier cells did."""
        if self.cell != STATE.cell:
            self.cell, self.shown, self.saved = STATE.cell, [], []
        return self

    def has_shown(self, obj: UserData) -> bool:
        """Says whether this cell showed the object: by identity, because figures compare by content."""
        return any(item is obj for item in self.fresh().shown)


_SEEN = _Shown()


def _mark_shown(self: object, a: Call, result: Drawn) -> None:
    """Notes that the cell showed this chart itself."""
    _SEEN.fresh().shown.append(self)


def _mark_saved(kind: str) -> Reader:
    """Returns what notes a saved chart of a library, up to 20 in one cell."""

    def after(self: object, a: Call, result: Drawn) -> None:
        if len(_SEEN.fresh().saved) < 20 and not any(item is self for item, _ in _SEEN.saved):
            _SEEN.saved.append((self, kind))

    return after


def patch_plotly(module: ModuleType) -> None:
    """Makes plotly show its JSON. `module` is plotly.io._renderers; a renderer that the environment chose stays."""
    if "PLOTLY_RENDERER" not in os.environ:
        module.renderers.default = "plotly_mimetype"
    if not module.nbformat:
        # plotly asks for nbformat only to know that somebody will display MIME bundles: we do.
        vars(module)["nbformat"] = type("nbformat", (), {"__version__": "5.10"})


def patch_plotly_figure(module: ModuleType) -> None:
    """`module` is plotly.basedatatypes."""
    figure = module.BaseFigure
    for name in ("show", "_repr_mimebundle_"):
        hook(figure, name, _mark_shown)


def patch_plotly_io(module: ModuleType) -> None:
    """`module` is plotly.io, whose functions `plotly.offline` calls too. Showing calls `to_html` with a dict."""
    from plotly.basedatatypes import BaseFigure

    mark = _mark_saved("plotly")
    for name in ("write_html", "write_image", "write_json"):
        _wrap_function(module, name, lambda fig: mark(fig, {}, None))
    _wrap_function(module, "to_html", lambda fig: mark(fig, {}, None) if isinstance(fig, BaseFigure) else None)


def patch_altair(module: ModuleType) -> None:
    """Makes altair show its JSON. `module` is altair."""
    module.renderers.enable("mimetype")
    hook(module.TopLevelMixin, "_repr_mimebundle_", _mark_shown)
    hook(module.TopLevelMixin, "save", _mark_saved("altair"))


def patch_bokeh_show(module: ModuleType) -> None:
    """`module` is bokeh.io.showing."""
    _wrap_function(module, "show", _bokeh_shown)


def patch_bokeh_save(module: ModuleType) -> None:
    """`module` is bokeh.io.saving."""
    _wrap_function(module, "save", lambda obj: _mark_saved("bokeh")(obj, {}, None))


def _wrap_function(module: ModuleType, name: str, after: Callable[[UserData], object]) -> None:
    """Makes each call of a function also call `after` with its first argument, wherever the function was imported."""
    original = getattr(module, name)

    @functools.wraps(original)
    def wrapped(*args: UserData, **kwargs: UserData) -> Drawn:
        __tracebackhide__ = True
        result = original(*args, **kwargs)
        try:
            after(args[0] if args else kwargs.get("obj", kwargs.get("fig")))
        except Exception:  # noqa: BLE001, S110 - what the user asked for is done
            pass
        return result

    for holder in [module, *(sys.modules.get(where) for where in ("bokeh.io", "bokeh.plotting"))]:
        if holder is not None and getattr(holder, name, None) is original:
            setattr(holder, name, wrapped)


def _bokeh_shown(obj: UserData) -> None:
    """Publishes what bokeh's `show` opened in a browser window of its own."""
    _SEEN.fresh().shown.append(obj)
    _publish(obj, "bokeh")


def sweep() -> None:
    """Publishes what was saved in this cell and not shown."""
    saved, _SEEN.fresh().saved = _SEEN.fresh().saved, []
    for obj, kind in saved:
        if not _SEEN.has_shown(obj):
            _publish(obj, kind)
    _SEEN.shown = []


def _publish(obj: UserData, kind: str) -> None:
    """Sends a chart's specification, unless it is too large."""
    mime, spec = _spec(obj, kind)
    # Written once to be measured: the display message writes it again, and cannot be taken back.
    if len(json.dumps(spec)) <= MAX_SPEC:
        publish({"text/plain": repr(type(obj).__name__), mime: spec})


def _spec(obj: UserData, kind: str) -> tuple[str, Json]:
    """Returns the MIME type and the specification of a chart, which its own library writes."""
    if kind == "plotly":
        from plotly.io import to_json

        return PLOTLY_MIME, json.loads(to_json(obj, validate=False))  # a figure, or one as a dict
    if kind == "altair":
        return VEGALITE_MIME, obj.to_dict()
    from bokeh.embed.util import OutputDocumentFor

    # Bokeh's current document keeps what earlier cells showed: only this object is wanted.
    with OutputDocumentFor([obj]) as document:
        return BOKEH_MIME, {"doc": _plain(document.to_json(deferred=False))}


def _plain(value: UserData) -> Json:
    """Returns JSON of what bokeh leaves as raw bytes and arrays for its own serialiser: they become base64."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if type(value).__name__ == "Buffer":
        value = value.data
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    return str(value)
