"""Chooses the pictures that a model is shown, and reads the size of an image from its first bytes."""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass

from ci_integrations._names import GIF, JPEG, PNG, WEBP
from ci_integrations.results.model import ImageArtifact
from ci_integrations.results.record import ExecutionRecord

MODEL_IMAGES = frozenset({PNG, JPEG, GIF, WEBP})
"""The picture formats that every provider takes."""
_FORMATS = {"PNG": PNG, "JPEG": JPEG, "GIF": GIF, "WEBP": WEBP}
"""Pillow's names. Others of its readers are not let near bytes from a sandbox."""
_MAX_PIXELS = 50_000_000
"""A picture with more is not opened or shown: Pillow would need 200 MB for it, and the code may be hostile."""


def image_size(raw: bytes) -> tuple[int | None, int | None]:
    """Returns width and height in pixels, read from the header of a PNG, GIF, WebP (VP8X) or JPEG.

    Returns `(None, None)` for others.
    """
    if raw[:8] == b"\x89PNG\r\n\x1a\n" and len(raw) >= 24:
        return struct.unpack(">II", raw[16:24])
    if raw[:4] == b"GIF8" and len(raw) >= 10:
        return struct.unpack("<HH", raw[6:10])
    if raw[:4] == b"RIFF" and raw[8:16] == b"WEBPVP8X" and len(raw) >= 30:
        return 1 + int.from_bytes(raw[24:27], "little"), 1 + int.from_bytes(raw[27:30], "little")
    return _jpeg_size(raw) if raw[:2] == b"\xff\xd8" else (None, None)


def _jpeg_size(raw: bytes) -> tuple[int | None, int | None]:
    at = 2  # behind the start marker; each segment after it says its own length
    while at + 9 < len(raw) and raw[at] == 0xFF:
        # The frame headers; C4, C8 and CC in their midst are tables and reserved.
        if 0xC0 <= raw[at + 1] <= 0xCF and raw[at + 1] not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", raw[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", raw[at + 2 : at + 4])[0]
    return None, None


@dataclass(frozen=True)
class ModelImage:
    """Holds a picture that a model can be shown."""

    mime: str
    data: str
    """Base64 text."""
    artifact_id: str


def images_for_model(result: ExecutionRecord, *, max_images: int = 4, max_px: int = 1024) -> list[ModelImage]:
    """Returns the last `max_images` pictures, each once; one that cannot be opened is left out.

    None is wider or higher than `max_px` pixels where Pillow is there to shrink it. Without Pillow nothing but their
    first bytes is looked at.
    """
    shown = [image for image in result.images if image.mime in MODEL_IMAGES and image.data]
    # One figure is often shown twice: by `plt.show()` and as the last expression.
    unique = list({image.sha256 or image.id: image for image in shown}.values())
    found: list[ModelImage] = []
    while unique and len(found) < max_images:
        if (picture := _shown(unique.pop(), max_px)) is not None:
            found.append(picture)
    return found[::-1]


def _shown(image: ImageArtifact, max_px: int) -> ModelImage | None:
    """A picture as the model gets it; None for bytes that are no picture, which a provider would refuse every time."""
    data = image.data or ""
    try:
        raw = base64.b64decode(data)
        width, height = image_size(raw)
        if (width or 0) * (height or 0) > _MAX_PIXELS:
            return None
        found = _opened(raw, max_px)
    except Exception:  # noqa: BLE001 - Pillow has many, also for attacks; the code that made the bytes may be hostile
        return None
    if found is None:
        return ModelImage(image.mime, data, image.id)
    mime, smaller = found
    return ModelImage(mime, data if smaller is None else base64.b64encode(smaller).decode(), image.id)


def _opened(raw: bytes, max_px: int) -> tuple[str, bytes | None] | None:
    """Decodes a picture. Returns what it is, and its bytes as a smaller PNG when it has to shrink; None without Pillow.

    Raises whatever Pillow raises.
    """
    try:
        from PIL import Image
    except ImportError:
        return None
    with Image.open(io.BytesIO(raw), formats=tuple(_FORMATS)) as picture:
        if picture.width * picture.height > _MAX_PIXELS:
            raise ValueError("larger than its first bytes said")
        mime = _FORMATS[str(picture.format)]
        picture.load()
        if max(picture.size) <= max_px:
            return mime, None
        picture.thumbnail((max_px, max_px))
        out = io.BytesIO()
        picture.save(out, "PNG")
    return PNG, out.getvalue()
