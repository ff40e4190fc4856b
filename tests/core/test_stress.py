"""Many threads, few sessions, sandboxes killed all the while: every call ends in time, right or with the truth."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

from ci_integrations.errors import CodeInterpreterError
from ci_integrations.recovery import RecoveryPolicy
from ci_integrations.sessions import SessionRegistry

from .fake_e2b import FakeE2B

THREADS, CELLS, SESSIONS, KILL_EVERY = 100, 10, 10, 0.05
QUEUE, LIMIT, RECOVERY = 60.0, 5.0, 10.0


def test_sandboxes_die_all_the_time_and_every_call_ends_with_the_truth() -> None:
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    slowest = [0.0]
    told: set[str] = set()
    with FakeE2B() as service:
        policy = RecoveryPolicy(deadline=RECOVERY, first_wait=0.01, longest_wait=0.1, attempts=8)
        options = {**service.options, "queue_timeout": QUEUE, "execution_timeout": LIMIT, "recovery": policy}
        registry = SessionRegistry(options)

        def work(thread: int) -> None:
            session = registry.session(str(thread % SESSIONS))
            for cell in range(CELLS):
                number = thread * 1000 + cell
                began = time.monotonic()
                try:
                    result = session.run(f"import time\ntime.sleep(0.005)\n{number} * 2")
                except CodeInterpreterError as error:
                    outcomes[type(error).__name__] += 1
                else:
                    outcomes[result.error.name if result.error else "right"] += 1
                    if result.ok and result.text != str(number * 2):
                        wrong.append(f"{number}: {result}")
                    told.update(event.old_sandbox_id or "" for event in result.events if event.type == "state_lost")
                slowest[0] = max(slowest[0], time.monotonic() - began)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        killed: list[str] = []
        chance = random.Random(7)
        while any(thread.is_alive() for thread in threads):
            time.sleep(KILL_EVERY)
            running = service.alive
            if running:
                victim = chance.choice(running)
                victim.stop()
                killed.append(victim.id)
        registry.close()
        assert service.alive == []
    total = sum(outcomes.values())
    heard = f"{len(killed)} kills, {len(told & set(killed))} told"
    print(f"{total} calls: {dict(outcomes)}; {heard}; slowest {slowest[0]:.1f} s")
    assert wrong == [], wrong[0]
    assert total == THREADS * CELLS
    assert slowest[0] < QUEUE + LIMIT + RECOVERY
    assert outcomes["right"] >= total / 2
    assert told <= set(killed)
    assert set(outcomes) <= {"right", "SandboxLost", "SandboxLostError", "SandboxUnreachableError", "SandboxBusyError"}
