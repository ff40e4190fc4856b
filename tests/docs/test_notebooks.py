"""Committed notebooks: whole, without errors, with the switch; and what `.ci/notebooks` takes for stale."""

from __future__ import annotations

import copy
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WORDS = 1500
"""What one reads in less than ten minutes, code included."""


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    loader = SourceFileLoader("ci_notebooks", str(ROOT / ".ci" / "notebooks"))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_whole_and_has_one_switch(path: Path) -> None:
    cells = nbformat.read(path, 4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert sum(len(cell.source.split()) for cell in cells) < WORDS
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    [switch] = [cell for cell in code if "switch" in cell.metadata.get("tags", [])]
    assert "E2B_API_KEY" in switch.source
    text = path.read_text("utf-8")
    assert ".venv/" not in text, "a path of the machine that ran it"
    assert "ScriptedChatModel" not in text or "REAL = None" in switch.source


def test_a_changed_output_is_stale_and_a_changed_address_is_not(checker: ModuleType) -> None:
    def cell(text: str, *mimes: str) -> NotebookNode:
        data = dict.fromkeys(mimes, "x") | {"text/plain": text}
        outputs = [nbformat.v4.new_output("execute_result", data), nbformat.v4.new_output("stream", text=text)]
        return nbformat.v4.new_code_cell("x", outputs=outputs)

    committed = cell("<Thing at 0x7f3a5c2b1d90> in /tmp/a1b2/c, 3 rows of names", "image/png")
    moved = cell("<Thing at 0x7e00aa1b2c3d> in /tmp/zz/d, 4 rows of names", "image/png")
    assert checker.shape(committed) == checker.shape(moved)
    assert checker.shape(committed) != checker.shape(cell("3 rows of words", "image/png"))
    assert checker.shape(committed) != checker.shape(cell("<Thing at 0x7f3a5c2b1d90> in /tmp/a1b2/c, 3 rows of names"))
    without = copy.deepcopy(committed)
    without.outputs.pop()
    assert checker.shape(committed) != checker.shape(without)


@pytest.mark.slow
def test_a_stale_notebook_fails_the_check(tmp_path: Path) -> None:
    """The script itself, beside one small notebook."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "notebooks").mkdir()
    script = tmp_path / ".ci" / "notebooks"
    script.write_text((ROOT / ".ci" / "notebooks").read_text("utf-8"))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print('as it is now')")])
    book.cells[0].outputs = [nbformat.v4.new_output("stream", text="as it was\n")]
    nbformat.write(book, tmp_path / "notebooks" / "book.ipynb")
    run = subprocess.run([sys.executable, str(script), "book.ipynb"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "as it was" in run.stdout
