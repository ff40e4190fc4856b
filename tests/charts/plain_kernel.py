"""A kernel without a sandbox: IPython shells with the extractor installed, one forked process per job.

Run as a program it reads jobs (JSON lines: {"id", "cells": [..], "full"}) and answers each with a JSON line
{"id", "cells": [{"stdout", "stderr", "error", "displays": [..], "count"}], "names"}. `run_jobs` is the caller's side.
"""

# ruff: noqa: C901, PTH - a program of its own that stands in for a kernel
from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

PRELOAD = ("matplotlib.pyplot", "pandas", "numpy")


def make_shell(full=True, cloud=False, quiet=True):
    """An InteractiveShell whose displays are kept in `shell.shown`, like a kernel's messages."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets import Type

    shown = []

    class Publisher(DisplayPublisher):
        def publish(self, data, metadata=None, **kwargs):
            shown.append({"data": data, "main": False})

    class Hook(DisplayHook):
        def write_output_prompt(self):
            pass

        def write_format_data(self, format_dict, md_dict=None):
            if format_dict:
                shown.append({"data": format_dict, "main": True})

        def finish_displayhook(self):
            self._is_active = False

    class Shell(InteractiveShell):
        display_pub_class = Type(Publisher)
        displayhook_class = Type(Hook)

        def init_history(self):
            super().init_history()
            self.history_manager.enabled = False

        def enable_gui(self, gui=None):
            pass

        def showtraceback(self, *args, **kwargs):
            pass

    shell = Shell.instance()
    shell.shown = shown
    if cloud:
        from ci_integrations._core.hidden.shipping import EXTRACTOR
        from ci_integrations._core.kernels import hidden_cell

        for file in EXTRACTOR.files:
            Path(file["path"]).parent.mkdir(parents=True, exist_ok=True)
            Path(file["path"]).write_text(file["data"], "utf-8")
        with contextlib.redirect_stdout(io.StringIO()):
            shell.run_cell(hidden_cell(EXTRACTOR.folder), store_history=True)
    elif full is not None:
        from ci_integrations.charts.extractor import install

        install(shell, full=full)
    return shell


def run_cell(shell, code):
    shell.shown.clear()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        result = shell.run_cell(code, store_history=True)
    error = result.error_in_exec or result.error_before_exec
    return {
        "stdout": out.getvalue(), "stderr": err.getvalue(), "error": None if error is None else repr(error),
        "displays": [_json_safe(item) for item in shell.shown], "count": shell.execution_count,
    }  # fmt: skip


def _json_safe(item):
    import base64

    data = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in item["data"].items()}
    return {"data": json.loads(json.dumps(data, allow_nan=False)), "main": item["main"]}


def run_job(job):
    with tempfile.TemporaryDirectory(prefix="ci-charts-") as folder:
        os.chdir(folder)
        os.environ["HOME"] = os.environ["IPYTHONDIR"] = tempfile.mkdtemp(prefix="ci-charts-home-")
        vars(sys.modules["__main__"]).pop("__file__", None)  # bokeh's show() writes its page beside it
        shell = make_shell(full=job.get("full", True), cloud=job.get("cloud", False))
        before = set(shell.user_ns)
        cells = [run_cell(shell, code) for code in job["cells"]]
        names = [] if job["cells"] else sorted(set(shell.user_ns) - before)
        os.chdir("/")
        return {"id": job["id"], "cells": cells, "names": names}


def main():
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    if "--preload" in sys.argv:
        for name in PRELOAD:
            __import__(name)
    for line in sys.stdin:
        job = json.loads(line)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            try:
                answer = run_job(job)
            except BaseException:
                answer = {"id": job["id"], "crash": traceback.format_exc(), "cells": []}
            with os.fdopen(writer, "w") as pipe:
                pipe.write(json.dumps(answer))
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            sys.stdout.write(pipe.read() + "\n")
        os.waitpid(pid, 0)
        sys.stdout.flush()


def run_jobs(jobs, *, preload=True):
    """All jobs in one helper process; answers in order."""
    command = [sys.executable, "-W", "ignore", __file__, *(["--preload"] if preload else [])]
    lines = "\n".join(json.dumps(job) for job in jobs) + "\n"
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    assert len(answers) == len(jobs), done.stderr[-3000:]
    return answers


if __name__ == "__main__":
    main()
