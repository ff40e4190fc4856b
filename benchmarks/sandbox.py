"""The local sandbox beside plain jupyter_client + ipykernel, in one run.

    python -m benchmarks.sandbox [--quick]     # JSON: medians and p90

Engine figures talk to the engine directly; SDK figures go through the unmodified E2B SDK and HTTP. The canned server
answers the SDK at once, so it shows what the SDK itself costs.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from benchmarks.measure import atimed, descendants, pss, summary, timed
from ci_integrations.local.host.context import Context, open_context
from ci_integrations.local.host.engine import start_engine
from ci_integrations.local.launcher import local_endpoint
from ci_integrations.local.protocol.contract import Limits, MiB, Sandbox, SandboxSpec

FIRST_CHART = "import matplotlib.pyplot as plt; plt.plot([1, 2, 3]); plt.show()"
IMPORTS = "import pandas, matplotlib.pyplot"
PANDAS_WORK = "import pandas as pd; pd.DataFrame({'a': [1, 2] * 500, 'b': range(1000)}).groupby('a').b.mean()"
FLOOD = 50_000_000

Report = dict[str, Any]


async def run_cell(context: Context, code: str) -> list[dict[str, Any]]:
    """All events of one cell."""
    return [event async for event in context.execute(code)]


@asynccontextmanager
async def sandboxes(engine: Any, count: int, limits: Limits | None = None) -> AsyncIterator[list[Sandbox]]:
    made = [await engine.create(SandboxSpec(sandbox_id=f"b{n}", limits=limits or Limits())) for n in range(count)]
    try:
        yield made
    finally:
        for sandbox in made:
            await sandbox.kill()


async def engine_report(times: int) -> Report:
    engine = await start_engine()
    idle = set(descendants(os.getpid()))
    try:
        report: Report = {"level": engine.level}
        report |= await _engine_times(engine, times)
        report["throughput"] = await _flood(engine)
        report["memory"] = await _memory(engine, (1, 10, 50), idle)
        report["hundred"] = await _hundred(engine, idle)
        return report
    finally:
        await engine.close()


async def _engine_times(engine: Any, times: int) -> Report:
    first, round_trip, imports, chart, kill = [], [], [], [], []
    for n in range(times + 1):
        start = time.perf_counter()
        sandbox = await engine.create(SandboxSpec(sandbox_id=f"t{n}"))
        context = await open_context(sandbox)
        await run_cell(context, "1+1")
        took = time.perf_counter() - start
        cells = {
            "round": await atimed(lambda: run_cell(context, "1+1"), 10),  # noqa: B023 - awaited here
            "imports": await atimed(lambda: run_cell(context, IMPORTS), 1, warm=0),  # noqa: B023
            "chart": await atimed(lambda: run_cell(context, FIRST_CHART), 1, warm=0),  # noqa: B023
        }
        start = time.perf_counter()
        await sandbox.kill()
        killed = time.perf_counter() - start
        if n:
            first.append(took)
            kill.append(killed)
            round_trip += cells["round"]
            imports += cells["imports"]
            chart += cells["chart"]
    named = {"first_reply": first, "round_trip": round_trip, "imports": imports, "first_chart": chart, "kill": kill}
    return {name: summary(seconds) for name, seconds in named.items()} | {"per_second": await _per_second(engine)}


async def _per_second(engine: Any, count: int = 30) -> float:
    start = time.perf_counter()
    async with sandboxes(engine, count) as made:
        for sandbox in made:
            await run_cell(await open_context(sandbox), "1+1")
    return round(count / (time.perf_counter() - start), 1)


async def _flood(engine: Any) -> Report:
    limits = Limits(output=100 * MiB)
    async with sandboxes(engine, 1, limits) as [sandbox]:
        context = await open_context(sandbox)
        code = f"import sys; b = ('x' * 65_535 + '\\n')\nfor _ in range({FLOOD // 65_536}): sys.stdout.write(b)"
        flood = await atimed(lambda: run_cell(context, code), 3)
        prints = await atimed(lambda: run_cell(context, "for n in range(100_000): print(n)"), 3)
    return {"stdout_MB_per_s": round(FLOOD / 1e6 / min(flood), 1), "prints_100k": summary(prints)}


async def _memory(engine: Any, counts: tuple[int, ...], idle: set[int]) -> Report:
    """MiB of PSS for each sandbox: idle after 1+1, and after pandas work."""
    report: Report = {}
    for count in counts:
        async with sandboxes(engine, count) as made:
            contexts = [await open_context(sandbox) for sandbox in made]
            report[str(count)] = {"idle": await _share(contexts, "1+1", idle)}
            report[str(count)]["worked"] = await _share(contexts, PANDAS_WORK, idle)
    return report


async def _share(contexts: list[Context], code: str, idle: set[int]) -> float:
    for context in contexts:
        await run_cell(context, code)
    return round(pss(made_since(idle)) / len(contexts) / MiB, 2)


def made_since(idle: set[int]) -> list[int]:
    """The processes below this one that were not there before."""
    return [pid for pid in descendants(os.getpid()) if pid not in idle]


async def _hundred(engine: Any, idle: set[int]) -> Report:
    async with sandboxes(engine, 100) as made:
        contexts = [await open_context(sandbox) for sandbox in made]
        answers = [await run_cell(context, PANDAS_WORK) for context in contexts]
        answering = sum(any(event["type"] == "display" for event in events) for events in answers)
        total = pss(made_since(idle))
    return {"answering": answering, "total_MiB": round(total / MiB)}


def sdk_report(times: int) -> Report:
    from e2b_code_interpreter import Sandbox as E2BSandbox

    options: dict[str, Any] = local_endpoint().sdk_options()

    def first() -> None:
        sandbox = E2BSandbox.create(**options)
        sandbox.run_code("1+1")
        created.append(sandbox)

    created: list[Any] = []
    report: Report = {"first_reply": summary(timed(first, times))}
    kills = [timed(sandbox.kill, 1, warm=0)[0] for sandbox in created]
    sandbox = E2BSandbox.create(**options)
    report["round_trip"] = summary(timed(lambda: sandbox.run_code("1+1"), 200, warm=20))
    report["kill"] = summary(kills)
    report["stdout_MB_per_s"] = _sdk_flood()
    sandbox.kill()
    return report


def _sdk_flood() -> float:
    """Through a server whose output cap is raised."""
    from e2b_code_interpreter import Sandbox as E2BSandbox

    raised: dict[str, Any] = local_endpoint(limits={"output": 100 * MiB}).sdk_options()
    sandbox = E2BSandbox.create(**raised)
    code = f"import sys; b = ('x' * 65_535 + '\\n')\nfor _ in range({FLOOD // 65_536}): sys.stdout.write(b)"
    best = min(timed(lambda: sandbox.run_code(code), 9))
    got = sum(len(text) for text in sandbox.run_code(code).logs.stdout)
    sandbox.kill()
    if got < FLOOD * 0.99:
        raise RuntimeError(f"only {got} of {FLOOD} bytes came back")
    return round(FLOOD / 1e6 / best, 1)


@contextmanager
def canned_server() -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "benchmarks.canned"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        yield {"api_url": url, "sandbox_url": url, "api_key": "canned"}
        process.kill()


def canned_report() -> Report:
    from e2b_code_interpreter import Sandbox as E2BSandbox

    with canned_server() as options:
        sandbox = E2BSandbox.create(**options)  # type: ignore[arg-type]
        round_trip = summary(timed(lambda: sandbox.run_code("1+1"), 200, warm=20))
        flood = min(timed(lambda: sandbox.run_code(f"#bytes {FLOOD}"), 9))
    return {"round_trip": round_trip, "stdout_MB_per_s": round(FLOOD / 1e6 / flood, 1)}


def jupyter_report(times: int) -> Report:
    """What everybody has: a fresh ipykernel through jupyter_client, waited for as its documentation says."""
    from jupyter_client.manager import start_new_kernel

    first, round_trip, imports, chart, kill = [], [], [], [], []
    for _ in range(times):
        start = time.perf_counter()
        manager, client = start_new_kernel(startup_timeout=180, stderr=subprocess.DEVNULL)
        client.execute_interactive("1+1", silent=False, store_history=True, output_hook=lambda _: None)
        first.append(time.perf_counter() - start)
        cell = _jupyter_cell(client)
        round_trip += timed(lambda: cell("1+1"), 10)  # noqa: B023 - called here
        imports += timed(lambda: cell(IMPORTS), 1, warm=0)  # noqa: B023
        chart += timed(lambda: cell(FIRST_CHART), 1, warm=0)  # noqa: B023
        kill += timed(lambda: manager.shutdown_kernel(now=True), 1, warm=0)  # noqa: B023
        client.stop_channels()
    named = {"first_reply": first, "round_trip": round_trip, "imports": imports, "first_chart": chart, "kill": kill}
    return {name: summary(seconds) for name, seconds in named.items()} | {"memory": jupyter_memory(10)}


def jupyter_memory(count: int) -> Report:
    """MiB of PSS for each of `count` kernels: idle after 1+1, and after pandas work."""
    from jupyter_client.manager import start_new_kernel

    before = set(descendants(os.getpid()))
    kernels = [start_new_kernel(startup_timeout=180, stderr=subprocess.DEVNULL) for _ in range(count)]
    report: Report = {}
    for state, code in (("idle", "1+1"), ("worked", PANDAS_WORK)):
        for _, client in kernels:
            _jupyter_cell(client)(code)
        report[state] = round(pss(made_since(before)) / count / MiB, 2)
    for manager, client in kernels:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return report


def _jupyter_cell(client: Any) -> Callable[[str], Any]:
    return lambda code: client.execute_interactive(code, output_hook=lambda _: None)


def plain_subprocess() -> dict[str, float]:
    """A Python that is started for one line and ends."""
    return summary(timed(lambda: subprocess.run([sys.executable, "-c", "print(1+1)"], capture_output=True), 10))  # noqa: PLW1510


def fresh_interpreter() -> dict[str, float]:
    """Seconds that the imports take in a new Python, its own start not counted."""
    code = f"import time; t = time.perf_counter(); {IMPORTS}; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    return summary([float(run.stdout) for run in runs[1:]])


def report(*, quick: bool = False) -> Report:
    """Everything, measured one after another in this process."""
    times = 8 if quick else 30
    jupyter = jupyter_report(3 if quick else 10)
    fresh = fresh_interpreter()
    canned = canned_report()
    sdk = sdk_report(times)
    engine = asyncio.run(engine_report(times))
    plain = plain_subprocess()
    return {"engine": engine, "sdk": sdk, "canned": canned, "jupyter": jupyter, "fresh": fresh, "subprocess": plain}


if __name__ == "__main__":
    json.dump(report(quick="--quick" in sys.argv), sys.stdout, indent=1)
