"""Pictures for tests: noise, so that they do not compress."""

from __future__ import annotations

import base64
import hashlib
import io
import random

from PIL import Image

from ci_integrations.results import ImageArtifact


def picture(width: int, height: int, seed: int = 0, identifier: str = "a0") -> ImageArtifact:
    pixels = random.Random(seed).randbytes(width * height * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), pixels).save(out, "PNG")
    raw = out.getvalue()
    return ImageArtifact(
        id=identifier, mime="image/png", data=base64.b64encode(raw).decode(), size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(), width=width, height=height,
    )  # fmt: skip


ONE_PICTURE = picture(120, 90)
