"""Folders of the host for the sandboxes of levels without a mount namespace. For engine and zygote."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path


def make_folder() -> str:
    """For all sandboxes of an engine. Others may pass through it, to the folder that is theirs."""
    folder = tempfile.mkdtemp(prefix="ci-sandboxes-")
    Path(folder).chmod(0o711)
    return folder


def remove_tree(folder: Path) -> None:
    """Whatever a sandbox left there, also folders that it closed to everybody. Nothing happens when it is gone.

    By the programs that follow no link and go as deep as a tree goes; Python's own ends at its recursion limit.
    """
    for command in (["rm", "-rf"], ["chmod", "-Rf", "u+rwx"], ["rm", "-rf"]):
        if folder.exists():
            subprocess.run([*command, "--", str(folder)], check=False, stderr=subprocess.DEVNULL)
