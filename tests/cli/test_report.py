"""report.html: whole, self-contained, and deaf to what hostile code puts into it."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

from ci_integrations.cli.demo.report import write_report
from ci_integrations.cli.demo.story import Story, Turn
from ci_integrations.results import ExecutionResult

EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'"
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def hostile_result() -> ExecutionResult:
    chart = {"title": EVIL, "panels": [{"title": EVIL, "series": [{"name": EVIL, "x": [EVIL], "y": [1]}]}]}
    table = {"columns": [{"name": EVIL, "dtype": EVIL}], "rows": [[EVIL], [None], [1.5]], "shape": (3, 1)}
    return ExecutionResult.model_validate(
        {
            "code": EVIL,
            "stdout": EVIL,
            "stderr": EVIL,
            "text": EVIL,
            "error": {"name": EVIL, "value": EVIL, "traceback": EVIL},
            "events": [{"type": "restored", "message": EVIL}],
            "artifacts": [
                {"kind": "image", "id": "a0", "mime": f"image/png{EVIL}", "data": f"{PIXEL}{EVIL}"},
                {"kind": "chart", "id": "a1", "image": "a0", "chart": chart},
                {"kind": "table", "id": "a2", **table},
                {"kind": "html", "id": "a3", "text": EVIL},
            ],
        }
    )


def page(tmp_path: Path, *turns: Turn) -> str:
    story = Story(data=EVIL, model=EVIL, turns=list(turns), seconds=1.0)
    return write_report(story, tmp_path / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def test_nothing_from_the_sandbox_becomes_markup(tmp_path: Path) -> None:
    html = page(tmp_path, Turn(EVIL, hostile_result(), [tmp_path / 'a"><script>.png']), Turn(EVIL))
    tags = Tags(html).found
    assert not {name for name, _ in tags} & {"script", "iframe", "object"}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert all(attributes["src"].startswith("data:") for name, attributes in tags if name == "img")
    assert "&lt;script&gt;" in html


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    html = page(tmp_path, Turn("look", ExecutionResult(code="1", text="1")))
    assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html


def test_a_long_output_is_cut_and_the_cut_is_told(tmp_path: Path) -> None:
    html = page(tmp_path, Turn("talk", ExecutionResult(code="1", stdout="x" * 100_000)))
    assert "characters cut" in html
    assert len(html) < 60_000


def test_numbers_that_went_with_the_sandbox_are_said_to_be_gone(tmp_path: Path) -> None:
    gone = {"file": "/tmp/x", "dtype": "f8", "n": 5, "sha256": "0" * 64}
    panel = {"kind": "line", "series": [{"kind": "line", "x": [1, 2, 3, 4, 5], "y": gone}]}
    chart = {"kind": "chart", "id": "a0", "chart": {"panels": [panel]}}
    result = ExecutionResult.model_validate({"code": "", "artifacts": [chart]})
    assert "no longer has them" in page(tmp_path, Turn("drawn", result))
