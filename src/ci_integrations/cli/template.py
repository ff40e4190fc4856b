"""`ci-integrations template`: prints a template definition as code for E2B, or builds it there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.syntax import Syntax
from rich.text import Text

from ci_integrations.cli._e2b import e2b_errors, endpoint
from ci_integrations.cli._template_steps import Step, apply, sizes_of, source, steps
from ci_integrations.cli._terminal import err, out, print_json, stop
from ci_integrations.local.definition import TemplateDefinition, load_definitions

if TYPE_CHECKING:
    from e2b import LogEntry


def template(
    name: Annotated[str | None, typer.Argument(help="Which template. Without it they are listed.")] = None,
    file: Annotated[Path, typer.Option("--file", "-f", help="The TOML file.")] = Path("pyproject.toml"),
    build: Annotated[bool, typer.Option("--build", help="Build it at E2B; needs E2B_API_KEY.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Ready after a minute whatever happens; the services log to the journal.")
    ] = False,
    skip_cache: Annotated[bool, typer.Option("--skip-cache", help="Build every layer anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print definition or template id as JSON.")] = False,
) -> None:
    """Turn a definition into an E2B template; the local server takes the same file for its `template=NAME`.

    Written in pyproject.toml (locally, `packages` are laid over what is installed here):

        \\[tool.ci-integrations.templates.analysis]
        packages = ["polars", "duckdb>=1"]
        setup = ["mkdir -p /home/user/out"]

    Then, to see it as code, and to build it:

        ci-integrations template analysis

        ci-integrations template analysis --build

    Packages that are baked in cost nothing when a sandbox starts. Use the printed id (template="..."), not the name:
    a name is moved by the next build.
    """
    definitions = load_definitions(file)
    if name is None:
        _list(definitions, file, as_json=as_json)
        return
    known = ", ".join(sorted(definitions)) or "none"
    definition = definitions.get(name) or stop(f"{file} defines no template {name!r}; it defines: {known}")
    made = steps(definition, debug=debug)
    if build:
        _build(definition, made, skip_cache=skip_cache or definition.skip_cache, as_json=as_json)
    elif as_json:
        sizes = {"cpu": definition.cpu, "memory": definition.memory}
        print_json({"name": name, "steps": [asdict(step) for step in made], **sizes})
    else:
        program = source(definition, made)
        # Plain text where somebody saves it to a file.
        shown = Syntax(program, "python", theme="ansi_dark", background_color="default", word_wrap=False)
        out.print(shown if out.is_terminal else Text(program), soft_wrap=True)


def _list(definitions: dict[str, TemplateDefinition], file: Path, *, as_json: bool) -> None:
    """Prints the names that a file defines. A file without any is a mistake in the call."""
    if as_json:
        print_json(sorted(definitions))
    elif not definitions:
        stop(f"{file} defines no template; see ci-integrations template --help")
    else:
        for name in sorted(definitions):
            out.print(Text(name))


def _build(definition: TemplateDefinition, made: list[Step], *, skip_cache: bool, as_json: bool) -> None:
    """Builds at E2B. Its log goes to stderr while it comes. A build that fails is exit code 1."""
    endpoint("building a template needs E2B")
    from e2b import Template
    from e2b.exceptions import BuildException

    with e2b_errors():
        try:
            info = Template.build(
                apply(Template(file_context_path=definition.directory), made),
                definition.name,
                skip_cache=skip_cache,
                on_build_logs=_show_log,
                **sizes_of(definition),
            )
        except BuildException as error:
            err.print(Text(f"the build failed: {error}", style="red"))
            raise typer.Exit(1) from error  # its reasons were in the log, which has been shown
    if as_json:
        print_json({"template_id": info.template_id, "build_id": info.build_id, "name": definition.name})
    else:
        out.print(Text(f'built: template="{info.template_id}"'))


def _show_log(entry: LogEntry) -> None:
    # On stderr: with --json, stdout holds one document and nothing else.
    err.print(Text(str(entry.message).rstrip()), soft_wrap=True)
