"""Every program of a query engine starts on fresh tables, with `pd` and `np`, in a Python that nobody has changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ci_integrations import CodeInterpreter
from ci_integrations.llamaindex import CodeInterpreterQueryEngine
from ci_integrations.llamaindex.analysis.kernel import names
from ci_integrations.testing import ScriptedLLM

FRAME = pd.DataFrame({"x": [1, 2], "tags": [["a"], ["b"]]})


@pytest.fixture(scope="module")
def interpreter() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend="local") as one:
        yield one


def answers(interpreter: CodeInterpreter, *programs: str, **options: object) -> list[str]:
    """What each program says, as the answer to a question of its own."""
    options = {"dataframes": {"df": FRAME}} | options
    with CodeInterpreterQueryEngine(
        interpreter, llm=ScriptedLLM(list(programs)), synthesize_response=False, max_repairs=0, **options
    ) as engine:
        return [str(engine.query("?")) for _ in programs]


def test_columns_of_every_kind_are_copied(interpreter: CodeInterpreter) -> None:
    kinds = pd.DataFrame(
        {"c": pd.Categorical(["a"]), "o": [{"k": 1}], "i": [1], "p": pd.period_range("2020", periods=1)}
    )
    change = "df.o[0]['k'] = 9\ndf.loc[0, 'i'] = 9\nprint('done')"
    assert answers(interpreter, change, "print(df.o[0], df.i[0], df.c[0])", dataframes={"df": kinds}) == [
        "done",
        "{'k': 1} 1 a",
    ]


def test_pandas_and_numpy_are_there_until_a_program_takes_them(interpreter: CodeInterpreter) -> None:
    programs = ["pd = np = None\nprint('gone')", "print(pd.isna(np.nan))"]
    assert answers(interpreter, *programs) == ["gone", "True"]


@pytest.mark.parametrize(
    ("change", "look", "right"),
    [
        ("df.drop(columns='x', inplace=True)", "print(df.x.sum())", "3"),
        ("df.tags[0].append('z')", "print(df.tags[0])", "['a']"),
        ("left = _left = 1", "print('left' in globals(), '_left' in globals())", "False False"),
        ("pd.DataFrame.sum = lambda *_, **__: 'patched'", "print(df[['x']].sum().x)", "3"),
        ("np.mean = np.median = None", "print(np.mean([1, 2]), np.median([1, 3]))", "1.5 2.0"),
        ("pd.DataFrame.mine = lambda frame: 1", "print(hasattr(df, 'mine'))", "False"),
        ("import builtins\nbuiltins.round = lambda _: 99", "print(round(1.2))", "1"),
        ("import json\njson.dumps = None\ndel json.loads", "import json\nprint(json.loads(json.dumps([1])))", "[1]"),
        ("pd.set_option('display.precision', 1)", "print(pd.get_option('display.precision'))", "6"),
        ("import os\nos.chdir('/tmp')\nos.environ['MINE'] = '1'", "import os\nprint(os.getcwd(), 'MINE' in os.environ)",
         "/home/user False"),
        ("import sys, warnings\nsys.path.insert(0, '/x')\nwarnings.simplefilter('error')",
         "import sys, warnings\nprint(sys.path[0] == '/x', warnings.filters[0][0] == 'error')", "False False"),
    ],
)  # fmt: skip
def test_what_a_program_changes_is_not_the_next_ones(
    interpreter: CodeInterpreter, change: str, look: str, right: str
) -> None:
    assert answers(interpreter, f"{change}\nprint('done')", look) == ["done", right]


def test_modules_that_are_imported_later_are_left_as_they_are(interpreter: CodeInterpreter) -> None:
    programs = ["import fractions\nfractions.MINE = 1\nprint(1)", "import fractions\nprint(fractions.Fraction(1, 2))"]
    assert answers(interpreter, *programs) == ["1", "1/2"]


def test_figures_are_data_after_the_kernel_was_put_in_order(interpreter: CodeInterpreter) -> None:
    draw = "import matplotlib.pyplot as plt\nplt.plot([1, {n}])\nplt.show()\nprint('drawn')"
    llm = ScriptedLLM([draw.format(n=2), draw.format(n=3)])
    with CodeInterpreterQueryEngine(
        interpreter, dataframes={"df": FRAME}, llm=llm, synthesize_response=False
    ) as engine:
        for last in (2, 3):
            (chart,) = engine.query("Draw").charts
            assert list(chart.chart.panels[0].series[0].values("y")) == [1, last]


def test_nothing_is_left_out_of_what_is_printed(interpreter: CodeInterpreter) -> None:
    wide = pd.DataFrame([range(40)] * 100, columns=[f"column_number_{n:02}" for n in range(40)])
    wide["text"] = "x" * 300
    (said,) = answers(interpreter, "print(df)", dataframes={"df": wide})
    assert all(name in said for name in wide.columns)
    assert "x" * 300 in said
    assert len(said.splitlines()) == 101


def test_a_program_that_ends_itself_is_told_so(interpreter: CodeInterpreter) -> None:
    for program in ("exit()", "quit()", "import sys\nsys.exit()"):
        assert "exit" in answers(interpreter, program)[0].lower()


def test_names_of_files_take_nothing_away(interpreter: CodeInterpreter, tmp_path: Path) -> None:
    stems = ["list", "sum", "pd", "np", "statistics", "json", "class", "a b", "a_b", "2024", "Print"]
    for number, stem in enumerate(stems):
        (tmp_path / f"{stem}.csv").write_text(f"n\n{number}\n")
    tables = ["t_list", "t_sum", "t_pd", "t_np", "t_statistics", "t_json", "t_class", "a_b", "a_b_2"]
    tables += ["t_2024", "t_print"]
    program = (
        "import statistics, json\n"
        "print(list(range(2)), sum([1]), pd.isna(np.nan), statistics.mean([1, 3]), json.dumps(1))\n"
        f"print({', '.join(f'{name}.n[0]' for name in tables)})"
    )
    (said,) = answers(interpreter, program, dataframes=None, files=[tmp_path / f"{stem}.csv" for stem in stems])
    assert said == "[0, 1] 1 True 2 1\n0 1 2 3 4 5 6 7 8 9 10"


def test_frames_and_sheets_are_named_by_the_same_rule(interpreter: CodeInterpreter, tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "time.xlsx") as book:
        FRAME[["x"]].to_excel(book, sheet_name="list", index=False)
        FRAME[["x"]].to_excel(book, sheet_name="list 2", index=False)
    frames = {"sum": FRAME, "Orders": FRAME}
    program = "print(sum([1]), t_sum.x[0], Orders.x[0], time_list.x[0], time_list_2.x[0])"
    assert answers(interpreter, program, dataframes=frames, files=[tmp_path / "time.xlsx"]) == ["1 1 1 1 1"]


def test_a_folder_of_this_name_is_no_module() -> None:
    assert not names.is_taken("no_such_module_anywhere")
    assert names.is_taken("numpy")
    assert names.is_taken("None")
    assert names.free("a", {"a", "a_2"}) == "a_3"
    assert np.all([names.slug(text).isidentifier() for text in ("ä ö", "2 b", "!", "", "a.b")])
