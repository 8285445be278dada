"""One storm over the queue: which faults come when, and what it came to.

Faults come by progress and not by time, so that a slow machine meets as many per job as a fast one. Belongs here: that
order and the figures. Does not belong here: what must hold (``queue_oracle.py``), signals and processes
(``queue_crew.py``, ``queue_players.py``), or how large storms are (``queue_storm.py``).
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

from forge_workers.wire import Refused, Unanswered, Wire
from tests.chaos.queue_crew import Crew, Staff
from tests.chaos.queue_oracle import Oracle
from tests.chaos.queue_players import Work
from tests.standins.lossy import LossyRelay, lossy_relay
from tests.standins.redis import PrivateRedis

#: Seconds between two looks at how far it is.
_TICK_S = 0.02
#: Faults end when this share of the jobs has been executed, so that the last ones heal.
_FAULTS_UNTIL = 0.95
#: Faults that may lag behind the jobs.
_MOST_LATE = 3
#: Seconds between two lines of progress.
_TELL_S = 10.0


@dataclass(frozen=True)
class Plan:
    """How large a storm is.

    Attributes:
        jobs: Jobs enqueued.
        workers: Worker processes at work.
        kills: Workers killed by SIGKILL.
        stops: Workers stopped until their claim was taken back.
        redis_kills: Times the server is killed by SIGKILL.
        cuts: Replies lost after the server did the work.
        producer_kills: Producers and janitors killed by SIGKILL.
        looks: Looks at every place.
        sleepers: One job in so many takes so many seconds, heartbeats going on.
        patience_s: Seconds without any execution after which it counts as stuck; daemons look every 4.
        flaw: A flaw of ``tests/jobs/broken.py``.
    """

    jobs: int
    workers: int
    kills: int
    stops: int
    redis_kills: int
    cuts: int
    producer_kills: int
    looks: int
    sleepers: tuple[int, float] = (4_000, 2.5)
    patience_s: float = 40.0
    flaw: str = ""

    def faults(self) -> list[str]:
        """Return every fault, in no order."""
        return [
            *["kill"] * self.kills,
            *["stop"] * self.stops,
            *["redis"] * self.redis_kills,
            *["cut"] * self.cuts,
            *["producer"] * self.producer_kills,
        ]


@dataclass
class Figures:
    """What a storm came to; ``findings`` is empty when all held."""

    seed: int
    seconds: float = 0.0
    jobs_taken: int = 0
    effects: int = 0
    executions: int = 0
    executions_repeated: int = 0
    looks_at_every_place: int = 0
    workers_killed: int = 0
    workers_killed_in_a_job: int = 0
    workers_stopped_past_the_ttl: int = 0
    workers_ended_by_themselves: int = 0
    outcomes_refused: int = 0
    claims_lost: int = 0
    redis_killed: int = 0
    replies_cut: int = 0
    producers_killed: int = 0
    jobs_spooled: int = 0
    dead_letters_requeued: int = 0
    orphans_timed: int = 0
    orphan_back_s_median: float = 0.0
    orphan_back_s_worst: float = 0.0
    findings: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Return the figures as Markdown."""
        facts = {**asdict(self), "findings": len(self.findings)}
        lines = (f"| {name.replace('_', ' ')} | {_shown(value)} |" for name, value in facts.items())
        return "\n".join(("| the queue's storm | |", "|---|---|", *lines))


def _shown(value: float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


class Storm:
    """One storm on a server of its own.

    Args:
        plan: How large it is.
        seed: Fixes which faults come in which order; what they hit depends on the machine as well.
        server: The private Redis, empty.
        tell: Say now and then how far it is.
    """

    def __init__(self, plan: Plan, seed: int, server: PrivateRedis, *, tell: bool = False) -> None:
        self.plan = plan
        self._server = server
        self._seed = seed
        self._tell = tell
        self._random = random.Random(seed)
        self._faults = plan.faults()
        self._random.shuffle(self._faults)
        self._struck: Counter[str] = Counter()
        self._wire = Wire(f"unix://{server.socket}")
        self._oracle = Oracle(server.home, plan.jobs, self._wire)
        self._moved, self._moved_at = -1, time.monotonic()
        self._began = self._told_at = time.monotonic()

    def run(self) -> Figures:
        """Let it pass over the queue; return what it came to, early when something was found."""
        self._flush_every_write()
        path = self._server.home / "lossy.sock"
        plan = self.plan
        with lossy_relay(path, self._server.socket) as relay:
            urls = (f"unix://{self._server.socket}", f"unix://{path}")
            staff = Staff(self._server.home, urls, plan.workers, plan.flaw, Work(plan.jobs, *plan.sleepers))
            crew = Crew(self._wire, staff)
            try:
                self._pass(crew, relay)
            finally:
                crew.end()
        return self._figures(crew)

    def _pass(self, crew: Crew, relay: LossyRelay) -> None:
        while True:
            crew.tend()
            self._oracle.follow(crew.kills + crew.stops)
            done = self._oracle.runs - self._oracle.repeats
            produced = crew.producers_done()
            self._strike(done, crew, relay)
            if produced or done * self.plan.looks >= self._oracle.looks * self.plan.jobs:
                left = self._look()
                if produced and left is not None and self._drained(left):
                    return
            self._notice_standstill()
            if self._oracle.findings:
                return
            self._say(done)
            time.sleep(_TICK_S)

    def _strike(self, done: int, crew: Crew, relay: LossyRelay) -> None:
        """Make the faults that are due, as far as there is somebody to strike; hold the jobs up when they lag."""
        planned = len(self._faults) + self._struck.total()
        due = min(planned, round(planned * done / (self.plan.jobs * _FAULTS_UNTIL)))
        while self._struck.total() < due:
            made = next((fault for fault in dict.fromkeys(self._faults) if self._made(fault, crew, relay)), None)
            if made is None:
                break
            self._faults.remove(made)
            self._struck[made] += 1
        crew.hold(due - self._struck.total() > _MOST_LATE)

    def _made(self, fault: str, crew: Crew, relay: LossyRelay) -> bool:
        if fault == "kill":
            return crew.kill(self._random)
        if fault == "stop":
            return crew.stop(self._random)
        if fault == "producer":
            return crew.kill_helper(self._random)
        if fault == "cut":
            if relay.lose > 0:
                return False
            relay.watch = self._random.choice((b"EVALSHA", b"EVALSHA", b""))
            relay.lose = 1
            return True
        self._server.kill()
        time.sleep(self._random.uniform(0.0, 0.2))
        self._server.restart()
        self._flush_every_write()
        crew.disturbed()
        return True

    def _look(self) -> Counter[str] | None:
        with contextlib.suppress(Unanswered, Refused):
            return self._oracle.look()
        return None

    def _drained(self, left: Counter[str]) -> bool:
        """Whether nothing is left; when only dead letters are, they are put back in line."""
        if not left.total() - left["dead"] and left["dead"]:
            self._oracle.requeue()
        return not left.total()

    def _notice_standstill(self) -> None:
        if self._oracle.runs != self._moved:
            self._moved, self._moved_at = self._oracle.runs, time.monotonic()
        elif time.monotonic() - self._moved_at > self.plan.patience_s:
            self._oracle.findings.append(f"nothing moves any more: {dict(self._look() or {})}")

    def _flush_every_write(self) -> None:
        self._wire.call("CONFIG", "SET", "appendfsync", "always")
        # Rewritten early, so that a server that was killed has little to load.
        self._wire.call("CONFIG", "SET", "auto-aof-rewrite-min-size", "8mb")

    def _say(self, done: int) -> None:
        if self._tell and time.monotonic() > self._told_at + _TELL_S:
            self._told_at = time.monotonic()
            struck = " ".join(f"{name}={times}" for name, times in sorted(self._struck.items()))
            sys.stdout.write(f"{self._told_at - self._began:6.0f} s  jobs={done} {struck}\n")
            sys.stdout.flush()

    def _figures(self, crew: Crew) -> Figures:
        oracle, log = self._oracle, self._oracle.log()
        effects = oracle.effects()
        oracle.close(crew.kills + crew.stops)
        waits = sorted(crew.orphans_s)
        return Figures(
            seed=self._seed,
            seconds=time.monotonic() - self._began,
            jobs_taken=oracle.taken,
            effects=effects,
            executions=oracle.runs,
            executions_repeated=oracle.repeats,
            looks_at_every_place=oracle.looks,
            workers_killed=crew.kills,
            workers_killed_in_a_job=crew.kills_in_a_job,
            workers_stopped_past_the_ttl=crew.stops,
            workers_ended_by_themselves=crew.ended,
            outcomes_refused=log.count(" job.refused "),
            claims_lost=log.count(" claim.lost "),
            redis_killed=self._struck["redis"],
            replies_cut=self._struck["cut"],
            producers_killed=crew.producer_kills,
            jobs_spooled=log.count(" job.spooled "),
            dead_letters_requeued=oracle.requeued,
            orphans_timed=len(waits),
            orphan_back_s_median=waits[len(waits) // 2] if waits else 0.0,
            orphan_back_s_worst=max(waits, default=0.0),
            findings=oracle.findings,
        )
