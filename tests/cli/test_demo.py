"""The demo, whole: a real agent, a real sandbox, and artifacts whose numbers are those of pandas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ci_integrations.charts import Chart


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo left behind, made once."""
    from ci_integrations.cli import main

    directory = tmp_path_factory.mktemp("demo") / "ci-demo"
    with pytest.raises(SystemExit) as end:
        main(["demo", "-o", str(directory)])
    assert not end.value.code
    return directory


def chart(directory: Path, words: str) -> Chart:
    [file] = directory.glob(f"*{words}*.json")
    return Chart.model_validate(json.loads(file.read_text()))


def test_everything_lies_there(directory: Path) -> None:
    endings = sorted(path.suffix for path in directory.iterdir())
    assert endings == [".csv", ".html", ".json", ".json", ".png", ".png"]
    for picture in directory.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.with_suffix(".json").is_file()


def test_the_bars_are_the_means_that_pandas_computes(directory: Path, penguins: Path) -> None:
    truth = pd.read_csv(penguins).groupby(["species", "sex"])["body_mass_g"].mean()
    [panel] = chart(directory, "mean-body-mass").panels
    assert panel.kind == "bar"
    drawn = {
        (species, series.name): height
        for series in panel.series
        for species, height in zip(series.values("x"), series.values("y"), strict=True)
    }
    assert drawn == truth.to_dict()


def test_the_points_are_the_rows_of_the_file(directory: Path, penguins: Path) -> None:
    data = pd.read_csv(penguins).dropna(subset=["flipper_length_mm", "body_mass_g", "species"])
    [panel] = chart(directory, "against").panels
    for series in panel.series:
        rows = data[data["species"] == series.name]
        assert series.values("x") == rows["flipper_length_mm"].tolist()
        assert series.values("y") == rows["body_mass_g"].tolist()
    assert sum(series.n for series in panel.series) == len(data) == 342


def test_the_csv_is_the_summary(directory: Path, penguins: Path) -> None:
    truth = pd.read_csv(penguins).groupby("species")["body_mass_g"].agg(["count", "mean", "std", "min", "max"])
    pd.testing.assert_frame_equal(
        pd.read_csv(directory / "summary.csv", index_col=0), truth.round(1), check_dtype=False
    )


def test_the_report_tells_the_slip_the_repair_and_the_conclusion(directory: Path) -> None:
    page = (directory / "report.html").read_text()
    for words in (
        "KeyError",
        "Once more with the right name",
        "highest for Gentoo",
        "r = 0.87",
        "data:image/png;base64",
    ):
        assert words in page


def test_a_file_of_the_users_own(cli: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "my sales.csv"
    rows = "".join(f"{'NSW'[n % 3]};{n % 7 + 0.5};{n % 5}\n" for n in range(60))
    file.write_text(f"region;revenue_eur;visits\n{rows}")
    outcome = cli("demo", "--data", file, "-o", tmp_path / "out", "--json")
    assert outcome.code == 0
    told = outcome.json
    assert (told["cells"], told["errors"], told["backend"]) == (5, 1, "local")
    assert "60 rows and 3 columns" in told["conclusion"]
    assert all(Path(path).is_file() for path in told["files"])
    assert len([path for path in told["files"] if path.endswith(".png")]) == 2
    [means] = chart(tmp_path / "out", "mean-visits").panels[0].series
    assert means.values("y") == pd.read_csv(file, sep=";").groupby("region")["visits"].mean().tolist()
