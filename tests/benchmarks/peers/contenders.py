"""Who is measured, one row each: how its worker and its producer are started, and what it promises.

Belongs here: those rows. Does not belong here: starting anything (``arena.py``) or what is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import redis

ROOT = Path(__file__).parents[3]
_OWN, _PEERS, _ARQ = Path(sys.executable).parent, ROOT / ".venv-peers" / "bin", ROOT / ".venv-arq" / "bin"
_HERE = "tests.benchmarks.peers"


@dataclass(frozen=True)
class Contender:
    """One row.

    Attributes:
        name: As the tables say it.
        keeps: It keeps the job in flight when its worker dies, by default or as started here.
        bin: The environment's commands.
        worker: The worker's command; ``{url}`` is the server, ``{slot}`` which of several workers.
        sender: ``module:function`` of its producer.
        jobs: How many no-op jobs one round takes, for one to three seconds.
        sends: How many jobs one round enqueues.
        unfinished: Counts the jobs its keys still hold, running or waiting.
    """

    name: str
    keeps: bool
    bin: Path
    worker: tuple[str, ...]
    sender: str
    jobs: int
    sends: int
    unfinished: Callable[[redis.Redis], int]

    @property
    def installed(self) -> bool:
        """Whether its environment is there."""
        return (self.bin / "python").exists()


def _lists(*names: str) -> Callable[[redis.Redis], int]:
    return lambda client: sum(client.llen(key) for name in names for key in client.keys(name))


def _dramatiq(client: redis.Redis) -> int:
    held = sum(client.scard(key) for key in client.keys("dramatiq:__acks__*"))
    return held + client.llen("dramatiq:default")


def _rq(name: str, queue: str, jobs: int, *more: str) -> Contender:
    def unfinished(client: redis.Redis) -> int:
        held = client.zcard(f"rq:wip:{queue}") + client.zcard(f"rq:failed:{queue}")
        return held + client.llen(f"rq:queue:{queue}")

    return Contender(
        name,
        keeps=True,
        bin=_PEERS,
        worker=("rq", "worker", "--quiet", "--logging_level", "ERROR", *more, "--url", "{url}", queue),
        sender=f"rq_app:{queue}_sender",
        jobs=jobs,
        sends=1_000,
        unfinished=unfinished,
    )


def _taskiq(name: str, broker: str, unfinished: Callable[[redis.Redis], int], *, keeps: bool) -> Contender:
    command = ("taskiq", "worker", f"{_HERE}.taskiq_app:{broker}", "--workers", "1", "--log-level", "ERROR")
    sender = f"taskiq_app:{broker.removeprefix('plain_')}_sender"
    return Contender(
        name, keeps=keeps, bin=_PEERS, worker=command, sender=sender, jobs=3_000, sends=2_000, unfinished=unfinished
    )


FORGE = Contender(
    "Forge",
    keeps=True,
    bin=_OWN,
    worker=("python", "-m", f"{_HERE}.forge_app", "bench", "{slot}"),
    sender="forge_app:through_producer",
    jobs=6_000,
    sends=5_000,
    unfinished=_lists("forge:{bench}:waiting", "forge:{bench}:inflight:*"),
)
#: Only its speed is measured: its jobs cannot say which they are.
FORGE_APART = replace(
    FORGE,
    name="Forge, a process for each job",
    worker=("python", "-m", f"{_HERE}.forge_app", "bench_apart", "{slot}"),
    sender="forge_app:apart_through_producer",
    jobs=12,
)
BARE = Contender(
    "bare redis-py + Lua loop",
    keeps=True,
    bin=_OWN,
    worker=("python", "-m", f"{_HERE}.bare_app"),
    sender="bare_app:sender",
    jobs=6_000,
    sends=5_000,
    unfinished=_lists("bare", "bare:inflight"),
)
PEERS = (
    _rq("rq (forks for each job)", "forking", 80),
    _rq("rq (SimpleWorker)", "simple", 500, "--worker-class", "rq.SimpleWorker"),
    Contender(
        "dramatiq (8 threads)",
        keeps=True,
        bin=_PEERS,
        worker=("dramatiq", "--processes", "1", "--threads", "8", f"{_HERE}.dramatiq_app"),
        sender="dramatiq_app:sender",
        jobs=3_000,
        sends=3_000,
        unfinished=_dramatiq,
    ),
    Contender(
        "celery (prefork, acks_late)",
        keeps=True,
        bin=_PEERS,
        worker=("celery", "-A", f"{_HERE}.celery_app", "worker", "-c", "1", "--loglevel", "ERROR"),
        sender="celery_app:sender",
        jobs=1_500,
        sends=1_000,
        unfinished=lambda client: client.hlen("unacked") + client.llen("celery"),
    ),
    _taskiq("taskiq (stream)", "stream", lambda client: client.xpending("taskiq", "taskiq")["pending"], keeps=True),
    _taskiq("taskiq (list)", "plain_list", _lists("taskiq_list"), keeps=False),
    Contender(
        "huey",
        keeps=False,
        bin=_PEERS,
        worker=("huey_consumer", f"{_HERE}.huey_app.huey", "--workers", "1", "--quiet"),
        sender="huey_app:sender",
        jobs=4_000,
        sends=5_000,
        unfinished=_lists("huey.redis.bench"),
    ),
    Contender(
        "arq",
        keeps=True,
        bin=_ARQ,
        worker=("arq", "--custom-log-dict", f"{_HERE}.arq_app.QUIET", f"{_HERE}.arq_app.WorkerSettings"),
        sender="arq_app:sender",
        jobs=400,
        sends=1_000,
        unfinished=lambda client: client.zcard("arq:queue"),
    ),
)
ALL = (FORGE, BARE, *PEERS)
