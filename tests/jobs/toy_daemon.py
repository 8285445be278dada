"""A daemon of a toy row: ``python -m tests.jobs.toy_daemon '<row and pace as JSON>' <slot>``.

Belongs here: starting the real daemon on a row that no catalogue has. Does not belong here: what toys do.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from forge_workers.catalog import Arg, Worker
from forge_workers.jobs.daemon import start
from forge_workers.jobs.queue import Pace

ARGS = {
    "n": Arg("a number", kind=int),
    "path": Arg("where effects are written"),
    "seconds": Arg("how long it takes", kind=float),
    "what": Arg("what it does"),
}


def toy_row(**facts: Any) -> Worker:
    """Return a row for toys; ``facts`` are those of the catalogue."""
    return Worker(
        **{"name": "toy", "purpose": "Plays.", "function": "tests.jobs.toy_daemon:nothing", "args": ARGS, **facts}
    )


if __name__ == "__main__":
    chosen = json.loads(sys.argv[1])
    pace = Pace(**chosen.pop("pace", {}))
    sys.exit(start(toy_row(**chosen), int(sys.argv[2]), pace))
