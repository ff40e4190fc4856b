"""The body of create, checked. What the local sandbox cannot do is refused here, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ci_integrations.local.server.control import unsupported
from ci_integrations.local.server.http import HttpError, check_variables
from ci_integrations.local.server.state.records import SandboxRequest
from ci_integrations.local.server.state.templates import Templates

DEFAULT_TIMEOUT = 300
MAX_TIMEOUT = 24 * 3600
MAX_PAIRS = 1000
MAX_TEXT = 128 * 1024
"""Of one environment variable: what Linux allows."""


def read_request(body: Any, templates: Templates) -> SandboxRequest:
    """HttpError 400 for what is malformed, 404 for an unknown template, 501 for what is not done here."""
    if not isinstance(body, dict):
        raise HttpError(400, "the body must be a JSON object")
    template_id = body.get("templateID")
    if not isinstance(template_id, str) or not template_id:
        raise HttpError(400, "templateID is needed")
    unsupported.check_create(body)
    template = templates.get(template_id)
    network = _mapping(body, "network")
    return SandboxRequest(
        template_id=template_id,
        timeout=_timeout(body),
        pause_at_end=_flag(body, "autoPause") or False,
        auto_resume=_flag(_mapping(body, "autoResume"), "enabled") or False,
        metadata=_texts(body, "metadata"),
        envs={**(template.envs if template is not None else {}), **_variables(body)},
        allow_internet=_flag(body, "allow_internet_access"),
        allow_out=_hosts(network, "allowOut"),
        deny_out=_hosts(network, "denyOut"),
        private_traffic=network.get("allowPublicTraffic") is False,
    )


def _timeout(body: dict[str, Any]) -> int:
    seconds = seconds_of(body, "timeout")
    return DEFAULT_TIMEOUT if seconds is None else seconds


def seconds_of(body: Any, name: str) -> int | None:
    """A number of seconds that is not negative and not more than a day; None when it is not there."""
    value = body.get(name) if isinstance(body, dict) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise HttpError(400, f"{name} must be a whole number of seconds, 0 or more")
    if value > MAX_TIMEOUT:
        raise HttpError(400, f"{name} cannot be greater than {MAX_TIMEOUT} seconds (24 hours)")
    return value


def _mapping(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise HttpError(400, f"{name} must be an object")
    return value


def _flag(body: dict[str, Any], name: str) -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise HttpError(400, f"{name} must be true or false")
    return value


def _texts(body: dict[str, Any], name: str) -> dict[str, str]:
    found = _mapping(body, name)
    if len(found) > MAX_PAIRS:
        raise HttpError(400, f"{name} has more than {MAX_PAIRS} entries")
    for key, value in found.items():
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise HttpError(400, f"{name}[{key[:100]!r}] must be a string of at most {MAX_TEXT} characters")
    return found


def _variables(body: dict[str, Any]) -> dict[str, str]:
    found = _texts(body, "envVars")
    check_variables(found)
    return found


def read_network(body: Any, before: SandboxRequest) -> SandboxRequest:
    """`before` with the rules of an update, which replace all others. HttpError 400 and 501 as for create."""
    if not isinstance(body, dict):
        raise HttpError(400, "the body must be a JSON object")
    unsupported.check_network(body)
    internet = _flag(body, "allow_internet_access")
    return replace(
        before,
        allow_internet=before.allow_internet if internet is None else internet,
        allow_out=_hosts(body, "allowOut"),
        deny_out=_hosts(body, "denyOut"),
    )


def _hosts(network: dict[str, Any], name: str) -> tuple[str, ...]:
    hosts = network.get(name) or []
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts) or len(hosts) > MAX_PAIRS:
        raise HttpError(400, f"network.{name} must be a list of host names or addresses")
    return tuple(hosts)
