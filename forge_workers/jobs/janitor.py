"""What ``queue_janitor`` does every few seconds: nothing stays with the dead, in the spool, or in nobody's list.

Belongs here: looking over all queues. Does not belong here: looking after one's own, which each daemon does with its
heartbeat.
"""

from __future__ import annotations

import logging

from forge_workers.catalog import WORKERS
from forge_workers.jobs.doing import Context
from forge_workers.jobs.queue import Queue
from forge_workers.log import event

_log = logging.getLogger(__name__)


def tidy(context: Context) -> str | None:
    """Take back what dead processes had in flight, for every worker, and send what was spooled.

    Raises:
        wire.Unanswered: Redis does not answer.
        wire.Refused: Redis refuses what was spooled, for example because it is full.
    """
    adopt(context)
    moved = sum(len(Queue(context.wire, row, pace=context.pace).reclaim()) for row in WORKERS.values())
    left = not context.producer.replay()
    return f"{moved} jobs taken back{', the spool is not empty' if left else ''}" if moved or left else None


def adopt(context: Context) -> None:
    """Give every in-flight list whose claim is unknown back its claim, without a heartbeat, so that it is reclaimed.

    There is none unless a server lost part of its data, or moved a job to a client that had just gone.
    """
    cursor = b"0"
    while True:
        cursor, found = context.wire.call("SCAN", cursor, "MATCH", "forge:{*}:inflight:*", "COUNT", 1_000)
        for key in found:
            prefix, _, claim = key.decode().rpartition(":inflight:")
            if context.wire.call("HSETNX", f"{prefix}:claims", claim, "{}") == 1:
                event(_log, "claim.adopted", logging.WARNING, queue=prefix, claim=claim)
        if cursor == b"0":
            return
