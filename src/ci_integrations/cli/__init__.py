"""`ci-integrations demo | run | serve | doctor | reap | template`. A room for people at a terminal; nothing imports it.

A user's mistake is one clear line on stderr and exit code 2; code that failed is exit code 1; `--json` puts exactly
one JSON document on stdout and everything else on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Ends the process by `SystemExit`."""
    from ci_integrations._errors import CodeInterpreterError, ConfigurationError
    from ci_integrations.cli._app import app
    from ci_integrations.cli._terminal import UserError, complain

    try:
        app(args=None if arguments is None else list(arguments), prog_name="ci-integrations")
    except (UserError, ConfigurationError) as error:
        complain(str(error))
        sys.exit(2)
    except CodeInterpreterError as error:
        complain(str(error))
        sys.exit(1)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        sys.exit(141)
