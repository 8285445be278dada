"""How the Redis in use fares, and what its refusals mean for a person.

Belongs here: one look at it, and the words. Does not belong here: starting it (``redis_server.py``), or comparing its
settings with what Forge asks for, which the doctor does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from forge_workers.errors import ConfigError, ForgeError, Transient
from forge_workers.jobs import server
from forge_workers.plain import plain
from forge_workers.wire import Refused, Unanswered, Wire

#: What a server's refusal means and what to do, by its first word. Source: the errors in redis/src/server.c.
_MEANING = {
    "OOM": "Redis is full: raise its maxmemory, or drop dead letters (`forge jobs drop`)",
    "READONLY": "Redis is a read-only replica: set FORGE_REDIS_URL to its primary",
    "MISCONF": "Redis cannot write to its disk and takes nothing: free space there",
    "LOADING": "Redis is still loading its data: try again in a moment",
    "MASTERDOWN": "Redis is a replica without its primary: set FORGE_REDIS_URL to a primary",
    "BUSY": "Redis is held up by a script: try again in a moment",
    "NOREPLICAS": "Redis takes nothing without its replicas: start them",
}


@dataclass(frozen=True)
class RedisState:
    """How it fares.

    Attributes:
        state: ``up``; ``away`` when it does not answer; ``unfit`` when it answers and cannot be used.
        address: Where it listens, never with a password.
        server: ``valkey``, ``redis``, or "" when it did not say.
        version: Its own version.
        up_s: Seconds since it started, None when it did not say.
        used_bytes: Memory it uses, None when it did not say.
        most_bytes: Memory it may use, None for no limit.
        problem: What is wrong and what to do, one line; "" for nothing.
    """

    state: Literal["up", "away", "unfit"]
    address: str
    server: str = ""
    version: str = ""
    up_s: int | None = None
    used_bytes: int | None = None
    most_bytes: int | None = None
    problem: str = ""


def look(wire: Wire, address: str) -> RedisState:
    """Return how the server behind ``wire`` fares; never raises."""
    try:
        facts = _facts(wire.call("INFO"))
        server.check(wire)
    except Unanswered as error:
        return RedisState("away", address, problem=plain(str(error)))
    except (ConfigError, Refused) as error:
        return RedisState("unfit", address, problem=plain(str(meaning(error))))
    used, most = _int(facts.get("used_memory")), _int(facts.get("maxmemory")) or None
    problem = _MEANING["READONLY"] if facts.get("role") == "slave" else ""
    if used is not None and most is not None and used >= most:
        problem = _MEANING["OOM"]
    return RedisState(
        state="unfit" if problem else "up",
        address=address,
        server="valkey" if "valkey_version" in facts else "redis",
        version=plain(facts.get("valkey_version") or facts.get("redis_version", ""), 40),
        up_s=_int(facts.get("uptime_in_seconds")),
        used_bytes=used,
        most_bytes=most,
        problem=problem,
    )


def require(wire: Wire) -> None:
    """Refuse a server that cannot be used.

    Raises:
        ConfigError: It is too old, a replica, full, or refuses the password.
        Transient: It does not answer.
    """
    found = look(wire, "")
    if found.state == "away":
        raise Transient(f"{found.problem}: start Redis or correct FORGE_REDIS_URL")
    if found.state == "unfit":
        raise ConfigError(found.problem)


def check(wire: Wire) -> None:
    """Refuse a server that is too old, in plain words.

    Raises:
        ConfigError: It is too old, or refuses the password.
        Transient: It refuses for another reason.
        wire.Unanswered: It does not answer.
    """
    with in_plain_words():
        server.check(wire)


@contextmanager
def in_plain_words() -> Iterator[None]:
    """Let a refusal by Redis inside say what to do.

    Raises:
        Transient: Redis refused.
    """
    try:
        yield
    except Refused as error:
        raise meaning(error) from None


def meaning(error: ForgeError) -> ForgeError:
    """Return ``error`` as a person can act on it."""
    if isinstance(error, Refused) and error.code in _MEANING:
        return Transient(_MEANING[error.code])
    return error


def _facts(info: bytes) -> Mapping[str, str]:
    """Read what INFO says: a line each, name and value."""
    pairs = (line.partition(":") for line in info.decode("utf-8", "replace").splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def _int(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
