"""A worker killed with SIGKILL in the middle of a job, with 200 queued: what is lost, what is stuck, what runs again.

The whole worker dies, all its processes at once, as with a container or a host. Belongs here: that, for Forge and the
others. Does not belong here: the chaos tests, which assert.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from forge_workers.jobs.queue import Pace
from tests.benchmarks.figures import reached, table
from tests.benchmarks.peers.arena import Arena, arena, kill
from tests.benchmarks.peers.contenders import BARE, FORGE, Contender
from tests.benchmarks.peers.handler import Record, read

#: Queued jobs, the seconds each takes, and how many have begun when the worker is killed.
_JOBS, _JOB_S, _BEGUN = 200, 0.02, 40
#: Seconds without any job after which the rest counts as stuck.
_QUIET_S = 70.0
#: Seconds between two jobs of the other traffic, and the number of its first.
_TRAFFIC_S, _TRAFFIC_FROM = 0.5, 100_000


@dataclass(frozen=True)
class _Fate:
    """What became of the jobs.

    Attributes:
        inflight: Begun and not ended when the worker died.
        lost: Never ended, and nowhere in Redis.
        stuck: Never ended, and still in Redis.
        twice: Begun more than once.
        again_s: Seconds from the kill until the last one in flight began again; not a number when none did.
    """

    inflight: int
    lost: int
    stuck: int
    twice: int
    again_s: float


def run(contenders: Sequence[Contender]) -> str:
    """Return the measured table as Markdown."""
    ours: dict[str, Callable[[], _Fate]] = {
        "Forge, restarted at once": lambda: _kill(FORGE, restart=True),
        "Forge, not restarted, a second process idle": lambda: _kill(FORGE, restart=False),
        "the same with other traffic": lambda: _kill(FORGE, restart=False, traffic=True),
        f"{BARE.name}, restarted at once": lambda: _kill(BARE, restart=True),
    }
    peers = {f"{who.name}, restarted at once": _killer(who) for who in contenders if who not in {FORGE, BARE}}
    fates = _all_at_once(ours) | _all_at_once(peers)
    rows = [
        [
            name,
            str(fate.inflight),
            str(fate.lost),
            str(fate.stuck) if fate.stuck else "–",
            str(fate.twice),
            "–" if math.isnan(fate.again_s) else f"{fate.again_s:.1f}",
        ]
        for name, fate in fates.items()
    ]
    forge = [fate for name, fate in fates.items() if name in list(ours)[:-1]]
    return "\n".join(
        (
            f"### SIGKILL of the whole worker with {_JOBS} jobs of {_JOB_S * 1e3:.0f} ms queued",
            "",
            f"Stuck: not done after {_QUIET_S:.0f} s without any job, and still in Redis. Defaults everywhere.",
            "",
            *table(["", "in flight", "lost", "stuck", "begun twice", "re-run after s"], rows),
            "",
            reached("Forge: jobs lost or stuck", max(fate.lost + fate.stuck for fate in forge), most=0),
            reached("Forge: re-run after", max(fate.again_s for fate in forge), most=2 * Pace().ttl_s, unit=" s"),
            "",
        )
    )


def _all_at_once(cases: Mapping[str, Callable[[], _Fate]]) -> dict[str, _Fate]:
    """Run all cases side by side, each with its own server: most of the time is waiting."""
    if not cases:
        return {}
    with ThreadPoolExecutor(len(cases)) as pool:
        return dict(zip(cases, pool.map(lambda case: case(), cases.values()), strict=True))


def _killer(who: Contender) -> Callable[[], _Fate]:
    return lambda: _kill(who, restart=True)


def _kill(who: Contender, *, restart: bool, traffic: bool = False) -> _Fate:
    """Kill a worker in the middle of a job and see what becomes of all."""
    with arena() as here:
        feeder = here.feeder(who)
        feeder.send(_JOBS)
        worker = here.worker(who, seconds=_JOB_S)
        here.wait(who, 2 * _BEGUN, _QUIET_S)
        _wait_for_a_job_at_work(here, who)
        killed_ns = time.monotonic_ns()
        kill(worker)
        begun = _inflight(read(here.records_of(who)))
        here.worker(who, slot=0 if restart else 1, seconds=_JOB_S)
        over = threading.Event()
        if traffic:
            threading.Thread(target=_keep_sending, args=(here, who, over), daemon=True).start()
        records = _until_quiet(here, who)
        over.set()
        return _fate(records, begun, killed_ns, who.unfinished(here.server.client()))


def _wait_for_a_job_at_work(here: Arena, who: Contender) -> None:
    deadline = time.monotonic() + _QUIET_S
    while not _inflight(read(here.records_of(who))) and time.monotonic() < deadline:
        time.sleep(_JOB_S / 10)


def _keep_sending(here: Arena, who: Contender, over: threading.Event) -> None:
    feeder, number = here.feeder(who), _TRAFFIC_FROM
    while not over.wait(_TRAFFIC_S):
        feeder.send(first=number)
        number += 1


def _until_quiet(here: Arena, who: Contender) -> list[Record]:
    """Return the records when all jobs are done, or nothing has come of the missing ones for long."""
    last_ns = time.monotonic_ns()
    while True:
        records = [record for record in read(here.records_of(who)) if record.number < _TRAFFIC_FROM]
        last_ns = max([last_ns, *(record.at_ns for record in records[-1:])])
        if len({record.number for record in records if record.ended}) == _JOBS:
            return records
        if time.monotonic_ns() > last_ns + _QUIET_S * 1e9:
            return records
        time.sleep(0.1)


def _inflight(records: Sequence[Record]) -> set[int]:
    return {record.number for record in records} - {record.number for record in records if record.ended}


def _fate(records: Sequence[Record], begun: set[int], killed_ns: int, unfinished: int) -> _Fate:
    starts: dict[int, list[int]] = {}
    for record in records:
        if not record.ended:
            starts.setdefault(record.number, []).append(record.at_ns)
    missing = _JOBS - len({record.number for record in records if record.ended})
    again = [starts[number][-1] for number in begun if len(starts[number]) > 1]
    stuck = min(missing, unfinished)
    return _Fate(
        inflight=len(begun),
        lost=missing - stuck,
        stuck=stuck,
        twice=sum(len(times) > 1 for times in starts.values()),
        again_s=(max(again) - killed_ns) / 1e9 if again else math.nan,
    )
