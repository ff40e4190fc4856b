"""Writes every sentence that tells a model about a loss, a restart or an interrupt, and the events that carry them.

Models and tests read these words: they are part of the library's behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence

from ci_integrations.results.model import ExecutionError, SandboxEvent

LEFT = {
    "kept": "the code ran longer than {:g} s and was stopped; variables from before are kept",
    "restarted": "the code ran longer than {:g} s and was stopped; variables are gone, files are kept",
    "unknown": "the code did not end within {:g} s and was told to stop, but its kernel gave no answer: it may have "
    "run in part, and it is not known what is left of the variables",
}
"""What became of a cell that ran too long, by what `Cells.stop` says is left of its kernel."""

CANCELLED = "the call was cancelled while this code ran: it may have run in part, and was not run again"
"""What a call that was cancelled is answered when it is made again."""

_LOST = "The sandbox was lost and a new one was started."

INTERRUPTED = SandboxEvent(
    type="interrupted", message="The code was interrupted at its time limit; the variables from before are still there."
)


FOREIGN = "the earlier messages speak of a sandbox of another conversation"
"""Why a conversation whose history was copied has a sandbox of its own."""

MOST_NAMES = 20
"""Names of variables, files and so on that one notice spells out. The event has them all."""


def sentence(
    lost: tuple[str, ...], restored: list[str], missing: list[str], unnamed: int = 0, *, refused: bool = False
) -> str:
    """Returns what the model reads about a replaced sandbox.

    `unnamed`: how many further variables are gone. `refused`: the sandbox was never this conversation's own.
    """
    why = f"This conversation has a new sandbox of its own: {FOREIGN}." if refused else _LOST
    parts = [why]
    parts.append(_gone(lost, unnamed))
    parts.append("Files that earlier code wrote are gone too.")
    if restored:
        parts.append(f"Restored: {some(restored)}.")
    if missing:
        parts.append(f"Not restored: {some(missing)}.")
    return " ".join(parts)


def said_again(event: SandboxEvent) -> SandboxEvent:
    """Returns a loss as the first cell tells it after another tool has told it.

    Nothing about files: some may have been written meanwhile.
    """
    return event.model_copy(update={"message": f"The sandbox was lost earlier, as was said then. {_gone(event.lost)}"})


def kernel_restarted(language: str, lost: tuple[str, ...], why: str, kind: str, unnamed: int = 0) -> SandboxEvent:
    """Returns the event that says which variables went with a kernel, and how many whose names are not known."""
    names = f"Gone: {listed(lost, unnamed)}. " if lost else "Variables are gone. "
    which = "" if language == "python" else f"{language} "
    message = f"The {which}kernel was restarted: {why}. {names}Files are kept."
    return SandboxEvent(type=kind, message=message, reason=why, lost=lost)


def lost_while_running(happened: str) -> ExecutionError:
    """Returns the error of a cell whose sandbox was `"paused"` or `"lost"` while it ran."""
    words = f"the sandbox was {happened} while this code ran; it may have run in part, and was not run again"
    return ExecutionError(name=f"Sandbox{happened.title()}", value=words)


DEATHS = {
    "ran": "the kernel died, and its successor ran this code: what it gave is lost, and it was not run again",
    "lost": "the server lost its connection to the kernel; this code ran, what it gave is lost, it was not run again",
    "not run": "the kernel did not run this code, and it was not sent again",
    "unknown": "the kernel died before or while it ran this code: it may have run in part, and was not run again",
}
"""What is said of a cell whose kernel gave no sign that it took it, by what could be found out afterwards."""


def too_slow(timeout: float | None, left: str) -> ExecutionError:
    """Returns the error of a cell that reached its limit; `left` is a key of `LEFT`."""
    return ExecutionError(name="ExecutionTimeout", value=LEFT[left].format(timeout))


def _gone(lost: tuple[str, ...], unnamed: int = 0) -> str:
    return f"Gone: {listed(lost, unnamed)}." if lost else "Nothing that earlier code defined is there any more."


def put_again(names: tuple[str, ...]) -> SandboxEvent:
    """Returns the event that says which tables a new kernel got again."""
    message = f"There again, as first put in: {listed(names)}."
    return SandboxEvent(type="restored", message=message, restored=tuple(f"table {name}" for name in names))


def not_put_again(names: tuple[str, ...]) -> SandboxEvent:
    """Returns the event that says which tables a new kernel has no more."""
    message = f"Not put in again: {listed(names)}."
    return SandboxEvent(type="not_restored", message=message, not_restored=tuple(f"table {name}" for name in names))


def changed_table(name: str, notes: tuple[str, ...]) -> SandboxEvent:
    """Returns the event that says what of a table is not in the kernel as it was given."""
    return SandboxEvent(type="table_changed", message=f"{name} did not arrive as it was given: {'; '.join(notes)}.")


def listed(names: tuple[str, ...], unnamed: int = 0) -> str:
    """Returns `the variables a, b and 3 more`. `unnamed`: how many there are beside those named."""
    return f"the variable{'s' if len(names) + unnamed > 1 else ''} {some(names, unnamed)}"


def some(words: Sequence[str], unnamed: int = 0) -> str:
    """Returns the first words with commas between them, and how many more there are."""
    more = max(0, len(words) - MOST_NAMES) + unnamed
    return ", ".join(words[:MOST_NAMES]) + (f" and {more:,} more" if more else "")


def kernel_ahead(cells: int, names: tuple[str, ...]) -> SandboxEvent:
    """Returns the event that says what ran in a kernel since the point that the conversation has gone back to."""
    bound = f" They set {listed(names)}." if names else ""
    ran = "one cell has run that is" if cells == 1 else f"{cells} cells have run that are"
    message = f"The kernel has moved on: {ran} not in these messages.{bound} What they changed is still changed."
    return SandboxEvent(type="kernel_ahead", message=message)


def kernel_is_another(*, is_shared: bool) -> SandboxEvent:
    """Returns the event that says that the earlier cells ran in another kernel; `is_shared`: which another run has."""
    why = (
        "another run goes on in that of the earlier messages"
        if is_shared
        else "the one of the earlier messages is gone"
    )
    message = f"This code ran in a fresh kernel: {why}. Variables from before are not there."
    return SandboxEvent(type="kernel_is_another", message=message)
