"""What ``queue_janitor`` does every few seconds: nothing stays with the dead, in the spool, or in nobody's list.

Belongs here: looking over all queues. Does not belong here: looking after one's own, which each daemon does with its
heartbeat.
"""

from __future__ import annotations

import logging
import re

from forge_workers.catalog import WORKERS
from forge_workers.jobs.doing import Context
from forge_workers.jobs.queue import Queue, prefix_of
from forge_workers.log import event

_log = logging.getLogger(__name__)


def tidy(context: Context) -> str | None:
    """Take back what dead processes had in flight, for every worker, and send what was spooled.

    Raises:
        wire.Unanswered: Redis does not answer.
    """
    moved = 0
    for row in WORKERS.values():
        queue = Queue(context.wire, row, pace=context.pace)
        _adopt(context, row.name)
        for taken in queue.reclaim():
            moved += 1
            what = "job.buried" if taken.buried else "job.reclaimed"
            event(_log, what, logging.WARNING, worker=row.name, job=taken.id)
    left = not context.producer.replay()
    return f"{moved} jobs taken back{', the spool is not empty' if left else ''}" if moved or left else None


def _adopt(context: Context, name: str) -> None:
    """Give every in-flight list whose claim is unknown back its claim, without a heartbeat, so that it is reclaimed.

    There is none unless a server lost part of its data, or moved a job to a client that had just gone.
    """
    prefix = prefix_of(name)
    cursor = b"0"
    while True:
        pattern = f"{prefix}:inflight:*"
        cursor, found = context.wire.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1_000)
        for key in found:
            claim = re.sub(rb".*:", b"", key)
            if context.wire.call("HSETNX", f"{prefix}:claims", claim, "{}") == 1:
                event(_log, "claim.adopted", logging.WARNING, worker=name, claim=claim.decode())
        if cursor == b"0":
            return
