"""What is on a worker's queue, for people: read, never changed.

Every list is read up to a bound and no key is searched for. What was read may have moved on since; it informs and
decides nothing. What is no job is shown too, with what is wrong with it. Belongs here: those looks and their values.
Does not belong here: the queue (``queue.py``) or how it is drawn (``forge_workers/fleet``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from forge_workers.catalog import Worker
from forge_workers.jobs.job import NoJob, decode, identity_of
from forge_workers.jobs.outcome import raw_of
from forge_workers.jobs.queue import MOST_DEAD, MOST_DONE, prefix_of
from forge_workers.wire import Wire

#: Most jobs of one list that are looked through when one is searched for, and how many are fetched at once.
MOST_LOOKED_AT, _PAGE = 20_000, 500
#: Jobs at the head of a line among which the oldest is looked for: urgent ones stand before older ones.
_HEAD = 16
#: Most jobs that one process can have in flight: two after a lost reply, and some room.
_MOST_IN_FLIGHT = 10

Where = Literal["waiting", "scheduled", "running", "dead"]


@dataclass(frozen=True)
class Seen:
    """A job where it was seen.

    Attributes:
        id: Its id, or a digest of its bytes when they hold none.
        worker: Whose queue it is on.
        where: ``waiting``, ``scheduled``, ``running`` or ``dead``.
        raw: Its bytes.
        queued_at: When it was first asked for, UTC unix seconds; None when it does not say.
        attempt: Which attempt; None when it does not say.
        key: What keeps a second one from being taken; "" for none.
        by: Who asked.
        args: What to do, as it stands there; None when it holds none.
        due_at: Of a scheduled one: not before this time.
        problem: What makes it no job that this worker can do; "" for none.
        died_at: Of a dead one: when it was buried.
        reason: Of a dead one: why.
        traceback: Of a dead one: the end of its traceback.
        letter: Of a dead one: its record in Redis, which names it when it is requeued or dropped.
        claim: Of a running one: the claim of the process that has it.
    """

    id: str
    worker: str
    where: Where
    raw: bytes
    queued_at: float | None = None
    attempt: int | None = None
    key: str = ""
    by: str = ""
    args: Any = None
    due_at: float | None = None
    problem: str = ""
    died_at: float | None = None
    reason: str = ""
    traceback: str = ""
    letter: bytes = b""
    claim: str = ""


@dataclass(frozen=True)
class Process:
    """A daemon as its heartbeat tells of it.

    Attributes:
        claim: Its claim.
        alive: Whether its heartbeat has not expired.
        pid: Its process number on ``host``.
        host: The machine.
        slot: Which of the worker's processes.
        started_at: When it started, UTC unix seconds.
        beat_at: Its last beat.
        job: Id of the job at work, "" for none.
        job_since: When that began.
        progress: How far it is, in its own words.
        progress_at: When it said so.
    """

    claim: str
    alive: bool
    pid: int = 0
    host: str = ""
    slot: int = 0
    started_at: float = 0.0
    beat_at: float = 0.0
    job: str = ""
    job_since: float = 0.0
    progress: str = ""
    progress_at: float = 0.0


@dataclass(frozen=True)
class Ended:
    """What became of a job.

    Attributes:
        id: Its id.
        at: When, UTC unix seconds.
        buried: Whether it is a dead letter; done otherwise.
        headline: What came of it, or why it was buried, in one line; "" when it said nothing.
        outcome: The report's outcome, such as ``ran`` or ``degraded``; ``buried``.
        seconds: How long the attempt took; None for a dead letter.
    """

    id: str
    at: float
    buried: bool
    headline: str
    outcome: str
    seconds: float | None = None


@dataclass(frozen=True)
class QueueState:
    """One worker's queue.

    Attributes:
        waiting: Jobs in line.
        scheduled: Jobs that wait for their time.
        dead: Dead letters.
        running: Jobs in flight.
        processes: The daemons that are registered.
        oldest_at: When the oldest job in line or in flight was first asked for, UTC unix seconds; None for none.
        due_at: When the next scheduled one is due.
        last: What became of the newest job that ended; None for none.
        counts: How many jobs were done, retried, snoozed, buried, reclaimed and forgotten since the queue began.
    """

    waiting: int
    scheduled: int
    dead: int
    running: tuple[Seen, ...]
    processes: tuple[Process, ...]
    oldest_at: float | None
    due_at: float | None
    last: Ended | None
    counts: Mapping[str, int]


class Inspection:
    """Looks at one worker's queue.

    Every method raises ``wire.Unanswered`` when Redis gives no answer and ``wire.Refused`` when it refuses.

    Args:
        wire: The way to Redis.
        row: The worker.
    """

    def __init__(self, wire: Wire, row: Worker) -> None:
        self.row = row
        self._wire = wire
        self._prefix = prefix_of(row.name)

    def state(self) -> QueueState:
        """Return how the queue stands."""
        processes = self.processes()
        running = tuple(self.jobs("running", processes=processes))
        head = [self._seen(raw, "waiting") for raw in self._call("LRANGE", "waiting", 0, _HEAD - 1)]
        asked = [seen.queued_at for seen in (*running, *head) if seen.queued_at is not None]
        due = self._call("ZRANGE", "scheduled", 0, 0, "WITHSCORES")
        counts = self._call("HGETALL", "counts")
        return QueueState(
            waiting=self._call("LLEN", "waiting"),
            scheduled=self._call("ZCARD", "scheduled"),
            dead=self._call("LLEN", "dead"),
            running=running,
            processes=processes,
            oldest_at=min(asked, default=None),
            due_at=float(due[1]) if due else None,
            last=self._last(),
            counts={_text(name): int(n) for name, n in zip(counts[::2], counts[1::2], strict=True)},
        )

    def processes(self) -> tuple[Process, ...]:
        """Return the daemons that are registered, by slot."""
        flat = self._call("HGETALL", "claims")
        found = [self._process(_text(c), _object(facts)) for c, facts in zip(flat[::2], flat[1::2], strict=True)]
        return tuple(sorted(found, key=lambda process: (process.slot, process.started_at)))

    def jobs(self, where: Where, *, processes: tuple[Process, ...] | None = None) -> Iterator[Seen]:
        """Yield the jobs that are ``where``, the next or the newest first, at most :data:`MOST_LOOKED_AT`."""
        if where == "running":
            for process in self.processes() if processes is None else processes:
                in_flight = self._call("LRANGE", f"inflight:{process.claim}", 0, _MOST_IN_FLIGHT - 1)
                yield from (self._seen(raw, where, claim=process.claim) for raw in in_flight)
            return
        for start in range(0, MOST_LOOKED_AT, _PAGE):
            page = self._page(where, start)
            yield from page
            if len(page) < _PAGE:
                return

    def find(self, prefix: str) -> Iterator[Seen]:
        """Yield the jobs whose id begins with ``prefix``, those at work first."""
        places: tuple[Where, ...] = ("running", "waiting", "scheduled", "dead")
        for where in places:
            yield from (seen for seen in self.jobs(where) if seen.id.startswith(prefix))

    def ended(self, prefix: str) -> Iterator[Ended]:
        """Yield what became of the jobs whose id begins with ``prefix``, as far as it is still kept, newest first."""
        for name, most in (("done", MOST_DONE), ("dead", MOST_DEAD)):
            for raw in self._call("LRANGE", name, 0, most - 1):
                found = _ended(raw, buried=name == "dead")
                if found.id.startswith(prefix):
                    yield found

    def _page(self, where: Where, start: int) -> list[Seen]:
        last = start + _PAGE - 1
        if where == "scheduled":
            flat = self._call("ZRANGE", where, start, last, "WITHSCORES")
            pairs = zip(flat[::2], flat[1::2], strict=True)
            return [self._seen(raw, where, due_at=float(score)) for raw, score in pairs]
        read = self._dead if where == "dead" else lambda raw: self._seen(raw, where)
        return [read(raw) for raw in self._call("LRANGE", where, start, last)]

    def _seen(self, raw: bytes, where: Where, **facts: Any) -> Seen:
        found = _object(raw)
        try:
            decode(raw, self.row)
            problem = ""
        except NoJob as error:
            problem = str(error)
        attempt, queued_at = found.get("attempt"), found.get("queued_at")
        return Seen(
            id=identity_of(raw),
            worker=self.row.name,
            where=where,
            raw=raw,
            queued_at=_number(queued_at),
            attempt=attempt if type(attempt) is int else None,
            key=str(found.get("key", "")),
            by=str(found.get("by", "")),
            args=found.get("args"),
            problem=problem,
            **facts,
        )

    def _dead(self, letter: bytes) -> Seen:
        found = _object(letter)
        try:
            raw = raw_of(found)
        except (KeyError, ValueError):
            raw = letter  # no letter of ours: shown as it stands, and it can be dropped
        return self._seen(
            raw,
            "dead",
            died_at=_number(found.get("at")),
            reason=str(found.get("reason", "")),
            traceback=str(found.get("traceback", "")),
            letter=letter,
        )

    def _process(self, claim: str, facts: Mapping[str, Any]) -> Process:
        fields = Process.__dataclass_fields__
        default = Process(claim, alive=bool(self._call("EXISTS", f"alive:{claim}")))
        known: dict[str, Any] = {}
        for name in fields.keys() - {"claim", "alive"}:
            kind = type(getattr(default, name))
            value = facts.get(name)
            if isinstance(value, kind | int if kind is float else kind):
                known[name] = value
        return Process(claim, default.alive, **known)

    def _last(self) -> Ended | None:
        newest = (
            _ended(raw, buried=name == "dead") for name in ("done", "dead") for raw in self._call("LRANGE", name, 0, 0)
        )
        return max(newest, key=lambda ended: ended.at, default=None)

    def _call(self, command: str, name: str, *args: str | float) -> Any:
        return self._wire.call(command, f"{self._prefix}:{name}", *args)


def _ended(raw: bytes, *, buried: bool) -> Ended:
    found = _object(raw)
    return Ended(
        id=str(found.get("id", "")),
        at=_number(found.get("at")) or 0.0,
        buried=buried,
        headline=str(found.get("reason" if buried else "headline") or ""),
        outcome="buried" if buried else str(found.get("outcome") or "done"),
        seconds=_number(found.get("seconds")),
    )


def _object(raw: bytes) -> Mapping[str, Any]:
    """Return the JSON object in ``raw``, an empty one when it holds none."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if type(found) is dict else {}


def _number(value: Any) -> float | None:
    return float(value) if type(value) in {int, float} else None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
