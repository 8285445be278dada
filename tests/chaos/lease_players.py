"""Processes that fight for the GPU lease, and what they fight over: a device, a fenced store, a log of grants.

Belongs here: one player and what it leaves behind for the judge. Does not belong here: the faults, or any judgement
(``lease_storm.py``).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forge_workers.errors import LeaseLost, Snooze, Transient
from forge_workers.fence import Fence
from forge_workers.gpu.lease import Lease, Leases, Priority
from forge_workers.gpu.script import Asked, LeaseScript
from forge_workers.wire import Wire
from tests.gpu import broken

#: Leases that a player remembers, to come back with when they are long over.
_REMEMBERED = 20


@dataclass(frozen=True)
class Game:
    """What every player knows.

    Attributes:
        folder: Where device, store and logs are.
        addresses: URL of Redis for each player.
        ttl_s: TTL of the lease.
        work_s: How long a holder uses the device, seconds.
        mutex: The kernel lock's file, None for the control without it.
        fenced: Whether the store has its fence.
        changes: What is broken in the script.
        seed: Of every choice.
        asked: So many attempts each player made; of a type that ``multiprocessing`` makes at run time.
        over: Not zero when the players shall stop.
    """

    folder: Path
    addresses: tuple[str, ...]
    ttl_s: float
    work_s: float
    mutex: Path | None
    fenced: bool
    changes: tuple[broken.Change, ...]
    seed: str
    asked: Any
    over: Any


class Impatient(LeaseScript):
    """The script of one player: counts what it asks, and may ask again at once instead of sleeping in line."""

    def __init__(self, game: Game, number: int) -> None:
        super().__init__(Wire(game.addresses[number]), "local:0", game.ttl_s, ageing_s=1.0)
        self.sleeps = True
        self._game = game
        self._number = number

    def ask(self, token: str, claim: tuple[str | int, ...], *, proof: bool) -> Asked:
        """Ask, and count it once Redis has decided."""
        asked = super().ask(token, claim, proof=proof)
        self._game.asked[self._number] += 1
        return asked

    def woken(self, token: str, within_s: float) -> int:
        """Sleep in line, or not at all."""
        return super().woken(token, within_s) if self.sleeps else 0


@dataclass
class Player:
    """One process's share of the storm.

    Attributes:
        grants: How often it had the device.
        lost: How often it lost the lease while it worked.
        refused: Writes under an old term that the store refused.
        strange: Releases and renewals of leases that were over.
        obeyed: Of those, how many Redis obeyed.
    """

    game: Game
    number: int
    grants: int = 0
    lost: int = 0
    refused: int = 0
    strange: int = 0
    obeyed: int = 0
    _old: list[Lease] = field(default_factory=list)

    def play(self) -> None:
        """Fight until it is over, and leave the counts behind."""
        chance = random.Random(f"{self.game.seed} {self.number}")
        leases = Leases(Wire(self.game.addresses[self.number]), ttl_s=self.game.ttl_s, mutex=self.game.mutex)
        leases.script = script = Impatient(self.game, self.number)
        broken.break_script(leases, *self.game.changes)
        while not self.game.over.value:
            script.sleeps = chance.random() < 0.15
            self._round(leases, chance)
            if self._old and chance.random() < 0.6:
                self._come_back(leases, chance)
        counts = {name: getattr(self, name) for name in ("grants", "lost", "refused", "strange", "obeyed")}
        (self.game.folder / f"player.{self.number}").write_text(json.dumps(counts), encoding="utf-8")

    def _round(self, leases: Leases, chance: random.Random) -> None:
        claim = {"priority": chance.choice(list(Priority)), "model": chance.choice(["x", "y", None])}
        try:
            with leases.acquire("storm", chance.choice((0.0, 0.2, 1.0)), **claim) as lease:
                self._old = [*self._old[-_REMEMBERED:], lease]
                self.grants += 1
                self._work(lease, chance)
        except LeaseLost:
            self.lost += 1
        except Snooze:
            pass
        except Transient:  # Redis is away
            time.sleep(0.02)

    def _work(self, lease: Lease, chance: random.Random) -> None:
        _append(self.game.folder / "grants", f"{lease.term} {self.number}")
        lease.check()
        _use(self.game.folder, self.game.work_s)
        lease.check()
        if chance.random() < 0.05:
            self._write(lease.term)

    def _come_back(self, leases: Leases, chance: random.Random) -> None:
        """Act in the name of leases that are over: write in each one's, release or renew in one's."""
        for over in self._old:
            self._write(over.term)
        old = chance.choice(self._old)
        with contextlib.suppress(Transient):
            self.strange += 1
            self.obeyed += leases.script.call(chance.choice(["release", "renew"]), old.token)

    def _write(self, term: int) -> None:
        try:
            with Fence(self.game.folder / "fence.json").admit("gpu", term) if self.game.fenced else _nothing():
                _append(self.game.folder / "written", str(term))
        except LeaseLost:
            self.refused += 1


def play(game: Game, number: int) -> None:
    """Be one player."""
    Player(game, number).play()


def _use(folder: Path, for_s: float) -> None:
    """Open the device, work, close it; a second user at the same time is written down."""
    device = folder / "device"
    try:
        handle = os.open(device, os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        _append(folder / "overlaps", str(os.getpid()))
        return
    time.sleep(for_s)
    os.close(handle)
    device.unlink()


def _append(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def _nothing() -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()
