"""What the LangChain tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `fakes`


def pytest_configure(config: pytest.Config) -> None:
    # langchain-tests marks tests of chat models, which are not ours, with markers of plugins that are switched off
    config.addinivalue_line("markers", "benchmark: of langchain-tests")
    config.addinivalue_line("markers", "vcr: of langchain-tests")
