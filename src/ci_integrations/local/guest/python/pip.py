"""`%pip` in a local kernel installs below home, or says in one line that the sandbox has no network.

The variable `PIP_TARGET` tells which of them: the server sets it together with the network.
"""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from ci_integrations.local.protocol.packages import own_pip

NO_NETWORK = (
    "%pip cannot install: this sandbox has no internet access. "
    "Create it with allow_internet_access=True, or use a template that has the package."
)
NO_INSTALLER = "%pip cannot install: neither pip nor uv is there for this interpreter."


def install_magic(shell: Any) -> None:
    """Puts our `%pip` in the place of IPython's, which would install into a read-only environment."""
    shell.register_magic_function(pip, "line", "pip")


def use_packages() -> None:
    """Puts what was installed below home on the import path."""
    target = os.environ.get("PIP_TARGET")
    if target and target not in sys.path:
        sys.path.append(target)


def pip(line: str) -> None:
    """Runs `%pip install NAME` with pip, or with uv where there is no pip. Raises UsageError without a network."""
    words = shlex.split(line)
    if words[:1] in (["install"], ["download"]) and "PIP_TARGET" not in os.environ:
        raise UsageError(NO_NETWORK)
    # pip sends local addresses around the proxy when no_proxy names them; the host's own index may be at one.
    proxied = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    subprocess.run([*_installer(words), *words[1:]], check=False, stderr=subprocess.STDOUT, env=proxied)
    use_packages()  # of a sandbox whose way out was opened after this kernel
    importlib.invalidate_caches()


def _installer(words: list[str]) -> list[str]:
    """The command that installs: pip, or uv where there is no pip. Raises UsageError without both."""
    own = own_pip()
    if own:
        return [*own, *words[:1]]
    beside = str(Path(sys.executable).parent)
    uv = shutil.which("uv") or shutil.which("uv", path=beside)
    if uv is None:
        raise UsageError(NO_INSTALLER)
    where = ["--python", sys.executable]
    if words[:1] == ["install"]:
        where += ["--target", os.environ["PIP_TARGET"], "--no-cache"]
    return [uv, "pip", *words[:1], *where]
