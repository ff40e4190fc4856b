"""The table of commands. Each command is a module of its own, loaded when it is called."""

from __future__ import annotations

import typer

from ci_integrations._version import __version__

app = typer.Typer(
    name="ci-integrations",
    help="""A code interpreter for LangChain and LlamaIndex agents: on E2B with a key, in a local sandbox without one.

    New here? Start with [bold]ci-integrations demo[/bold]: an agent analyses a CSV file, and what it found lies in
    ./ci-demo/ afterwards. If something does not work, [bold]ci-integrations doctor[/bold] says why.
    """,
    epilog="Exit codes: 0 done, 1 the code or the machine failed, 2 a mistake in the call. Every command has --help.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options before the command."""


def _add_commands() -> None:
    from ci_integrations.cli import demo, doctor, reap, run, serve, template

    for module, name in ((demo, "demo"), (run, "run"), (serve, "serve"), (doctor, "doctor"), (reap, "reap")):
        app.command(name=name)(getattr(module, name))
    app.command(name="template")(template.template)


_add_commands()
