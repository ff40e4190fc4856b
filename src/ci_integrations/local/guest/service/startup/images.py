"""A kernel runs this file when it starts: a picture that Pillow saves under a name is displayed, as at E2B.

Its names live among the user's, so that `%reset` takes `original_save` away and `save` fails from then on, as at E2B.
"""

from typing import Any

from IPython.display import display
from PIL.Image import Image
from PIL.ImageShow import UnixViewer

original_save: Any = Image.save


def show_file(_viewer: object, _path: str, **_options: object) -> int:
    """Shows nothing: there is no screen."""
    return 0


def save(image: Any, fp: Any, format: str | None = None, **options: object) -> None:
    """Saves a picture, and displays it when the place is a name."""
    if isinstance(fp, str):
        display(image)  # type: ignore[no-untyped-call]
    original_save(image, fp, format, **options)


setattr(UnixViewer, "show_file", show_file)  # noqa: B010 - mypy refuses to assign to a method
setattr(Image, "save", save)  # noqa: B010
