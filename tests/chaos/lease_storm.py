"""The lease under everything at once: ``python -m tests.chaos.lease_storm [--long] [--scale 0.05] [--seed N]``.

Eight processes fight for one device while they are stopped past the TTL, replies to them get lost and Redis is killed;
they also come back with leases that are long over, to write, release and renew. An attempt is one ask that Redis
decided. Faults are paced by attempts, not by time, so that a slow machine gets as many of them.

Belongs here: the faults and the judge. Does not belong here: a player (``lease_players.py``).
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

from forge_workers.gpu.lease import Leases
from forge_workers.gpu.mutex import mutex_file
from forge_workers.wire import Wire
from tests.chaos import lease_players
from tests.chaos.lease_players import Game
from tests.gpu import broken
from tests.standins.lossy import LossyRelay, lossy_relay
from tests.standins.redis import PrivateRedis, start_redis

_SPAWN = multiprocessing.get_context("spawn")
_PROCESSES = 8
#: How many of the processes reach Redis through a relay that loses replies.
_RELAYED = 2
#: Most processes that are stopped at one time.
_STOPPED = 4


@dataclass(frozen=True)
class Storm:
    """How much of what.

    Attributes:
        attempts: Asks that Redis decides.
        pauses: Stops of a process for longer than the TTL.
        kills: SIGKILLs of Redis.
        lost: Replies lost after Redis did the work.
        at_holder: Share of the pauses that hit whoever holds the lease just then.
        work_s: How long a holder uses the device, seconds.
        ttl_s: TTL of the lease.
        limit_s: Longest time it may take.
        mutex: Whether the kernel lock is used; a control when not.
        fenced: Whether the store has its fence; a control when not.
        changes: What is broken in the script, for controls.
    """

    attempts: int
    pauses: int
    kills: int
    lost: int
    at_holder: float = 0.15
    work_s: float = 0.0005
    ttl_s: float = 0.2
    limit_s: float = 900.0
    mutex: bool = True
    fenced: bool = True
    changes: tuple[broken.Change, ...] = ()

    def scaled(self, by: float) -> Storm:
        """Return the same with ``by`` times as much of everything."""
        counts = {name: max(1, round(getattr(self, name) * by)) for name in ("attempts", "pauses", "kills", "lost")}
        return Storm(**{**{each.name: getattr(self, each.name) for each in fields(self)}, **counts})


SHORT = Storm(attempts=200_000, pauses=150, kills=8, lost=100)
LONG = Storm(attempts=1_000_000, pauses=5_000, kills=50, lost=1_000)


@dataclass(frozen=True)
class Verdict:
    """What came of it; the names in the order of the printed table."""

    attempts: int
    grants: int
    leases_lost_at_work: int
    pauses_past_the_ttl: int
    redis_kills: int
    replies_lost: int
    overlapping_users: int
    terms_not_rising: int
    stale_writes_refused: int
    stale_writes_accepted: int
    strange_acts_tried: int
    strange_acts_obeyed: int
    smallest_share_of_grants: float
    seconds: float

    @property
    def broken(self) -> tuple[str, ...]:
        """The rules that did not hold."""
        rules = ("overlapping_users", "terms_not_rising", "stale_writes_accepted", "strange_acts_obeyed")
        return tuple(rule for rule in rules if getattr(self, rule))

    def table(self, seed: str) -> str:
        """Return this for people."""
        rows = [(each.name.replace("_", " "), getattr(self, each.name)) for each in fields(self)]
        width = max(len(name) for name, _ in rows)
        shown = [
            f"{name:<{width}}  {value:,.3g}" if isinstance(value, float) else f"{name:<{width}}  {value:,}"
            for name, value in rows
        ]
        return "\n".join([*shown, f"{'seed':<{width}}  {seed}"])


class _Weather:
    """Does to the players and to Redis what is due."""

    def __init__(self, storm: Storm, seed: str, server: PrivateRedis, relay: LossyRelay) -> None:
        self.pauses = 0
        self.kills = 0
        self._storm = storm
        self._chance = random.Random(seed)
        self._server = server
        self._relay = relay
        self._leases = Leases(Wire(f"unix://{server.socket}"), ttl_s=storm.ttl_s, mutex=None)
        kinds = (("pause", storm.pauses), ("kill", storm.kills), ("lose", storm.lost))
        self._due = [(storm.attempts * (turn + 0.5) / count, kind) for kind, count in kinds for turn in range(count)]
        heapq.heapify(self._due)
        self._stopped: list[tuple[float, int]] = []

    def blow(self, attempts: int, players: list[BaseProcess]) -> None:
        """Bring what is due after so many attempts; wake who slept long enough."""
        while self._stopped and self._stopped[0][0] <= time.monotonic():
            os.kill(heapq.heappop(self._stopped)[1], signal.SIGCONT)
        while self._due and self._due[0][0] <= attempts:
            kind = self._due[0][1]
            if kind == "pause":
                if len(self._stopped) >= _STOPPED:
                    return
                self._stop(players)
            elif kind == "kill":
                self._server.kill()
                self._server.restart()
                self.kills += 1
            else:
                self._relay.lose += 1
            heapq.heappop(self._due)

    def calm(self) -> bool:
        """Whether everything was brought and everybody is awake."""
        return not self._due and not self._stopped

    def clear(self) -> None:
        """Wake everybody."""
        for _, pid in self._stopped:
            os.kill(pid, signal.SIGCONT)

    def _stop(self, players: list[BaseProcess]) -> None:
        asleep = {pid for _, pid in self._stopped}
        awake = [player.pid or 0 for player in players if player.pid not in asleep]
        victim = self._chance.choice(awake)
        if self._chance.random() < self._storm.at_holder:
            holder = self._leases.status(now=0).holder
            victim = holder.pid if holder is not None and holder.pid in awake else victim
        os.kill(victim, signal.SIGSTOP)
        until = time.monotonic() + self._storm.ttl_s * self._chance.uniform(1.1, 1.7)
        heapq.heappush(self._stopped, (until, victim))
        self.pauses += 1


def run(storm: Storm, seed: str, folder: Path) -> Verdict:
    """Let it rage in ``folder`` and judge what is left."""
    began = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(start_redis(folder / "forge"))
        relay = stack.enter_context(lossy_relay(folder / "relay", server.socket))
        direct, relayed = f"unix://{server.socket}", f"unix://{relay.path}"
        game = Game(
            folder=folder,
            addresses=(*[relayed] * _RELAYED, *[direct] * (_PROCESSES - _RELAYED)),
            ttl_s=storm.ttl_s,
            work_s=storm.work_s,
            mutex=mutex_file(folder) if storm.mutex else None,
            fenced=storm.fenced,
            changes=storm.changes,
            seed=seed,
            asked=_SPAWN.RawArray("q", _PROCESSES),
            over=_SPAWN.RawValue("b", 0),
        )
        players: list[BaseProcess] = [
            _SPAWN.Process(target=lease_players.play, args=(game, number), daemon=True) for number in range(_PROCESSES)
        ]
        for player in players:
            stack.callback(player.kill)
            player.start()
        weather = _Weather(storm, seed, server, relay)
        stack.callback(weather.clear)
        while sum(game.asked) < storm.attempts or not weather.calm():
            weather.blow(sum(game.asked), players)
            time.sleep(0.004)
            if time.monotonic() - began > storm.limit_s:
                raise TimeoutError(f"{sum(game.asked)} attempts in {storm.limit_s:.0f} s (seed {seed})")
        game.over.value = 1
        for player in players:
            player.join(30)
        lost = storm.lost - relay.lose
    return _judged(game, weather, lost, time.monotonic() - began)


def _judged(game: Game, weather: _Weather, lost: int, seconds: float) -> Verdict:
    folder = game.folder
    counts = [json.loads((folder / f"player.{number}").read_text()) for number in range(_PROCESSES)]
    sums = {name: sum(each[name] for each in counts) for name in counts[0]}
    terms, written = _numbers(folder / "grants"), _numbers(folder / "written")
    return Verdict(
        attempts=sum(game.asked),
        grants=sums["grants"],
        leases_lost_at_work=sums["lost"],
        pauses_past_the_ttl=weather.pauses,
        redis_kills=weather.kills,
        replies_lost=lost,
        overlapping_users=len(_numbers(folder / "overlaps")),
        terms_not_rising=sum(before >= after for before, after in pairwise(terms)),
        stale_writes_refused=sums["refused"],
        stale_writes_accepted=sum(before > after for before, after in pairwise(written)),
        strange_acts_tried=sums["strange"],
        strange_acts_obeyed=sums["obeyed"],
        smallest_share_of_grants=min(each["grants"] for each in counts) / max(1, sums["grants"]),
        seconds=seconds,
    )


def _numbers(path: Path) -> list[int]:
    """Return the first number of every line."""
    return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> int:
    """Run one storm from the command line; 1 when a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="a million attempts")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times as much of everything")
    parser.add_argument("--seed", default=secrets.token_hex(4))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = run((LONG if chosen.long else SHORT).scaled(chosen.scale), chosen.seed, Path(folder))
    sys.stdout.write(verdict.table(chosen.seed) + "\n")
    for rule in verdict.broken:
        sys.stdout.write(f"BROKEN: {rule.replace('_', ' ')}\n")
    return int(bool(verdict.broken))


if __name__ == "__main__":
    sys.exit(main())
