"""Where words go: stdout for what was asked for, stderr for everything about it. Shared by all commands."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from rich.console import Console

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)


class UserError(Exception):
    """A mistake in the call. Its text is one line that names the remedy."""


def stop(message: str) -> NoReturn:
    """End with exit code 2 and one line."""
    raise UserError(message)


def complain(message: str) -> None:
    err.print(f"[bold red]error:[/] {_escaped(' '.join(message.split()))}", soft_wrap=True)


def warn(message: str) -> None:
    err.print(f"[yellow]warning:[/] {_escaped(message)}", soft_wrap=True)


def print_json(value: Any) -> None:
    """The one document of `--json`."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))  # noqa: T201 - plain, whatever the terminal


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
