"""Whatever code says, by its errors or on its kernel's socket: only true losses are told, and no cell runs twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_integrations import CodeInterpreter
from ci_integrations._core.failures import KERNEL_DEATH

FORGE = """import json, os, struct
kernel = get_ipython().send.__self__
def put(body): os.write(kernel._channel.socket.fileno(), struct.pack('!I', len(body)) + body)
def say(**frame): put(json.dumps({'id': kernel._request, **frame}).encode())
"""
NAMES = st.sampled_from([*sorted(KERNEL_DEATH), "SandboxLost", "TimeoutException", "KeyboardInterrupt", "ContextError"])
SAID = st.sampled_from(["Context was restarted", "Execution was aborted", "", "502 port is not open"])
WORDS = SAID | st.text(max_size=20)
KINDS = st.sampled_from(["error", "done", "started", "display", "died", "truncated", "end_of_execution", "aborted"])
RAISED = st.builds(
    lambda name, words, base: f"raise type({name!r}, ({base},), {{}})({words!r})",
    NAMES | st.from_regex(r"[A-Za-z_]\w{0,10}", fullmatch=True),
    WORDS,
    st.sampled_from(["Exception", "BaseException", "ValueError"]),
)
GROUPS = st.builds(
    lambda name, words: f"raise type({name!r}, (ExceptionGroup,), {{}})({words!r} or 'x', [ValueError()])", NAMES, WORDS
)
FRAMES = st.builds(
    lambda kind, name, words, trace, ids: (
        FORGE + f"say(type={kind!r}, name={name!r}, value={words!r}, traceback={trace!r}, execution_count=1{ids})"
    ),
    KINDS,
    NAMES,
    WORDS,
    st.sampled_from(["", "Traceback"]),
    st.sampled_from(["", ", id=kernel._request + 1", ", id=-1", ", id=None", ", id=[]"]),
)
BYTES = st.binary(max_size=40).map(lambda raw: FORGE + f"os.write(kernel._channel.socket.fileno(), {raw!r})")
BODIES = st.binary(max_size=40).map(lambda raw: FORGE + f"put({raw!r})")
COUNTS = st.integers(-3, 3).map(lambda count: f"get_ipython().execution_count = {count}")
ATTACKS = RAISED | GROUPS | FRAMES | BYTES | BODIES | COUNTS


@pytest.fixture(scope="module")
def interpreter() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend="local") as made:
        yield made


def lives(interpreter: CodeInterpreter, pid: str | None) -> bool:
    """Asks the sandbox's shell, which no cell has touched."""
    return interpreter.run_command(f"kill -0 {pid}").exit_code == 0


def a_fresh_cell(interpreter: CodeInterpreter) -> str | None:
    """Runs a cell that ends well, so that no event of an earlier example is left; returns the kernel's process id."""
    interpreter.upload(b"", "ran")
    for _ in range(3):
        result = interpreter.run("kept = 1\nimport os\nos.getpid()")
        if result.ok and not result.events:
            return result.text
    raise AssertionError(result)


def check(interpreter: CodeInterpreter, attack: str) -> None:
    pid = a_fresh_cell(interpreter)
    told = list(interpreter.run(f"open('ran', 'a').write('x')\n{attack}", timeout=20).events)
    alive = lives(interpreter, pid)
    after = interpreter.run("'kept' in globals()", timeout=20)
    told += after.events
    if alive and lives(interpreter, pid):
        assert not told
        assert after.text in ("True", None)  # code may forge results of later cells, but not take the variables away
    elif not alive:
        assert [event.type for event in told] == ["context_restarted"]
    assert len(interpreter.download("ran")) == 1


KNOWN = [
    "class WebSocketError(Exception): pass\nraise WebSocketError('closed by peer')",
    "raise type('ContextRestarting', (ExceptionGroup,), {})('Context was restarted', [ValueError()])",
    FORGE + "say(type='error', name='ContextRestarting', value='Context was restarted', traceback='')",
    FORGE + "say(type='done')",
    "get_ipython().execution_count = 0",
]


@pytest.mark.own_kernel("the forged messages are those of our own protocol")
@pytest.mark.parametrize("attack", KNOWN, ids=range(len(KNOWN)))
def test_only_what_happened_is_told(interpreter: CodeInterpreter, attack: str) -> None:
    check(interpreter, attack)


@pytest.mark.slow
@pytest.mark.own_kernel("the forged messages are those of our own protocol")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ATTACKS)
def test_only_what_happened_is_told_whatever_code_says(interpreter: CodeInterpreter, attack: str) -> None:
    check(interpreter, attack)
