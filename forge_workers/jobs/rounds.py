"""What a daemon does of its own accord: its row's rounds, every so often, while no job is at work.

Belongs here: when a round is due and what comes of it. Does not belong here: what is looked at, which is the row's own
light function.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forge_workers.catalog import Worker, resolve
from forge_workers.errors import ForgeError
from forge_workers.jobs.doing import Context
from forge_workers.jobs.retry import reason_of
from forge_workers.jobs.spool import Producer
from forge_workers.log import event

_log = logging.getLogger(__name__)


class Rounds:
    """The rounds of one daemon; a row without ``every_s`` has none.

    Args:
        row: The worker.
        home: ``FORGE_HOME``.
        producer: Puts its jobs in line.
        context: Makes what an inline row's function is given.
    """

    def __init__(self, row: Worker, home: Path, producer: Producer, context: Callable[[], Context]) -> None:
        self._row = row
        self._home = home
        self._producer = producer
        self._context = context
        self._due = time.monotonic()
        self._failing = ""

    def next_in_s(self) -> float:
        """Return the seconds until the next round, infinity when there is none."""
        return math.inf if self._row.every_s is None else max(0.0, self._due - time.monotonic())

    def go(self) -> None:
        """Go the round if it is due. What goes wrong in it is said once and tried again at the next."""
        if self._row.every_s is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._row.every_s
        try:
            self._round()
        except ForgeError as error:
            self._say(str(error))
        except Exception as error:  # noqa: BLE001  a round must not end the daemon
            self._say(reason_of(error))
        else:
            self._failing = ""

    def _round(self) -> None:
        if self._row.inline:
            resolve(self._row.function)(self._context())
            return
        wanted: list[dict[str, Any]] = [{}] if self._row.watch is None else list(resolve(self._row.watch)(self._home))
        for args in wanted:
            same = hashlib.sha256(json.dumps(args, sort_keys=True).encode()).hexdigest()[:32]
            self._producer.enqueue(self._row.name, args, key=f"round:{same}", by="schedule")

    def _say(self, why: str) -> None:
        if why != self._failing:
            event(_log, "round.failed", logging.WARNING, worker=self._row.name, why=why)
        self._failing = why
