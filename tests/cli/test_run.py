"""`run`: scripts in the local sandbox, with output as it comes, results, files, and exit codes to build on."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.charts import Chart


def script(tmp_path: Path, code: str, name: str = "x.py") -> Path:
    path = tmp_path / name
    path.write_text(code)
    return path


def test_output_and_the_last_value(cli: Callable[..., Any], tmp_path: Path) -> None:
    outcome = cli("run", script(tmp_path, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7"))
    assert outcome.code == 0
    assert outcome.out.split() == ["out", "42"]
    assert "err" in outcome.err


def test_from_standard_input(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("21 * 2"))
    assert cli("run", "-").out == "42\n"


def test_an_error_in_the_script_is_exit_code_one(cli: Callable[..., Any], tmp_path: Path) -> None:
    outcome = cli("run", script(tmp_path, "print('before')\n1 / 0"))
    assert outcome.code == 1
    assert "before" in outcome.out
    assert "ZeroDivisionError" in outcome.out
    assert "site-packages" not in outcome.out


def test_a_file_that_was_not_brought_along(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sales.csv").write_text("a\n1\n")
    outcome = cli("run", script(tmp_path, "open('sales.csv')"))
    assert outcome.code == 1
    assert "--upload sales.csv" in outcome.err
    assert "--upload" not in cli("run", script(tmp_path, "open('other.csv')")).err


def test_too_slow_is_exit_code_one(cli: Callable[..., Any], tmp_path: Path) -> None:
    outcome = cli("run", script(tmp_path, "import time; time.sleep(60)"), "--timeout", "0.5")
    assert outcome.code == 1
    assert "ExecutionTimeout" in outcome.out


def test_files_in_and_artifacts_out(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n2\n")
    code = """
        import pandas as pd, matplotlib.pyplot as plt
        data = pd.read_csv("in.csv")
        data.plot(title="my plot"); plt.show()
        data.to_csv("../user/out.csv")
        data
    """
    path = script(tmp_path, "\n".join(line.strip() for line in code.splitlines()))
    outcome = cli("run", path, "-u", tmp_path / "in.csv", "--save", tmp_path / "made")
    assert outcome.code == 0
    made = {made.name for made in (tmp_path / "made").iterdir()}
    assert made == {"my-plot.png", "my-plot.json", "out.csv", "table-3.json"}
    assert "a" in outcome.out


def test_json_is_the_whole_result_and_nothing_else(cli: Callable[..., Any], tmp_path: Path) -> None:
    result = cli("run", script(tmp_path, "print('hello')\n{'a': float('nan')}"), "--json").json
    assert result["schema"] == "ci_integrations/execution@1"
    assert result["stdout"] == "hello\n"
    assert result["backend"] == "local"


def test_bash_by_its_ending(cli: Callable[..., Any], tmp_path: Path) -> None:
    assert "hi from bash 5" in cli("run", script(tmp_path, "echo hi from bash ${BASH_VERSINFO[0]}", "x.sh")).out


def test_output_is_shown_while_the_script_runs() -> None:
    command = [str(Path(sys.executable).with_name("ci-integrations")), "run", "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as running:
        assert running.stdin is not None and running.stdout is not None  # noqa: PT018 - for the type checker
        running.stdin.write("import time\nprint('first')\ntime.sleep(3)\nprint('last')")
        running.stdin.close()
        assert running.stdout.readline() == "first\n"
        assert running.poll() is None, "the first line came with the last"
        assert running.stdout.read() == "last\n"
        assert running.wait(20) == 0


def test_the_console_script_is_there() -> None:
    command = [str(Path(sys.executable).with_name("ci-integrations")), "run", "-"]
    done = subprocess.run(command, check=False, input="1 + 1", capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "2\n")


def test_numbers_too_many_to_be_sent_are_saved_all_the_same(cli: Callable[..., Any], tmp_path: Path) -> None:
    code = """
import matplotlib.pyplot as plt
import numpy as np
for n in range(4):
    plt.scatter(np.random.rand(100_000), np.full(100_000, n), label=str(n))
plt.show()
"""
    assert cli("run", script(tmp_path, code), "--save", tmp_path / "out").code == 0
    (saved,) = (tmp_path / "out").glob("*.json")
    chart = Chart.model_validate_json(saved.read_bytes())
    assert chart.files == ()
    assert [series.values("y") for series in chart.panels[0].series] == [[n] * 100_000 for n in range(4)]


@pytest.mark.parametrize(
    ("leaving", "code"), [("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(4)", 4), ("sys.exit('no')", 1)]
)
def test_a_script_says_its_own_exit_code(cli: Callable[..., Any], tmp_path: Path, leaving: str, code: int) -> None:
    outcome = cli("run", script(tmp_path, f"import sys\nprint('ran')\n{leaving}"))
    assert (outcome.code, "ran" in outcome.out) == (code, True)
    assert ("SystemExit" in outcome.out) == bool(code)


def test_tables_are_saved(cli: Callable[..., Any], tmp_path: Path) -> None:
    code = "import pandas as pd\npd.DataFrame({'a': [1, 2]})"
    assert cli("run", script(tmp_path, code), "--save", tmp_path / "out").code == 0
    (saved,) = (tmp_path / "out").glob("*.json")
    assert '"rows": [[0, 1], [1, 2]]' in saved.read_text()
