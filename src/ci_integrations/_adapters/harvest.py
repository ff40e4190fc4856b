"""Takes results and artifacts out of whatever a framework hands back: states, messages, tool outputs, plain dicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from ci_integrations.results.model import SCHEMA, Artifact
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.store import ArtifactStore

_INSIDE = ("tool_output", "raw_output", "execution", "metadata", "messages")
"""Keys and attributes under which frameworks keep what a tool gave."""


def results_from(source: object) -> list[ExecutionResult]:
    """Returns every run in `source`, in order. Whatever is no run is passed over.

    `source` is a result, a message, a tool's output, an agent's output, a response, a graph's state or its snapshot, a
    plain dict of any of these, or a list of them.
    """
    return list(_found(source))


def artifacts_from(source: object) -> list[Artifact]:
    """Returns every artifact in `source`, in order. `source` is what `results_from` takes."""
    return [artifact for result in results_from(source) for artifact in result.artifacts]


def save_artifacts(source: object, directory: str | Path, *, store: ArtifactStore | None = None) -> list[Path]:
    """Writes every artifact of `source` into `directory` (made when missing); returns the paths, in order.

    A file that stayed in the sandbox is fetched from its signed address, where it has one, and passed over where not.
    Raises `ArtifactError` when bytes are in a store that was not given.
    """
    results = results_from(source)
    reachable = [
        artifact.model_copy(update={"id": f"run{number}-{artifact.id}"}) if len(results) > 1 else artifact
        for number, result in enumerate(results, start=1)
        for artifact in result.artifacts
        if artifact.kind != "file" or artifact.url
    ]
    return ExecutionResult().model_copy(update={"artifacts": tuple(reachable)}).save_all(directory, store)


def _found(source: object) -> Iterator[ExecutionResult]:
    snapshot = getattr(source, "values", None)
    if isinstance(source, ExecutionResult):
        yield source
    elif isinstance(source, Mapping):
        yield from _in_mapping(source)
    elif isinstance(snapshot, Mapping):  # langgraph's StateSnapshot, which is a tuple as well
        yield from _in_mapping(snapshot)
    elif isinstance(source, BaseModel) or not isinstance(source, Iterable):  # pydantic's models are iterable too
        yield from _in_object(source)
    elif not isinstance(source, (str, bytes)):
        for item in source:
            yield from _found(item)


def _in_mapping(source: Mapping[str, object]) -> Iterator[ExecutionResult]:
    """Reads a saved result, tool output or metadata: plain dicts, after a state was restored."""
    if source.get("schema") == SCHEMA:
        yield ExecutionResult.model_validate(source)
        return
    for name in _INSIDE:
        if name in source:
            yield from _found(source[name])


def _in_object(source: object) -> Iterator[ExecutionResult]:
    artifact, calls = getattr(source, "artifact", None), getattr(source, "tool_calls", None)
    if isinstance(artifact, Mapping) and artifact.get("schema") == SCHEMA:
        yield ExecutionResult.from_message(source)  # pictures that the message shows are in its content only
    elif isinstance(calls, list):
        found = list(_found(calls))
        # An agent that returns directly keeps no outputs beside its calls; the result is in `raw`.
        yield from found or _found(getattr(source, "raw", None))
    else:
        for name in _INSIDE:
            if (inner := getattr(source, name, None)) is not None:
                yield from _found(inner)
