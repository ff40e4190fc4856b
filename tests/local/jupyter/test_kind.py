"""Where the kind `jupyter` is known, and what is said where it cannot be had."""

from __future__ import annotations

import importlib.util

import pytest
from e2b import SandboxException
from e2b_code_interpreter import Sandbox

from ci_integrations import CodeInterpreter
from ci_integrations.local.launcher import Endpoint, local_endpoint
from ci_integrations.local.protocol.contract import EngineError
from ci_integrations.local.server.state import service


def test_an_interpreter_asks_for_it_by_its_name(endpoint: Endpoint) -> None:
    with CodeInterpreter(backend="local", template="jupyter") as interpreter:
        result = interpreter.run("type(get_ipython()).__name__")
        assert result.text.strip() == "ZMQInteractiveShell"
        assert result.template_id == "jupyter"
        drawn = interpreter.run("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()")
        # Read by the extractor, whose source is written into the sandbox as in the cloud.
        assert drawn.charts[0].chart.panels[0].series[0].values("y") == [1, 2, 3]


def test_a_server_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jupyter_server" else find(name))
    with pytest.raises(EngineError, match=r'pip install "ci-integrations\[jupyter\]"'):
        service.check("namespaces")


def test_at_a_level_without_networks_of_their_own_it_is_refused() -> None:
    options = local_endpoint(isolation="none").sdk_options()
    with pytest.raises(SandboxException, match="needs a network of its own for each sandbox: isolation namespaces or"):
        Sandbox.create("jupyter", **options)


def test_other_sandboxes_of_the_server_keep_their_own_kernels(endpoint: Endpoint) -> None:
    with Sandbox.create(**endpoint.sdk_options()) as sandbox:
        assert sandbox.run_code("import sys; 'ci_integrations' in sys.modules").text == "True"
