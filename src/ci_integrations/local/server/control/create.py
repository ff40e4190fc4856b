"""The body of create and of a network update, turned into what the server's state works with."""

from __future__ import annotations

from dataclasses import replace

from ci_integrations.local.server.control import unsupported
from ci_integrations.local.server.http import check_variables
from ci_integrations.local.server.state.records import SandboxRequest
from ci_integrations.local.server.state.templates import Templates

DEFAULT_TIMEOUT = 300
"""Seconds, as at E2B, for a create that names none."""


def read_request(value: object, templates: Templates) -> SandboxRequest:
    """HttpError 400 for what is malformed, 404 for an unknown template, 501 for what is not done here."""
    from ci_integrations.local.server.bodies import CreateBody, NetworkBody, check

    body = check(CreateBody, value)
    network = body.network or NetworkBody()
    unsupported.check_create(body, network)
    template = templates.get(body.template_id)
    own = body.env_vars or {}
    check_variables(own)
    return SandboxRequest(
        template_id=body.template_id,
        timeout=DEFAULT_TIMEOUT if body.timeout is None else body.timeout,
        pause_at_end=bool(body.auto_pause),
        auto_resume=body.auto_resume is not None and bool(body.auto_resume.enabled),
        metadata=body.metadata or {},
        envs={**(template.envs if template is not None else {}), **own},
        allow_internet=body.allow_internet_access,
        allow_out=tuple(network.allow_out or ()),
        deny_out=tuple(network.deny_out or ()),
        private_traffic=network.allow_public_traffic is False,
    )


def read_network(value: object, before: SandboxRequest) -> SandboxRequest:
    """`before` with the rules of an update, which replace all others. HttpError 400 and 501 as for create."""
    from ci_integrations.local.server.bodies import NetworkUpdateBody, check

    body = check(NetworkUpdateBody, value)
    unsupported.check_network(body)
    internet = body.allow_internet_access
    return replace(
        before,
        allow_internet=before.allow_internet if internet is None else internet,
        allow_out=tuple(body.allow_out or ()),
        deny_out=tuple(body.deny_out or ()),
    )
