"""The Python kernel turns a value into a MIME bundle here, and makes it JSON-safe.

It adds to IPython's own formatters: lists and dicts as `application/json`, and pictures that Pillow saves or shows.
Figures and tables as data, neutral and in E2B's `e2b/chart` and `e2b/data`, come from `charts.extractor`.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import enum
import importlib.util
import json
import math
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from IPython.core.formatters import JSONFormatter
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from ci_integrations.charts import extractor
from ci_integrations.local.protocol import frames

Bundle = frames.Frame


class ListsAndDicts(JSONFormatter):
    """Gives `application/json` also to lists and dicts that are JSON; other lists and dicts have their text only."""

    def __call__(self, obj: object) -> object:
        if not isinstance(obj, (list, dict)):
            return super().__call__(obj)
        try:
            plain = json_value(obj, strict=True)
        except (TypeError, ValueError, RecursionError):
            return None
        return plain


def add_formatters(shell: Any) -> None:
    """Gives `shell` our formatters: lists and dicts, charts and tables."""
    formatter = shell.display_formatter
    formatter.formatters["application/json"] = ListsAndDicts(parent=formatter)
    extractor.install(shell, full=False)


def install_full_extractor(shell: InteractiveShell) -> None:
    """Reports everything that the code draws, saves and writes, as the extractor does in a cloud kernel."""
    extractor.install(shell, full=True)


def json_value(value: object, depth: int = frames.MAX_JSON_DEPTH, *, strict: bool = False) -> object:
    """Returns `value` as plain JSON; NaN becomes null. A value that JSON has no form for becomes its string.

    With `strict`, such a value raises TypeError, and a lone surrogate UnicodeEncodeError. Raises ValueError for nesting
    deeper than `depth`.
    """
    if isinstance(value, str):
        return _text(value, strict=strict)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _integer(value, strict=strict)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth <= 0:
        raise ValueError("nested too deeply")
    if isinstance(value, Mapping):
        return {_key(key, strict=strict): json_value(item, depth - 1, strict=strict) for key, item in value.items()}
    # A named tuple is an array to some encoders and an object to others: when strict, it is neither.
    if isinstance(value, (list, tuple)) and not (strict and isinstance(value, tuple) and type(value) is not tuple):
        return [json_value(item, depth - 1, strict=strict) for item in value]
    return _other(value, depth, strict=strict)


def _text(value: str, *, strict: bool) -> str:
    if strict and not value.isascii():
        value.encode()  # raises for a lone surrogate
    return value


def _integer(value: int, *, strict: bool) -> int | str:
    """`value` itself, or its digits as text when it needs more than 64 bits."""
    if -(1 << 63) <= value < 1 << 64:  # what orjson, the reference's encoder, takes
        return int(value)
    if strict:
        raise TypeError("an integer beyond 64 bits")
    return str(value)


def _key(key: object, *, strict: bool) -> str:
    """The text that stands for a dict's key in JSON. Raises TypeError when `strict` and there is none."""
    if isinstance(key, str):
        return _text(key, strict=strict)
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(key) if not isinstance(key, float) or math.isfinite(key) else "null"
    if isinstance(key, enum.Enum):
        return _key(key.value, strict=strict)
    if (text := _written(key)) is not None:
        return text
    if strict:
        raise TypeError(f"a key of type {type(key).__name__}")
    return str(key)


def _written(value: object) -> str | None:
    """Dates, times and UUIDs in their usual written form; None for other values."""
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value) if isinstance(value, uuid.UUID) else None


def _other(value: object, depth: int, *, strict: bool) -> object:
    """JSON of dates, enums, bytes, numpy's values and dataclasses; text, or TypeError when `strict`, for the rest."""
    if (text := _written(value)) is not None:
        return text
    if isinstance(value, enum.Enum):
        return json_value(value.value, depth - 1, strict=strict)
    if isinstance(value, bytes) and not strict:
        return base64.b64encode(value).decode("ascii")
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):  # by name: numpy need not be installed
        return json_value(_numbers(value, strict=strict), depth - 1, strict=strict)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if not field.name.startswith("_")]
        return {name: json_value(getattr(value, name), depth - 1, strict=strict) for name in names}
    if strict:
        raise TypeError(f"a value of type {type(value).__name__}")
    return str(value)


def _numbers(value: Any, *, strict: bool) -> object:
    """NumPy's values as Python's. When `strict`, only what the reference's encoder takes: contiguous plain numbers."""
    if value.dtype.kind == "M":
        return value.astype("datetime64[us]").tolist()
    if strict and (value.dtype.kind not in "biuf" or not value.flags.c_contiguous):
        raise TypeError(f"an array of {value.dtype}")
    return value.tolist()


def wire_bundle(data: Mapping[str, object]) -> Bundle:
    """Returns a MIME bundle that can be sent: pictures as base64 text, data as plain JSON."""
    bundle: Bundle = {}
    for mime, payload in data.items():
        if isinstance(payload, bytes):
            bundle[mime] = base64.b64encode(payload).decode("ascii")
        elif isinstance(payload, str):
            bundle[mime] = payload
        elif payload is not None:
            _add_json(bundle, str(mime), payload)
    return bundle


def _add_json(bundle: Bundle, mime: str, payload: object) -> None:
    """Puts JSON into a bundle, unless it is deeper or has more values than the host accepts."""
    with contextlib.suppress(ValueError, RecursionError):  # nested beyond what the host accepts: its text remains
        value = json_value(payload)
        if not frames.has_many_values(frames.encode({"": value})):
            bundle[mime] = value


def hook_pillow() -> None:
    """Displays a picture that user code saves under a name or shows, as the reference does.

    The picture that matplotlib saves for `savefig` is left out where the extractor reports the figure itself.
    """
    if importlib.util.find_spec("PIL") is None:
        return
    from PIL import Image, ImageShow

    show_it: Callable[[object], object] = display
    save = Image.Image.save

    def save_and_display(self: Image.Image, fp: Any, format: str | None = None, **params: Any) -> None:
        caller = str(sys._getframe(1).f_globals.get("__name__"))  # noqa: SLF001 - the only way to know
        if isinstance(fp, str) and not (extractor.STATE.full and caller.startswith("matplotlib.")):
            show_it(self)
        save(self, fp, format, **params)

    class DisplayViewer(ImageShow.Viewer):
        def show(self, image: Image.Image, **options: object) -> int:
            show_it(image)
            return 1

    if not getattr(save, "shows", False):
        save_and_display.shows = True  # type: ignore[attr-defined]
        Image.Image.save = save_and_display  # type: ignore[method-assign]
        ImageShow.register(DisplayViewer(), order=0)
