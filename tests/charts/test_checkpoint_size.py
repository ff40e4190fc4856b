"""What one conversation with large results costs in a checkpoint, inline and with a store: nothing is there twice."""

from __future__ import annotations

import base64
import json
import sqlite3
import uuid

import pytest

pytest.importorskip("langchain")
pytest.importorskip("langgraph.checkpoint.sqlite")

from langchain.agents import create_agent
from langgraph.checkpoint.sqlite import SqliteSaver

from ci_integrations.langchain import CodeInterpreterTool
from ci_integrations.results import ExecutionResult
from ci_integrations.store import ArtifactStore
from ci_integrations.testing import ScriptedChatModel

pytestmark = pytest.mark.slow

CELL = """
import io, random
import numpy as np, pandas as pd, matplotlib.pyplot as plt
from PIL import Image
from IPython.display import Image as Show, display
plt.plot(np.random.default_rng(1).normal(size=100_000)); plt.show()
for n in range(5):
    out = io.BytesIO()
    Image.frombytes("RGB", (600, 600), random.Random(n).randbytes(600 * 600 * 3)).save(out, "PNG")
    display(Show(out.getvalue()))
pd.DataFrame(np.random.default_rng(2).normal(size=(1_000_000, 4)), columns=list("abcd"))
"""
CHART = 100_000 * 8 * 4 // 3
IMAGES = 5 * 600 * 600 * 3 * 4 // 3


@pytest.fixture(scope="module")
def stored(kind, tmp_path_factory):
    """The thread's state, the checkpoints' bytes, and those of the files in the store; inline and with a store."""
    folder, found = tmp_path_factory.mktemp("checkpoints"), {}
    with CodeInterpreterTool(**kind.options) as tool:
        for name in ("inline", "store"):
            files = folder / "artifacts"
            store = ArtifactStore(files.as_uri()) if name == "store" else None
            path = folder / f"{name}.sqlite"
            mine = CodeInterpreterTool(interpreter=tool.sessions, artifact_store=store)
            found[name] = (conversation(mine, path), path, files, store)
    return found


def conversation(tool, path):
    config = {"configurable": {"thread_id": uuid.uuid4().hex}}
    model = ScriptedChatModel([ScriptedChatModel.call("code_interpreter", code=CELL), "done"])
    with SqliteSaver.from_conn_string(str(path)) as saver:
        agent = create_agent(model, tools=[tool], checkpointer=saver)
        agent.invoke({"messages": "go"}, config)
        return next(m for m in agent.get_state(config).values["messages"] if m.type == "tool")


def written(path):
    """Bytes of all checkpoints, and of the largest one."""
    with sqlite3.connect(path) as database:
        rows = database.execute("select length(checkpoint) from checkpoints").fetchall()
        [writes] = database.execute("select coalesce(sum(length(value)), 0) from writes").fetchone()
    return sum(size for [size] in rows) + writes, max(size for [size] in rows)


def test_inline_every_byte_is_in_the_state_once(stored):
    message, path, _, _ = stored["inline"]
    size = len(json.dumps([message.content, message.artifact]))
    print(f"inline: message {size:,} bytes; all checkpoints and writes, largest checkpoint: {written(path)}")
    assert CHART + IMAGES < size < 1.03 * (CHART + IMAGES) + 150_000  # and the picture of the chart, and 200 rows
    result = ExecutionResult.from_message(message)
    for image in result.images:
        assert json.dumps(message.artifact).count(image.data[1000:1200]) == 1
    everything, largest = written(path)
    assert largest < 1.03 * size + 100_000
    assert everything < 3.1 * size  # LangGraph's doing: two checkpoints have the message, and the writes between them


def test_with_a_store_the_checkpoint_is_small_and_the_store_has_each_byte_once(stored):
    message, path, files, store = stored["store"]
    held = [file.read_bytes() for file in files.rglob("*") if file.is_file()]
    size = sum(map(len, held))
    print(f"store: all checkpoints and writes, largest checkpoint: {written(path)}; {len(held)} files, {size:,} bytes")
    assert written(path)[0] < 200_000
    assert len(held) == len(set(held))
    assert size < 1.03 * (CHART + IMAGES * 3 / 4) + 150_000
    whole = store.inline(ExecutionResult.from_message(message))
    assert len(whole.charts[0].chart.panels[0].series[0].values("y")) == 100_000
    assert [len(base64.b64decode(image.data)) > 1_000_000 for image in whole.images] == [False] + [True] * 5
    assert (whole.tables[0].shape, len(whole.tables[0].rows)) == ((1_000_000, 4), 200)  # the rest stays in the sandbox
