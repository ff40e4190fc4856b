"""Each engine answers from its own data, as it is now: on a shared interpreter, after a change, after a loss."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ci_integrations import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations.errors import QueryFailedError
from ci_integrations.llamaindex import CodeInterpreterQueryEngine, CodeInterpreterToolSpec, CodeInterpreterWorkflow
from ci_integrations.testing import ScriptedLLM


@pytest.fixture(scope="module")
def interpreter() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend="local") as one:
        yield one


@pytest.fixture
def orders(tmp_path: Path) -> list[Path]:
    """Two files of one name and one length, in two folders."""
    paths = [tmp_path / customer / "orders.csv" for customer in ("ann", "bob")]
    for path, amount in zip(paths, (11, 77), strict=True):
        path.parent.mkdir()
        path.write_text(f"a\n{amount}\n")
    return paths


def engine(given: Any, *programs: str, **options: Any) -> CodeInterpreterQueryEngine:
    options = {"synthesize_response": False, "max_repairs": 0, "llm": ScriptedLLM(list(programs))} | options
    return CodeInterpreterQueryEngine(given, **options)


def told(one: Any, request: int = -1) -> str:
    """What the model was told of the data, without the question."""
    return str(one.llm.seen[request][-1].content).partition("Question:")[0]


async def test_engines_on_one_interpreter_see_their_own_file(interpreter: CodeInterpreter, orders: list[Path]) -> None:
    """Blocking and awaited, one after the other and in turn, as a tool and as a chat."""
    both = [engine(interpreter, *["print(orders.a.sum())"] * 3, files=[path]) for path in orders]
    assert [str(one.query("?")) for one in both] == ["11", "77"]
    assert [str(await one.aquery("?")) for one in both] == ["11", "77"]
    assert [one.as_tool("t", "d").call("?").content for one in both] == ["11", "77"]
    chats = [engine(interpreter, "print(orders.a.sum())", files=[path]).as_chat_engine() for path in orders]
    assert [str(chat.chat("?")) for chat in chats] == ["11", "77"]
    for one in (*both, *chats):
        one.close()


async def test_workflows_on_one_interpreter_see_their_own_file(orders: list[Path]) -> None:
    async with AsyncCodeInterpreter(backend="local") as shared:
        await shared.run("mine = 1")
        before = len(await shared.list_contexts())
        flow = CodeInterpreterWorkflow(
            shared, llm=ScriptedLLM(["print(orders.a.sum())"] * 2), synthesize_response=False
        )
        assert [str(await flow.run(query="?", files=[path])) for path in orders] == ["11", "77"]
        assert len(await shared.list_contexts()) == before  # each run has ended its kernel
        assert (await shared.run("mine")).text == "1"
        await flow.aclose()


def test_two_files_of_one_name_in_one_engine_and_in_a_tool_spec(orders: list[Path]) -> None:
    with engine(None, "print(orders.a[0], orders_2.a[0])", files=orders, backend="local") as one:
        assert str(one.query("?")) == "11 77"
    with CodeInterpreterToolSpec(files=orders, backend="local") as spec:
        assert spec.code_interpreter("print(*[open(f).read().split()[1] for f in ('orders.csv', 'orders_2.csv')])")[
            "stdout"
        ].strip() == "11 77"  # fmt: skip


async def test_closed_engines_leave_no_kernel_behind(interpreter: CodeInterpreter, orders: list[Path]) -> None:
    before = len(interpreter.list_contexts())
    with engine(interpreter, "print(orders.a[0])", files=orders[:1]) as one:
        one.query("?")
        assert len(interpreter.list_contexts()) == before + 1
    async with engine(interpreter, "print(orders.a[0])", files=orders[:1]) as one:
        await one.aquery("?")
    with engine(interpreter, "print(orders.a[0])", files=orders[:1]).as_chat_engine() as chat:
        chat.chat("?")
    engine(interpreter, files=orders[:1]).close()  # one that was never asked
    assert len(interpreter.list_contexts()) == before


def test_closing_after_the_interpreter_opens_nothing(orders: list[Path]) -> None:
    with CodeInterpreter(backend="local") as shared:
        one = engine(shared, "print(orders.a[0])", files=orders[:1])
        one.query("?")
    one.close()
    assert shared.sandbox_id is None


def test_a_changed_file_is_loaded_anew_and_said(interpreter: CodeInterpreter, orders: list[Path]) -> None:
    path = orders[0]
    with engine(interpreter, *["print(orders.a.sum())"] * 3, files=[path]) as one:
        assert one.query("?").metadata["changed_files"] == []
        stamp = path.stat()
        path.write_text("a\n99\n")  # of the same length
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
        response = one.query("?")
        assert str(response) == "99"
        assert response.metadata["changed_files"] == ["orders.csv"]
        assert "orders.csv" in told(one).partition("loaded anew: ")[2].splitlines()[0]
        assert str(one.query("?")) == "99"
        assert "loaded anew" not in told(one)


def test_after_a_loss_the_files_are_there_again_as_they_are_now(orders: list[Path]) -> None:
    with CodeInterpreter(backend="local") as shared, engine(
        shared, *["print(orders.a.sum(), rates.r.sum())"] * 3, files=orders[:1],
        dataframes={"rates": pd.DataFrame({"r": [2]})},
    ) as one:  # fmt: skip
        assert str(one.query("?")) == "11 2"
        shared.sandbox.kill()
        assert str(one.query("?")) == "11 2"
        orders[0].write_text("a\n1\n100\n")
        shared.sandbox.kill()
        assert str(one.query("?")) == "101 2"


def test_a_file_that_is_gone(interpreter: CodeInterpreter, orders: list[Path]) -> None:
    with engine(interpreter, *["print(orders.a.sum())"] * 2, files=orders[:1]) as one:
        one.query("?")
        orders[0].unlink()
        assert str(one.query("?")) == "11"  # what was sent of it is there
    never = engine(interpreter, files=[orders[1]])
    orders[1].unlink()
    response = never.query("?")
    assert response.metadata["error"]["name"] == "FileNotFoundError"
    never = engine(interpreter, files=[], dataframes={"df": pd.DataFrame({"a": [1]})}, raise_on_error=True)
    never.llm = Down()
    with pytest.raises(QueryFailedError, match="ConnectionError"):
        never.query("?")


class Down(ScriptedLLM):
    """A model whose provider cannot be reached."""

    def __init__(self) -> None:
        super().__init__([])

    def chat(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("no route to the model")

    async def achat(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("no route to the model")

    def stream_chat(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("no route to the model")


async def test_nothing_is_raised_for_what_happens_at_run_time(interpreter: CodeInterpreter) -> None:
    frames = {"df": pd.DataFrame({"a": [1]})}
    one = engine(interpreter, dataframes=frames, llm=Down())
    for response in (one.query("?"), await one.aquery("?")):
        assert response.metadata["error"]["name"] == "ConnectionError"
        assert "could not be answered" in str(response)
    one.close()
    # The program worked, and nobody words its answer: the output is the answer.
    half = ScriptedLLM(["print(df.a.sum())", lambda _: (_ for _ in ()).throw(ConnectionError("down"))])
    with engine(interpreter, dataframes=frames, llm=half, synthesize_response=True) as one:
        response = one.query("?")
    assert str(response).endswith("The program's output:\n1")
    assert response.metadata["error"]["name"] == "ConnectionError"
    assert response.metadata["output"] == "1"


def test_no_more_kernels_is_an_answer(monkeypatch: pytest.MonkeyPatch, interpreter: CodeInterpreter) -> None:
    from ci_integrations.errors import SandboxBusyError

    def busy(*_: object, **__: object) -> object:
        raise SandboxBusyError("64 contexts already")

    monkeypatch.setattr(interpreter, "create_context", busy)
    response = engine(interpreter, dataframes={"df": pd.DataFrame({"a": [1]})}).query("?")
    assert response.metadata["error"]["name"] == "SandboxBusyError"


async def test_callbacks_hear_of_questions(interpreter: CodeInterpreter) -> None:
    from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler

    handler = LlamaDebugHandler(print_trace_on_end=False)
    options: Any = {"dataframes": {"df": pd.DataFrame({"a": [1]})}, "callback_manager": CallbackManager([handler])}
    with engine(interpreter, *["print(df.a[0])"] * 2, **options) as one:
        one.query("How much?")
        await one.aquery("How much?")
    (start, end), _ = handler.get_event_pairs(CBEventType.QUERY)
    assert start.payload == {"query_str": "How much?"}
    assert str(end.payload["response"]) == "1"
