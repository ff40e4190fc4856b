"""`python -m ci_integrations.local.server`: the server in the foreground, or (--child) as the launcher's child."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Returns the exit code: 2 when the server cannot start. A container's entry point, and the launcher's child."""
    parser = argparse.ArgumentParser(prog="python -m ci_integrations.local.server", description="A local E2B server.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--pool", type=int, default=0, help="sandboxes forked in advance")
    parser.add_argument("--isolation", default="auto", help="auto, namespaces, bubblewrap, landlock or none")
    parser.add_argument("--token-file", help="a file that holds the API key for clients; a random key otherwise")
    parser.add_argument("--log-json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    from ci_integrations.local.protocol.contract import EngineError
    from ci_integrations.local.server.main import Address, CannotServe, Options, serve, serve_child

    if chosen.child:
        return serve_child()

    def ready(address: Address) -> None:
        # Lines that a shell can `eval`: E2B's SDKs read these variables.
        lines = {"E2B_API_URL": address.url, "E2B_SANDBOX_URL": address.url, "E2B_API_KEY": address.token}
        sys.stdout.write("".join(f"export {name}={value}\n" for name, value in lines.items()))
        sys.stdout.flush()

    try:
        token = Path(chosen.token_file).read_text().strip() if chosen.token_file else None
        names = ("port", "host", "pool", "isolation", "log_json")
        serve(Options(token=token, **{name: getattr(chosen, name) for name in names}), ready)
    except (CannotServe, EngineError, OSError) as error:
        sys.stderr.write(f"cannot serve: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
