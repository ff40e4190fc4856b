"""`ci-integrations demo`: shows a real LangChain agent at work on a real CSV file, and saves what it found."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from ci_integrations._errors import CodeInterpreterError, MissingDependencyError
from ci_integrations.cli._terminal import UserError, err, out, print_json, stop
from ci_integrations.cli.demo import script
from ci_integrations.cli.demo.profile import Profile, read_profile
from ci_integrations.cli.demo.story import Story, Turn

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

    from ci_integrations.langchain import CodeInterpreterTool
    from ci_integrations.results.result import ExecutionResult

THREAD: RunnableConfig = {"configurable": {"thread_id": "demo"}}
"""The tool keeps one sandbox for each thread: uploads and saving must name the agent's."""


def demo(
    data: Annotated[Path | None, typer.Option(help="A CSV file of yours. Default: the Palmer penguins.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="PROVIDER:NAME", help="A real model, such as openai:gpt-5; needs its key.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the artifacts go.")] = Path("ci-demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON; the rest goes to stderr.")] = False,
) -> None:
    """Watch an agent analyse a CSV file: it loads, draws, errs, repairs and concludes.

    The agent is LangChain's create_agent with this library's CodeInterpreterTool; without --model a script speaks in
    the model's place, and everything else is real. The code runs on E2B when E2B_API_KEY is set, else in the local
    sandbox:

        ci-integrations demo

        ci-integrations demo --data sales.csv --model anthropic:claude-sonnet-4-5

    Afterwards the directory holds PNGs, the charts' data as JSON, a CSV and report.html.
    """
    console = err if as_json else out
    with as_file(files("ci_integrations.data") / "penguins.csv") as penguins:
        profile = read_profile(data or penguins)
        story = _play(console, profile, model, _writable(output))
    from ci_integrations.cli.demo.report import write_report

    report = write_report(story, output / "report.html")
    if as_json:
        print_json(_summary(story, report))
    else:
        _farewell(console, story, report)


def _writable(output: Path) -> Path:
    """Makes the directory for the artifacts, before anything runs. Ends with one line when that cannot be done."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        stop(f"--output {output}: {error.strerror}")
    return output


def _play(console: Console, profile: Profile, model: str | None, output: Path) -> Story:
    """Runs the agent over the file, shows it live, and saves what it makes."""
    if find_spec("langchain") is None:
        raise MissingDependencyError("The demo", "langchain,local")
    chat = _real_model(model) if model else None  # before the sandbox: a wrong name should not cost one
    from ci_integrations.cli._save import with_numbers
    from ci_integrations.langchain import CodeInterpreterTool

    name = profile.path.name
    start = time.monotonic()
    story = Story(data=name, model=model or "scripted")
    with _model_errors(model), CodeInterpreterTool() as tool:
        with console.status("starting the sandbox ..."):
            tool.session(THREAD).upload(profile.path, name)
        for turn in _turns(console, tool, chat or _scripted_model(profile, name), name):
            story.turns.append(turn)
            # After each cell and not at the end: a real model's later cell may change or remove files.
            if turn.result is not None:
                turn.result = with_numbers(tool.session(THREAD), turn.result)
                turn.saved = _save(tool, turn.result, output, len(story.turns))
    story.seconds = time.monotonic() - start
    return story


@contextmanager
def _model_errors(model: str | None) -> Iterator[None]:
    """Turns what a real model's provider raises at its first call (no such model, key refused) into one line."""
    try:
        yield
    except (CodeInterpreterError, UserError):
        raise
    except Exception as error:
        if model is None:  # the scripted model has no such mistakes: this is a fault of the library
            raise
        stop(f"--model {model}: {type(error).__name__}: {(str(error) or 'no reason given').splitlines()[0]}")


def _real_model(model: str) -> BaseChatModel:
    """Returns LangChain's model of this name. Ends with one line when its package or key is missing."""
    from langchain.chat_models import init_chat_model

    try:
        chat: BaseChatModel = init_chat_model(model)
    except Exception as error:  # noqa: BLE001 - a missing key, package or name: every provider has its own class for it
        hint = "" if ":" in model else " Write provider:name, such as openai:gpt-5."
        stop(f"--model {model}: {(str(error) or type(error).__name__).splitlines()[0]}{hint}")
    return chat


def _scripted_model(profile: Profile, name: str) -> BaseChatModel:
    """Returns a model that calls the tool with prepared code, and concludes from what the tool answered."""
    from ci_integrations.testing import ScriptedChatModel

    def conclude(messages: list[BaseMessage]) -> str:
        answers = [message for message in messages if message.type == "tool"]
        return script.conclusion(profile, [str(answer.content) for answer in answers], _last_table(answers))

    steps = script.steps(profile, name)
    says = [ScriptedChatModel.call("code_interpreter", text=step.text, code=step.code) for step in steps]
    scripted: BaseChatModel = ScriptedChatModel([*says, conclude])
    return scripted


def _last_table(answers: list[BaseMessage]) -> tuple[list[str], Sequence[Sequence[object]]]:
    """Returns column names and rows of the last table that the tool gave back."""
    tables = [table for answer in answers for table in _result(answer).tables]
    if not tables:
        return [], []
    return [column.name for column in tables[-1].columns], tables[-1].rows


def _turns(console: Console, tool: CodeInterpreterTool, model: BaseChatModel, name: str) -> Iterator[Turn]:
    """Yields each turn as it ends. Its output is on the console by then.

    LangGraph streams two things at once: `custom` is what the tool writes while a cell runs, `updates` are the messages
    that the model and the tool have finished.
    """
    from langchain.agents import create_agent

    from ci_integrations.cli._show import show_result

    agent: Any = create_agent(
        model, tools=[tool], system_prompt="You are a careful data analyst. Run code to find out."
    )
    question = {"messages": [("user", script.task(name))]}
    live, said = _Lines(console), ""
    with console.status("the agent reads its task ...") as status:
        for mode, event in agent.stream(question, THREAD, stream_mode=["updates", "custom"]):
            if mode == "custom":
                live.take(event.get("code_interpreter", {}))
                continue
            for message in _messages(event):
                if message.type == "tool":
                    live.end()
                    show_result(console, result := _result(message))
                    yield Turn(said, result)
                    status.update("the agent thinks ...")
                elif message.type == "ai" and message.tool_calls:
                    said = message.text
                    _show_plan(console, message)
                    status.update("the cell runs ...")
                elif message.type == "ai":
                    _show_conclusion(console, message.text)
                    yield Turn(message.text)


class _Lines:
    """Shows output as it comes, in whole lines, so that the progress line below does not tear it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._held = {"stdout": "", "stderr": ""}

    def take(self, delta: dict[str, object]) -> None:
        """Shows the lines that this piece of output ends, and holds the rest."""
        kind = str(delta.get("type"))
        if kind in self._held:
            whole, newline, rest = (self._held[kind] + str(delta.get("text", ""))).rpartition("\n")
            self._held[kind] = rest
            if newline:
                self._show(kind, whole)

    def end(self) -> None:
        """Shows what is held: the cell is over, and no line end follows."""
        for kind, rest in self._held.items():
            if rest:
                self._show(kind, rest)
        self._held = dict.fromkeys(self._held, "")

    def _show(self, kind: str, text: str) -> None:
        from ci_integrations.results.clean import clean_output

        self._console.print(Text(clean_output(text), style="red" if kind == "stderr" else ""))


def _messages(update: dict[str, Any]) -> Iterator[Any]:
    # A node that changed nothing has None in the stream.
    for node in update.values():
        yield from (node or {}).get("messages", [])


def _result(message: BaseMessage) -> ExecutionResult:
    """Returns the whole result, which the tool keeps beside the text that the model reads."""
    from ci_integrations.results.result import ExecutionResult

    return ExecutionResult.from_message(message)


def _show_plan(console: Console, message: Any) -> None:
    """Shows what the agent says before it runs code, and the code."""
    from ci_integrations.cli._show import show_code

    console.print()
    console.print(Text(message.text, style="bold"))
    for call in message.tool_calls:
        show_code(console, str(call["args"].get("code", "")))


def _show_conclusion(console: Console, text: str) -> None:
    console.print(Panel(Text(text), title="Conclusion", title_align="left", border_style="green"))


def _save(tool: CodeInterpreterTool, result: ExecutionResult, output: Path, number: int) -> list[Path]:
    """Saves what a cell gave, except tables: the demo's own cell writes its table as CSV."""
    from ci_integrations.cli._save import save_result

    try:
        return save_result(tool.session(THREAD), result, output, prefix=f"{number}-", tables=False)
    except OSError as error:
        stop(f"--output {output}: {error.strerror}")


def _summary(story: Story, report: Path) -> dict[str, object]:
    """Returns the document of --json."""
    return {
        "data": story.data,
        "model": story.model,
        "backend": story.backend,
        "cells": len(story.results),
        "errors": story.errors,
        "seconds": round(story.seconds, 2),
        "conclusion": story.turns[-1].text if story.turns else "",
        "files": [str(path) for path in [*story.saved, report]],
    }


def _farewell(console: Console, story: Story, report: Path) -> None:
    """Says what was done and which files there are now."""
    console.print(f"\n{len(story.results)} cells, {story.errors} error(s), {story.seconds:.1f} s. In {report.parent}/:")
    for path in story.saved:
        console.print(f"  {path.name}")
    console.print(f"  [bold]{report.name}[/bold]  open it in a browser")
