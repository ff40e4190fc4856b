"""Defines `ExecutionResult`: what one run gave, made from the SDK's objects once, or read back from a message."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import ValidationError

from ci_integrations._json import plain
from ci_integrations.results.from_e2b import Display, Given
from ci_integrations.results.model import SCHEMA, Artifact, Store
from ci_integrations.results.notebook import show
from ci_integrations.results.payload import save_artifacts
from ci_integrations.results.record import RESULT_DEPTH, ExecutionRecord
from ci_integrations.results.value import plain_or_typed

if TYPE_CHECKING:
    from e2b_code_interpreter import Execution

log = logging.getLogger(__name__)

Record = TypeVar("Record", bound=ExecutionRecord)


class ExecutionResult(ExecutionRecord):
    """Everything that one run gave. `json.loads(json.dumps(r.model_dump(mode="json"), allow_nan=False))` is itself."""

    def save_all(self, directory: str | Path, store: Store | None = None, *, overwrite: bool = False) -> list[Path]:
        """Writes every artifact into `directory` (made when missing); returns the paths, in order.

        The code chose the names of its files: what is there already stays, and the new file gets another name, unless
        `overwrite` is set. No link is followed in either case, and a leading dot is left out.
        Raises `ArtifactError`, after the others were written, when the bytes of some cannot be had any more.
        """
        return save_artifacts(self.artifacts, Path(directory), store, overwrite=overwrite)

    def _ipython_display_(self) -> None:
        show(self)

    @classmethod
    def from_execution(cls, execution: Execution, **known: Any) -> Self:
        """Returns the SDK's own `Execution` as a result; `known` fields (`code=`, `sandbox_id=` ...) are as given."""
        logs = execution.logs
        given = Given(
            displays=[Display(result, number) for number, result in enumerate(execution.results)],
            stdout="".join(logs.stdout),
            stderr="".join(logs.stderr),
            error=execution.error,
        )
        ours = {"execution_count": execution.execution_count, **known}
        return read_result(cls, given, {name: plain_or_typed(value, RESULT_DEPTH) for name, value in ours.items()})

    @classmethod
    def from_message(cls, message: object) -> Self:
        """Returns the typed view of a LangChain `ToolMessage`, a LlamaIndex `ToolOutput`, or a plain dict.

        Raises `ValueError` when there is no execution in it.
        """
        for candidate in (message, getattr(message, "artifact", None), getattr(message, "raw_output", None)):
            if isinstance(candidate, cls):
                return candidate
            if isinstance(candidate, dict) and candidate.get("schema") == SCHEMA:
                whole = _with_shown_pictures(candidate, getattr(message, "content", None))
                return cls.from_plain(plain(whole, cls._depth))
        raise ValueError(f"no {SCHEMA} in this {type(message).__name__}: was it made by a CodeInterpreterTool?")


def read_result(kind: type[Record], given: Given, known: Mapping[str, object]) -> Record:
    """Builds a result from what the SDK gave: one plain dict, validated once.

    `known` are the fields that the SDK does not have, plain JSON or typed. A display that the model refuses becomes an
    artifact with a note: it is our fault, never the caller's exception.
    """
    fields = {**given.fields(), **known}
    try:
        return kind.from_plain(fields)
    except ValidationError as wrong:
        broken = _displays_of(wrong, fields)
        if not broken:
            raise
        log.exception("displays %s could not be read", sorted(broken))
        for number in broken:
            given.displays[number].give_up(wrong)
    return kind.from_plain({**given.fields(), **known})


def shown_artifacts(display: Display) -> tuple[Artifact, ...]:
    """Returns the artifacts of one display, for live output; they get their ids when the run is complete."""
    forms = [{**form, "display": 0} for form in display.forms]
    if not forms:
        return ()
    try:
        return ExecutionRecord.from_plain({"artifacts": forms}).artifacts
    except ValidationError as wrong:
        display.give_up(wrong)
        return shown_artifacts(display)


def _displays_of(wrong: ValidationError, fields: Mapping[str, Any]) -> set[int]:
    """Returns the numbers of the displays whose artifacts are not what their kind says."""
    places = [one["loc"] for one in wrong.errors(include_url=False, include_context=False, include_input=False)]
    return {fields["artifacts"][place[1]]["display"] for place in places if place[0] == "artifacts"}


def _with_shown_pictures(execution: dict[str, Any], content: object) -> dict[str, Any]:
    """Puts pictures back whose bytes are in the content of their message only, where the model is shown them."""
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    shown = {f"content:{block.get('id')}": block.get("base64") for block in blocks}
    if not shown:
        return execution  # the common case: no picture in the content
    artifacts = [
        artifact | {"data": shown[artifact["ref"]], "ref": None} if artifact.get("ref") in shown else artifact
        for artifact in execution.get("artifacts") or []
    ]
    return execution | {"artifacts": artifacts}
