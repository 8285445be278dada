"""What was asked from Slack, each press once, kept on disk so that neither a repeat nor a kill makes it two or none.

The life of one ask, and what a kill leaves behind:

1. ``take`` writes it down, durable, before Slack gets its acknowledgement. Killed before: Slack was told nothing, and
   asks again. Killed after: it is here, and a second delivery finds it.
2. It is done, under a name made from its key wherever doing it twice would show (a job's id, an event's id).
3. ``done`` writes down what came of it. Killed between 2 and 3: the next start does it again, under the same name.
4. ``told`` notes that the person has the answer. Killed between 3 and 4: the next start answers again.

So an ask is done once, and an answer, which changes nothing, may come twice. Belongs here: that file. Does not belong
here: what is done, or the log for people (``record.py``).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from forge_workers.errors import Transient
from forge_workers.slack_gateway.envelope import Ask

#: How long an ask is remembered, seconds: twice the age from which a button is stale and refused anyway.
KEPT_S = 14 * 86_400.0
#: Longest wait for another process that writes, seconds; well within the three that Slack gives us.
_LOCK_S = 1.0
_TABLE = """
CREATE TABLE IF NOT EXISTS asks (
    key TEXT PRIMARY KEY, at REAL NOT NULL, ask TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'taken',
    target TEXT NOT NULL DEFAULT '', by TEXT NOT NULL, said TEXT NOT NULL DEFAULT ''
)
"""


class Unfinished(NamedTuple):
    """An ask that a kill left behind; ``said`` is the answer when it was done already, else None."""

    ask: Ask
    said: str | None


class Ledger:
    """The asks of one Forge.

    Every method raises ``Transient`` when the disk is full or refuses, or the file is damaged.

    Args:
        home: ``$FORGE_HOME``.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "spool" / "slack_gateway.sqlite"
        self._turn = threading.Lock()  # SQLite lets waiting threads poll, and under load some never get their turn

    def take(self, ask: Ask) -> bool:
        """Write an ask down, and say whether this is the first time it came."""
        with self._opened() as asks:
            row = (ask.key, ask.at, ask.model_dump_json(), ask.by)
            changed = asks.execute("INSERT OR IGNORE INTO asks (key, at, ask, by) VALUES (?, ?, ?, ?)", row).rowcount
            asks.execute("DELETE FROM asks WHERE at < ?", (ask.at - KEPT_S,))
        return changed == 1

    def claim(self, ask: Ask, target: str, since: float) -> tuple[str, float] | None:
        """Let this ask be the one that sets ``target`` going, unless another is.

        Args:
            ask: As taken.
            target: What is set going.
            since: UTC unix seconds; an ask that came before does not stand in the way.

        Returns:
            None, or who asked for the same before and when.
        """
        with self._opened() as asks:
            asks.execute("UPDATE asks SET target = ? WHERE key = ?", (target, ask.key))  # first: it takes the lock
            other = "SELECT by, at FROM asks WHERE target = ? AND at > ? AND key != ? ORDER BY at DESC LIMIT 1"
            row = asks.execute(other, (target, since, ask.key)).fetchone()
            if row is not None:
                asks.execute("UPDATE asks SET target = '' WHERE key = ?", (ask.key,))
        return None if row is None else (str(row[0]), float(row[1]))

    def release(self, ask: Ask) -> None:
        """Take the claim back: nothing was set going."""
        with self._opened() as asks:
            asks.execute("UPDATE asks SET target = '' WHERE key = ?", (ask.key,))

    def done(self, ask: Ask, said: str) -> None:
        """Write down that it is done, with the answer for the person."""
        with self._opened() as asks:
            asks.execute("UPDATE asks SET state = 'done', said = ? WHERE key = ?", (said, ask.key))

    def told(self, ask: Ask) -> None:
        """Note that the person has the answer, or needs none; what was asked is forgotten, its key is not."""
        with self._opened() as asks:
            asks.execute("UPDATE asks SET state = 'told', ask = '', said = '' WHERE key = ?", (ask.key,))

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Return what was taken and not done, or done and not told, oldest first."""
        with self._opened() as asks:
            rows = asks.execute("SELECT ask, state, said FROM asks WHERE state != 'told' ORDER BY at, key").fetchall()
        found = []
        for ask, state, said in rows:
            try:
                found.append(Unfinished(Ask.model_validate_json(ask), said if state == "done" else None))
            except ValidationError:
                continue  # another version wrote it
        return tuple(found)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction, durable when the block ends."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._turn, closing(sqlite3.connect(self._path, timeout=_LOCK_S)) as asks:
                asks.execute("PRAGMA synchronous = FULL")
                with asks:
                    asks.execute(_TABLE)
                    yield asks
        except (sqlite3.Error, OSError) as error:
            raise Transient(f"{self._path} cannot be used ({error}): nothing was done") from None
