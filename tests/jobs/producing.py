"""A producer that says each job once it is safe: ``python -m tests.jobs.producing <socket> <home> <first number>``."""

from __future__ import annotations

import sys
from pathlib import Path

from forge_workers.jobs.spool import Producer
from forge_workers.wire import Wire
from tests.jobs.toy_daemon import toy_row

if __name__ == "__main__":
    socket, home, first = sys.argv[1:]
    producer = Producer(Wire(f"unix://{socket}"), Path(home), {"toy": toy_row()})
    for n in range(int(first), int(first) + 1_000):
        producer.enqueue("toy", {"n": n})
        sys.stdout.write(f"{n}\n")
        sys.stdout.flush()
