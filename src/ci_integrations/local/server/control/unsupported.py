"""What this server does not do. Each answer says what, why, and the nearest thing that works.

Nothing is accepted and then ignored: a program that relies on it would find out much later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_integrations.local.server.http import HttpError

if TYPE_CHECKING:
    from ci_integrations.local.server.bodies import CreateBody, NetworkBody

CLOUD = "or use E2B's cloud (set E2B_API_KEY)"
"""The end of most answers."""
ROOMS = {
    "templates": f"templates are not built here: name local ones in the configuration, {CLOUD}",
    "snapshots": f"snapshots: memory cannot be copied to disk here; pause() keeps a sandbox as it is, {CLOUD}",
    "volumes": f"volumes: sandboxes share no storage here; write files with sandbox.files, {CLOUD}",
    "secrets": f"secrets: none are stored here; pass envs= to Sandbox.create, {CLOUD}",
}
"""Whole parts of E2B's API, by the first word of their path."""
PER_SANDBOX = {
    "snapshots": ROOMS["snapshots"],
    "fork": f"fork: a running sandbox cannot be copied here; create a second one and copy files, {CLOUD}",
    "logs": "logs of a sandbox are not kept here; the server writes its own log to stderr",
}
"""What a sandbox has at E2B, by the word after its id."""


def not_done(what: str) -> HttpError:
    """Returns the 501. The header tells the SDK not to send the request again, as it does with some 5xx."""
    error = HttpError(501, what)
    error.headers.append(("should-retry", "false"))
    return error


def answer(method: str, parts: list[str]) -> HttpError:
    """Returns the answer for a path that no handler took: 501 for what E2B has, 404 for what nobody has."""
    match parts:
        case ["sandboxes", _, room, *_] if room in PER_SANDBOX:
            return not_done(PER_SANDBOX[room])
        case [room, *_] if room in ROOMS:
            return not_done(ROOMS[room])
        case ["default-templates"]:
            return not_done(ROOMS["templates"])
        case ["v3" | "v1", room, *_] if room in ROOMS:
            return not_done(ROOMS[room])
    return HttpError(404, f"no such path: {method} /{'/'.join(parts)[:200]}")


def reboot() -> HttpError:
    """Returns the answer to `memory: false` at connect, which throws the memory of a paused sandbox away."""
    return not_done('resuming with on_resume="reboot": memory is always kept here; connect without it, ' + CLOUD)


def files_only() -> HttpError:
    """Returns the answer to `memory: false` at pause: here a paused sandbox is a frozen one."""
    return not_done("pausing with files only: a paused sandbox keeps its memory here; pause without it, " + CLOUD)


def check_create(body: CreateBody, network: NetworkBody) -> None:
    """Raises the 501 for the first thing in a create that cannot be done here."""
    if body.mcp:
        raise not_done(f"mcp: no MCP gateway runs in the local sandbox; run a server with sandbox.commands, {CLOUD}")
    if body.iam:
        raise not_done(f"iam: there is no workload identity here; pass credentials with envs=, {CLOUD}")
    if body.volume_mounts:
        raise not_done(ROOMS["volumes"])
    if body.auto_pause_memory is False:
        raise files_only()
    check_network(network)


def check_network(network: NetworkBody) -> None:
    """Raises the 501 for the first rule that is not done here."""
    rules = {
        "rules": network.rules,
        "egressProxy": network.egress_proxy,
        "dnsServers": network.dns_servers,
        "maskRequestHost": network.mask_request_host,
    }
    for name, rule in rules.items():
        if rule:
            raise not_done(f"network.{name}: the local sandbox has allowOut and denyOut only, {CLOUD}")
