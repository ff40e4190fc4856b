"""Bytes by reference: stored once, found again by another process, never silently wrong."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from e2b_code_interpreter import Execution, Result

from ci_integrations import ExecutionResult
from ci_integrations.errors import ArtifactError
from ci_integrations.store import ArtifactStore


def picture(size: int = 100_000) -> ExecutionResult:
    data = base64.b64encode(os.urandom(size)).decode()
    return ExecutionResult.from_execution(Execution([Result(png=data), Result(png=data), Result(html="x" * size)]))


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_a_result_goes_out_and_comes_back_through_a_new_store(scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}://{tmp_path}/artifacts"
    result = picture()
    small = ArtifactStore(url).offload(result)
    assert len(small.model_dump_json()) < 3000
    assert ArtifactStore(url).inline(ExecutionResult.model_validate(small.model_dump(mode="json"))) == result


def test_the_same_bytes_are_stored_once(tmp_path: Path) -> None:
    ArtifactStore(f"file://{tmp_path}").offload(picture())
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_small_payloads_stay_inline(tmp_path: Path) -> None:
    result = picture(size=100)
    assert ArtifactStore(f"file://{tmp_path}").offload(result) == result


def test_missing_and_changed_bytes_are_named(tmp_path: Path) -> None:
    store = ArtifactStore(f"file://{tmp_path}")
    small = store.offload(picture())
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        path.write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="artifact a0: its bytes .* have changed"):
        small.artifacts[0].read(store)
    with pytest.raises(ArtifactError, match="artifact a0: its bytes .* are not in"):
        small.artifacts[0].read(ArtifactStore(f"file://{tmp_path}/elsewhere"))


def test_saving_writes_files_and_never_outside_the_directory(tmp_path: Path) -> None:
    result = picture(100)
    evil = result.artifacts[2].model_copy(update={"name": "../../evil.html"})
    result = result.model_copy(update={"artifacts": (*result.artifacts[:2], evil)})
    names = [path.relative_to(tmp_path / "out").as_posix() for path in result.save_all(tmp_path / "out")]
    assert names == ["a0.png", "a1.png", "evil.html"]


def test_options_of_the_store_are_not_shown() -> None:
    assert "hunter2" not in repr(ArtifactStore("memory://bucket/prefix", token="hunter2"))


def test_long_texts_go_out_too_and_their_ends_stay(tmp_path: Path) -> None:
    store = ArtifactStore(f"file://{tmp_path}")
    result = ExecutionResult(code="c" * 20_000, stdout="ä" * 300_000, stderr="short", text="t" * 50_000)
    small = store.offload(result)
    assert sorted(small.refs) == ["code", "stdout", "text"]
    assert len(small.model_dump_json()) < 10_000
    assert small.stdout.startswith("ä")
    assert "the artifact store" in small.stdout
    assert store.offload(small) == small
    assert store.inline(ExecutionResult.model_validate(small.model_dump(mode="json"))) == result
