"""The kernel answers recorded cells as the reference did."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("wire_replay", Path(__file__).with_name("wire_replay.py"))
assert _spec
assert _spec.loader
wire_replay = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wire_replay)

DIFFERENT = {
    "expr_in_out_history": "the reference puts code that sets variables before the first cell; we set them out of band",
    "sys_stdout_isatty_fileno": "the number of its descriptor",
    "cwd_ctx_tmp": "CPython 3.11 is python311.zip",
    "exc_system_exit_0": "the line number inside IPython",
    "exc_exception_group": "line numbers and 3.13's carets",
    "syntax_warning": "3.13 words it differently",
    "result_audio": "line numbers inside IPython",
    "exc_in_thread": "3.13's threading, and a thread's number",
}
"""Cells that cannot agree, and why."""

pytestmark = pytest.mark.skipif(not wire_replay.FOLDER.exists(), reason="the recordings are not here")


@pytest.mark.parametrize("group", ["main", "exc", "pil", "env", "cwd0", "cwd_tmp", "cwd_missing"])
async def test_cells_of_a_group(opener, group):
    compare = wire_replay.load_compare()
    records = wire_replay.groups()[group]
    cwd = {"cwd_tmp": "/tmp", "cwd_missing": "/nonexistent/dir"}.get(group)
    context = await opener(envs=wire_replay.GLOBAL_ENVS, **({"cwd": cwd} if cwd else {}))
    home = str(opener.home)
    wrong = {}
    for record in records:
        request = record["request"]["json"]
        code = request["code"].replace("/home/user", home)
        envs = request.get("env_vars") or {}
        lines = [
            json.dumps(wire_replay.wire(event)).replace(home, "/home/user")
            async for event in context.execute(code, envs=envs)
        ]
        name = record["name"]
        if name in compare["KNOWN_BETTER"] or name in DIFFERENT:
            continue
        if difference := compare["differences"](name, 200, record["lines"], 200, lines):
            wrong[name] = difference
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
