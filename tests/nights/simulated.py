"""A machine whose clock steps, which sleeps, and whose two daemons die or stop at the worst moments, played in no time.

The daemons are Forge's own decision and claim code; Dagster, the clock and the faults are played here.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, cast

import dagster as dg

from forge_assets import run_tags
from forge_assets.asking import Asking
from forge_workers.nights import asked, policy
from forge_workers.settings import Settings
from forge_workers.store import NightStore

HOUR = 3600.0
#: Ticks that Dagster's scheduler makes up for after a pause. Source: dagster.yaml of 1.13, ``max_catchup_runs``.
CATCH_UP = 5


class Record(NamedTuple):
    """What Dagster tells of a run."""

    dagster_run: dg.DagsterRun
    create_timestamp: datetime


@dataclass
class Runs:
    """Dagster's runs, as far as asking for nights looks at them."""

    records: list[Record] = field(default_factory=list)
    keys: set[tuple[str, str]] = field(default_factory=set)

    def get_run_records(self, filters: dg.RunsFilter, limit: int) -> list[Record]:
        """Return the runs that have the filter's tags."""
        wanted = filters.tags.items()
        return [one for one in self.records if all(one.dagster_run.tags.get(k) == v for k, v in wanted)][-limit:]

    def report_run_canceled(self, run: dg.DagsterRun, _: str) -> None:
        """Never happens here: what is made is queued at once."""
        raise AssertionError(run)

    def create(self, by: str, request: dg.RunRequest, now: float) -> dg.DagsterRun | None:
        """Make the run of a request, once per run key of its sensor or schedule."""
        assert request.run_key is not None
        if (by, request.run_key) in self.keys:
            return None
        self.keys.add((by, request.run_key))
        tags = {**request.tags, run_tags.PARTITION: str(request.partition_key)}
        chosen = frozenset(request.asset_selection) if request.asset_selection else None
        run = dg.DagsterRun(job_name="night", tags=tags, status=dg.DagsterRunStatus.STARTED, asset_selection=chosen)
        self.records.append(Record(run, datetime.fromtimestamp(now, UTC)))
        return run


@dataclass
class Daemon:
    """One sensor and schedule daemon.

    Attributes:
        name: Its own.
        down_until: True time until which it is not there.
        last_tick: Wall time up to which it has looked for ticks of the schedule.
        held: What it had evaluated when it was stopped, and asks for when it goes on.
    """

    name: str
    down_until: float = 0.0
    last_tick: float = 0.0
    held: list[tuple[str, dg.RunRequest]] = field(default_factory=list)


Ask = Callable[[Settings, NightStore, dg.DagsterInstance, float], Asking]


@dataclass
class Machine:
    """One machine over some weeks.

    Attributes:
        settings: The user's.
        root: Where nights are kept.
        chance: The dice.
        ask: How nights are asked for; a broken way is a control.
        fenced: Whether a run looks whether it still has its night; without it is a control.
    """

    settings: Settings
    root: Path
    chance: random.Random
    ask: Ask = Asking
    fenced: bool = True
    runs: Runs = field(default_factory=Runs)
    offset: float = 0.0
    worked: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)

    def play(self, first: str, nights: int) -> None:
        """Live through ``nights`` nights from ``first``, then two quiet days."""
        zone, hours = self.settings.zone, self.settings.night
        daemons = [Daemon("a"), Daemon("b")]
        begin = policy.due_at(policy.days_after(first, -1), hours, zone) + HOUR
        asked.watched_since(self.root, policy.days_after(first, -1))
        for daemon in daemons:
            daemon.last_tick = begin
        end = policy.due_at(policy.days_after(first, nights - 1), hours, zone)
        now = begin
        while now < end:
            due = policy.due_at(policy.newest_due(now + 24 * HOUR, hours, zone), hours, zone)
            now = self._next(now, due)
            self._disturb(now, daemons)
            self._look(now, daemons)
        self.offset = 0.0
        for quiet in range(48):
            for daemon in daemons:
                daemon.down_until = 0.0
            self._look(end + (quiet + 1) * HOUR, daemons, faults=False)

    def _next(self, now: float, due: float) -> float:
        """Return the next true time at which somebody looks: some hours on, soon after the tick, or after a sleep."""
        if self.chance.random() < 0.04:
            return now + self.chance.choice([6, 20, 30, 50, 100]) * HOUR  # the machine slept
        step = self.chance.uniform(0.5, 5) * HOUR
        return due + self.chance.uniform(0, 60) if now < due < now + step else now + step

    def _disturb(self, now: float, daemons: list[Daemon]) -> None:
        """Let the clock step, and daemons go for a while."""
        if self.chance.random() < 0.15:
            self.offset = self.chance.choice([0, 0, 1, -1, 61, -61, 0.5 * HOUR, -0.5 * HOUR, 3 * HOUR, -3 * HOUR,
                                              20 * HOUR, -26 * HOUR])  # fmt: skip
        for daemon in daemons:
            if self.chance.random() < 0.05:
                daemon.down_until = now + self.chance.uniform(0.1, 40) * HOUR

    def _look(self, now: float, daemons: list[Daemon], *, faults: bool = True) -> None:
        """Let both daemons evaluate, and only then make their runs: the worst order there is."""
        wall = now + self.offset
        found: list[tuple[Daemon, str, dg.RunRequest]] = []
        for daemon in self.chance.sample(daemons, len(daemons)):
            if daemon.down_until > now:
                continue
            requests = [*daemon.held, *self._ticks(daemon, wall), *(("sensor", r) for r in self._asking(wall).due())]
            daemon.held = []
            for by, request in requests:
                fate = self.chance.random() if faults else 1.0
                if fate < 0.15:
                    daemon.down_until = now + self.chance.uniform(0.1, 10) * HOUR  # it dies and forgets
                elif fate < 0.3:
                    daemon.down_until = now + self.chance.uniform(0.1, 10) * HOUR  # it is stopped, and remembers
                    daemon.held.append((by, request))
                else:
                    found.append((daemon, by, request))
        for daemon, by, request in found:
            self._begin(self.runs.create(f"{daemon.name if by == 'schedule' else ''}{by}", request, wall))

    def _ticks(self, daemon: Daemon, wall: float) -> list[tuple[str, dg.RunRequest]]:
        """Evaluate the ticks of the schedule since the last look, the last few of them."""
        zone, hours = self.settings.zone, self.settings.night
        night = policy.newest_due(wall, hours, zone)
        ticks = [policy.days_after(night, -n) for n in reversed(range(CATCH_UP))]
        due = [key for key in ticks if daemon.last_tick < policy.due_at(key, hours, zone) <= wall]
        daemon.last_tick = max(daemon.last_tick, wall)
        return [("schedule", request) for key in due for request in self._asking(wall).due((key,), key)]

    def _asking(self, wall: float) -> Asking:
        return self.ask(self.settings, NightStore(self.root), cast("dg.DagsterInstance", self.runs), wall)

    def _begin(self, run: dg.DagsterRun | None) -> None:
        """Let the first step of a run begin, as ``forge_assets/steps.py`` does."""
        if run is None:
            return
        night = run.tags[run_tags.PARTITION]
        try:
            if self.fenced:
                asked.begin(self.root, night, run.tags[run_tags.CLAIM], run.run_id)
            self.worked[night] += 1
        except asked.Superseded:
            self.ended[night] += 1


def nights_from(first: str, nights: int) -> list[str]:
    """Return ``nights`` nights from ``first``."""
    day = date.fromisoformat(first)
    return [(day + timedelta(days=n)).isoformat() for n in range(nights)]
