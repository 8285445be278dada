"""What the workers have put into Redis, as Dagster's sensors read it: the stream of events, and how each queue stands.

Nothing is written. Belongs here: reading. Does not belong here: what follows from it (``worker_events.py``,
``assets/workers.py``), or the keys' meaning, which is the header of ``forge_workers/jobs/queue.lua``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from forge_workers.catalog import WORKERS
from forge_workers.jobs.inspection import Inspection, QueueState
from forge_workers.jobs.queue import EVENTS
from forge_workers.wire import Script, Wire

#: Before the first entry of any stream.
START = "0-0"
#: The stream's facts and the entries after a place, in one step, so that they fit together.
_READ = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return {{}, {}} end
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {redis.call('XINFO', 'STREAM', KEYS[1]), entries}
""")
_ID = re.compile(r"\d{1,20}-\d{1,20}", re.ASCII)


def place_of(entry_id: str) -> tuple[int, int]:
    """Return what orders the entries of a stream: milliseconds and number.

    Raises:
        ValueError: It is no entry's id.
    """
    if not _ID.fullmatch(entry_id):
        raise ValueError("no entry of a stream has such an id")
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)


@dataclass(frozen=True)
class Entry:
    """One entry of the stream; ``event`` is None when it has no such field."""

    id: str
    event: bytes | None


@dataclass(frozen=True)
class Stream:
    """What the stream of events holds after a place.

    Attributes:
        entries: Oldest first.
        last: Id of the newest entry it ever had, :data:`START` when there is no stream.
        length: How many entries it holds.
        added: How many it ever had; None from a server that does not count (Redis before 7).
    """

    entries: tuple[Entry, ...] = ()
    last: str = START
    length: int = 0
    added: int | None = 0


@dataclass(frozen=True)
class Queues:
    """The workers' Redis, to read.

    Every method raises ``wire.Unanswered`` when Redis gives no answer, ``wire.Refused`` when it refuses, and
    ``ConfigError`` when the URL or password is wrong.

    Attributes:
        url: Where it listens; it may hold the password, so it is never shown.
    """

    url: str

    def events(self, after: str, most: int) -> Stream:
        """Return up to ``most`` events that came after the entry ``after``."""
        with self._wire() as wire:
            info, entries = wire.run(_READ, (EVENTS,), after, most)
        if not info:
            return Stream()
        facts = dict(zip(info[::2], info[1::2], strict=True))
        return Stream(
            entries=tuple(_entry(name, fields) for name, fields in entries),
            last=facts[b"last-generated-id"].decode(),
            length=facts[b"length"],
            added=facts.get(b"entries-added"),
        )

    def workers(self) -> dict[str, QueueState]:
        """Look at every worker of the catalogue, by name."""
        with self._wire() as wire:
            return {name: Inspection(wire, row).state() for name, row in WORKERS.items()}

    @contextmanager
    def _wire(self) -> Iterator[Wire]:
        wire = Wire(self.url)
        try:
            yield wire
        finally:
            wire.close()


def _entry(name: bytes, fields: list[bytes]) -> Entry:
    return Entry(name.decode(), dict(zip(fields[::2], fields[1::2], strict=True)).get(b"event"))
