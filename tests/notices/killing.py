"""A process that flushes and is killed by SIGKILL at a chosen step, many times over without loading everything anew.

Run as ``python -m tests.notices.killing``. It reads lines ``<how> <home> <url> <step>`` and forks for each; the fork
counts what it does to files and sockets by Python's own audit events, and dies before the one of that number. ``0`` is
never. It answers with the fork's process id and then with its wait status.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forge_workers.notices.desk import notify
from forge_workers.notices.outbox import Outbox
from forge_workers.notices.send import flush
from tests.notices.broken import post_plainly
from tests.notices.scenes import NOON, Clock, chosen, notice

#: What can be seen of a step: files written, renamed, removed and locked, connections made and requests sent.
STEPS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "fcntl.flock", "socket.connect", "http.client.send"})
_LATER = NOON + 100


def flushing(home: Path, url: str) -> None:
    """Flush what waits."""
    clock = Clock(_LATER)
    flush(chosen(home, url, timeout_s=60.0), now=clock.now, sleep=clock.sleep)


def notifying(home: Path, url: str) -> None:
    """Do a job: accept one notice and flush."""
    clock = Clock(_LATER)
    arguments: dict[str, Any] = {"kind": "done", "worker": "pr_digest", "title": "the digest is done"}
    notify(arguments, "job", chosen(home, url, timeout_s=60.0), at=_LATER, now=clock.now, sleep=clock.sleep)


def plainly(home: Path, url: str) -> None:
    """Post three notices that are kept nowhere."""
    post_plainly(home, url, [notice(name) for name in ("a", "b", "c")], timeout_s=60.0)


def accepting(home: Path, _: str) -> None:
    """Accept one notice."""
    Outbox(home).accept(notice("job"))


HOW: dict[str, Callable[[Path, str], None]] = {
    "flush": flushing,
    "notify": notifying,
    "plain": plainly,
    "accept": accepting,
}


def _die_at(step: int) -> None:
    seen = 0

    def hook(name: str, facts: tuple[Any, ...]) -> None:
        nonlocal seen
        if name in STEPS and not (name == "open" and facts[2] & os.O_ACCMODE == os.O_RDONLY):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> None:
    """Fork once for each line until there are no more."""
    for line in sys.stdin:
        how, home, url, step = line.split()
        child = os.fork()
        if child == 0:
            _die_at(int(step))
            HOW[how](Path(home), url)
            os._exit(0)
        print(child, flush=True)  # noqa: T201
        print(os.waitpid(child, 0)[1], flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
