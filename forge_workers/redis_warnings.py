"""What a person should know about a Redis: known holes of its version, settings that drifted, open doors.

Belongs here: the table of holes and the pure rules. Does not belong here: asking a server, which ``redis_server.py``
does. Forge sends Lua scripts to its server, so holes that a script or a data file can use are listed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

_Version = tuple[int, int, int]


@dataclass(frozen=True)
class Hole:
    """One known fault.

    Attributes:
        name: Its public number, or the releases that closed it.
        what: What it lets somebody do, in plain words.
        fixed: By server name, the first good version of every branch that got a fix.
        source: Where the versions are written.
    """

    name: str
    what: str
    fixed: Mapping[str, tuple[_Version, ...]]
    source: str


HOLES = (
    Hole(
        name="CVE-2025-49844",
        what="a Lua script can run code in the server",
        fixed={
            "redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
            "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
        },
        source="https://github.com/docker-library/official-images/pull/20011 and "
        "https://github.com/valkey-io/valkey/security/advisories/GHSA-9rfg-jx7v-52p6",
    ),
    Hole(
        name="closed by the security releases of July 2026",
        what="a client or a crafted data file may run code in the server",
        fixed={
            "redis": ((6, 2, 23), (7, 2, 15), (7, 4, 10), (8, 2, 8), (8, 4, 5), (8, 6, 5), (8, 8, 1)),
            "valkey": ((7, 2, 14), (8, 0, 10), (8, 1, 9), (9, 0, 5), (9, 1, 1)),
        },
        source="https://github.com/docker-library/official-images/pull/21922 and, for Valkey's CVE-2026-56684 and "
        "CVE-2026-63639, https://github.com/valkey-io/valkey/releases/tag/9.1.1",
    ),
)


def about_version(server: str, version: str) -> tuple[str, ...]:
    """Name the holes that ``version`` of ``server`` (``redis`` or ``valkey``) still has.

    A branch that got no fix counts as open up to the newest branch that got one.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version, re.ASCII)
    if found is None:
        return (f"the server's version {version!r} cannot be read, so its known holes cannot be looked up",)
    number = (int(found[1]), int(found[2]), int(found[3]))
    return tuple(
        f"{server} {version} has a known hole ({hole.name}; {hole.what}): update it unless your distribution patched it"
        for hole in HOLES
        if _is_open(number, hole.fixed.get(server, ()))
    )


def _is_open(version: _Version, fixed: tuple[_Version, ...]) -> bool:
    same_branch = [first_good for first_good in fixed if first_good[:2] == version[:2]]
    return version < max(same_branch or fixed, default=(0, 0, 0))


def about_settings(declared: Mapping[str, str], live: Mapping[str, str]) -> tuple[str, ...]:
    """Name every setting that is not what Forge asks for."""
    if not live:
        return ("the server does not tell its settings (CONFIG is not allowed), so their drift cannot be seen",)
    return tuple(
        f"{name} is {live.get(name, 'unknown') or 'empty'!r}, Forge asks for {wanted or 'empty'!r}{_because(name)}"
        for name, wanted in declared.items()
        if live.get(name) != wanted
    )


def _because(name: str) -> str:
    reasons = {
        "appendonly": ": a restart forgets the lease and its waiters",
        "maxmemory-policy": ": full memory may drop the lease",
    }
    return reasons.get(name, "")


def about_network(port: int, host: str, *, password: bool, encrypted: bool) -> tuple[str, ...]:
    """Name the doors that stand open.

    Args:
        port: TCP port the server listens on, 0 for none.
        host: Where this client reached it; ``localhost`` for a Unix socket.
        password: Whether this client had to give one.
        encrypted: Whether this client speaks TLS.
    """
    warnings = []
    if port and not password:
        warnings.append(f"the server takes TCP connections on port {port} without a password: set requirepass")
    if not _is_loopback(host):
        warnings.append(f"the server is reached at {host}, which is not this machine's loopback")
        if not encrypted:
            warnings.append("what is sent to it crosses the network unencrypted: use rediss://")
    return tuple(warnings)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
