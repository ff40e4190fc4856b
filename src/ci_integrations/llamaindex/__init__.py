"""Names the code interpreter for LlamaIndex: tool, tool spec, agents, query engine, pipeline component, workflow.

Every name is loaded on first use. Nothing here imports LangChain. The extra `llamaindex` brings what is needed.
"""

from __future__ import annotations

from typing import Any

from ci_integrations._errors import MissingDependencyError
from ci_integrations._lazy import loader

_HOME = {
    "ChartCreated": "events",
    "CodeApprovalRequest": "approval",
    "CodeExecutionEndEvent": "events",
    "CodeExecutionFinished": "events",
    "CodeExecutionStartEvent": "events",
    "CodeExecutionStarted": "events",
    "CodeInterpreterAgentMixin": "agents",
    "CodeInterpreterAsyncStreamingResponse": "analysis.response",
    "CodeInterpreterChatEngine": "chat_engine",
    "CodeInterpreterComponent": "component",
    "CodeInterpreterExecutor": "code_act",
    "CodeInterpreterFunctionAgent": "agents",
    "CodeInterpreterQueryEngine": "query_engine",
    "CodeInterpreterQueryTool": "query_engine",
    "CodeInterpreterReActAgent": "agents",
    "CodeInterpreterResponse": "analysis.response",
    "CodeInterpreterStreamingResponse": "analysis.response",
    "CodeInterpreterTool": "tool",
    "CodeInterpreterToolSpec": "tool_spec",
    "CodeInterpreterWorkflow": "workflow",
    "CodeOutput": "events",
    "ImageFeedbackCodeActAgent": "image_feedback",
    "ImageFeedbackFunctionAgent": "image_feedback",
    "ImageFeedbackMixin": "image_feedback",
    "ImageFeedbackReActAgent": "image_feedback",
    "ProgramFailed": "workflow",
    "ProgramSucceeded": "workflow",
    "ProgramWritten": "workflow",
    "artifacts_from": "output",
    "code_interpreter_resource": "workflow",
    "create_code_act_agent": "code_act",
    "results_from": "output",
    "to_tool_output": "output",
}

_NO_PIPELINES = (
    "CodeInterpreterComponent is for QueryPipeline, which was removed in llama-index-core 0.13: use "
    "CodeInterpreterQueryEngine (in RouterQueryEngine, SubQuestionQueryEngine, as a tool) or CodeInterpreterWorkflow"
)

# Without the component: a star import would fail where there are no query pipelines.
__all__ = sorted(_HOME.keys() - {"CodeInterpreterComponent"})  # noqa: PLE0605 - the table is the truth


_load = loader(__name__, _HOME)


def __getattr__(name: str) -> Any:
    try:
        return _load(name)
    except ModuleNotFoundError as missing:
        raise _explained(name, missing) from missing


def _explained(name: str, missing: ModuleNotFoundError) -> ImportError:
    module = missing.name or ""
    if module.startswith("llama_index.core.query_pipeline"):
        return ImportError(_NO_PIPELINES)
    if module.split(".")[0] in ("llama_index", "workflows"):
        return MissingDependencyError(f"ci_integrations.llamaindex.{name}", "llamaindex")
    return missing


def __dir__() -> list[str]:
    return __all__
