"""Shows a result in a notebook. Used by `result.py` only.

What came out of a sandbox is not trusted here either: HTML and JavaScript of the code are named, never rendered; table
cells are escaped.
"""

from __future__ import annotations

from ci_integrations.results.model import ImageArtifact, TableArtifact
from ci_integrations.results.record import ExecutionRecord
from ci_integrations.results.text import render_text


def show(record: ExecutionRecord) -> None:
    """Displays what a notebook cell would: the text, then the pictures and tables. Needs IPython."""
    from IPython.display import display  # here: only a notebook has IPython for certain

    print(render_text(record))  # noqa: T201 - a notebook's own output
    for artifact in record.artifacts:
        if isinstance(artifact, (ImageArtifact, TableArtifact)):
            bundle = artifact._repr_mimebundle_()
            display(bundle, raw=True)  # type: ignore[no-untyped-call]
