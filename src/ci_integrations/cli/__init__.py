"""`ci-integrations demo | run | serve | doctor | reap | template`. A room for people at a terminal; nothing imports it.

A user's mistake is one clear line on stderr and exit code 2; code that failed is exit code 1; `--json` puts exactly
one JSON document on stdout and everything else on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

_EXTRA = {"packaging", "pygments", "rich", "typer"}
"""What the extra `cli` brings."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the console script with `arguments`, by default the process's own. Ends the process by `SystemExit`."""
    from ci_integrations._errors import CodeInterpreterError, ConfigurationError

    try:
        from ci_integrations.cli._app import app
        from ci_integrations.cli._terminal import UserError, complain
        from ci_integrations.local.definition import DefinitionError
    except ModuleNotFoundError as missing:  # typer and rich are for people at a terminal, not for who embeds us
        sys.exit(_needs_the_extra(missing))
    try:
        app(args=None if arguments is None else list(arguments), prog_name="ci-integrations")
    except (UserError, ConfigurationError, DefinitionError) as error:
        complain(str(error))
        sys.exit(2)
    except CodeInterpreterError as error:
        complain(str(error))
        sys.exit(1)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        sys.exit(141)


def _needs_the_extra(missing: ModuleNotFoundError) -> int:
    """Says how to install what the console script needs. Returns the exit code for a mistake in the call."""
    if (missing.name or "").partition(".")[0] not in _EXTRA:
        raise missing
    sys.stderr.write('error: the console script needs an extra: pip install "ci-integrations[cli]"\n')
    return 2
