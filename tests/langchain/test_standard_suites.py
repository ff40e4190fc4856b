"""LangChain's own test suites for tools, unmodified: every tool of the toolkit, against the local sandbox."""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from ci_integrations.langchain import CodeInterpreterTool, CodeInterpreterToolkit

EXAMPLES = {
    "code_interpreter": {"code": "1 + 1"},
    "run_shell_command": {"command": "echo hello"},
    "stop_shell_command": {"pid": 99_999_999},
    "list_files": {"path": "/home/user"},
    "read_file": {"path": "/etc/hostname"},
    "write_file": {"path": "/home/user/notes.md", "content": "# notes"},
    "install_packages": {"packages": ["pip"]},
    "get_download_link": {"path": "/etc/hostname"},
    "get_port_url": {"port": 8000},
}


class TestCodeInterpreterToolUnit(ToolsUnitTests):
    @property
    def tool_constructor(self):
        return CodeInterpreterTool

    @property
    def tool_constructor_params(self):
        return {"backend": "local"}

    @property
    def tool_invoke_params_example(self):
        return EXAMPLES["code_interpreter"]

    @property
    def init_from_env_params(self):
        return {"E2B_API_KEY": "e2b_key_of_the_environment"}, {}, {"api_key": "e2b_key_of_the_environment"}


class TestCodeInterpreterToolIntegration(ToolsIntegrationTests):
    @pytest.fixture(autouse=True)
    def backend(self, local_backend):
        self.registry = local_backend

    @property
    def tool_constructor(self):
        return CodeInterpreterTool

    @property
    def tool_constructor_params(self):
        return {"interpreter": self.registry}

    @property
    def tool_invoke_params_example(self):
        return EXAMPLES["code_interpreter"]


def suites_of(name):
    """The two suites for one tool of the toolkit."""

    class Case:
        @pytest.fixture(autouse=True)
        def backend(self, local_backend):
            self.registry = local_backend

        @property
        def tool_constructor(self):
            [tool] = CodeInterpreterToolkit(self.registry, include=[name]).get_tools()
            return tool

        @property
        def tool_invoke_params_example(self):
            return EXAMPLES[name]

    unit = type(f"Test_{name}_unit", (Case, ToolsUnitTests), {})
    integration = type(f"Test_{name}_integration", (Case, ToolsIntegrationTests), {})
    return unit, integration


for _name in EXAMPLES:
    for _suite in suites_of(_name):
        globals()[_suite.__name__] = _suite
del _suite


def test_no_tool_of_the_toolkit_is_left_out(local_backend):
    toolkit = CodeInterpreterToolkit(local_backend, include=list(EXAMPLES))
    assert [tool.name for tool in toolkit.get_tools()] == list(EXAMPLES)
