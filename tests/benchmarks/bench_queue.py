"""What the queue costs and how fast it wakes a worker, beside a bare redis-py loop and the Python queues.

Every contender runs as its own real processes with the same handler, over the same Unix socket of a private bundled
server, which keeps its append-only file. Contenders take turns in every round and are held to the same cores.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.benchmarks import bench_kills
from tests.benchmarks.figures import middle, percentile, reached, table
from tests.benchmarks.peers.arena import Arena, Feeder, Placement, apart, arena, kept_bytes, placements, shuffled
from tests.benchmarks.peers.contenders import ALL, BARE, FORGE, FORGE_APART, Contender
from tests.benchmarks.peers.handler import read
from tests.benchmarks.peers.usage import cpu_seconds

_ROUNDS = 3
#: Longest that a round of one contender may take, seconds.
_PATIENCE_S = 60.0
#: Slices in which enqueueing is measured, in turn with everybody else's.
_SLICES = 10
#: Jobs sent one by one to each idle worker, and the gaps between two of all, seconds.
_SINGLE, _GAPS_S = 160, (0.01, 0.06)
#: Longest wait for one of them, seconds.
_LATE_S = 5.0
#: Forge's second way in, without the spool.
_QUEUE = "Forge, Queue.enqueue"


_HOW = """\
Medians of {rounds} rounds, from the first job's start to the last one's. On one core: server and worker share it; on
two: one each. CPU is the worker's and the server's together. Bytes are those of all keys after a round, divided by its
jobs; Forge's history keeps 200 outcomes however many jobs were done."""


@dataclass
class _Work:
    """What the rounds of one contender and placement gave."""

    per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)


def run() -> str:
    """Return the measured tables as Markdown."""
    who = [contender for contender in ALL if contender.installed]
    missing = ", ".join(contender.name for contender in ALL if not contender.installed)
    note = f"\nNot installed and so not measured: {missing}.\n" if missing else ""
    parts = (_throughput([*who, FORGE_APART]), _enqueueing(who), _latency(who), bench_kills.run(who))
    return "\n".join(("## The queue\n" + note, *parts))


def _throughput(contenders: Sequence[Contender]) -> str:
    """Measure jobs per second through one worker."""
    found: dict[tuple[str, Contender], _Work] = defaultdict(_Work)
    places = placements()
    for turn in range(_ROUNDS):
        for place in places:
            for who in shuffled(contenders, turn):
                _drain(who, place, found[place.name, who])
    rows = [
        [
            who.name,
            "yes" if who.keeps else "no",
            *(text for place in places for text in _speed(found, place.name, who)),
            f"{middle(found[places[0].name, who].kept):.0f}",
        ]
        for who in contenders
    ]
    head = ["", "keeps the job in flight"]
    for place in places:
        head += [f"{place.name}: jobs/s", "× bare", "CPU us/job"]
    lines = [
        "### No-op jobs through one worker",
        "",
        _HOW.format(rounds=_ROUNDS),
        "",
        *table([*head, "bytes left/job"], rows),
        "",
    ]
    for place in places:
        lines += _against(found, place.name, contenders)
    return "\n".join(lines) + "\n"


def _drain(who: Contender, place: Placement, found: _Work) -> None:
    """Fill a queue, start a worker on it, and note how fast it empties it."""
    with arena(place) as here:
        feeder = here.feeder(who)
        feeder.send(who.jobs)
        worker = here.worker(who)
        here.wait(who, 1, _PATIENCE_S)
        before, done_before = cpu_seconds(worker, here.server.pid), len(read(here.records_of(who)))
        records = here.wait(who, who.jobs, _PATIENCE_S)
        used = cpu_seconds(worker, here.server.pid) - before
        if len(records) < 2:
            return
        at = sorted(record.at_ns for record in records)
        found.per_s.append((len(at) - 1) / ((at[-1] - at[0]) / 1e9))
        found.cpu_us.append(used / max(1, len(records) - done_before) * 1e6)
        time.sleep(0.2)  # the last job's outcome is on its way
        here.end_all()
        found.kept.append(kept_bytes(here.server.client()) / len(records))


def _speed(found: Mapping[tuple[str, Contender], _Work], place: str, who: Contender) -> tuple[str, str, str]:
    mine, bare = found[place, who], middle(found[place, BARE].per_s)
    per_s = middle(mine.per_s)
    return f"{per_s:,.{0 if per_s >= 10 else 1}f}", f"{per_s / bare:.2f}", f"{middle(mine.cpu_us):,.0f}"


def _against(
    found: Mapping[tuple[str, Contender], _Work], place: str, contenders: Sequence[Contender]
) -> tuple[str, ...]:
    mine = middle(found[place, FORGE].per_s)
    lines = [reached(f"Forge / bare loop, {place}", mine / middle(found[place, BARE].per_s), least=0.7, unit=" x")]
    keepers = [who for who in contenders if who.keeps and who not in {FORGE, FORGE_APART, BARE}]
    if keepers:
        best = max(keepers, key=lambda who: middle(found[place, who].per_s))
        times = mine / middle(found[place, best].per_s)
        lines.append(reached(f"Forge / best that keeps jobs ({best.name}), {place}", times, least=2.5, unit=" x"))
    return tuple(lines)


def _enqueueing(contenders: Sequence[Contender]) -> str:
    """Measure jobs per second into the queue."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    places = placements()
    for place in places:
        for turn in range(_ROUNDS):
            with arena(place) as here:
                for name, per_s in _send_in_turns(here, contenders, turn).items():
                    found[place.name, name].append(per_s)
    names = [FORGE.name, _QUEUE, *(who.name for who in contenders if who is not FORGE)]
    rows = []
    for name in names:
        row = ["Forge, Producer.enqueue (checks, spool)" if name == FORGE.name else name]
        for place in places:
            mine, bare = middle(found[place.name, name]), middle(found[place.name, BARE.name])
            row += [f"{mine:,.0f}", f"{mine / bare:.2f}"]
        rows.append(row)
    head = [""]
    for place in places:
        head += [f"{place.name}: enqueue/s", "× bare RPUSH"]
    lines = [
        "### Enqueueing",
        "",
        f"Medians of {_ROUNDS} rounds; one producer each, {_SLICES} slices in turn.",
        "",
        *table(head, rows),
        "",
    ]
    for place in places:
        bare = middle(found[place.name, BARE.name])
        for name, what in ((FORGE.name, "Producer.enqueue"), (_QUEUE, "Queue.enqueue")):
            times = middle(found[place.name, name]) / bare
            lines.append(reached(f"{what} / bare RPUSH, {place.name}", times, least=0.8, unit=" x"))
    return "\n".join(lines) + "\n"


def _send_in_turns(here: Arena, contenders: Sequence[Contender], turn: int) -> dict[str, float]:
    """Let every producer send its jobs, a slice at a time in turn; return the jobs per second of each."""
    feeders: dict[str, tuple[Feeder, int]] = {who.name: (here.feeder(who), who.sends) for who in contenders}
    feeders[_QUEUE] = here.feeder(FORGE, "forge_app:through_queue"), FORGE.sends
    for feeder, _ in feeders.values():
        feeder.send(20)  # connections are opened and scripts are loaded
    took = dict.fromkeys(feeders, 0.0)
    for _ in range(_SLICES):
        for name in shuffled(list(feeders), turn):
            feeder, sends = feeders[name]
            took[name] += feeder.send(sends // _SLICES)
    return {name: feeders[name][1] // _SLICES * _SLICES / seconds for name, seconds in took.items()}


def _latency(contenders: Sequence[Contender]) -> str:
    """Measure from the call that enqueues to the handler's first line, with every worker idle."""
    place = apart()
    with arena(place) as here:
        waited = _one_by_one(here, contenders)
    bare = [percentile(waited[BARE.name], part) for part in (0.5, 0.99)]
    rows = []
    for name, ms in waited.items():
        mine = [percentile(ms, part) for part in (0.5, 0.99)]
        times = [f"{a / b:.2f}" for a, b in zip(mine, bare, strict=True)]
        rows.append([name, f"{mine[0]:.2f}", f"{mine[1]:.2f}", *times, str(len(ms))])
    forge = [percentile(waited[FORGE.name], part) for part in (0.5, 0.99)]
    return "\n".join(
        (
            "### From enqueue to the handler's start on an idle worker",
            "",
            (
                f"One job at a time to a random one of all these workers, {_GAPS_S[0] * 1e3:.0f} to "
                f"{_GAPS_S[1] * 1e3:.0f} ms after the last one's start; {place.name}."
            ),
            "",
            *table(["", "p50 ms", "p99 ms", "p50 × bare", "p99 × bare", "samples"], rows),
            "",
            reached("Forge / bare loop, p50", forge[0] / bare[0], most=1.1, unit=" x"),
            reached("Forge / bare loop, p99", forge[1] / bare[1], most=1.1, unit=" x"),
            "",
        )
    )


def _one_by_one(here: Arena, contenders: Sequence[Contender]) -> dict[str, list[float]]:
    """Send single jobs to idle workers in random order; return the milliseconds each waited."""
    dice = random.Random(1)
    feeders = {who: here.feeder(who) for who in contenders}
    for who in contenders:
        feeders[who].send(5)
        here.worker(who)
    for who in contenders:
        here.wait(who, 5, _PATIENCE_S)
    first = {who: len(read(here.records_of(who))) for who in contenders}
    order = [who for who in contenders for _ in range(_SINGLE)]
    dice.shuffle(order)
    sent = dict(first)
    for who in order:
        time.sleep(dice.uniform(*_GAPS_S))
        feeders[who].send()
        sent[who] += 1
        here.wait(who, sent[who], _LATE_S)
    return {
        who.name: [(record.at_ns - record.sent_ns) / 1e6 for record in read(here.records_of(who))[first[who] :]]
        for who in contenders
    }
