"""Who takes part in the queue's storm: processes that are started, killed, stopped, woken and started again.

Belongs here: real signals to real processes. Does not belong here: when they come (``queue_storm.py``) or what the
processes do (``queue_players.py``).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from forge_workers.wire import Wire
from tests.chaos import queue_players

_FORK = multiprocessing.get_context("forkserver")
#: What the parent of all processes has imported before it forks: more than they need, for who runs the command.
_WARM = "tests.chaos.queue_faults"
_PRODUCERS = 3
#: One worker in so many, and the first producer, reaches Redis through the relay that loses replies.
_RELAYED = 6
#: Of the workers, the share that may be stopped, and that may lie dead, at one time.
_ABSENT = 3
#: Seconds that a worker gets to leave after SIGTERM.
_LEAVE_S = 20.0


@dataclass
class Place:
    """One worker's place.

    Attributes:
        process: Who has it now.
        claim: Of who was killed or stopped, while it is watched; "" when nobody is missed.
        stopped: It was stopped and not killed.
        since: When, on the monotonic clock; 0 when the time shall not count.
    """

    process: BaseProcess
    claim: str = ""
    stopped: bool = False
    since: float = 0.0


@dataclass(frozen=True)
class Staff:
    """Who is wanted.

    Attributes:
        home: The storm's home.
        urls: The ways to Redis: straight, and through the relay.
        workers: How many workers.
        flaw: What is broken in them.
        work: What producers shall enqueue.
    """

    home: Path
    urls: tuple[str, str]
    workers: int
    flaw: str
    work: queue_players.Work


class Crew:
    """All processes of one storm.

    Args:
        wire: A sound way to Redis.
        staff: Who is wanted.

    Attributes:
        kills, stops, producer_kills: How many were killed, stopped until their claim was taken back, killed.
        kills_in_a_job: How many of the killed had a job in flight.
        ended: How many workers ended by themselves, as one does that finds itself stopped for eight TTLs.
        orphans_s: Seconds from a kill until the job was back in line, where the place stayed empty.
    """

    def __init__(self, wire: Wire, staff: Staff) -> None:
        _FORK.set_forkserver_preload([_WARM])
        self.kills = self.stops = self.producer_kills = self.kills_in_a_job = self.ended = 0
        self.orphans_s: list[float] = []
        self._wire = wire
        self._staff = staff
        self._held = staff.home / queue_players.HELD
        self._workers = [Place(self._worker(slot)) for slot in range(staff.workers)]
        self._janitor = self._tidying()
        self._producers = [self._producer(share) for share in range(_PRODUCERS)]

    def tend(self) -> None:
        """Wake who was taken for dead, and start anew who is dead and no longer waited for."""
        everybody = (self._janitor, *self._producers, *(place.process for place in self._workers))
        gone = set(wait([process.sentinel for process in everybody], timeout=0))
        for slot, place in enumerate(self._workers):
            if place.claim and self._taken_back(place):
                if place.stopped:
                    os.kill(place.process.pid or 0, signal.SIGCONT)
                    self.stops += 1
                elif place.since:
                    self.orphans_s.append(time.monotonic() - place.since)
                place.claim, place.stopped = "", False
            if not place.claim and place.process.sentinel in gone:
                self.ended += place.process.exitcode != -signal.SIGKILL
                _let_go(place.process)
                place.process = self._worker(slot)
        if self._janitor.sentinel in gone:
            _let_go(self._janitor)
            self._janitor = self._tidying()
        for share, producer in enumerate(self._producers):
            if producer.sentinel in gone and producer.exitcode:
                _let_go(producer)
                self._producers[share] = self._producer(share)

    def kill(self, random: Random) -> bool:
        """Kill a worker; every third time its place stays empty until its job was taken back by others."""
        place = self._chosen(random)
        if place is None:
            return False
        pid = place.process.pid or 0
        place.process.kill()
        place.process.join()
        self.kills += 1
        claim = self._claim_of(pid)
        in_a_job = bool(claim and self._wire.call("LLEN", self._inflight(claim)))
        self.kills_in_a_job += in_a_job
        if claim and random.random() < 1 / 3:
            place.claim, place.since = claim, time.monotonic() if in_a_job else 0.0
        return True

    def stop(self, random: Random) -> bool:
        """Stop a worker until its claim was taken back."""
        place = self._chosen(random)
        claim = "" if place is None else self._claim_of(place.process.pid or 0)
        if place is None or not claim:
            return False
        os.kill(place.process.pid or 0, signal.SIGSTOP)
        place.claim, place.stopped = claim, True
        return True

    def kill_helper(self, random: Random) -> bool:
        """Kill a producer, or the janitor."""
        chosen = random.choice([self._janitor, *(one for one in self._producers if one.is_alive())])
        chosen.kill()
        chosen.join()
        self.producer_kills += 1
        return True

    def disturbed(self) -> None:
        """Redis was away: the deaths that are waited for take longer, and their time does not count."""
        for place in self._workers:
            place.since = 0.0

    def hold(self, held: bool) -> None:
        """Let the producers wait, or go on."""
        if held:
            self._held.touch()
        else:
            self._held.unlink(missing_ok=True)

    def producers_done(self) -> bool:
        """Whether every job was asked for."""
        return all(producer.exitcode == 0 for producer in self._producers)

    def end(self) -> None:
        """Let all go: politely, and after a while not."""
        for place in self._workers:
            if place.process.is_alive() and place.stopped:
                os.kill(place.process.pid or 0, signal.SIGCONT)
        everybody = [self._janitor, *self._producers, *(place.process for place in self._workers)]
        for process in everybody:
            process.terminate()
        deadline = time.monotonic() + _LEAVE_S
        for process in everybody:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.join()
            process.close()

    def _chosen(self, random: Random) -> Place | None:
        """Return a place whose worker is at work, None when too many are missed already."""
        if sum(bool(place.claim) for place in self._workers) > len(self._workers) // _ABSENT:
            return None
        up = [place for place in self._workers if not place.claim and place.process.is_alive()]
        return random.choice(up) if up else None

    def _taken_back(self, place: Place) -> bool:
        if self._wire.call("HEXISTS", f"{queue_players.STORM_PREFIX}:claims", place.claim):
            return False
        return place.stopped or not self._wire.call("EXISTS", self._inflight(place.claim))

    def _claim_of(self, pid: int) -> str:
        flat = self._wire.call("HGETALL", f"{queue_players.STORM_PREFIX}:claims")
        for claim, facts in zip(flat[::2], flat[1::2], strict=True):
            if json.loads(facts).get("pid") == pid:
                return str(claim.decode())
        return ""

    def _inflight(self, claim: str) -> str:
        return f"{queue_players.STORM_PREFIX}:inflight:{claim}"

    def _worker(self, slot: int) -> BaseProcess:
        url = self._staff.urls[slot % _RELAYED == 0]
        return self._begun(queue_players.work, url, slot, self._staff.flaw)

    def _tidying(self) -> BaseProcess:
        return self._begun(queue_players.work, self._staff.urls[0], 0, "", queue_players.TIDY)

    def _producer(self, share: int) -> BaseProcess:
        url = self._staff.urls[share == 0]
        return self._begun(queue_players.produce, url, self._staff.work, share, _PRODUCERS)

    def _begun(self, target: object, url: str, *args: object) -> BaseProcess:
        process = _FORK.Process(target=target, args=(self._staff.home, url, *args), daemon=True)  # type: ignore[arg-type]
        process.start()
        return process


def _let_go(process: BaseProcess) -> None:
    process.join()
    process.close()
