"""Giving work from Slack: jobs for workers, and a night for Dagster to run again.

What is asked carries a name made from the ask, so that asking twice after a kill is asking once: a job is looked for
before it is put in line, and Dagster starts one run for one event's name. Belongs here: those two ways. Does not belong
here: whether it may be asked (``actions.py``, ``commands.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forge_workers.catalog import WORKERS, Worker
from forge_workers.errors import BadArgs
from forge_workers.git.watch import watched
from forge_workers.jobs.outcome import asked
from forge_workers.jobs.queue import EVENTS, Ticket
from forge_workers.jobs.spool import Producer
from forge_workers.plain import plain
from forge_workers.settings import Settings
from forge_workers.slack_gateway.envelope import Ask
from forge_workers.wire import Wire

#: Entries that the stream of events holds about, as ``jobs/queue.lua`` bounds it.
_STREAM = 10_000
#: Longest key that names a repository by its path, characters.
_LONGEST_KEY = 200
#: Repositories named in a refusal.
_NAMED = 6


def enqueue(row: Worker, args: Mapping[str, Any], ask: Ask, *, wire: Wire, home: Path, key: str = "") -> Ticket:
    """Put a job in line in the name of an ask; raises as ``Producer.enqueue`` does."""
    producer = Producer(wire, home, WORKERS, clock=lambda: ask.at)
    return producer.enqueue(row.name, args, key=key, job_id=_name(ask, row.name))


def ask_for_night(night: str, asset: str | None, ask: Ask, wire: Wire) -> None:
    """Tell Dagster to run a night again, or one step of it.

    Raises:
        wire.Unanswered: Redis is away.
        wire.Refused: Redis refuses.
    """
    told = asked(_name(ask, "night"), night=night, asset=asset, by=ask.by, now=ask.at)
    wire.call("XADD", EVENTS, "MAXLEN", "~", _STREAM, "*", "event", told)


def key_of(place: str, what: str) -> str:
    """Return the key under which a review is not asked for twice; ``repo_watch`` uses the same for a commit."""
    key = f"{place}@{what}"
    if len(key) <= _LONGEST_KEY:
        return key
    return f"{hashlib.sha256(place.encode('utf-8', 'surrogateescape')).hexdigest()}@{what}"


def place_of(name: str, settings: Settings) -> str:
    """Return the path of the watched repository called ``name``.

    Raises:
        BadArgs: None is; the message names those that are.
    """
    repositories, _ = watched(settings)
    found = {repository.name: str(repository.path) for repository in repositories}
    if name not in found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        there = f"choose one of {', '.join(map(plain, list(found)[:_NAMED]))}{more}" if found else "none can be read"
        raise BadArgs(f"no watched repository is called {plain(name, 60)!r}: {there}")
    return found[name]


def in_words(tickets: Mapping[str, Ticket]) -> str:
    """Say where jobs went, by worker."""
    words = {
        "queued": "is in line",
        "scheduled": "is scheduled",
        "duplicate": "was asked for already",
        "spooled": "is safe on disk, because Redis is away, and goes in line when Redis is back",
    }
    return "; ".join(f"{worker} {words[ticket.placed]} ({ticket.id[:8]})" for worker, ticket in tickets.items())


def _name(ask: Ask, what: str) -> str:
    return hashlib.sha1(f"{ask.key} {what}".encode(), usedforsecurity=False).hexdigest()[:32]
