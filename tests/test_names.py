"""Code that runs in kernels or on the hostile side keeps copies of the shared constants: they are the same."""

from __future__ import annotations

from ci_integrations import _names
from ci_integrations.charts.extractor import files, tables, web
from ci_integrations.charts.extractor.matplotlib import report
from ci_integrations.local.guest import files as guest_files
from ci_integrations.local.protocol import contract, packages


def test_the_extractors_mime_types_are_those_that_are_read() -> None:
    assert report.CHART_MIME == _names.CHART_MIME
    assert tables.TABLE_MIME == _names.TABLE_MIME
    assert files.FILES_MIME == _names.FILES_MIME
    assert (web.PLOTLY_MIME, web.VEGALITE_MIME, web.BOKEH_MIME) == (
        _names.PLOTLY_MIME,
        _names.VEGALITE_MIME,
        _names.BOKEH_MIME,
    )


def test_the_sandboxs_home_is_the_same_on_both_sides() -> None:
    assert contract.HOME == guest_files.HOME == _names.HOME
    assert packages.TARGET.startswith(f"{_names.HOME}/")


def test_a_language_has_one_name() -> None:
    assert [_names.language_name(name) for name in ("js", " TS ", None, "", "R")] == [
        "javascript", "typescript", "python", "python", "r",
    ]  # fmt: skip
