"""The Python kernel uses IPython's shell without a terminal, files, threads or ZeroMQ.

What it shows goes to its method `send`, which the kernel sets.
"""

from __future__ import annotations

import ast
import builtins
import os
import subprocess
import sys
from types import TracebackType
from typing import Any, cast

import traitlets
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from IPython.utils.text import LSString, SList
from traitlets.config import Config

from ci_integrations.local.guest.python.formats import Bundle, add_formatters
from ci_integrations.local.guest.python.pip import install_magic
from ci_integrations.local.protocol.frames import Frame

_SIMPLE = frozenset({int, str, bool, float, complex, bytes})
_HASH_SEED = 0xC70F6907
"""The seed of ipykernel's `compiler.py`: the same seed gives a cell the same file name."""


class Publisher(DisplayPublisher):
    """Sends what `display()` shows. Updates of a display and `clear_output()` are dropped, as in the reference."""

    shell: KernelShell

    def publish(
        self, data: Bundle, metadata: object = None, *args: object, update: bool = False, **kwargs: object
    ) -> None:
        if not update:
            self.shell.send({"type": "display", "data": data, "is_main_result": False})

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's own signature
        pass


class Hook(DisplayHook):
    """Sends the value of a cell's last expression."""

    shell: KernelShell

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: Bundle, md_dict: object = None) -> None:
        self.shell.send({"type": "display", "data": format_dict, "is_main_result": True})

    def log_output(self, format_dict: Bundle) -> None:
        """Keeps nothing in IPython's log: the host has the value."""

    def finish_displayhook(self) -> None:
        self._is_active = False


class Formatter(DisplayFormatter):
    """Gives plain numbers and texts their text form at once: asking all the formatters costs half of a small cell."""

    def format(self, obj: object, include: object = None, exclude: object = None) -> tuple[Bundle, Bundle]:
        if type(obj) not in _SIMPLE or include or exclude or self._has_other_forms(type(obj)):
            found: tuple[Bundle, Bundle] = super().format(obj, include, exclude)  # type: ignore[no-untyped-call]
            return found
        text = self.formatters["text/plain"](obj)
        return ({} if text is None else {"text/plain": text}), {}

    def _has_other_forms(self, kind: type) -> bool:
        """Whether the user has registered a printer for a builtin type."""
        return any(kind in form.type_printers for mime, form in self.formatters.items() if mime != "text/plain")


class _IncompleteInputError(SyntaxError):
    """Says that a cell ends too early, under CPython 3.13's name; older versions have the message, not the class."""


class Compiler(CachingCompiler):
    """Names a cell's file as Jupyter does, so that messages which show the name read the same."""

    def ast_parse(self, source: str, filename: str = "<unknown>", symbol: str = "exec") -> ast.AST:
        try:
            return super().ast_parse(source, filename, symbol)
        except SyntaxError as error:
            if type(error) is SyntaxError and error.msg == "incomplete input":
                raise _IncompleteInputError(*error.args) from None
            raise

    def get_code_name(self, raw_code: str, code: str, number: int) -> str:
        return f"/tmp/ipykernel_{os.getpid()}/{murmur2(raw_code.encode('utf-8', 'replace'))}.py"  # noqa: S108 - a name


def murmur2(data: bytes) -> int:
    """Returns the MurmurHash2 of 32 bits, which is the number in the file name that Jupyter gives a cell."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = _HASH_SEED ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


class KernelShell(InteractiveShell):
    """Is the shell of a process. It is made before the fork, and its `send` is set after the fork."""

    compiler_class = Compiler
    kernel = traitlets.Any()
    exiting = False
    """Whether the code has called `exit()`."""
    showed_error = False
    """Whether this cell has sent an error."""
    interrupted = False
    """Whether a SIGINT was turned into a cancellation, so that the error still reads KeyboardInterrupt."""

    def init_ipython_dir(self, ipython_dir: object) -> None:
        """Makes no directory: before the fork there is no home to make it in."""

    def init_profile_dir(self, profile_dir: object) -> None:
        self.profile_dir = ProfileDir()

    def init_virtualenv(self) -> None:
        """Does nothing: the interpreter is the sandbox's own already."""

    def send(self, message: Frame) -> None:
        """Sends a frame to the host. The kernel puts its own in the place of this one, which raises RuntimeError."""
        raise RuntimeError("the kernel is not connected")

    def init_display_formatter(self) -> None:
        self.display_formatter = Formatter(parent=self)
        self.configurables.append(self.display_formatter)  # type: ignore[arg-type]  # as IPython does itself

    def init_hooks(self) -> None:
        """Drops what IPython shows in a pager (`len?`, `%quickref`), as the reference does."""
        super().init_hooks()  # type: ignore[no-untyped-call]
        self.set_hook("show_in_pager", lambda *_, **__: None)  # type: ignore[no-untyped-call]

    def enable_gui(self, gui: object = None) -> None:
        """Does nothing: `%matplotlib inline` needs no event loop of a toolkit, and the others need a screen."""

    def ask_exit(self) -> None:
        self.exiting = True

    def _get_exc_info(
        self, exc_tuple: object = None
    ) -> tuple[type[BaseException], BaseException, TracebackType | None]:
        """As IPython's, but a cell that an interrupt has cancelled ends with KeyboardInterrupt."""
        kind, value, trace = super()._get_exc_info(exc_tuple)  # type: ignore[no-untyped-call]
        if self.interrupted and kind.__name__ == "CancelledError":
            return KeyboardInterrupt, KeyboardInterrupt(), trace
        return kind, value, trace

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        """Sends the error in place of printing it."""
        self.showed_error = True
        self.send({"type": "error", "name": etype.__name__, "value": str(evalue), "traceback": "".join(stb)})

    def _format_exception_for_storage(self, exception: BaseException, *args: object, **kwargs: object) -> Frame:
        """Saves time: IPython formats every traceback once more for a history that nobody reads."""
        return {"ename": type(exception).__name__, "evalue": "", "traceback": []}

    def system(self, cmd: str) -> None:
        """Runs `!cmd`. Both its streams come out as stdout, as under the reference's terminal."""
        try:
            code = subprocess.call(self._bash(cmd), stderr=subprocess.STDOUT)
        except KeyboardInterrupt:
            code = 130
        self.user_ns["_exit_code"] = code

    system_raw = system_piped = system

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> SList | LSString:  # noqa: FBT001, FBT002
        """Runs `x = !cmd`; the value is a list of lines, or one text when not `split`."""
        command = self._bash(cmd, depth=depth + 1)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        text = done.stdout.decode("utf-8", "replace")
        return SList(text.splitlines()) if split else LSString(text)

    def _bash(self, cmd: str, depth: int = 1) -> list[str]:
        """The command line for `cmd`, with the user's variables put in; `depth` frames above is the user's."""
        line = self.var_expand(cmd, depth=depth + 1)  # type: ignore[no-untyped-call]
        return ["/bin/bash", "-c", line]


# By these, and by the trait `kernel`, libraries (pandas, plotly, rich) know that they are in a notebook, as at E2B.
KernelShell.__name__ = KernelShell.__qualname__ = "ZMQInteractiveShell"
KernelShell.__module__ = "ipykernel.zmqshell"


def make_shell() -> KernelShell:
    """Makes the process's shell. It must exist before matplotlib.pyplot is imported, or figures have no picture."""
    # The history is an SQLite database with a thread that writes it, made with the shell; and we are to fork.
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    config.PlainTextFormatter.max_seq_length = 0  # long lists in full, as the reference shows them
    shell: Any = KernelShell.instance(config=config, display_pub_class=Publisher, displayhook_class=Hook)
    shell.db = {}  # IPython's own is a directory, in which `%cd` and `%bookmark` would leave files beside the user's
    add_formatters(shell)
    install_magic(shell)
    _give_names(shell)
    builtins.get_ipython = shell.get_ipython  # type: ignore[attr-defined]  # what is imported before a cell asks for it
    return cast("KernelShell", shell)


def forget_cells(shell: Any) -> None:
    """Brings the shell back to where no cell had run yet. Modules that the cells imported stay loaded."""
    shell.configurables.remove(shell.history_manager)
    shell.init_history()  # `reset` alone would keep `In`
    own = {name: value for name, value in shell.user_ns.items() if name.strip("_") and name.startswith("__")}
    shell.reset(new_session=False)
    shell.user_ns.update(own)
    shell.execution_count = 1
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    _give_names(shell)


def _give_names(shell: Any) -> None:
    """Gives the user `os` and `sys`, as the reference's kernel does."""
    shell.push({"os": os, "sys": sys}, interactive=False)
