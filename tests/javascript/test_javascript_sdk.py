"""E2B's JavaScript SDK, unmodified, from npm, against the local server. `.ci/run` installs it and must not skip this.

By hand: `npm install --prefix tests/javascript --no-package-lock`, then `pytest tests/javascript`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ci_integrations.local.launcher import local_endpoint

HERE = Path(__file__).parent


def missing() -> str | None:
    if shutil.which("node") is None:
        return "node is not on PATH"
    return None if (HERE / "node_modules/@e2b/code-interpreter").is_dir() else "npm install --prefix tests/javascript"


def test_the_javascript_sdk_works_against_the_local_server() -> None:
    if (lack := missing()) is not None:
        if os.environ.get("CI_REQUIRE_JAVASCRIPT"):
            pytest.fail(f"the JavaScript SDK must be there in CI: {lack}")
        pytest.skip(lack)
    options = local_endpoint().sdk_options()
    names = {"E2B_API_URL": "api_url", "E2B_SANDBOX_URL": "sandbox_url", "E2B_API_KEY": "api_key"}
    envs = os.environ | {variable: options[option] for variable, option in names.items()}
    run = subprocess.run(
        ["node", "sdk.mjs"], cwd=HERE, env=envs, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("\nok ") + run.stdout.startswith("ok ") == 16
