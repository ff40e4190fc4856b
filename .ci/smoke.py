"""What a user of a freshly installed wheel would try first, for each extra. `python .ci/smoke.py EXTRA`; needs no key.

Run by `.ci/wheel` and `.ci/extras` in clean environments, from outside of the repository.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files as resources
from pathlib import Path


def base() -> None:
    """Nothing but the core: everything else says which pip command brings it."""
    import ci_integrations

    assert ci_integrations.__version__
    assert (resources("ci_integrations") / "py.typed").is_file()
    assert (resources("ci_integrations.data") / "penguins.csv").read_text().count("\n") == 345
    for adapter in ("langchain", "llamaindex"):
        refused(lambda name=adapter: importlib.import_module(f"ci_integrations.{name}").CodeInterpreterTool, adapter)
    refused(lambda: importlib.import_module("ci_integrations.testing.cassettes"), "testing")
    refused(lambda: ci_integrations.CodeInterpreter(backend="local").run("1"), "local")
    assert 'pip install "ci-integrations[cli]"' in command("--help", code=2)


def cli() -> None:
    command("--help")
    command("doctor", code=1)  # no key, no local sandbox: nothing can run, and it says so
    command("demo", code=2)


def refused(call: Callable[[], object], extra: str) -> None:
    said = ""
    try:
        call()
    except ImportError as error:
        said = str(error)
    assert f'pip install "ci-integrations[{extra}' in said, f"{extra} is not installed; said: {said!r}"


def command(*words: str, code: int = 0) -> str:
    """Runs the console script, which must end with `code`. Returns what it said on stderr."""
    program = Path(sys.executable).with_name("ci-integrations")
    done = subprocess.run([str(program), *words], capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


def local() -> None:
    from ci_integrations import CodeInterpreter

    with CodeInterpreter() as interpreter:
        result = interpreter.run("import pandas as pd; pd.DataFrame({'a': [1, 2]}).plot(title='t'); 6 * 7")
    assert result.text == "42", result
    assert len(result.charts) == len(result.images) == 1


def langchain() -> None:
    from ci_integrations.langchain import CodeInterpreterTool

    assert CodeInterpreterTool().name == "code_interpreter"


def langchain_local() -> None:
    """The six lines of the README."""
    from ci_integrations.langchain import CodeInterpreterTool

    with CodeInterpreterTool() as tool:
        assert "42" in tool.invoke({"code": "6 * 7"})
    command("demo")


def llamaindex() -> None:
    from ci_integrations.llamaindex import CodeInterpreterTool

    assert CodeInterpreterTool().metadata.name


def llamaindex_local() -> None:
    """A question over a CSV file."""
    from ci_integrations.data import penguins_path
    from ci_integrations.llamaindex import CodeInterpreterQueryEngine
    from ci_integrations.testing import ScriptedLLM

    llm = ScriptedLLM(["```python\nlen(penguins)\n```", "344 rows."])
    engine = CodeInterpreterQueryEngine(files=[penguins_path()], llm=llm)
    answer = engine.query("How many rows?")
    engine.close()
    assert "344" in answer.metadata["output"]


def deepagents() -> None:
    from ci_integrations.langchain import E2BSandboxBackend

    assert E2BSandboxBackend


def testing() -> None:
    from ci_integrations.testing.cassettes import use_cassette

    assert use_cassette


def store() -> None:
    from ci_integrations.store import ArtifactStore

    assert ArtifactStore("memory://x").put(b"x").startswith("sha256:")


def charts() -> None:
    import vl_convert

    assert vl_convert


def otel() -> None:
    import opentelemetry.trace

    assert opentelemetry.trace


def serve() -> None:
    import prometheus_client

    assert prometheus_client
    command("doctor")


def deno() -> None:
    from ci_integrations import CodeInterpreter

    with CodeInterpreter() as interpreter:
        assert interpreter.run("40 + 2", language="typescript").text == "42"


def files() -> None:
    """Every reader is there, and a file of a kind that pandas alone cannot read is a table."""
    import tempfile
    from pathlib import Path

    import pandas as pd

    from ci_integrations.tables.options import NEEDS, check_files
    from ci_integrations.tables.reader import read

    check_files([f"t{suffix}" for suffix in NEEDS], "local", ())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.xlsx")
        pd.DataFrame({"zip": ["02134"], "n": [1]}).to_excel(path, index=False)
        assert read(path, {})[0].frame.to_dict("list") == {"zip": ["02134"], "n": [1]}


def jupyter() -> None:
    from ci_integrations import CodeInterpreter

    with CodeInterpreter(template="jupyter") as interpreter:
        assert interpreter.run("type(get_ipython()).__module__").text == "ipykernel.zmqshell"


for name in sys.argv[1].split(","):
    globals()[name]()
if sys.argv[1].startswith("langchain,local"):
    langchain_local()
if sys.argv[1] == "llamaindex,local":
    llamaindex_local()
print(f"smoke test of [{sys.argv[1]}]: passed")
