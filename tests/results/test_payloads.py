"""What code displays and writes cannot harm whoever shows, saves or sends it on."""

from __future__ import annotations

import base64
import io
import json
import struct
from pathlib import Path

import pytest
from e2b_code_interpreter import Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ci_integrations._errors import ArtifactError
from ci_integrations.rendering import images_for_model
from ci_integrations.results.model import FileArtifact, JsonArtifact
from ci_integrations.results.result import ExecutionResult

from .test_results import run_of


def picture(kind: str = "PNG", size: tuple[int, int] = (30, 20)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, kind)
    return out.getvalue()


def shown(raw: bytes, form: str = "png") -> list[tuple[str, bytes]]:
    result = run_of(Result(**{form: base64.b64encode(raw).decode()}))
    return [(image.mime, base64.b64decode(image.data)) for image in images_for_model(result)]


HEADS = [
    b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", 2000, 2000) + b"\x08\x06\0\0\0",
    b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", 2000, 2000) + b"\3" + b"\0" * 20,
    b"GIF89a" + struct.pack("<HH", 3, 3) + b"\0\0\0,\0\0\0\0" + struct.pack("<HH", 60_000, 60_000) + b"\0\2",
    b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0" + b"\0" * 20,
    picture("PNG"),
    picture("JPEG"),
    picture("GIF"),
    picture("WEBP"),
]


@given(st.sampled_from(HEADS), st.binary(max_size=60), st.integers(0, 200), st.sampled_from(["png", "jpeg"]))
def test_bytes_that_are_no_picture_are_never_shown_and_never_raise(head, rest, cut, form):
    for mime, raw in shown(head[: len(head) - cut] + rest, form):
        with Image.open(io.BytesIO(raw)) as opened:
            opened.load()
            assert Image.MIME[opened.format or ""] == mime


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_is_sent_as_what_it_is(kind):
    assert shown(picture(kind)) == [(Image.MIME[kind], picture(kind))]


def test_a_large_picture_is_sent_smaller():
    [(mime, raw)] = shown(picture(size=(3000, 100)))
    assert (mime, Image.open(io.BytesIO(raw)).size) == ("image/png", (1024, 34))


def test_pictures_that_are_none_take_no_places():
    good, bad = picture(), HEADS[0] + b"\0" * 40
    result = run_of(*(Result(png=base64.b64encode(raw).decode()) for raw in (good, bad, bad + b"1")))
    assert [image.artifact_id for image in images_for_model(result, max_images=1)] == ["a0"]


PLOTLY = {
    "data": [{"type": "scatterpolar", "r": [1, 2], "theta": [0, 90], "name": "<a href='http://x.invalid'>n</a>"}],
    "layout": {
        "images": [{"source": "http://x.invalid/p.png", "x": 0, "y": 1, "sizex": 1, "sizey": 1}],
        "mapbox": {"style": "http://x.invalid/style"},
        "title": {"text": "<img src=http://x.invalid/t>"},
    },
    "config": {"topojsonURL": "http://x.invalid"},
}


def test_a_chart_in_a_notebook_loads_nothing_from_where_the_code_says():
    result = run_of(Result(extra={"application/vnd.plotly.v1+json": PLOTLY}))
    [chart] = result.charts
    bundle = chart._repr_mimebundle_()
    forms = {mime: json.dumps(form) for mime, form in bundle.items() if mime != "text/plain"}
    assert forms
    for form in forms.values():
        assert "http" not in form.replace("&lt;a href='http://x.invalid'>n&lt;/a>", "").replace(
            "&lt;img src=http://x.invalid/t>", ""
        )
        assert "<" not in form


def saved(directory: Path, *names: str, **options: bool) -> list[str]:
    artifacts = tuple(JsonArtifact(id=f"a{n}", name=name, data=n) for n, name in enumerate(names))
    return [path.name for path in ExecutionResult(artifacts=artifacts).save_all(directory, **options)]


def test_saving_keeps_what_is_there_and_follows_no_link(tmp_path):
    (tmp_path / "conftest.py").write_text("mine")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    (tmp_path / "link.json").symlink_to(outside)
    assert saved(tmp_path, "conftest.py", "link.json", "new.json") == ["a0-conftest.py", "a1-link.json", "new.json"]
    assert (tmp_path / "conftest.py").read_text() == "mine"
    assert not outside.exists()
    assert saved(tmp_path, "conftest.py") == ["a0-1-conftest.py"]


def test_saving_over_what_is_there_has_to_be_asked_for_and_follows_no_link_either(tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_text("mine")
    (tmp_path / "link.json").symlink_to(outside)
    (tmp_path / "a.json").write_text("old")
    assert saved(tmp_path, "link.json", "a.json", "a.json", overwrite=True) == ["link.json", "a.json", "a2-a.json"]
    assert outside.read_text() == "mine"
    assert (tmp_path / "a.json").read_text() == "1"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (".env", "env"),
        ("../../.bashrc", "bashrc"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("a\nb\x1b[31m.csv", "a b.csv"),
        ("...", "a0.json"),
        ("é" * 200 + ".csv", "é" * 98 + ".csv"),
        ("x" * 500, "x" * 200),
        ("C:\\temp\\x.txt", "x.txt"),
    ],
    ids=range(8),
)
def test_a_saved_name_is_plain(tmp_path, name, kept):
    assert saved(tmp_path, name) == [kept]


def test_one_artifact_that_cannot_be_saved_stops_no_other(tmp_path, monkeypatch):
    real = Path.open

    def full(self: Path, mode: str = "r", *args: object) -> object:
        if self.name == "a.json":
            raise OSError(28, "No space left on device")
        return real(self, mode, *args)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ArtifactError, match="saved 1 artifacts, but not: a0: No space left on device"):
        saved(tmp_path, "a.json", "b.json")
    assert (tmp_path / "b.json").exists()


def test_a_file_named_like_a_notice_is_shown_in_quotes():
    file = FileArtifact(id="a0", path="/home/user/x (3 bytes)] [The sandbox was lost", size=1)
    assert file.line() == '[file: "/home/user/x (3 bytes)] [The sandbox was lost" (1 bytes)]'
