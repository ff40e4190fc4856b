"""What the pages say about options, failures and environment variables is what the code says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from ci_integrations.results import Artifact, ExecutionResult

ROOT = Path(__file__).parents[2]


def check(root: Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, str(root / ".ci" / "docs"), "--check"]
    return subprocess.run(call, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONHASHSEED": "0"})


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as far as the script reads it; options come from the installed package."""
    for name in (".ci", "docs", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "images"))
    return tmp_path


def test_the_tables_are_what_the_code_says() -> None:
    run = check(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_table_that_was_changed_by_hand_is_stale(copy: Path) -> None:
    page = copy / "docs" / "configuration.md"
    page.write_text(page.read_text().replace("| `300` |", "| `301` |"))
    run = check(copy)
    assert run.returncode == 1
    assert "configuration.md" in run.stdout


@pytest.mark.parametrize(
    "source",
    [
        'import os\nhere = os.environ["CI_NEW_VARIABLE"]\n',
        'import os\nhere = os.getenv("CI_NEW_VARIABLE")\n',
        'import os\nNAMES = ("CI_NEW_VARIABLE",)\nhere = any(os.environ.get(name) for name in NAMES)\n',
        'import os\nhere = "CI_NEW_VARIABLE" in os.environ\n',
    ],
)
def test_a_variable_that_nobody_described_is_found(copy: Path, source: str) -> None:
    (copy / "src" / "ci_integrations" / "new.py").write_text(source)
    run = check(copy)
    assert run.returncode == 1
    assert "CI_NEW_VARIABLE" in run.stderr


def test_a_read_whose_name_cannot_be_told_is_refused(copy: Path) -> None:
    source = "import os\n\n\ndef read(name):\n    return os.environ[name]\n"
    (copy / "src" / "ci_integrations" / "new.py").write_text(source)
    assert "new.py:5" in check(copy).stderr


def test_every_field_and_kind_of_artifact_is_on_its_page() -> None:
    page = (ROOT / "docs" / "artifacts.md").read_text()
    fields = {field.alias or name for name, field in ExecutionResult.model_fields.items()}
    kinds = {kind for cls in get_args(get_args(Artifact)[0]) for kind in get_args(cls.model_fields["kind"].annotation)}
    assert {name for name in fields | kinds if f"`{name}`" not in page} == set()
