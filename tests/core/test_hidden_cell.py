"""The hidden cell that every Python kernel runs first leaves nothing that a cell of the user's could see."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ci_integrations._core.kernels import forgotten, hidden_cell

HARNESS = """
import contextlib, io, json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
path, printed = list(sys.path), []
for code in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        shell.run_cell(code, store_history=True)
    printed.append(out.getvalue())
names = shell.user_ns
print(json.dumps({
    "printed": printed, "path": sys.path == path, "In": list(names["In"]), "Out": sorted(names["Out"]),
    "earlier": [names["_i"], names["_ii"], names["_iii"]], "count": shell.execution_count,
    "numbered": sorted(name for name in names if name.startswith("_i") and name[2:].isdigit()),
    "names": sorted({"shell", "folder", "envs", "main", "forget_cell", "os", "types"} & set(names)),
}))
"""
NOWHERE = "/nonexistent"


def run(tmp_path: Path, *cells: str) -> dict[str, Any]:
    """Runs cells in an IPython of their own, with a history in a file as a kernel has it."""
    ran = subprocess.run(
        [sys.executable, "-c", HARNESS], input=json.dumps(cells), capture_output=True, text=True, check=True,
        env={"IPYTHONDIR": str(tmp_path), "PATH": "", "HOME": str(tmp_path)}, timeout=60,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("hidden", [hidden_cell(None), hidden_cell(NOWHERE), forgotten("None")])
def test_it_leaves_no_number_no_history_no_name_and_no_path(tmp_path: Path, hidden: str) -> None:
    users = ["a = 1", "'two'", "3"]
    plain = run(tmp_path / "plain", *users)
    mixed = run(tmp_path / "mixed", hidden, users[0], hidden, users[1], hidden, hidden, users[2], hidden)
    same = ["path", "In", "Out", "earlier", "count", "numbered", "names"]
    assert {key: mixed[key] for key in same} == {key: plain[key] for key in same}
    assert "not unique" not in "".join(mixed["printed"])


def test_it_says_which_process_the_kernel_is_and_why_there_is_no_extractor(tmp_path: Path) -> None:
    [said] = run(tmp_path, hidden_cell(NOWHERE))["printed"]
    told = json.loads(said)
    assert told["ci_kernel"][0] > 1
    assert "_ci_extractor" in told["failed"]


def test_a_reset_of_the_names_leaves_pictures_that_can_be_saved(tmp_path: Path) -> None:
    # What E2B's start-up script does: its own names are among the user's.
    start = (
        "from PIL.Image import Image\noriginal = Image.save\ndef save(self, *a, **k): return original(self, *a, **k)"
    )
    saves = "import io\nfrom PIL import Image\nImage.new('1', (1, 1)).save(io.BytesIO(), 'png')\nprint('saved')"
    found = run(tmp_path, f"{start}\nImage.save = save\ndel Image", hidden_cell(None), "%reset -f", saves)
    assert "saved" in found["printed"][-1]
