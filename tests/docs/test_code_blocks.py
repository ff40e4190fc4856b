"""Every Python block of README.md and docs/*.md is run, each document in one namespace, in a directory of its own.

A block that needs a key or a service is marked in the document with `<!-- not run: reason -->` on the line before it;
those are counted and listed, never silently left out. A `text` block is what the document's program prints.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]*) -->\n)?```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


def blocks(document: Path) -> list[tuple[str | None, str, str]]:
    """(reason not to run, language, code) of each block."""
    found = BLOCK.finditer(document.read_text("utf-8"))
    return [(match["reason"], match["language"], match["code"]) for match in found]


def program(document: Path) -> str:
    """The document's Python blocks as one program that says which one it is in."""
    parts = []
    for number, (reason, language, code) in enumerate(blocks(document), 1):
        if language == "python" and reason is None:
            parts.append(f"print('-- block {number}', flush=True)\n{code}")
    return "\n".join(parts)


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if program(path)], ids=lambda path: path.name)
def test_the_python_of_a_document_runs(document: Path, tmp_path: Path) -> None:
    script = tmp_path / "blocks.py"
    script.write_text(program(document))
    (tmp_path / "sales.csv").write_text("month,region,revenue\n2026-01,north,10\n2026-02,north,14\n2026-01,south,7\n")
    run = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    for _reason, language, code in blocks(document):
        assert language != "text" or code in run.stdout, f"does not print this:\n{code}"


def test_every_block_that_is_not_run_says_why() -> None:
    reasons = [reason for path in DOCUMENTS for reason, language, _ in blocks(path) if language == "python" and reason]
    assert all(len(reason) > 10 for reason in reasons), reasons
