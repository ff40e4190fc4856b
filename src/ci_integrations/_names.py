"""Names and limits that several rooms share. Standard library only.

Code that runs in a kernel (`charts/extractor`) or on the hostile side (`local/guest`, `local/protocol`) may not import
this module and keeps copies of its own; `tests/test_names.py` compares them.
"""

from __future__ import annotations

HOME = "/home/user"
"""The working directory of every sandbox, and the home of its user."""
OWN_FOLDER = f"{HOME}/.ci"
"""The sandbox's folder for what we put there: long outputs and the logs of background commands."""

INSTALL_SECONDS = 300.0
"""How long an installation of packages may take in a running sandbox."""

PNG = "image/png"
JPEG = "image/jpeg"
GIF = "image/gif"
WEBP = "image/webp"
PDF = "application/pdf"
TEXT = "text/plain"
VEGALITE_MIME = "application/vnd.vegalite.v6+json"
PLOTLY_MIME = "application/vnd.plotly.v1+json"
CHART_MIME = "application/vnd.ci-chart.v1+json"
"""A figure as our extractor sends it (schema `ci.chart/1`)."""
TABLE_MIME = "application/vnd.ci-table.v1+json"
"""A DataFrame or Series, with its types and index."""
FILES_MIME = "application/vnd.ci-files.v1+json"
"""The list of files that a cell wrote."""
BOKEH_MIME = "application/vnd.ci-bokeh.v1+json"
"""A bokeh document; bokeh has no MIME type of its own."""

LANGUAGE_ALIASES = {"js": "javascript", "ts": "typescript"}
"""Short names of languages, as E2B resolves them."""


def language_name(language: str | None) -> str:
    """Returns a language's one name: lower case, aliases resolved, Python where none is given."""
    name = (language or "").strip().lower() or "python"
    return LANGUAGE_ALIASES.get(name, name)


SERVER_MARK = "\u2063"
"""Stands before a line of the local server's own on stderr. The server takes it out of what code prints, and it is not
seen."""
