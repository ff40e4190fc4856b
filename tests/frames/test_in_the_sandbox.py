"""Tables through the real local sandbox: `put`, `get`, `dataframes=`, after losses, and the tables that cells show."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from langchain_core.messages import ToolMessage

from ci_integrations import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations.errors import ArtifactError, ConfigurationError
from ci_integrations.langchain import CodeInterpreterTool
from ci_integrations.llamaindex import CodeInterpreterTool as LlamaIndexTool
from ci_integrations.results import ExecutionResult
from ci_integrations.store import ArtifactStore

sys.path.insert(0, str(Path(__file__).parent))

from generated import many
from same import assert_same

FRAME = pd.DataFrame(
    {
        "price": [Decimal("10.50"), None],
        "day": [dt.date(2024, 1, 2), dt.date(2024, 3, 1)],
        "kind": pd.Categorical(["b", "a"]),
        "text": ["a\rb", "007"],
        "when": pd.to_datetime(["2024-01-01", None]).tz_localize("Europe/Berlin"),
    },
    index=pd.Index([3, 4], name="id"),
)


@pytest.fixture(scope="module")
def interpreter():
    with CodeInterpreter(backend="local") as one:
        yield one


class Point:
    def __str__(self) -> str:
        return "POINT (1 2)"


def test_a_frame_is_there_as_it_is_here_and_comes_back(interpreter) -> None:
    (put,) = interpreter.put(df=FRAME)
    assert (put.name, put.rows, put.columns, put.notes) == ("df", 2, 5, ())
    assert interpreter.run("(df.price.sum(), (df.day.iloc[1] - df.day.iloc[0]).days)").text == "(Decimal('10.50'), 59)"
    assert_same(FRAME, interpreter.get("df"))


def test_what_the_code_made_comes_back_whole(interpreter) -> None:
    interpreter.run("import pandas as pd\nbig = pd.DataFrame({'n': range(50_000), 's': 'x'})\nmeans = big.n.describe()")
    big = interpreter.get("big")
    assert big.shape == (50_000, 2)
    assert interpreter.get("means")["max"] == 49_999


def test_nothing_shows_of_it(interpreter) -> None:
    before = interpreter.run("1").execution_count
    names = interpreter.run("sorted(n for n in globals() if not n.startswith('_'))").text
    interpreter.put(quiet=FRAME)
    interpreter.get("quiet")
    after = interpreter.run("sorted(n for n in globals() if not n.startswith('_') and n != 'quiet')")
    assert after.text == names
    assert after.execution_count == before + 2
    assert not after.events


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_generated_frames_through_the_tool_of_langchain(count) -> None:
    with CodeInterpreterTool(backend="local") as tool:
        session = tool.session()
        waiting: dict[str, pd.DataFrame] = {}
        for number, frame in enumerate(many(count, seed=count)):
            waiting[f"f{number % 50}"] = frame
            if len(waiting) == 50 or number == count - 1:
                assert not any(put.notes for put in session.put(waiting))
                for name, one in waiting.items():
                    assert_same(one, session.get(name))
                waiting = {}


async def test_awaited() -> None:
    async with AsyncCodeInterpreter(backend="local", dataframes={"orders": FRAME}) as one:
        assert (await one.run("orders.shape")).text == "(2, 5)"
        await one.put({"context": FRAME.price})
        assert_same(FRAME.price, await one.get("context"))
        context = await one.create_context()
        await one.put(other=FRAME, context=context)
        assert_same(FRAME, await one.get("other", context=context))
        with pytest.raises(ArtifactError, match="NameError"):
            await one.get("other")


def test_tables_are_put_again_after_a_loss_and_that_is_said() -> None:
    with CodeInterpreter(backend="local", dataframes={"orders": FRAME}) as one:
        one.put(rates=FRAME.price)
        one.run("x = 1")
        one.sandbox.kill()
        result = one.run("print(orders.shape, rates.shape)")
        assert result.stdout == "(2, 5) (2,)\n"
        assert [event.type for event in result.events] == ["state_lost", "restored"]
        assert result.events[1].restored == ("table orders", "table rates")
        assert not one.run("1").events
        one.restart_context()
        assert one.run("orders.shape").text == "(2, 5)"


def test_tables_stay_as_they_were_put(interpreter) -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    with CodeInterpreter(backend="local") as one:
        one.put(df=frame)
        one.run("df['b'] = 1")
        assert list(one.get("df").columns) == ["a", "b"]
        assert list(frame.columns) == ["a"]
        one.sandbox.kill()
        assert list(one.get("df").columns) == ["a"]


def test_a_bare_sandbox_says_what_is_not_there() -> None:
    with CodeInterpreter(backend="local", dataframes={"df": FRAME}, on_sandbox_lost="recreate") as one:
        one.run("1")
        one.sandbox.kill()
        result = one.run("'df' in globals()")
        assert result.text == "False"
        assert ("table df",) in [event.not_restored for event in result.events]


def test_what_has_no_equal_is_said_to_both(caplog) -> None:
    odd = pd.DataFrame({"place": [Point(), Point()]})
    with CodeInterpreter(backend="local", dataframes={"odd": odd}) as one, caplog.at_level(logging.WARNING):
        result = one.run("odd.place[0]")
        assert result.text == "POINT (1 2)"
        assert [event.type for event in result.events] == ["table_changed"]
        assert "Point" in result.events[0].message
        (put,) = one.put(again=odd)
        assert "2 values of type Point arrive as their text" in put.notes[0]
    assert "column 'place'" in caplog.text


@pytest.mark.parametrize("name", ["a b", "class", "", "df.x", 3])
def test_names_that_cannot_be_variables(interpreter, name) -> None:
    with pytest.raises(ConfigurationError, match="variable"):
        interpreter.put({name: FRAME})
    with pytest.raises(ConfigurationError, match="variable"):
        interpreter.get(name)


def test_what_is_no_table(interpreter) -> None:
    with pytest.raises(ConfigurationError, match="'n' cannot be put"):
        interpreter.put(n=[1, 2])
    with pytest.raises(ConfigurationError, match="names"):
        CodeInterpreter(dataframes=[FRAME])
    with pytest.raises(ArtifactError, match="NameError"):
        interpreter.get("nothing_here")
    interpreter.run("word = 'x'")
    with pytest.raises(ArtifactError, match="no table"):
        interpreter.get("word")
    interpreter.run("import numpy; wide = numpy.zeros((1000, 100))")
    with pytest.raises(ArtifactError, match="max_bytes"):
        interpreter.get("wide", max_bytes=1000)


def test_a_kernel_that_lies_gives_an_error_and_nothing_else(interpreter) -> None:
    lie = (
        "import sys, json\nroom = sys.modules['_ci_frames']\nfrom importlib import import_module\n"
        "kernel = import_module(room.__name__ + '.kernel')\n"
        "def write(shell, name, path, *there):\n    open(path, 'wb').write({content})\n"
        "    print(json.dumps({said}))\nkernel.write = write"
    )
    with CodeInterpreter(backend="local") as one:
        one.put(df=FRAME)
        lies = (
            ["b'x' * 100", "{'size': 100}"],
            ["b''", "{'size': 'much'}"],
            ["b'x' * 5000", "{'size': 5}"],
            ["b''", "[1]"],
        )
        for content, said in lies:
            one.run(lie.format(content=content, said=said))
            with pytest.raises(Exception, match="table|bytes|answer") as caught:
                one.get("df", max_bytes=4000)
            assert type(caught.value).__name__ in ("ArtifactError", "SandboxError")


def test_the_model_is_told_of_the_tables() -> None:
    for tool, words in (
        (CodeInterpreterTool(dataframes={"df": FRAME}), lambda tool: tool.description),
        (LlamaIndexTool(dataframes={"df": FRAME}), lambda tool: tool.metadata.description),
    ):
        assert "`df`: DataFrame 2 x 5: 'price' (object), 'day' (object), 'kind' (category)" in words(tool)


def test_a_tool_of_each_framework_has_the_tables() -> None:
    with CodeInterpreterTool(backend="local", dataframes={"df": FRAME}) as tool:
        assert "10.50" in tool.invoke({"code": "print(df.price.sum())"})
    with LlamaIndexTool(backend="local", dataframes={"df": FRAME}) as tool:
        assert tool.run("df.price.sum()").text == "Decimal('10.50')"


def call(tool: CodeInterpreterTool, code: str) -> ToolMessage:
    return tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": {"code": code}})


def test_a_shown_table_is_there_whole(interpreter) -> None:
    interpreter.put(small=FRAME, large=pd.DataFrame({"n": np.arange(5000), "k": pd.Categorical(["a", "b"] * 2500)}))
    small = interpreter.run("small").tables[0]
    assert small.whole.data
    assert_same(FRAME, small.to_pandas())
    large = interpreter.run("large").tables[0]
    assert len(large.rows) == 1000
    assert large.whole.path
    for source in (interpreter, interpreter.download, interpreter.download(large.whole.path), None):
        assert_same(interpreter.get("large"), large.load(source))
    with pytest.raises(ArtifactError, match="not what they were"):
        large.to_pandas(b"something else")


def test_the_whole_outlives_the_sandbox_in_a_store(tmp_path) -> None:
    store = ArtifactStore(str(tmp_path))
    frame = pd.DataFrame({"n": np.arange(5000), "k": pd.Categorical(["a", "b"] * 2500)})
    with CodeInterpreterTool(backend="local", dataframes={"df": frame}, artifact_store=store) as tool:
        message = call(tool, "df")
    (table,) = ExecutionResult.from_message(message).tables
    assert_same(frame, table.to_pandas(store))
    with pytest.raises(ArtifactError, match="store"):
        table.to_pandas()


def test_a_secret_is_not_in_the_whole_either(tmp_path) -> None:
    store = ArtifactStore(str(tmp_path))
    for rows in (2, 9000):
        code = f"import pandas as pd; pd.DataFrame({{'key': ['hush-hush-1'] * {rows}, 'n': range({rows})}})"
        with CodeInterpreterTool(backend="local", redact=["hush-hush-1"], artifact_store=store) as tool:
            message = call(tool, code)
        (table,) = ExecutionResult.from_message(message).tables
        assert table.whole is None
        assert "secret" in table.note
    assert not any(b"hush-hush-1" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_model_reads_values_as_they_are(interpreter) -> None:
    code = (
        "import pandas as pd, datetime, decimal\n"
        "pd.DataFrame({'v': ['a<b', '[x]', 'a|b', 'a\\nb', '1', '', 'nan', ' x', b'x\\xff', 1, 2.5, None,\n"
        "  float('nan'), True, datetime.date(2024, 1, 2), decimal.Decimal('1.50'), [1, '2'],\n"
        "  'it is `code`']}, dtype=object)"
    )
    text = interpreter.run(code).tables[0].text()
    shown = [line.split(" | ", 1)[1].rsplit(" |", 1)[0] for line in text.splitlines()[2:20]]
    assert shown == [
        "a<b", "[x]", "a\\|b", "a\\nb", "'1'", "''", "'nan'", "' x'", r"b'x\xff'", "1", "2.5", "None", "nan", "True",
        "2024-01-02", "1.50", "[1, '2']", "it is `code`",
    ]  # fmt: skip


def test_wide_and_long_tables_stay_within_the_budget(interpreter) -> None:
    code = "import pandas as pd\npd.DataFrame({f'column {n}': ['word ' * 30] * 300 for n in range(150)})"
    table = interpreter.run(code).tables[0]
    assert len(table.text()) < 40_000
    assert "40 of 151 columns" in table.text()
    assert len(table.rows) * 150 <= 100_000


def test_arrays_of_other_libraries_are_tables(interpreter) -> None:
    assert interpreter.run("import numpy as np\nnp.arange(5000).reshape(-1, 2)").tables[0].shape == (2500, 2)
    assert not interpreter.run("np.arange(5)").tables
    sparse = interpreter.run("from scipy import sparse\nsparse.eye(4, format='csr')").tables
    assert sparse[0].shape == (4, 4)


def test_long_columns_of_charts_come_by_themselves(interpreter) -> None:
    code = (
        "import numpy as np, matplotlib.pyplot as plt\nrandom = np.random.default_rng(1)\n"
        "plt.plot(random.normal(size=400_000)); plt.show()"
    )
    (chart,) = interpreter.run(code).charts
    series = chart.chart.panels[0].series[0]
    assert chart.chart.files
    assert len(series.values("y")) == 400_000
    assert series.values("y") == chart.chart.load(interpreter.download).panels[0].series[0].values("y")


def test_an_address_that_a_kernel_claims_is_not_asked(interpreter) -> None:
    code = (
        "from IPython.display import display\n"
        "column = {'file': '/tmp/x', 'sha256': 'a' * 64, 'dtype': 'f8', 'n': 3, 'url': 'http://127.0.0.1:9/secret'}\n"
        "chart = {'schema': 'ci.chart/1', 'panels': [{'series': [{'kind': 'line', 'x': [1, 2, 3], 'y': column}]}]}\n"
        "display({'application/vnd.ci-chart.v1+json': chart, 'text/plain': 'x'}, raw=True)"
    )
    heard = []
    (chart,) = interpreter.run(code, on_output=lambda event: heard.extend(event.artifacts)).charts
    assert "127.0.0.1:9" not in chart.model_dump_json()
    assert "127.0.0.1:9" not in "".join(one.model_dump_json() for one in heard)


def test_a_kernel_without_this_library_gets_the_codec_as_files() -> None:
    with CodeInterpreter(backend="local") as one:
        one.run("import sys\nsys.modules['ci_integrations.frames.codec'] = None; sys.modules.pop('_ci_frames', None)")
        one.put(df=FRAME)
        assert one.run("sys.modules['_ci_frames'].__file__").text.startswith("/tmp/.ci_source/")
        assert_same(FRAME, one.get("df"))
        assert_same(FRAME, one.run("df").tables[0].to_pandas())
        assert one.run("[p for p in sys.path if 'ci_source' in p]").text == "[]"


def test_a_kernel_without_the_codec_still_shows_the_first_rows() -> None:
    with CodeInterpreter(backend="local") as one:
        one.run("import sys\nsys.modules['ci_integrations.frames.codec'] = None; sys.modules.pop('_ci_frames', None)")
        table = one.run("import pandas as pd\npd.DataFrame({'a': range(3)})").tables[0]
        assert table.whole is None
        assert table.to_pandas()["a"].tolist() == [0, 1, 2]
        long = one.run("pd.DataFrame({'a': range(3000)})").tables[0]
        assert "only the first rows" in long.note
        with pytest.raises(ArtifactError, match="first 1000 rows"):
            long.to_pandas()
