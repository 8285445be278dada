"""Finding one job by the first characters of its id, and what a person may do to dead letters.

Belongs here: that search over all workers, requeueing and dropping. Does not belong here: reading one queue
(``jobs/inspection.py``), or the steps in Redis (``jobs/queue.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from forge_workers.catalog import Worker
from forge_workers.errors import BadArgs
from forge_workers.jobs.inspection import Ended, Inspection, Seen
from forge_workers.jobs.job import NoJob, again, decode
from forge_workers.jobs.queue import Queue
from forge_workers.plain import plain
from forge_workers.wire import Wire

#: How many ids are named when too few characters were given.
_NAMED = 4


class Letters:
    """The jobs of several workers.

    Args:
        wire: The way to Redis.
        rows: The workers, by name.
    """

    def __init__(self, wire: Wire, rows: Mapping[str, Worker]) -> None:
        self._wire = wire
        self._rows = rows
        self._inspections = [Inspection(wire, row) for row in rows.values()]

    def every(self, *, dead_only: bool) -> Iterator[Seen]:
        """Yield every job, by worker: at work, in line, scheduled, dead; or the dead letters only."""
        for inspection in self._inspections:
            if not dead_only:
                for where in ("running", "waiting", "scheduled"):
                    yield from inspection.jobs(where)
            yield from inspection.jobs("dead")

    def one(self, prefix: str) -> tuple[Seen | None, Ended | None]:
        """Return the one job whose id begins with ``prefix``: where it is, and what became of it.

        Raises:
            BadArgs: There is none, or there are several.
        """
        seen = [job for inspection in self._inspections for job in inspection.find(prefix)]
        ended = [end for inspection in self._inspections for end in inspection.ended(prefix)]
        _only({job.id for job in seen} | {end.id for end in ended}, prefix)
        return next(iter(seen), None), next(iter(ended), None)

    def dead(self, prefix: str) -> Seen:
        """Return the dead letter whose id begins with ``prefix``.

        Raises:
            BadArgs: There is none, or there are several.
        """
        found, _ = self.one(prefix)
        if found is None:
            raise BadArgs(f"job {prefix} is done: only a dead letter can be requeued or dropped")
        if found.where != "dead":
            raise BadArgs(f"job {found.id[:8]} is {found.where}: only a dead letter can be requeued or dropped")
        return found

    def requeue(self, letter: Seen) -> Literal["queued", "gone", "duplicate"]:
        """Put a dead letter in line again, as its first attempt.

        Raises:
            BadArgs: It holds no job that its worker can do.
        """
        row = self._rows[letter.worker]
        try:
            job = decode(letter.raw, row)
        except NoJob as error:
            raise BadArgs(f"job {letter.id[:8]} cannot be requeued: {error}") from None
        return Queue(self._wire, row).requeue(letter.letter, again(job, attempt=1))

    def drop(self, letter: Seen) -> bool:
        """Forget a dead letter, and say whether it was still there."""
        return Queue(self._wire, self._rows[letter.worker]).drop(letter.letter)


def as_json(jobs: Iterable[Seen]) -> str:
    """Return jobs for a machine: a list of objects with :class:`Seen`'s attributes, bytes as text."""
    facts = (
        {
            "id": job.id,
            "worker": job.worker,
            "where": job.where,
            "queued_at": job.queued_at,
            "attempt": job.attempt,
            "key": job.key,
            "by": job.by,
            "args": job.args,
            "due_at": job.due_at,
            "problem": job.problem,
            "died_at": job.died_at,
            "reason": job.reason,
            "traceback": job.traceback,
        }
        for job in jobs
    )
    return json.dumps(list(facts), indent=2)


def _only(ids: set[str], prefix: str) -> None:
    """Refuse a prefix that names no job or several.

    Raises:
        BadArgs: It does.
    """
    if not ids:
        raise BadArgs(f"no job's id begins with {prefix!r:.60}: `forge jobs` lists them")
    if len(ids) > 1:
        named = ", ".join(plain(job_id, 40)[:12] for job_id in sorted(ids)[:_NAMED])
        raise BadArgs(f"{len(ids)} jobs' ids begin with {prefix!r:.60}: write more of it ({named} ...)")
