"""In a notebook a result looks like a cell's output; what hostile code wrote is named or escaped, never rendered."""

from __future__ import annotations

import pytest
from e2b_code_interpreter import Result

from .test_results import PNG, run_of


def test_a_picture_shows_itself_and_html_does_not() -> None:
    image, html = run_of(Result(text="<Figure>", png=PNG, html="<script>alert(1)</script>")).artifacts
    assert image._repr_mimebundle_()["image/png"] == PNG
    assert "script" not in str(html._repr_mimebundle_())


def test_the_cells_of_a_table_are_escaped() -> None:
    [table] = run_of(Result(data={"a": ["<script>"], "<b>": [None]}, is_main_result=True)).artifacts
    bundle = table._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"]
    assert "&lt;script&gt;" in bundle["text/html"]
    assert "1 rows × 2 columns" in bundle["text/html"]


def test_a_result_prints_what_the_model_reads_and_shows_its_pictures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    run_of(Result(text="<Figure>", png=PNG), stdout="hello\n")._ipython_display_()
    assert capsys.readouterr().out.startswith("hello\n[image a0")
    assert shown[0]["image/png"] == PNG
