"""The log of what was done from Slack: who, what, when, and what came of it, one JSON object a line.

``$FORGE_HOME/logs/slack_actions.jsonl``, bounded: a full file becomes ``slack_actions.1.jsonl`` in place of the one
before. No reason, command line or answer stands in it, and of a command only what its refusal quotes, without secrets.
Belongs here: that file. Does not belong here: the ledger, which
decides (``ledger.py``).
"""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Literal

from forge_workers.log import event
from forge_workers.plain import plain

_LOG = logging.getLogger(__name__)
#: Largest file in bytes: about 20,000 actions of 200 bytes; two are kept.
MOST_BYTES = 4 * 1024 * 1024

Came = Literal["done", "refused", "failed", "repeated"]


class Record:
    """The log of one Forge.

    Args:
        home: ``$FORGE_HOME``.
        most_bytes: Largest file.
    """

    def __init__(self, home: Path, most_bytes: int = MOST_BYTES) -> None:
        self.path = home / "logs" / "slack_actions.jsonl"
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def write(self, *, at: float, by: str, what: str, target: str, came: Came, why: str = "") -> None:
        """Add a line; a disk that refuses is said in the service's own log and stops nothing.

        Args:
            at: UTC unix seconds.
            by: The person's id.
            what: The verb or subcommand.
            target: What it was about: a fingerprint, a night, a worker, a repository's name.
            came: What came of it.
            why: Why it was refused or failed, one line.
        """
        kept = {"at": round(at, 3), "by": plain(by, 60), "what": plain(what, 60), "target": plain(target, 300),
                "came": came, "why": plain(why, 300)}  # fmt: skip
        event(_LOG, f"slack.{came}", by=kept["by"], what=kept["what"], target=kept["target"], why=kept["why"] or None)
        try:
            with self._lock:
                self._append(json.dumps({name: value for name, value in kept.items() if value != ""}) + "\n")
        except OSError as error:
            event(_LOG, "slack.unrecorded", logging.ERROR, why=error.strerror)

    def _append(self, line: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.exists() and self.path.stat().st_size + len(line) > self._most_bytes:
            self.path.replace(self.path.with_suffix(".1.jsonl"))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
