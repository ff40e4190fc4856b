"""What README and docs say about other files is so: figures, links, extras, pictures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/results.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)\"""")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def check(root: Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "benchmarks", "--check"]
    return subprocess.run(call, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def test_readme_quotes_the_figures_that_were_measured() -> None:
    run = check(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_figure_that_was_changed_by_hand_is_found(copy: Path) -> None:
    readme = (copy / "README.md").read_text()
    row = re.search(r"(?m)^\| create a sandbox.*$", readme)
    (copy / "README.md").write_text(readme.replace(row[0], row[0].replace(" ms ", "0 ms ", 1)))
    run = check(copy)
    assert run.returncode == 1
    assert "README.md" in run.stdout


def test_new_results_make_the_quote_stale(copy: Path) -> None:
    path = copy / "benchmarks" / "results.json"
    results = json.loads(path.read_text())
    results["figures"][0]["ours"] *= 2
    path.write_text(json.dumps(results))
    run = check(copy)
    assert run.returncode == 1
    assert "README.md, " in run.stdout or ", README.md" in run.stdout


def test_every_ratio_is_its_two_figures() -> None:
    figures = json.loads((ROOT / "benchmarks" / "results.json").read_text())["figures"]
    assert len(figures) > 15
    for row in figures:
        assert row["ratio"] == pytest.approx(row["ours"] / row["theirs"], rel=0.05), row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in (one or other for one, other in LINK.findall(CODE.sub("", page.read_text("utf-8")))):
        if not re.match(r"https?:|mailto:", target):
            path, _, anchor = target.partition("#")
            there = page.parent / path if path else page
            assert there.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """Of the headings, as code hosts make them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_notebook_and_page_is_linked_from_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    files = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "docs").glob("*.md")]
    assert [path.name for path in files if f"({path.relative_to(ROOT)})" not in readme] == []


def test_every_extra_is_tried_in_a_clean_environment_as_the_docs_name_it() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    tried = (
        re.search(r"for extra in ([^;]*);", (ROOT / ".ci" / "extras").read_text("utf-8"))[1].replace("\\", "").split()
    )
    named = {
        words
        for page in PAGES
        for words in re.findall(r"pip install \S*ci[-_]integrations\[([\w,]+)\]", page.read_text("utf-8"))
    }
    assert named
    assert named <= set(tried)
    assert {extra for words in tried for extra in words.split(",")} == set(extras) - {"all"}


def test_the_map_names_files_that_exist() -> None:
    """Every `folder/file.py` in docs/architecture.md is there; a bare `file.py` exists somewhere in the package."""
    source = ROOT / "src" / "ci_integrations"
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"[\w/]+\.py\b", text))
    names = {path.name for path in source.rglob("*.py")} | {path.name for path in (ROOT / "tests").rglob("*.py")}
    missing = {name for name in named if not (source / name).is_file() and not (ROOT / name).is_file()}
    assert len(named) > 30
    assert not {name for name in missing if "/" in name or name not in names}
