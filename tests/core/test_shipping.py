"""What brings our packages into a kernel: which one is taken there, and that another version is never taken for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci_integrations._core.hidden.find import find
from ci_integrations._core.hidden.shipping import EXTRACTOR, FINDER, READER, Shipment

NAME = "_ci_shipped_in_a_test"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith(NAME)]:
        del sys.modules[name]


def written(shipment: Shipment, folder: Path) -> Path:
    """Writes a shipment below `folder` instead of the sandbox's own place for it."""
    for file in shipment.files:
        path = folder / Path(file["path"]).relative_to(shipment.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["data"], "utf-8")
    return folder


def test_a_kernel_with_this_library_needs_no_files(tmp_path: Path) -> None:
    _, wanted, _, local = READER.wanted("_ci_reader")
    found = find(NAME, wanted, str(tmp_path), local)
    assert found is not None
    assert found.__name__ == "ci_integrations.tables.reader"


def test_a_kernel_without_it_imports_the_files_that_were_written(tmp_path: Path) -> None:
    shipment = Shipment(**{NAME: "tables/reader"})
    _, wanted, _, _ = shipment.wanted(NAME)
    assert find(NAME, wanted, str(tmp_path), "no_such_library") is None
    found = find(NAME, wanted, str(written(shipment, tmp_path)), "no_such_library")
    assert found is not None
    assert str(found.__file__).startswith(str(tmp_path))
    assert find(NAME, wanted, "/nowhere", "no_such_library") is found
    assert str(tmp_path) not in sys.path


def test_another_version_is_not_taken(tmp_path: Path) -> None:
    shipment = Shipment(**{NAME: "tables/reader"})
    assert find(NAME, "another", str(written(shipment, tmp_path)), "ci_integrations.tables.reader") is None


def test_the_finder_runs_where_nothing_else_of_ours_is() -> None:
    kernel: dict[str, object] = {}
    exec(FINDER, kernel)
    assert callable(kernel["find"])


def test_the_extractor_finds_the_codec_beside_itself() -> None:
    folders = {Path(file["path"]).relative_to(EXTRACTOR.folder).parts[0] for file in EXTRACTOR.files}
    assert folders == {"_ci_extractor", "_ci_frames"}
    assert len({file["path"] for file in EXTRACTOR.files}) == len(EXTRACTOR.files)
