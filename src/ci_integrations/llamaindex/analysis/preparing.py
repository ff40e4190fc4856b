"""Makes sure that the data is in the kernel before a program runs: asks the kernel, and sends what it lacks."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from ci_integrations._core.flow import Flow
from ci_integrations.llamaindex.analysis.dataset import read_prepared
from ci_integrations.llamaindex.analysis.hosts import Host
from ci_integrations.llamaindex.analysis.kernel.model import Prepared, Request
from ci_integrations.llamaindex.analysis.shipping import SOURCE, prepare_cell
from ci_integrations.llamaindex.analysis.state import Analysis, Answer
from ci_integrations.results.model import ExecutionError
from ci_integrations.results.result import ExecutionResult

_log = logging.getLogger(__name__)

_ROUNDS = 4
"""How often the kernel is asked: it says what it lacks, gets it, and a file may change on its way."""
_MAX_SAID = 250_000
"""Characters of a description that are taken from a kernel; the names of thousands of tables are within it."""
_MAX_LOGGED = 500
_MAX_DOUBTS = 100
CHANGED = "These files have changed since the last question and were loaded anew: {names}"


def prepared(host: Host, analysis: Analysis, answer: Answer) -> Flow[ExecutionResult | None]:
    """Makes sure that the data is in the kernel. Returns what went wrong, or None."""
    # Two questions at a time must not upload one file twice, nor read it half written.
    yield partial(host.acquire, analysis.preparing)
    try:
        return (yield from _prepared(host, analysis, answer))
    finally:
        analysis.preparing.release()


def _prepared(host: Host, analysis: Analysis, answer: Answer) -> Flow[ExecutionResult | None]:
    dataset, said = analysis.dataset, None
    conversation = analysis.conversation.ended if analysis.conversation is not None else None
    for _ in range(_ROUNDS):
        request = dataset.request(answer.question, conversation)
        answer.changed = list(dict.fromkeys([*answer.changed, *dataset.changed(request)]))
        result: ExecutionResult = yield partial(host.run_quietly, prepare_cell(request))
        said = read_prepared(result)
        if said is None:
            error = result.error or ExecutionError(name="NotPrepared", value=result.stdout[-500:])
            return result.model_copy(update={"error": error, "code": ""})
        if "profile" in said:
            _told(answer, request, said)
            return None
        yield from _supplied(host, analysis, request, said)
    error = ExecutionError(name="NotPrepared", value=f"the sandbox does not keep the uploaded files: {said}"[:1000])
    return ExecutionResult(error=error)


def _supplied(host: Host, analysis: Analysis, request: Request, said: Prepared) -> Flow[None]:
    """Sends what the kernel lacks."""
    dataset = analysis.dataset
    if not said.get("source", True):
        sandbox = yield host.open
        yield partial(sandbox.files.write_files, SOURCE.files)
    if said.get("absent") and dataset.frames:
        dataset.put((yield partial(host.put, dataset.variables())))
    for remote in dataset.missing(request, said):
        yield partial(host.upload, dataset.content(remote), remote)
        dataset.arrived(request, remote)


def _told(answer: Answer, request: Request, said: Prepared) -> None:
    """Keeps what the kernel said of the data, and logs which files are no tables.

    The kernel runs the model's programs: what it says is bounded, and of files that were sent.
    """
    answer.unread = [item["path"] for item in request["recipe"]["files"] if item["path"] in said["unread"]]
    changed = [CHANGED.format(names=", ".join(answer.changed))] if answer.changed else []
    answer.profile = "\n\n".join([*changed, said["profile"][:_MAX_SAID]])
    if not said["loaded"]:
        return
    if answer.changed:
        _log.info("%s changed since the last question and was loaded anew", ", ".join(answer.changed))
    for path in answer.unread:
        error = str(said["unread"][path])[:_MAX_LOGGED]
        _log.warning("%s could not be read as a table; the model has to read it itself: %s", Path(path).name, error)
    for doubt in said.get("doubts", ())[:_MAX_DOUBTS]:
        _log.info("the model is told of %s", str(doubt)[:_MAX_LOGGED])
