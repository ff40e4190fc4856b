"""What a kernel's messages become: lines of `/execute`, in the way of E2B's server, its gaps included.

A reply "aborted" is not known here, so that a request whose cell was aborted waits for ever. Nor are updates of
displays, pagers and widgets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ci_integrations.local.protocol.lines import count_line, error_line, result_line, stream_line

Message = dict[str, Any]
"""A message of the Jupyter protocol, as its websocket has it."""
LOST = error_line("WebSocketError", "The connections was lost, rerun the code to get the results")
NOT_SENT = error_line("WebSocketError", "Failed to send execution request")
UNEXPECTED = error_line(
    "UnexpectedEndOfExecution", "Connection to the execution was closed before the execution was finished"
)
_RESTARTING = error_line("ContextRestarting", "Context was restarted")
_ABORTED = error_line("ExecutionAborted", "Execution was aborted")


@dataclass
class Execution:
    """Is one request to a kernel under way. Its lines end with None."""

    silent: bool = False
    """Whether it is a cell of the server's own."""
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    accepted: bool = False
    failed: bool = False

    def put(self, *lines: bytes | None) -> None:
        """Adds lines; None is the end."""
        for line in lines:
            self.lines.put_nowait(line)

    def fail(self, content: Message) -> None:
        """Adds the line of an error, unless there was one: the kernel tells each of them twice."""
        if not self.failed:
            self.failed = True
            self.put(_error(content))

    def cut(self) -> None:
        """Ends it because the connection to its kernel is gone."""
        self.put(LOST, UNEXPECTED, None)


def tell_of_a_restart(executions: Iterable[Execution]) -> None:
    """Ends all executions: jupyter-server starts the kernel again by itself. Nobody knows whether their cells ran.

    There is no count in that answer although the kernel may have taken the cell, or the next one still takes it: what
    was sent waits in the kernel's socket.
    """
    for execution in executions:
        execution.put(_RESTARTING, None)


def is_restart(message: Message) -> bool:
    """Returns whether jupyter-server says that it starts the kernel again."""
    return (message["msg_type"], message["content"].get("execution_state")) == ("status", "restarting")


def deliver(message: Message, execution: Execution) -> None:
    """Adds what a message says to the execution that it is about."""
    content: Message = message["content"]
    match message["msg_type"]:
        case "error":
            execution.fail(content)
        case "stream" if content["name"] in ("stdout", "stderr"):
            date = str(message["header"]["date"]).replace("Z", "+00:00")
            execution.put(stream_line(content["name"], content["text"], date))
        case "display_data":
            execution.put(result_line(content["data"], main=False))
        case "execute_result":
            execution.put(result_line(content["data"], main=True))
        case "status":
            _take_status(content["execution_state"], execution)
        case "execute_reply":
            _take_reply(content, execution)
        case "execute_input":
            execution.put(count_line(content["execution_count"]))
            execution.accepted = True


def _take_status(state: str, execution: Execution) -> None:
    if state == "busy" and execution.silent:
        execution.accepted = True  # a silent cell is not announced otherwise
    elif state == "idle" and execution.accepted:
        execution.put(None)


def _take_reply(content: Message, execution: Execution) -> None:
    if content["status"] == "error":
        execution.fail(content)
    elif content["status"] == "abort":  # the word of an older protocol: today's kernels say "aborted"
        execution.put(_ABORTED, None)


def _error(content: Message) -> bytes:
    traceback = "".join(content.get("traceback") or [])
    return error_line(str(content.get("ename", "")), str(content.get("evalue", "")), traceback)
