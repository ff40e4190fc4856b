"""Runs inside the user's Python kernel, as the hidden cell that says which process the kernel is.

`kernels.py` sends this file as text; nothing here is imported on the host. It uses the standard library only and leaves
no trace that a cell of the user's could see: no name, no number, no history, no entry in `sys.path`. It must work in
IPython 7 to 9. The namespace in which it runs has `call`, the name of one of the functions, and its arguments.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import types
from typing import Any

EXTRACTOR = "_ci_extractor"


def main(shell: Any, folder: str | None, envs: dict[str, str], failed_before: int) -> None:
    """Prints one line of JSON: process, user, and why the extractor could not be loaded, if it could not.

    `folder`: where the extractor's source lies; None: it is not wanted. `envs`: variables of the sandbox, which are set
    once in each process. `failed_before`: how many hidden cells just before this one did not get so far.
    """
    failed = None
    try:
        if envs and not getattr(shell, "_ci_envs", False):
            os.environ.update(envs)
            shell._ci_envs = True  # noqa: SLF001 - a cell may change them: what it says then holds
        let_signals_wake_the_loop()
        free_from_user_names(shell)
        if folder is not None:
            load_extractor(shell, folder)
    except Exception as error:  # noqa: BLE001 - charts without data are better than no cell
        failed = f"{type(error).__name__}: {error}"
    finally:
        forget_cell(shell, 1 + failed_before)
    print(json.dumps({"ci_kernel": [os.getpid(), os.getuid()], "failed": failed}))  # noqa: T201


def load_extractor(shell: Any, folder: str) -> None:
    """Imports the extractor from `folder`, unless the kernel has it, and installs it."""
    if EXTRACTOR not in sys.modules:
        sys.path.insert(0, folder)
        try:
            __import__(EXTRACTOR)
        finally:
            if folder in sys.path:
                sys.path.remove(folder)
    sys.modules[EXTRACTOR].install(shell, full=True)


def let_signals_wake_the_loop() -> None:
    """Makes an interrupt end a top-level `await` of ipykernel, whose event loop otherwise sleeps on.

    asyncio has no other documented way to set a wake-up descriptor than a handler for some signal. SIGURG does nothing.
    """
    # No running loop, or another one than asyncio's own.
    with contextlib.suppress(RuntimeError, NotImplementedError, ValueError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGURG, lambda: None)


def free_from_user_names(shell: Any) -> None:
    """Gives PIL's `Image.save` names of its own: E2B's start-up script keeps them among the user's, for `%reset`."""
    names: dict[str, Any] = getattr(shell, "user_ns", {})
    image: Any = getattr(sys.modules.get("PIL.Image"), "Image", None)
    save: Any = getattr(image, "save", None)
    if getattr(save, "__globals__", None) is not names:
        return
    own = {name: names[name] for name in save.__code__.co_names if name in names}
    image.save = types.FunctionType(
        save.__code__, {"__builtins__": __builtins__, **own}, save.__name__, save.__defaults__, save.__closure__
    )


def lend(shell: Any, envs: dict[str, str]) -> None:
    """Sets variables for the next cell. When it has ended, whatever its end, they are what they were before."""
    events: Any = shell.events
    for callback in list(events.callbacks["post_run_cell"]):
        if getattr(callback, "__name__", "") == "_ci_take_back":  # of a cell that was never run
            callback(None)
    now = dict(os.environ)
    before = {name: now.get(name) for name in envs}
    ended = []

    def _ci_take_back(result: Any) -> None:
        if result is not None:
            if not getattr(result.info, "store_history", True):  # a cell that the user's code runs
                return
            ended.append(True)
            if len(ended) == 1:  # this hidden cell itself
                return
        events.unregister("post_run_cell", _ci_take_back)
        for name in os.environ.keys() & {name for name, value in before.items() if value is None}:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if value is not None})

    events.register("post_run_cell", _ci_take_back)
    os.environ.update(envs)
    forget_cell(shell)


def forget_cell(shell: Any, cells: int = 1) -> None:
    """Takes the running cell, or the last `cells`, out of the count, the history and the names that IPython keeps."""
    if EXTRACTOR in sys.modules:
        sys.modules[EXTRACTOR].STATE.unseen = True  # what it would report is for the user's next cell
    try:
        # Once the cell is over the number is what it was, whether IPython counts before a cell (9) or after it (7, 8).
        shell.execution_count -= cells
        history, names = shell.history_manager, shell.user_ns
        hidden = history.input_hist_raw[-cells:]
        for kept in (history.input_hist_parsed, history.input_hist_raw):
            del kept[max(1, len(kept) - cells) :]
        earlier = ["", "", "", *history.input_hist_raw]
        for number in range(shell.execution_count - 1, shell.execution_count + cells + 1):
            if names.get(f"_i{number}") in hidden:
                del names[f"_i{number}"]
        history._i00, history._i, history._ii, history._iii = earlier[:-5:-1]  # noqa: SLF001 - IPython has no other door
        names.update(_i=earlier[-2], _ii=earlier[-3], _iii=earlier[-4])
        written = [source for source in hidden if not _was_waiting(history, source)]
        if getattr(history, "enabled", False) and written:
            history.new_session()  # two cells with one number in one session would make IPython complain on stdout
    except Exception:  # noqa: BLE001, S110 - a number too high is no harm
        pass


def _was_waiting(history: Any, source: str) -> bool:
    """Takes a cell out of those that IPython's thread has still to write into its file. False: it is written."""
    with history.db_input_cache_lock:
        waiting = history.db_input_cache
        rest = [entry for entry in waiting if entry[2] != source]
        found = len(rest) < len(waiting)
        waiting[:] = rest
    return found


if "call" in globals():
    globals()[globals()["call"]](*globals()["arguments"])
