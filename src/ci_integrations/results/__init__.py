"""Holds what a run gave: the result and its artifacts, framework-free. Its names are loaded on first use.

May import `charts` and the ground. `from_e2b.py` reads the SDK's objects as plain dicts, `model.py` has the types,
`result.py` builds an `ExecutionResult` from the dicts in one validation, `text.py` writes what a model reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_integrations._lazy import loader

if TYPE_CHECKING:
    from ci_integrations.results.model import (
        Artifact,
        ArtifactBase,
        ChartArtifact,
        Column,
        ExecutionError,
        FileArtifact,
        ImageArtifact,
        JsonArtifact,
        OtherArtifact,
        PdfArtifact,
        SandboxEvent,
        TableArtifact,
        TextArtifact,
        Truncation,
    )
    from ci_integrations.results.result import ExecutionResult
    from ci_integrations.results.value import Value

__all__ = [
    "Artifact",
    "ArtifactBase",
    "ChartArtifact",
    "Column",
    "ExecutionError",
    "ExecutionResult",
    "FileArtifact",
    "ImageArtifact",
    "JsonArtifact",
    "OtherArtifact",
    "PdfArtifact",
    "SandboxEvent",
    "TableArtifact",
    "TextArtifact",
    "Truncation",
    "Value",
]

__getattr__ = loader(__name__, dict.fromkeys(__all__, "model") | {"ExecutionResult": "result", "Value": "value"})


def __dir__() -> list[str]:
    return __all__
