"""Puts the whole of the tables that a run showed into the artifact store: they outlive their sandbox there."""

from __future__ import annotations

import logging
from functools import partial

from ci_integrations._adapters.outcome import is_run_time_failure
from ci_integrations._adapters.redaction import WITHHELD, Redactor
from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._core.flow import Flow
from ci_integrations.results.model import Artifact, TableArtifact
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.store import ArtifactStore

MAX_BYTES = 256_000_000
"""Of one table that is fetched for the store; a larger one stays in the sandbox."""

_log = logging.getLogger(__name__)


def stored(
    session: AnyInterpreter, result: ExecutionResult, store: ArtifactStore | None, redactor: Redactor
) -> Flow[ExecutionResult]:
    """Returns the result with the tables that lie in the sandbox in the store. Without a store it is as it was."""
    if store is None or not any(table.whole is not None and table.whole.path for table in result.tables):
        return result
    artifacts: list[Artifact] = []
    for artifact in result.artifacts:
        kept = (
            (yield from _kept(session, artifact, store, redactor)) if isinstance(artifact, TableArtifact) else artifact
        )
        artifacts.append(kept)
    return result.model_copy(update={"artifacts": tuple(artifacts)})


def _kept(
    session: AnyInterpreter, table: TableArtifact, store: ArtifactStore, redactor: Redactor
) -> Flow[TableArtifact]:
    whole = table.whole
    if whole is None or whole.path is None or whole.ref is not None or whole.size > MAX_BYTES:
        return table
    try:
        data: bytes = yield partial(session.download, whole.path)
    except Exception as error:
        if not is_run_time_failure(error, session):
            raise
        _log.warning("table %s stays in the sandbox, it could not be fetched: %s", table.id, error)
        return table
    if redactor and redactor.finds(data):
        return table.model_copy(update={"whole": None, "note": f"{table.note or 'the first rows'}; {WITHHELD}"})
    ref = yield partial(_put, store, data)
    return table.model_copy(update={"whole": whole.model_copy(update={"ref": ref, "path": None, "url": None})})


def _put(store: ArtifactStore, data: bytes) -> str:
    return store.put(data)
