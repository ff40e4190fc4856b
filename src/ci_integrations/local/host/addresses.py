"""Decides which names and addresses a sandbox with a network may reach.

Loopback, link-local, private, shared and reserved ranges and cloud metadata stay closed, also when a public name
resolves to them or an IPv6 address carries them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ci_integrations.local.protocol.packages import TrustedIndex

METADATA = frozenset({"168.63.129.16"})
"""Addresses of cloud metadata that are public by their range: Azure's. The usual 169.254.169.254 is link-local."""


class Refused(Exception):  # noqa: N818 - a verdict, not a fault
    """Says that the rules refuse a connection. The message is sent to the client under the HTTP `status`."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class NetworkRules:
    """Says what a sandbox may reach."""

    allow: tuple[str, ...] = ()
    """Host names, `*.suffix` patterns, addresses or networks; empty: everything public."""
    deny: tuple[str, ...] = ()
    """Likewise; what is denied is refused although it is allowed."""
    index: TrustedIndex | None = None
    """The package index that the operator configured; allowed at a private address too."""

    def is_index(self, host: str, port: int) -> bool:
        """Returns whether this is the package index."""
        return self.index is not None and (host, port) == (self.index.host, self.index.port)

    def check_request(self, host: str, port: int, path: str | None) -> None:
        """Raises Refused for what is no package of a plain index. `path` is None for a connection of unknown use.

        The rest of the index's host is a service of the operator's, which may trust whoever can reach it.
        """
        if self.index is None or not self.is_index(host, port) or not self.index.is_plain:
            return
        if path is None or not self.index.has(path):
            raise Refused("403 Forbidden", "only packages are served from the package index")

    def check_name(self, host: str, port: int) -> None:
        """Raises Refused when the rules on names alone refuse `host`."""
        if self.is_index(host, port):
            return
        if _matches(host, self.deny):
            raise Refused("403 Forbidden", f"{host} is denied by the sandbox's network rules")
        if self.allow and not _matches(host, self.allow):
            raise Refused("403 Forbidden", f"{host} is not among the hosts that this sandbox may reach")

    def check_address(self, host: str, port: int, address: str) -> None:
        """Raises Refused when `host` has resolved to an address that stays closed."""
        if self.is_index(host, port):
            return
        if not is_public(address) or is_ours(address) or is_ours(_plain(address)):
            raise Refused("403 Forbidden", f"{host} is at a private, local or reserved address, which stays closed")
        if _matches(address, self.deny) or _matches(_plain(address), self.deny):
            raise Refused("403 Forbidden", f"{host} is at an address denied by the sandbox's network rules")


def is_public(address: str) -> bool:
    """Returns whether this is a unicast address of the public internet, also when IPv6 carries it inside."""
    ip = ipaddress.ip_address(_plain(address))
    return ip.is_global and not ip.is_multicast and str(ip) not in METADATA and not _site_local(ip)


def _plain(address: str) -> str:
    """The address that packets to `address` arrive at: the IPv4 one that an IPv6 address carries, or itself."""
    ip = ipaddress.ip_address(address.split("%", 1)[0])  # without the zone of a link-local address, fe80::1%eth0
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or _nat64(ip)
        if inner is not None:
            return str(inner)
    return str(ip)


def _site_local(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether this is in fec0::/10 or the local NAT64 range, which older Pythons take for public."""
    local = (ipaddress.ip_network("fec0::/10"), ipaddress.ip_network("64:ff9b:1::/48"))
    return isinstance(ip, ipaddress.IPv6Address) and any(ip in network for network in local)


def is_ours(address: str) -> bool:
    """Returns whether this is an address of this host, public or not: its services trust connections from it."""
    # Asked by binding: the kernel knows, whatever interface an address is at; all of 127.0.0.0/8 is among them.
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address in one of NAT64 (RFC 6052), or in the old "compatible" form ::a.b.c.d."""
    inside = ip in ipaddress.ip_network("64:ff9b::/96") or ip in ipaddress.ip_network("::/96")
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if inside else None


def _matches(host: str, patterns: Iterable[str]) -> bool:
    return any(_match(host.lower().rstrip("."), pattern.lower()) for pattern in patterns)


def _match(host: str, pattern: str) -> bool:
    """Whether a host name or address is the one that a pattern, address or network describes."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(pattern, strict=False)
    return fnmatchcase(host, pattern)
