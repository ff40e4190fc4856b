"""Folders of the host for the sandboxes of levels without a mount namespace. For engine and zygote."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any


def make_folder() -> str:
    """For all sandboxes of an engine. Others may pass through it, to the folder that is theirs."""
    folder = tempfile.mkdtemp(prefix="ci-sandboxes-")
    Path(folder).chmod(0o711)
    return folder


def remove_tree(folder: Path) -> None:
    """Whatever a sandbox left there, also folders that it closed to everybody. Nothing happens when it is gone."""
    if not folder.exists():
        return

    def open_up(_function: Any, path: str, _error: Any) -> None:
        parent = Path(path).parent
        if not parent.is_relative_to(folder):
            return
        if not parent.exists():
            return  # the sandbox's own end was faster
        parent.chmod(0o700)
        if Path(path).is_symlink() or not Path(path).is_dir():
            Path(path).unlink(missing_ok=True)
            return
        Path(path).chmod(0o700)
        shutil.rmtree(path)

    shutil.rmtree(folder, onerror=open_up)
