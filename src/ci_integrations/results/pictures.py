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
_MAX_PIXELS = 50_000_000
"""A picture with more is not opened to be shrunk: Pillow would need 200 MB for it, and the code may be hostile."""


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
    """Returns the last `max_images` pictures, each once.

    None is wider or higher than `max_px` pixels where Pillow is there to shrink it.
    """
    shown = [image for image in result.images if image.mime in MODEL_IMAGES and image.data]
    # One figure is often shown twice: by `plt.show()` and as the last expression.
    unique = {image.sha256 or image.id: image for image in shown}
    return [_shown(image, max_px) for image in list(unique.values())[-max_images:]] if max_images else []


def _shown(image: ImageArtifact, max_px: int) -> ModelImage:
    data = image.data or ""
    if max(image.width or 0, image.height or 0) > max_px:
        return ModelImage(PNG, _shrunk(data, max_px) or data, image.id)
    return ModelImage(image.mime, data, image.id)


def _shrunk(data: str, max_px: int) -> str | None:
    try:
        from PIL import Image
    except ImportError:
        return None
    raw = base64.b64decode(data)
    width, height = image_size(raw)
    if (width or 0) * (height or 0) > _MAX_PIXELS:
        return None
    with Image.open(io.BytesIO(raw)) as picture:
        picture.thumbnail((max_px, max_px))
        out = io.BytesIO()
        picture.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()
