"""Questions over files and frames, on the real local sandbox: right numbers, repaired programs, charts that survive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from llama_index.core.agent.workflow import AgentInput, FunctionAgent
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import ImageNode, MetadataMode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.workflow import Context, JsonSerializer

from ci_integrations import CodeInterpreter
from ci_integrations.errors import ConfigurationError, QueryFailedError
from ci_integrations.llamaindex import CodeInterpreterQueryEngine, artifacts_from
from ci_integrations.sessions import SessionRegistry
from ci_integrations.testing import ScriptedLLM, tool_call

PENGUINS = Path(str(package_files("ci_integrations.data").joinpath("penguins.csv")))

Make = Callable[..., CodeInterpreterQueryEngine]


@pytest.fixture
def engine(kind: Any) -> Iterator[Make]:
    """Engines on the real sandbox, closed at the end."""
    made: list[CodeInterpreterQueryEngine] = []

    def make(*turns: Any, df: Any = None, **options: Any) -> CodeInterpreterQueryEngine:
        options = {"llm": ScriptedLLM(list(turns)), **kind.options} | options
        cls = CodeInterpreterQueryEngine
        made.append(cls(**options) if df is None else cls.from_dataframe(df, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def python(code: str) -> str:
    return f"Here is the program:\n```python\n{code}\n```\nIt answers the question."


def test_penguins_wrong_first_then_repaired(engine: Make) -> None:
    wrong = python("penguins.groupby('spezies')['body_mass_g'].mean()")
    right = python("print(penguins.groupby('species')['body_mass_g'].mean().round(3).to_json())")
    asked = engine(wrong, right, synthesize_response=False, files=[PENGUINS])
    response = asked.query("What does a penguin of each species weigh?")
    truth = pd.read_csv(PENGUINS).groupby("species")["body_mass_g"].mean().round(3).to_dict()
    assert json.loads(str(response)) == truth
    first, second = response.metadata["attempts"]
    assert first["error"]["name"] == "KeyError"
    assert second["error"] is None
    assert "'species'" in second["code"]  # the new code was run, not the old one again
    repair_prompt = asked.llm.seen[1][0].content
    assert "KeyError" in repair_prompt
    assert "spezies" in repair_prompt
    assert "344 rows" in repair_prompt
    assert "body_mass_g" in repair_prompt


def test_two_sheets_are_two_tables(engine: Make, tmp_path: Path) -> None:
    orders = pd.DataFrame({"region": ["N", "S", "N", "W"], "amount": [1.5, 2.5, 3.0, 4.0]})
    targets = pd.DataFrame({"region": ["N", "S", "W"], "target": [4, 3, 5]})
    book = tmp_path / "Sales 2025.xlsx"
    with pd.ExcelWriter(book) as writer:
        orders.to_excel(writer, sheet_name="Orders", index=False)
        targets.to_excel(writer, sheet_name="Targets", index=False)
    program = (
        "m = sales_2025_orders.groupby('region', as_index=False).amount.sum().merge(sales_2025_targets, on='region')\n"
        "m['met'] = m.amount >= m.target\nprint(m.set_index('region').met.to_json())"
    )
    asked = engine("sales_2025_orders.nope", python(program), files=[book], synthesize_response=False)
    assert json.loads(str(asked.query("Who met the target?"))) == {"N": True, "S": False, "W": False}
    shown = asked.llm.seen[0][0].content
    assert "`sales_2025_orders`: DataFrame, 4 rows" in shown
    assert "sheet 'Targets'" in shown
    assert "share the column 'region'" in shown


def test_join_of_two_files_of_100_000_rows(engine: Make, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    customers = pd.DataFrame({"customer_id": np.arange(100_000), "region": random.choice(list("NSWE"), 100_000)})
    orders = pd.DataFrame(
        {"customer_id": random.integers(0, 100_000, 100_000), "amount": random.uniform(1, 500, 100_000).round(2)}
    )
    customers.to_csv(tmp_path / "customers.csv", index=False)
    orders.to_csv(tmp_path / "orders.csv", index=False)
    wrong = python("orders.merge(customers, on='id').groupby('region').amount.sum()")
    right = python("orders.merge(customers, on='customer_id').groupby('region', as_index=False).amount.sum()")
    asked = engine(wrong, right, "N leads.", files=[tmp_path / "customers.csv", tmp_path / "orders.csv"])
    response = asked.query("Revenue by region?")
    assert str(response) == "N leads."
    (table,) = response.metadata["tables"]
    names = [column["name"] for column in table["columns"]]
    got = {row[names.index("region")]: row[names.index("amount")] for row in table["rows"]}
    truth = orders.merge(customers, on="customer_id").groupby("region").amount.sum().to_dict()
    assert got == pytest.approx(truth)
    assert len(response.metadata["attempts"]) == 2
    assert "share the column 'customer_id'" in asked.llm.seen[0][0].content


def test_parquet_and_feather_files(engine: Make, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"city": ["Toronto", None], "population": [2930000, 13960000]})
    frame.to_parquet(tmp_path / "cities.parquet")
    frame.to_feather(tmp_path / "again.feather")
    asked = engine(
        "print(int(cities.population.sum()), int(again.city.isna().sum()))",
        files=[tmp_path / "cities.parquet", tmp_path / "again.feather"], synthesize_response=False,
    )  # fmt: skip
    assert str(asked.query("?")) == "16890000 1"


def test_a_frame_arrives_as_it_is(engine: Make) -> None:
    frame = pd.DataFrame(
        {
            "text": ["007", "", None, "NA"],
            "whole": pd.array([1, None, 2**60, 4], dtype="Int64"),
            "float": [0.1, np.nan, 1e300, -0.0],
            "when": pd.to_datetime(["2024-03-31 01:30", None, "2024-10-27 12:00", "2025-01-01 00:00"]).tz_localize(
                "Europe/Berlin"
            ),
            "kind": pd.Categorical(["b", "a", None, "b"], categories=["b", "a"], ordered=True),
            "yes": [True, False, True, True],
            "took": pd.to_timedelta([1, None, 3, 4], unit="h"),
        },
        index=pd.Index(["w", "x", "y", "z"], name="key"),
    )
    program = (
        "import json\nprint(json.dumps({'dtypes': {c: str(t) for c, t in df.dtypes.items()}, 'index': list(df.index),\n"
        "  'name': df.index.name, 'text': df.text.fillna('<missing>').tolist(), 'whole': str(df.whole.tolist()),\n"
        "  'float': df.float.map(repr).tolist(), 'when': [str(w) for w in df.when],\n"
        "  'kind': [str(k) for k in df.kind], 'ordered': df.kind.cat.ordered, 'took': [str(t) for t in df.took]}))"
    )
    told = json.loads(str(engine(python(program), df=frame).query("?")))
    assert told["index"] == ["w", "x", "y", "z"]
    assert told["name"] == "key"
    assert told["text"] == ["007", "", "<missing>", "NA"]
    assert told["whole"] == str(frame.whole.tolist())
    assert told["float"] == frame.float.map(repr).tolist()
    assert told["when"] == [str(when) for when in frame.when]
    assert told["kind"] == [str(kind) for kind in frame.kind]
    assert told["ordered"] is True
    assert told["took"] == [str(took) for took in frame.took]
    same = {name: str(dtype) for name, dtype in frame.dtypes.items() if name != "text"}
    assert {name: dtype for name, dtype in told["dtypes"].items() if name != "text"} == same


def test_several_frames_and_fresh_copies_for_every_program(engine: Make) -> None:
    frames = {"a": pd.DataFrame({"x": [1, 2]}), "b": pd.DataFrame({"x": [2, 3]})}
    spoil = "a.drop(columns='x', inplace=True)\nleft_over = 1\n1/0"
    asked = engine(
        python(spoil), python("print(int(a.merge(b, on='x').x.sum()), 'left_over' in globals())"),
        dataframes=frames, synthesize_response=False,
    )  # fmt: skip
    assert str(asked.query("Sum of what is in both?")) == "2 False"


def test_pandas_query_engine_users_find_everything(engine: Make) -> None:
    frame = pd.DataFrame({"city": ["Toronto", "Tokyo"], "population": [2930000, 13960000]})
    custom = PromptTemplate("{df_str}\n{instruction_str}\n{query_str}\nExpression:")
    asked = engine(
        "df['city'][df['population'].idxmax()]",
        df=frame, verbose=True, pandas_prompt=custom, output_kwargs={"max_colwidth": 9},
    )  # fmt: skip
    response = asked.query("Which city is the largest?")
    assert str(response) == "Tokyo"
    assert response.metadata["pandas_instruction_str"] == "df['city'][df['population'].idxmax()]"
    assert response.metadata["raw_pandas_output"] == "Tokyo"
    told = engine("df.population.max()", "df.population.mean()", "df.population.max() > 1", df=frame)
    assert [str(told.query("?")) for _ in range(3)] == ["13960000", "8445000.0", "True"]
    asked = engine("df.city", "It is Tokyo.", df=frame, synthesize_response=True)
    assert str(asked.query("Which?")) == "It is Tokyo."


def test_prompts_can_be_read_and_replaced(engine: Make) -> None:
    asked = engine("1 + 1", df=pd.DataFrame({"x": [1]}))
    assert set(asked.get_prompts()) == {"code_prompt", "repair_prompt", "response_synthesis_prompt"}
    asked.update_prompts({"code_prompt": PromptTemplate("MINE {query_str}")})
    asked.query("what?")
    assert asked.llm.seen[0][0].content == "MINE what?"


@pytest.mark.parametrize("said", ["I cannot do that.", "```bash\nls\n```", "pass"])
def test_no_program_or_no_output_is_repaired_too(engine: Make, said: str) -> None:
    asked = engine(said, "print(df.x.sum())", df=pd.DataFrame({"x": [1, 2]}))
    response = asked.query("Sum?")
    assert str(response) == "3"
    assert response.metadata["attempts"][0]["error"]["name"] in ("NoCode", "NoOutput")


def test_giving_up_is_said_in_metadata_and_text(engine: Make) -> None:
    asked = engine("1/0", "df.nope", "1/0", df=pd.DataFrame({"x": [1]}), synthesize_response=True)
    response = asked.query("?")
    assert "could not be answered" in str(response)
    assert response.metadata["error"]["name"] == "ZeroDivisionError"
    assert [a["error"]["name"] for a in response.metadata["attempts"]] == [
        "ZeroDivisionError", "AttributeError", "ZeroDivisionError",
    ]  # fmt: skip
    asked = engine("1/0", df=pd.DataFrame({"x": [1]}), max_repairs=0, raise_on_error=True)
    with pytest.raises(QueryFailedError) as failure:
        asked.query("?")
    assert failure.value.response.metadata["error"]["name"] == "ZeroDivisionError"


def test_a_slow_program_is_stopped_and_may_be_repaired(engine: Make) -> None:
    asked = engine("while True: pass", "print(df.x[0])", df=pd.DataFrame({"x": [5]}), timeout=1.5)
    response = asked.query("?")
    assert str(response) == "5"
    assert response.metadata["attempts"][0]["error"]["name"] == "ExecutionTimeout"


async def test_async_and_sync_inside_a_running_loop_share_the_sandbox(engine: Make) -> None:
    asked = engine("print(1)", "print(2)", df=pd.DataFrame({"x": [1]}))
    first = await asked.aquery("?")
    second = asked.query("?")
    assert (str(first), str(second)) == ("1", "2")
    assert first.metadata["sandbox_id"] == second.metadata["sandbox_id"] is not None


async def test_parallel_questions_do_not_mix(engine: Make) -> None:
    turns = ["import time; x = df.x.sum(); time.sleep(0.05); print(x)"] * 4
    asked = engine(*turns, df=pd.DataFrame({"x": [1, 2]}))
    answers = await asyncio.gather(*[asked.aquery("?") for _ in turns])
    assert [str(answer) for answer in answers] == ["3"] * 4


PLOT = (
    "import matplotlib.pyplot as plt\nplt.bar(df.city, df.population)\nplt.title('Sizes')\nplt.show()\nprint('drawn')"
)
CITIES = pd.DataFrame({"city": ["Toronto", "Tokyo"], "population": [2.93, 13.96]})


def test_charts_are_in_metadata_and_source_nodes_but_not_in_prompts(engine: Make) -> None:
    response = engine(PLOT, df=CITIES).query("Draw it")
    (chart,) = response.metadata["charts"]
    assert chart["chart"]["panels"][0]["title"] == "Sizes"
    json.dumps(response.metadata, allow_nan=False)
    (picture,) = [node.node for node in response.source_nodes if isinstance(node.node, ImageNode)]
    assert picture.image_mimetype == "image/png"
    assert picture.metadata["chart"] == chart
    prompt = picture.get_content(metadata_mode=MetadataMode.LLM)
    assert "elements" not in prompt
    assert len(prompt) < 1000
    assert {"chart", "image"} <= {artifact.kind for artifact in artifacts_from(response)}


def test_as_tool_gives_pictures(engine: Make) -> None:
    tool = engine(PLOT, df=CITIES).as_tool("cities", "Facts on cities")
    output = tool.call("Draw it")
    assert output.content == "drawn"
    assert any(isinstance(block, ImageBlock) for block in output.blocks)
    assert not output.is_error
    assert artifacts_from(output)


async def test_an_agent_with_the_engine_as_tool_can_be_saved(engine: Make) -> None:
    tool = engine(PLOT, df=CITIES).as_tool("cities", "Facts on cities")
    llm = ScriptedLLM([tool_call("cities", input="Draw"), "drawn"])
    agent = FunctionAgent(tools=[tool], llm=llm)
    handler = agent.run(user_msg="go", ctx=Context(agent))
    saved = None
    async for event in handler.stream_events():
        if isinstance(event, AgentInput) and event.input[-1].role == "tool":
            saved = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
    answer = await handler
    assert saved
    assert any(isinstance(block, ImageBlock) for block in llm.seen[1][-1].blocks)
    assert "chart" in {artifact.kind for artifact in artifacts_from(answer)}


def test_router_keeps_charts(engine: Make) -> None:
    tool = engine(PLOT, df=CITIES).as_tool("cities", "Facts on cities")
    selector = LLMSingleSelector.from_defaults(llm=ScriptedLLM(['[{"choice": 1, "reason": "cities"}]']))
    router = RouterQueryEngine(selector=selector, query_engine_tools=[tool], llm=ScriptedLLM([]))
    response = router.query("Draw it")
    assert response.metadata["charts"]
    assert response.metadata["selector_result"]


@pytest.mark.parametrize("use_async", [False, True])
def test_sub_questions_keep_charts_in_source_nodes(engine: Make, use_async: bool) -> None:
    tool = engine(PLOT, "print(df.population.max())", df=CITIES).as_tool("cities", "Facts on cities")
    questions = json.dumps(
        {"items": [{"sub_question": "Draw", "tool_name": "cities"}, {"sub_question": "Max?", "tool_name": "cities"}]}
    )
    whole = SubQuestionQueryEngine.from_defaults(  # a model for each part, so that each says its own
        [tool],
        question_gen=LLMQuestionGenerator.from_defaults(llm=ScriptedLLM([f"```json\n{questions}\n```"])),
        response_synthesizer=get_response_synthesizer(llm=ScriptedLLM(["Tokyo, as drawn."])),
        llm=ScriptedLLM([]),
        use_async=use_async,
        verbose=False,
    )
    response = whole.query("Draw the cities and name the largest")
    assert str(response) == "Tokyo, as drawn."
    kinds = [node.node.metadata.get("kind") for node in response.source_nodes]
    assert "chart" in kinds


def test_the_host_escape_of_pandas_query_engine_is_contained(engine: Make, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("host secret")
    escape = f"import pandas as pd\npd.io.common.os.system('id; hostname; cat {canary}; echo owned > {canary}')"
    read = f"import pandas as pd\nprint(pd.io.common.os.path.exists({str(canary)!r}), pd.io.common.os.getuid())"
    asked = engine(f"{escape}\nprint('tried')", read, df=CITIES)
    first = asked.query("Escape")
    second = asked.query("Look")
    assert canary.read_text() == "host secret"
    assert "host secret" not in json.dumps(first.metadata)
    assert str(second).split()[0] == "False"


async def test_a_shared_interpreter_keeps_its_own_variables(kind: Any) -> None:
    with CodeInterpreter(**kind.options) as mine:
        mine.run("df = 'mine'")
        turns = ["print(df.population.max())", "print(df.x.sum())", "print(df.population.min())", "print(df.x.max())"]
        llm = ScriptedLLM(turns)
        one = CodeInterpreterQueryEngine.from_dataframe(CITIES, mine, llm=llm)
        two = CodeInterpreterQueryEngine.from_dataframe(pd.DataFrame({"x": [1, 2]}), mine, llm=llm)
        assert [str(one.query("?")), str(two.query("?"))] == ["13.96", "3"]
        assert mine.run("df").text == "mine"
        mine.sandbox.kill()  # the engine fills the new sandbox again, in a context of its own
        assert [str(one.query("?")), str(await two.aquery("?"))] == ["2.93", "2"]
        one.close()
        assert mine.run("1").ok


def test_an_engine_on_a_registry(kind: Any) -> None:
    with SessionRegistry(kind.options) as registry:
        asked = CodeInterpreterQueryEngine.from_dataframe(CITIES, registry, llm=ScriptedLLM(["print(len(df))"]))
        assert str(asked.query("?")) == "2"
        asked.close()
        assert len(registry.keys()) == 1


def test_what_cannot_be_asked_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        CodeInterpreterQueryEngine(files=[tmp_path / "nope.csv"])
    with pytest.raises(ConfigurationError, match=r"files=\['nope.csv'\]"):
        CodeInterpreterQueryEngine(files="nope.csv")
    with pytest.raises(ConfigurationError, match="dataframes={'orders'"):
        CodeInterpreterQueryEngine(dataframes=CITIES)
    with pytest.raises(ConfigurationError, match="'df' is not a DataFrame: list"):
        CodeInterpreterQueryEngine.from_dataframe([1, 2])
    with pytest.raises(ConfigurationError, match="variable"):
        CodeInterpreterQueryEngine(dataframes={"two words": CITIES})
