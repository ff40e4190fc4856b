"""A tool that was used is copied deeply and pickled, without a secret."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import SecretStr

from ci_integrations.errors import ConfigurationError
from ci_integrations.langchain import CodeInterpreterTool

LOOK = "import os\nprint(os.environ['TOKEN'], len(os.environ['TOKEN']), '0815-4711')"


def test_copies_of_a_used_tool_and_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("E2B_API_KEY", raising=False)
    secrets = {"envs": {"TOKEN": SecretStr("canary-1234")}, "api_key": SecretStr("e2b_" + "7" * 40)}
    with CodeInterpreterTool(backend="local", redact=["0815-4711"], **secrets) as tool:
        assert tool.invoke(LOOK) == "[redacted] 11 [redacted]"
        for copied in (copy.deepcopy(tool), tool.model_copy(deep=True)):
            assert copied.sessions is not tool.sessions
            assert copied.invoke(LOOK) == "[redacted] 11 [redacted]"
            copied.close()
        pickled = pickle.dumps(tool)
        assert not [secret for secret in (b"canary", b"e2b_7", b"0815") if secret in pickled]
    again = pickle.loads(pickled)
    with pytest.raises(ConfigurationError, match=r"envs\['TOKEN'\], api_key, redact was left out"):
        again.invoke(LOOK)
    again.sessions.supply(
        envs={"TOKEN": SecretStr("other-123")}, redact=["0815-4711"], api_key=SecretStr("e2b_" + "8" * 40)
    )
    assert again.invoke(LOOK) == "[redacted] 9 [redacted]"
    again.close()
