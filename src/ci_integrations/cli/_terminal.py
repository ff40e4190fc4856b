"""Where words go: stdout is for what was asked for, stderr for everything about it. All commands share this."""

from __future__ import annotations

import json
from typing import NoReturn

from rich.console import Console
from rich.markup import escape

# Without highlighting: rich would colour every number and path in what a sandbox printed.
out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)


class UserError(Exception):
    """A mistake in the call. Its text is one line that names the remedy."""


def stop(message: str) -> NoReturn:
    """Ends the command with exit code 2 and one line on stderr. Raises UserError, which `main` catches."""
    raise UserError(message)


def complain(message: str) -> None:
    """Prints an error as one line on stderr, whatever line ends `message` has."""
    # Escaped, because rich would read `[tool.x]` in a message as markup.
    err.print(f"[bold red]error:[/] {escape(' '.join(message.split()))}", soft_wrap=True)


def warn(message: str) -> None:
    """Prints a warning on stderr."""
    err.print(f"[yellow]warning:[/] {escape(message)}", soft_wrap=True)


def print_json(value: object) -> None:
    """Prints the one document of `--json`. Raises ValueError for NaN, which is no JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))  # noqa: T201 - plain, whatever the terminal
