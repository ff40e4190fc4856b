"""The demo's script fits the file it is given: what it chooses to draw, the slip, and a conclusion that is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from ci_integrations.cli.demo.profile import read_profile
from ci_integrations.cli.demo.script import conclusion, steps

FILES = {
    "sales.csv": "id;Umsatz eur;Region;it's\n"
    + "".join(f"{n};{n * 7 % 13 + 0.5};{'NSOW'[n % 4]};{'ab'[n % 2]}\n" for n in range(60)),
    "one-measure.csv": "x\n" + "".join(f"{n * n % 17}\n" for n in range(30)),
    "measures.csv": "a b,c\n" + "".join(f"{n},{n * 2 + n % 3}\n" for n in range(40)),
    "words.csv": "name,note\n" + "".join(f"n{n},t{n % 3}\n" for n in range(20)),
    "names.csv": "name\n" + "".join(f"n{n}\n" for n in range(20)),
    "gaps.csv": "kind,size\n" + "".join(f"{'ab'[n % 2]},{'' if n % 5 == 0 else n}\n" for n in range(25)),
    "quotes'.csv": "\"it's\",'y'\n" + "".join(f"{n},{n % 7}\n" for n in range(20)),
}  # fmt: skip


def play(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Exception | None], dict[str, Any]]:
    """Run the script's code here, as the sandbox would; what each step raised, and the variables at the end."""
    mpl.use("Agg")
    monkeypatch.chdir(path.parent)
    scope: dict[str, Any] = {}
    raised: list[Exception | None] = []
    figures = 0
    for step in steps(read_profile(path), path.name):
        try:
            exec(step.code, scope)
            raised.append(None)
        except Exception as error:
            raised.append(error)
        figures += len(plt.get_fignums())
        plt.close("all")  # as the kernel does at the end of a cell
    scope["figures"] = figures
    return raised, scope


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive:UserWarning")
@pytest.mark.parametrize("name", FILES)
def test_any_table_is_loaded_drawn_twice_slipped_on_once_and_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_text(FILES[name])
    raised, scope = play(path, monkeypatch)
    assert [type(error) for error in raised] == [type(None), type(None), KeyError, type(None), type(None)]
    assert scope["figures"] == 2
    assert len(scope["data"]) == FILES[name].count("\n") - 1
    assert (tmp_path / "summary.csv").stat().st_size > 0


def test_of_the_penguins_it_chooses_what_a_person_would(penguins: Path) -> None:
    profile = read_profile(penguins)
    assert [column.name for column in profile.pair or ()] == ["flipper_length_mm", "body_mass_g"]
    assert profile.categories[0].name == "species"
    assert profile.crossed(profile.categories[0]).name == "sex"
    assert len(profile.columns[0].values) == 344


def test_the_conclusion_says_what_pandas_says(penguins: Path) -> None:
    data = pd.read_csv(penguins)
    summary = data.groupby("species")["body_mass_g"].agg(["count", "mean"]).round(1).reset_index()
    r = data["flipper_length_mm"].corr(data["body_mass_g"])
    outputs = ["344 rows, 8 columns\nmissing values: {'sex': 11}", f"r = {r:.2f} over 342 rows"]
    told = conclusion(read_profile(penguins), outputs, (list(summary.columns), summary.to_numpy().tolist()))
    assert "344 rows and 8 columns; missing values: sex: 11." in told
    assert "highest for Gentoo (5076, n = 123) and lowest for Adelie (3700.7, n = 151)" in told
    assert f"(r = {r:.2f})" in told


def test_the_conclusion_says_less_when_it_was_told_less(penguins: Path) -> None:
    assert conclusion(read_profile(penguins), ["Error: it broke"], ([], [])) == " The summary is in summary.csv."
