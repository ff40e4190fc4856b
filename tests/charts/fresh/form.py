"""The form of the truths: what the corpus beside the repository has, and how it is written for its scorer."""

# ruff: noqa: PLR0917 - a panel is told in the order of its parts
from __future__ import annotations

import json

PLT = "import matplotlib.pyplot as plt\nimport numpy as np\nimport pandas as pd\n"


def series(name, kind, x, y, **extra):
    return {"name": name, "kind": kind, "x": x, "y": y, "extra": extra}


def panel(kind, title, xl, yl, xs, ys, *entries, **more):
    return {
        "kind": kind,
        "title": title,
        "x_label": xl,
        "y_label": yl,
        "x_scale": xs,
        "y_scale": ys,
        "series": list(entries),
        **more,
    }


def one(kind, title, xl, yl, xs, ys, *entries, **more):
    return {"figure_title": None, "panels": [panel(kind, title, xl, yl, xs, ys, *entries, **more)]}


def write(cases, folder, first):
    """`cases` is name -> (library, script, truth); numbered from `first`, as the scorer wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, (library, script, truth)) in enumerate(cases.items(), first):
        stem = folder / f"{number}_{name}"
        stem.with_suffix(".py").write_text(script, "utf-8")
        full = {"id": stem.name, "library": library, "family": "fresh", **truth}
        stem.with_suffix(".json").write_text(json.dumps(full, allow_nan=False), "utf-8")
