"""A Python context as its user sees it: values, displays, output, errors, interrupts, the end."""

from __future__ import annotations

import asyncio
import base64
import os


async def test_a_cell_gives_its_value_and_keeps_its_state(run):
    first = await run("x = 20\nx + 1")
    second = await run("x * 2")
    assert [first.value, second.value] == ["21", "40"]
    assert first.types == ["started", "display", "done"]
    assert [c.events[0]["execution_count"] for c in (first, second)] == [1, 2]


async def test_output_comes_before_what_is_displayed_after_it(run):
    cell = await run("print('one'); display('two'); print('three')\n'four'")
    assert cell.stdout == "one\nthree\n"
    first_display = cell.types.index("display")
    assert "one\n" in "".join(event.get("text", "") for event in cell.events[: first_display + 1])


async def test_an_error_has_name_value_and_traceback_and_the_kernel_goes_on(run):
    cell = await run("def f():\n    return 1/0\nf()")
    assert cell.error == ("ZeroDivisionError", "division by zero")
    assert "Cell In[1], line 3" in cell.errors[0]["traceback"]
    assert "line 2, in f()" in cell.errors[0]["traceback"]
    assert (await run("1 + 1")).value == "2"


async def test_a_group_of_exceptions_is_an_error_too(run):
    cell = await run("raise ExceptionGroup('many', [ValueError(1), KeyError(2)])")
    assert cell.error == ("ExceptionGroup", "many (2 sub-exceptions)")
    assert "ValueError: 1" in cell.stderr


async def test_figures_are_shown_as_png_also_when_the_cell_fails(run):
    cell = await run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nraise ValueError('late')")
    assert cell.types == ["started", "error", "display", "done"]
    assert base64.b64decode(cell.displays[0]["data"]["image/png"]).startswith(b"\x89PNG")


async def test_top_level_await_and_tasks_that_go_on_between_cells(run):
    await run(
        "import asyncio\nn = 0\nasync def count():\n    global n\n    while True:\n        n += 1\n"
        "        await asyncio.sleep(0.01)\ntask = asyncio.create_task(count())"
    )
    await asyncio.sleep(0.3)
    assert int((await run("n")).value or 0) > 5
    assert (await run("await asyncio.sleep(0.01, 'slept')")).value == "'slept'"
    assert (await run("task.cancel()")).value == "True"


async def test_input_fails_at_once_instead_of_waiting_for_nobody(run):
    assert (await run("input('name? ')")).error == (
        "StdinNotImplementedError",
        "raw_input was called, but this frontend does not support input requests.",
    )
    assert (await run("import getpass; getpass.getpass()")).errors[0]["name"] == "StdinNotImplementedError"
    assert (await run("import sys; sys.stdin.read()")).value == "''"


async def test_a_shell_command_prints_both_its_streams(run):
    cell = await run("!echo out; echo err >&2; exit 3")
    assert cell.stdout == "out\nerr\n"
    assert (await run("_exit_code")).value == "3"
    assert (await run("name = 'x'\nlines = !echo $name; echo b\nlines")).value == "['x', 'b']"


async def test_environment_of_one_call_is_gone_after_it(opener):
    context = await opener(envs={"COLOUR": "red"})

    async def value(code, **options):
        return [e async for e in context.execute(code, **options)][1]["data"]["text/plain"]

    ask = "import os; str([os.environ.get('COLOUR'), os.environ.get('MINE')])"
    awkward = {"COLOUR": 'it\'s "blue"\n\\n', "MINE": "1"}
    assert await value(ask) == "\"['red', None]\""
    assert await value("os.environ['COLOUR']", envs=awkward) == repr(awkward["COLOUR"])
    assert await value(ask, envs={"MINE": "1"}) == "\"['red', '1']\""
    assert await value(ask) == "\"['red', None]\""


async def test_sys_exit_is_an_error_and_exit_ends_the_context(opener, collect):
    context = await opener()
    events = [e async for e in context.execute("import sys; sys.exit('bye')")]
    assert [(e["name"], e["value"]) for e in events if e["type"] == "error"] == [("SystemExit", "bye")]
    last = await collect(context, "print('last'); exit()")
    assert (last.stdout, last.types) == ("last\n", ["started", "stdout", "done"])
    assert await asyncio.wait_for(asyncio.shield(context.died), 5) == "the code ended the interpreter"
    assert not context.alive


async def test_a_busy_loop_can_be_interrupted_and_the_state_lives(run):
    await run("kept = 7")
    cell = await run("while True: pass", timeout=0.3)
    assert cell.errors[0]["name"] == "KeyboardInterrupt"
    assert (await run("kept")).value == "7"


async def test_an_interrupt_before_the_kernel_is_ready_does_not_kill_it(opener, collect):
    context = await opener()
    cell = asyncio.create_task(collect(context, "import time; time.sleep(60)"))
    await asyncio.sleep(0)
    assert await context.interrupt(grace=30) == "interrupted"
    assert (await cell).error == ("KeyboardInterrupt", "")


async def test_waiting_can_be_interrupted(run):
    for code in ("import time; time.sleep(60)", "import asyncio; await asyncio.sleep(60)", "!sleep 60; echo no"):
        cell = await run(code, timeout=0.3)
        assert cell.died is None, code
        assert "no" not in cell.stdout
    assert (await run("1 + 1")).value == "2"


async def test_a_cell_that_catches_the_interrupt_goes_on(run):
    await run("import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    state = 'caught'", timeout=0.3)
    assert (await run("state")).value == "'caught'"


async def test_a_cell_that_ignores_the_interrupt_is_killed_and_says_so(opener):
    context = await opener()
    code = (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)"
    )
    cell = []
    async for event in context.execute(code):
        cell.append(event)
        if event["type"] == "stdout" and context.alive:
            assert await context.interrupt(grace=0.2) == "killed"
    assert [e["type"] for e in cell][-2:] == ["died", "done"]
    assert cell[-2]["reason"] == "killed: it did not stop within 0.2 s of being interrupted"
    again = [e async for e in context.execute("1")]
    assert [e["type"] for e in again] == ["died", "done"]


async def test_an_interpreter_that_dies_tells_how_after_its_last_words(opener, collect):
    cell = await collect(await opener(), "import os; print('last words'); os.kill(os.getpid(), 11)")
    assert cell.types == ["started", "stdout", "died", "done"]
    assert (cell.stdout, cell.died) == ("last words\n", "killed by SIGSEGV")


async def test_a_forked_child_cannot_answer_for_the_kernel(run):
    cell = await run("import os\npid = os.fork()\nif pid == 0: pid = 'child'\nprint('x')\npid")
    assert cell.value is not None
    assert cell.value != "'child'"
    assert cell.types.count("done") == 1
    assert (await run("2 + 2")).value == "4"


async def test_output_of_subprocesses_and_of_the_descriptor_itself_is_caught(run):
    cell = await run("import os, subprocess\nos.write(1, b'fd\\n')\nsubprocess.run(['echo', 'child'])\nprint('print')")
    assert cell.stdout == "fd\nchild\nprint\n"


async def test_late_output_belongs_to_no_cell(run):
    await run(
        "import threading, time\ndef late():\n    time.sleep(0.3)\n    print('late')\n"
        "threading.Thread(target=late).start()"
    )
    await asyncio.sleep(0.5)
    assert (await run("print('now')")).stdout == "now\n"


async def test_first_output_is_not_held_back(opener):
    context = await opener()
    seen = asyncio.get_running_loop().create_future()

    async def watch():
        async for event in context.execute("import time\nprint('tick', end='')\ntime.sleep(30)"):
            if event["type"] == "stdout" and not seen.done():
                seen.set_result(event["text"])

    task = asyncio.create_task(watch())
    assert await asyncio.wait_for(seen, 10) == "tick"
    assert await context.interrupt() == "interrupted"
    await task


async def test_two_kernels_draw_different_random_numbers_and_run_as_different_processes(opener):
    code = "import os, random; (os.getpid(), random.random())"
    one, two = [(await _value(await opener(), code)) for _ in range(2)]
    assert one != two
    assert str(os.getpid()) not in one


async def _value(context, code):
    return [e async for e in context.execute(code)][1]["data"]["text/plain"]


async def test_a_printer_for_numbers_of_the_users_own_is_used(run):
    await run("f = get_ipython().display_formatter.formatters['text/html']\nf.for_type(int, lambda i: f'<b>{i}</b>')")
    assert (await run("7")).displays[0]["data"] == {"text/plain": "7", "text/html": "<b>7</b>"}
    assert (await run("%precision 2\n3.14159")).value == "3.14"


async def test_modules_beside_the_user_can_be_imported_but_do_not_hide_the_standard_library(run):
    await run("open('mine.py', 'w').write('x = 5'); open('statistics.py', 'w').write('x = 6')")
    assert (await run("import mine; mine.x")).value == "5"
    assert (await run("import statistics; hasattr(statistics, 'x')")).value == "False"


async def test_notebook_habits_work(run):
    assert (await run("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1]); None")).types == [
        "started",
        "display",
        "done",
    ]
    assert (await run("%%bash\necho $((1 + 1))")).stdout == "2\n"
    assert (await run("%%time\n7")).value == "7"
    assert (await run("%run nothing.py")).errors
    cell = await run("import asyncio; asyncio.run(asyncio.sleep(0))")
    assert cell.error == ("RuntimeError", "asyncio.run() cannot be called from a running event loop")


async def test_frames_with_cells_that_are_no_json_are_rendered(run):
    cell = await run(
        "import pandas as pd, decimal, datetime\n"
        "pd.DataFrame({'t': [pd.Timedelta('1D')], 'd': [decimal.Decimal('1.5')], 'p': [pd.Period('2020')],\n"
        "              'o': [object], 'day': [datetime.date(2020, 1, 2)], 'c': [1j], 's': [{1}]})"
    )
    data = cell.displays[0]["data"]
    assert cell.error is None
    assert "1 days" in data["text/plain"]
    assert data["e2b/data"]["d"] == ["1.5"]
    assert data["e2b/data"]["day"] == ["2020-01-02"]


async def test_processes_of_user_code_work(run):
    code = "def square(x): return x * x\nfrom concurrent.futures import ProcessPoolExecutor\n"
    code += "with ProcessPoolExecutor(2) as pool: print(list(pool.map(square, [1, 2, 3])))"
    cell = await run(code)
    assert cell.stdout == "[1, 4, 9]\n"


async def test_a_saved_figure_is_reported_once_when_the_extractor_does_it(opener, collect):
    context = await opener(envs={"CI_INTEGRATIONS_EXTRACT": "1"})
    cell = await collect(context, "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.savefig('a.png')")
    pictures = [d for d in cell.displays if "image/png" in d["data"]]
    assert len(pictures) == 1
    assert "application/vnd.ci-chart.v1+json" in pictures[0]["data"]


async def test_a_program_that_reads_its_arguments_finds_none(run):
    assert (await run("import argparse, sys; argparse.ArgumentParser().parse_args(); sys.argv")).value == "['']"


async def test_lists_and_dicts_are_json_as_the_reference_encodes_them(run):
    await run(
        "import dataclasses, enum, typing, uuid, numpy as np\nclass Colour(enum.Enum):\n    RED = 1\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\nclass Pair(typing.NamedTuple):\n    a: int"
    )

    async def json_of(code):
        return (await run(code)).displays[0]["data"].get("application/json", "none")

    assert await json_of("[Colour.RED, Point(2), uuid.UUID(int=0)]") == [
        1, {"x": 2}, "00000000-0000-0000-0000-000000000000",
    ]  # fmt: skip
    assert await json_of("{Colour.RED: 1, uuid.UUID(int=0): 2}") == {
        "1": 1, "00000000-0000-0000-0000-000000000000": 2,
    }  # fmt: skip
    assert await json_of("[np.datetime64('2024-01-01')]") == ["2024-01-01T00:00:00"]
    for unknown in ("[Pair(1)]", "['\\ud800']", "[np.array(['a'])]", "[np.arange(4)[::2]]"):
        assert await json_of(unknown) == "none"


async def test_home_is_where_the_cell_magic_goes(run, opener):
    assert (await run("%cd /\n%cd")).stdout == f"/\n{opener.home}\n"


async def test_the_cell_magics_that_remember_leave_no_files(run):
    """IPython keeps what `%cd` and `%bookmark` are to know in files of its own."""
    code = "import os, pathlib; pathlib.Path('data').mkdir()\n%cd -q data\n%bookmark here\n%cd -q ..\n%cd -b here\n"
    cell = await run(f"{code}sorted(os.listdir('.')), os.path.basename(os.getcwd())")
    assert (cell.value, cell.errors) == ("([], 'data')", [])


async def test_libraries_know_that_they_are_in_a_notebook(run):
    """Pandas and rich ask for the name, pandas for the kernel: a wide frame then reads as at E2B."""
    assert (await run("get_ipython().__class__.__name__, get_ipython().has_trait('kernel')")).value == (
        "('ZMQInteractiveShell', True)"
    )
    cell = await run("import pandas as pd\npd.options.display.max_columns, print(pd.DataFrame([range(30)]))")
    assert cell.value == "(20, None)"
    assert "\\\n" in cell.stdout


async def test_what_a_pager_would_show_is_dropped(run):
    cell = await run("len?")
    assert cell.types == ["started", "done"]
    assert cell.stdout == ""
