"""The table of commands. Each command is a module of its own, loaded when it is called."""

from __future__ import annotations

import inspect

import typer

from ci_integrations._version import __version__
from ci_integrations.cli.demo.command import demo
from ci_integrations.cli.doctor.command import doctor
from ci_integrations.cli.reap import reap
from ci_integrations.cli.run import run
from ci_integrations.cli.serve import serve
from ci_integrations.cli.template import template


def _flowing(text: str) -> str:
    """Returns a docstring with each paragraph on one line, so that help is wrapped at the terminal's width.

    Indented paragraphs are examples: their lines stay.
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else part.replace("\n", " ") for part in paragraphs)


app = typer.Typer(
    name="ci-integrations",
    help=_flowing("""A code interpreter for LangChain and LlamaIndex agents: on E2B with a key, in a local sandbox
    without one.

    New here? Start with [bold]ci-integrations demo[/bold]: an agent analyses a CSV file, and what it found lies in
    ./ci-demo/ afterwards. If something does not work, [bold]ci-integrations doctor[/bold] says why.
    """),
    epilog="Exit codes: 0 done, 1 the code or the machine failed, 2 a mistake in the call. Every command has --help.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # `main` says in one line what is wrong
)


def _version(asked: bool) -> None:
    # Click calls this for every start, with False when the option is not there.
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options before the command. Typer shows the table of commands only for an app that has a callback."""


# Each under its function's name, with its docstring as help.
for command in (demo, run, serve, doctor, reap, template):
    app.command(name=command.__name__, help=_flowing(command.__doc__ or ""))(command)
