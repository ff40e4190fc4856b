"""The same attacks from a cell of the kind `jupyter`: another program runs the code, in the same jail."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import LocalServerError, local_endpoint
from ci_integrations.local.server.state import service

from .conftest import ENV_NAME, Host, verdict_of
from .items import PLAIN, PRELUDE, Item
from .test_attacks import shown


@pytest.fixture(scope="module", params=service.LEVELS)
def sandbox(request: pytest.FixtureRequest, host: Host) -> Iterator[Sandbox]:
    os.environ[ENV_NAME] = host.secret
    try:
        endpoint = local_endpoint(isolation=request.param)
    except LocalServerError as error:
        pytest.skip(f"this machine cannot reach the level {request.param}: {error}")
    finally:
        del os.environ[ENV_NAME]
    with Sandbox.create("jupyter", timeout=1800, **endpoint.sdk_options()) as sandbox:
        yield sandbox


@pytest.mark.parametrize("item", PLAIN, ids=str)
def test_the_attack_is_stopped(item: Item, sandbox: Sandbox, host: Host) -> None:
    # A kernel's parent is jupyter-server here, which is as little trusted as the kernel; the jail's own process is not.
    attack = item.attack.replace("os.getppid()", "1")
    cell = sandbox.run_code(f"{PRELUDE}\n{host.names()}\n{attack}\nrun_attack(attack)")
    printed = [{"type": "stdout", "text": text} for text in cell.logs.stdout]
    verdict = verdict_of([*printed, {"type": "error", "text": str(cell.error)}])
    assert not verdict["through"], verdict
    assert shown(verdict) in item.stopped_by, verdict


@pytest.mark.parametrize(
    "attack",
    [
        "open('/proc/sys/net/ipv4/tcp_rmem', 'w').write('4096 65536 999999999')",
        "open('/proc/sys/kernel/hostname', 'w').write('mine')",
        "open('/proc/sys/user/max_user_namespaces', 'w').write('9')",
        "open('/proc/1/mem', 'rb').read(1)",
        "open('/proc/1/oom_score_adj', 'w').write('-1000')",
        "os.kill(1, 9)",
        "os.setuid(1000)",
        "os.chown('/home/user', 0, 1000)",
        "os.sethostname('mine') if hasattr(os, 'sethostname') else socket.sethostname('mine')",
        "open('/etc/passwd', 'a').write('x')",
        "open('/usr/x', 'w')",
        "os.mknod('/tmp/device', 0o60000 | 0o666, os.makedev(8, 0))",
        "os.setgroups([0])",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))",
        "os.setpriority(os.PRIO_PROCESS, 0, -10)",
        "os.chroot('/tmp')",
    ],
)
def test_a_kernel_that_is_root_by_name_has_no_right_of_root(attack: str, sandbox: Sandbox) -> None:
    error = sandbox.run_code(f"import os, resource, socket\n{attack}").error
    assert error is not None, attack
    assert error.name in {"PermissionError", "OSError", "ValueError"}, error
