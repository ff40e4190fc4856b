"""`ci-integrations run`: runs a script in a sandbox, shows its output as it comes, and its results as artifacts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from ci_integrations.cli._terminal import err, out, print_json, stop, warn

if TYPE_CHECKING:
    from ci_integrations._core.output import OutputEvent
    from ci_integrations.interpreter import CodeInterpreter
    from ci_integrations.results.result import ExecutionResult


def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The script to run; - reads it from standard input.")],
    language: Annotated[str, typer.Option("--language", "-l", help="python, bash, or an installed kernel's.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds the script may take.", min=0.1)] = 60.0,
    backend: Annotated[str, typer.Option(help="auto, local or e2b. auto: e2b when E2B_API_KEY is set.")] = "auto",
    upload: Annotated[
        list[Path] | None, typer.Option("--upload", "-u", help="Put this file beside the script; may be repeated.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write charts, pictures, tables and new files here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON and nothing else.")] = False,
) -> None:
    """Run a script in a sandbox and show what it gives.

    The last expression's value, charts and tables are shown as in a notebook:

        echo '1 + 1' | ci-integrations run -

        ci-integrations run analysis.py --upload sales.csv --save out/

    Exit code 0: it ran; 1: it raised or took too long; 2: it could not be started; else that of its `sys.exit`.
    """
    code = _read(file)
    uploads = [_existing(path) for path in upload or []]
    from ci_integrations.interpreter import CodeInterpreter

    with CodeInterpreter(backend=_checked(backend)) as interpreter:
        result = _execute(interpreter, code, language or _guess(file), timeout, uploads, quiet=as_json)
        saved = _saved(interpreter, result, save) if save else []
    # `sys.exit(0)` is an error to the kernel, and none to a shell.
    exit_code = 0 if result.ok else _exit_code(result)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        _show(result if exit_code else result.model_copy(update={"error": None}), saved)
        _hint(result)
    raise typer.Exit(exit_code)


def _exit_code(result: ExecutionResult) -> int:
    """Returns what `sys.exit(n)` in the script asked for, or 1 for any other error.

    Like Python itself: a text is 1, and nothing is 0. The kernel tells the code as text.
    """
    error = result.error
    asked = error.value if error is not None and error.name == "SystemExit" else "1"
    return int(asked) if asked.isdecimal() and int(asked) < 256 else int(bool(asked))


def _read(file: str) -> str:
    """Returns the script. Ends with one line for a file that is not there or no text."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        stop(f"{file}: there is no such file")
    except IsADirectoryError:
        stop(f"{file} is a directory, not a script")
    except UnicodeDecodeError:
        stop(f"{file} is not UTF-8 text")
    except OSError as error:
        stop(f"{file} cannot be read: {error.strerror}")


def _existing(path: Path) -> Path:
    """Returns a file that is there. Looked at before a sandbox is started."""
    if not path.is_file():
        stop(f"--upload {path}: there is no such file")
    return path


def _checked(backend: str) -> Literal["auto", "local", "e2b"]:
    # By hand: typer's own message for a choice spans several lines.
    if backend not in ("auto", "local", "e2b"):
        stop(f"--backend {backend}: choose auto, local or e2b")
    return cast("Literal['auto', 'local', 'e2b']", backend)


def _guess(file: str) -> str:
    """Returns the language that a script's ending says; Python for all others."""
    return {".sh": "bash", ".js": "javascript", ".ts": "typescript", ".r": "r"}.get(Path(file).suffix.lower(), "python")


def _execute(
    interpreter: CodeInterpreter, code: str, language: str, timeout: float, uploads: list[Path], *, quiet: bool
) -> ExecutionResult:
    """Runs the script. Its output appears as it comes, unless `quiet`."""
    from ci_integrations.results.clean import strip_ansi

    with err.status("starting the sandbox ...") as status:

        def on_output(event: OutputEvent) -> None:
            status.update("running ...")
            if quiet or event.kind not in ("stdout", "stderr"):
                return
            stream = sys.stdout if event.kind == "stdout" else sys.stderr
            stream.write(strip_ansi(event.text))  # a terminal obeys the sequences that it is shown
            stream.flush()

        for path in uploads:
            interpreter.upload(path, path.name)
        return interpreter.run(code, language=language, timeout=timeout, on_output=on_output)


def _saved(interpreter: CodeInterpreter, result: ExecutionResult, directory: Path) -> list[Path]:
    from ci_integrations.cli._save import save_result, with_numbers

    try:
        return save_result(interpreter, with_numbers(interpreter, result), directory)
    except OSError as error:
        stop(f"--save {directory}: {error.strerror}")


def _hint(result: ExecutionResult) -> None:
    """Warns when the script looked in the sandbox for a file that is on this machine."""
    if result.error is None or result.error.name != "FileNotFoundError":
        return
    # Python's own words: "[Errno 2] No such file or directory: 'sales.csv'".
    _, quote, name = result.error.value.rstrip("'").rpartition("'")
    if quote and Path(name).is_file():
        warn(f"the sandbox does not see the files of this machine; bring it along: --upload {name}")


def _show(result: ExecutionResult, saved: list[Path]) -> None:
    """Prints the result on stdout, and the names of saved files on stderr."""
    from ci_integrations.cli._show import show_result

    show_result(out, result)
    for path in saved:
        err.print(f"saved {path}", style="green")
