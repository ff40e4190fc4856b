"""Makes and removes the host's folders that sandboxes have at the levels without a mount namespace."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path


def make_folder() -> str:
    """Makes a folder for all sandboxes of an engine. Other users may pass through it, to the folder that is theirs."""
    folder = tempfile.mkdtemp(prefix="ci-sandboxes-")
    Path(folder).chmod(0o711)
    return folder


def remove_tree(folder: Path) -> None:
    """Removes what a sandbox left, folders without permissions too. Nothing happens when the folder is gone."""
    # By programs that follow no link and go as deep as a tree goes: shutil.rmtree ends at the recursion limit.
    for command in (["rm", "-rf"], ["chmod", "-Rf", "u+rwx"], ["rm", "-rf"]):
        if folder.exists():
            subprocess.run([*command, "--", str(folder)], check=False, stderr=subprocess.DEVNULL)
