"""The queue's crash storm: ``python -m tests.chaos.queue_storm [--long] [--seed N]``.

Real workers, producers and a janitor on a real Redis that flushes every write, while they and the server are killed,
stopped past their heartbeat and cut off from replies. Belongs here: how large the storms are, and the command. Does not
belong here: the storm (``queue_faults.py``). It stays small: every process of the command's storm runs it once.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.chaos.queue_faults import Figures, Plan, Storm
from tests.standins.redis import start_redis

SHORT = Plan(100_000, 27, kills=220, stops=40, redis_kills=12, cuts=120, producer_kills=8, looks=300)
LONG = Plan(1_000_000, 27, kills=10_000, stops=2_000, redis_kills=200, cuts=2_000, producer_kills=100, looks=1_500)
#: For the controls: too short for many faults, long enough for every flaw to show.
SMALL = Plan(
    jobs=4_000,
    workers=8,
    kills=16,
    stops=6,
    redis_kills=0,
    cuts=60,
    producer_kills=0,
    looks=100,
    sleepers=(200, 0.6),
    patience_s=12.0,
)


def storm(plan: Plan, folder: Path, seed: int | None = None, *, tell: bool = False) -> Figures:
    """Run a storm in ``folder`` with ``seed``, or with a fresh one."""
    with start_redis(folder) as server:
        return Storm(plan, secrets.randbelow(2**31) if seed is None else seed, server, tell=tell).run()


def main() -> int:
    """Run the short or the long storm, print its figures, and return 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.queue_storm", description="The queue's crash storm.")
    parser.add_argument("--long", action="store_true", help="a million jobs instead of a hundred thousand")
    parser.add_argument("--seed", type=int, help="repeat the faults of an earlier storm")
    parser.add_argument("--part", type=int, default=1, help="only one part in so many of everything, to try it")
    chosen = parser.parse_args()
    plan = LONG if chosen.long else SHORT
    sizes = ("jobs", "kills", "stops", "redis_kills", "cuts", "producer_kills", "looks")
    plan = replace(plan, **{name: getattr(plan, name) // chosen.part for name in sizes})
    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        figures = storm(plan, Path(folder), chosen.seed, tell=True)
    sys.stdout.write("\n".join((figures.table(), *figures.findings, "")))
    return 1 if figures.findings else 0


if __name__ == "__main__":
    sys.exit(main())
