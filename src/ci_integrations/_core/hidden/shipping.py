"""Brings packages of ours into a kernel where this library may be missing: as source, in one folder of its sandbox."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from ci_integrations._core.hidden.find import digest

FOLDER = "/tmp/.ci_source"  # noqa: S108 - in the sandbox, outside the user's directory

_HERE = Path(__file__).parents[2]

FINDER = _HERE.joinpath("_core/hidden/find.py").read_text("utf-8")
"""Source that defines `find`, which takes `Shipment.wanted`."""


class Shipment:
    """Packages that are written into a sandbox together. Their folder there is named after what they are."""

    def __init__(self, **packages: str) -> None:
        """`packages`: the name of each in a kernel, and its folder in this library, such as `frames/codec`."""
        self._packages = packages

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {name: digest(_HERE / place) for name, place in self._packages.items()}

    @property
    def folder(self) -> str:
        """Is the sandbox's folder for these packages: another version of them has another one."""
        return f"{FOLDER}/{'-'.join(self._digests.values())}"

    @cached_property
    def files(self) -> list[dict[str, str]]:
        """Is what the SDK's `write_files` takes."""
        return [
            {"path": f"{self.folder}/{name}/{path.relative_to(_HERE / place)}", "data": path.read_text("utf-8")}
            for name, place in self._packages.items()
            for path in sorted((_HERE / place).rglob("*.py"))
        ]

    def wanted(self, name: str) -> tuple[str, str, str, str]:
        """Returns the arguments of `find` in a kernel, for one of the packages."""
        local = f"ci_integrations.{self._packages[name].replace('/', '.')}"
        return name, self._digests[name], self.folder, local


EXTRACTOR = Shipment(_ci_extractor="charts/extractor", _ci_frames="frames/codec")
"""What hooks a kernel, and the codec of tables, which the extractor uses too and finds beside itself."""

READER = Shipment(_ci_reader="tables/reader")
"""What reads files as tables."""
