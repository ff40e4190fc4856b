"""Cassettes of this repository, recorded against the local sandbox, replayed as the cloud with all traffic blocked.

They were not recorded at E2B. With a key: `E2B_API_KEY=... pytest tests/cassettes/test_recorded.py --record-mode=all`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from e2b_code_interpreter import AsyncSandbox, Sandbox

from ci_integrations import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations.testing.cassettes import Tape

pytestmark = pytest.mark.usefixtures("e2b_blocked")

CASSETTES = sorted((Path(__file__).parent / "cassettes").rglob("*.yaml"))
CHART = "import matplotlib.pyplot as plt\nplt.bar(['a', 'b'], [1, 2]); plt.title('two bars'); plt.show()"


def test_the_sdk_sync(cassette: Tape) -> None:
    """REST, streamed cells, contexts, files in every form, commands, a stream that is left half-read."""
    said: list[str] = []
    with Sandbox.create(timeout=60) as sandbox:
        execution = sandbox.run_code("for n in range(3): print(n)\nn * 21", on_stdout=lambda out: said.append(out.line))
        assert (execution.text, "".join(said)) == ("42", "0\n1\n2\n")
        assert sandbox.run_code("1 / 0").error.name == "ZeroDivisionError"
        context = sandbox.create_code_context(cwd="/home/user")
        assert sandbox.run_code("6 * 7", context=context).text == "42"
        sandbox.files.write("a.txt", "text")
        sandbox.files.write("b.bin", b"\x00\xff\x01")
        assert sandbox.files.read("a.txt") == "text"
        assert bytes(sandbox.files.read("b.bin", format="bytes")) == b"\x00\xff\x01"
        assert sandbox.files.make_dir("d") is True
        assert sandbox.files.make_dir("d") is False
        assert {entry.name for entry in sandbox.files.list("/home/user")} >= {"a.txt", "b.bin", "d"}
        assert sandbox.commands.run("echo out; echo err >&2").stderr == "err\n"
        running = sandbox.commands.run("echo early; sleep 60", background=True)
        assert next(iter(running))[0] == "early\n"
        assert running.kill()
        sandbox.set_timeout(30)
        assert sandbox.is_running()
    assert len(cassette) >= 18


async def test_the_sdk_async(cassette: Tape) -> None:
    said: list[str] = []
    async with await AsyncSandbox.create(timeout=60) as sandbox:
        execution = await sandbox.run_code("print('hello')\n1 + 1", on_stdout=lambda out: said.append(out.line))
        assert (execution.text, "".join(said)) == ("2", "hello\n")
        await sandbox.files.write("a.txt", "text")
        assert await sandbox.files.read("a.txt") == "text"
        assert (await sandbox.commands.run("echo out")).stdout == "out\n"
    assert len(cassette) >= 6


def test_our_interpreter(cassette: Tape) -> None:
    with CodeInterpreter() as interpreter:
        assert interpreter.run("x = 20 + 1; x * 2").text == "42"
        result = interpreter.run(CHART)
        assert [chart.chart.panels[0].title for chart in result.charts] == ["two bars"]
        assert result.images
        assert interpreter.run("1 / 0").error.name == "ZeroDivisionError"
        interpreter.upload(b"a,b\n1,2\n", "t.csv")
        assert interpreter.run("print(open('t.csv').read(), end='')").stdout == "a,b\n1,2\n"
    assert result.backend == "e2b"
    assert len(cassette) >= 6


async def test_our_async_interpreter(cassette: Tape) -> None:
    async with AsyncCodeInterpreter() as interpreter:
        assert (await interpreter.run("40 + 2")).text == "42"
    assert len(cassette) >= 3


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: path.stem)
def test_no_committed_cassette_holds_a_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"e2b_[0-9a-f]{20,}", text)
    assert "127.0.0.1" not in text
    assert not re.search(r"(?i)(x-api-key|x-access-token|authorization|user-agent):", text)
    for interaction in yaml.safe_load(text)["interactions"]:
        body = interaction["response"]["body"]["string"]
        held = re.findall(r'"(?:envd|traffic)AccessToken": ?"([^"]*)"', body if isinstance(body, str) else "")
        assert set(held) <= {"REDACTED", ""}
