"""What must hold in the queue's storm, at every moment and at the end, and what was found.

A look reads, in this order: what producers were told is taken, the spool, every place in Redis in one atomic step, and
the effects. So a job that was taken and has no effect by then must have been in the spool or in exactly one place.
Belongs here: looking and judging. Does not belong here: making faults (``queue_storm.py``).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from forge_workers.jobs.job import decode
from forge_workers.jobs.queue import Queue
from forge_workers.wire import Script, Wire
from tests.chaos.queue_players import PACE, STORM, STORM_PREFIX, World

#: Reads every place in one step: name, then the numbers of the jobs there.
_LOOK = Script(r"""
local prefix, found = KEYS[1], {}
local function add(place, pattern, jobs)
  local numbers = {}
  for i, job in ipairs(jobs) do numbers[i] = tonumber(string.match(job, pattern)) or -1 end
  found[#found + 1] = place
  found[#found + 1] = numbers
end
local job = '"n\\*":(%d+)'
add('waiting', job, redis.call('LRANGE', prefix .. ':waiting', 0, -1))
add('scheduled', job, redis.call('ZRANGE', prefix .. ':scheduled', 0, -1))
add('dead', job, redis.call('LRANGE', prefix .. ':dead', 0, -1))
for _, list in ipairs(redis.call('KEYS', prefix .. ':inflight:*')) do
  add(list, job, redis.call('LRANGE', list, 0, -1))
end
add('done', '"headline": "(%d+)"', redis.call('LRANGE', prefix .. ':done', 0, -1))
return found
""")


class Tail:
    """Numbers that processes append to a file, one a line, read as they come."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("rb")

    def new(self) -> list[int]:
        """Return the numbers of whole lines since the last call."""
        start = self._file.tell()
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        self._file.seek(start + whole)
        return [int(line) for line in data[:whole].split()]

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class Oracle:
    """Judges one storm.

    Attributes:
        findings: What must not be, one sentence each; empty when all is well.
        taken: Jobs whose producer was told that they are taken.
        runs: Executions.
        repeats: Executions of a job that had been executed before.
        looks: Looks at every place.
        requeued: Dead letters that were put back in line.
    """

    def __init__(self, home: Path, jobs: int, wire: Wire) -> None:
        self.findings: list[str] = []
        self.taken = self.runs = self.repeats = self.looks = self.requeued = 0
        self._home = home
        self._wire = wire
        self._queue = Queue(wire, STORM, pace=PACE)
        self._world = World(home, jobs)
        self._taken, self._runs = Tail(home / "taken"), Tail(home / "runs")
        self._open: set[int] = set()
        self._ran = bytearray(jobs)

    def effects(self) -> int:
        """Return how many jobs have had their effect."""
        done = self._world.all("effects")
        return len(done) - done.count(0)

    def follow(self, kills: int) -> None:
        """Read what was taken and run since the last call; a kill or a stop may repeat two executions at most."""
        new = self._taken.new()
        self.taken += len(new)
        self._open.update(new)
        for n in self._runs.new():
            self.runs += 1
            self.repeats += self._ran[n]
            self._ran[n] = 1
        if self.repeats > 2 * kills:
            self.findings.append(f"{self.repeats} executions were repeated after {kills} kills and stops")

    def look(self) -> Counter[str]:
        """Judge one moment; return how many jobs are in each place.

        Raises:
            wire.Unanswered, wire.Refused: Redis is away.
        """
        spooled = self.spooled()
        reply = self._wire.run(_LOOK, [STORM_PREFIX])
        places = {name.decode(): numbers for name, numbers in zip(reply[::2], reply[1::2], strict=True)}
        effects = self._world.all("effects")
        self.looks += 1
        self._open = {n for n in self._open if not effects[n]}
        done = places.pop("done")
        here = Counter(n for numbers in places.values() for n in numbers)
        self._judge("is in two places", [n for n, times in here.items() if times > 1], places)
        self._judge("was acknowledged and is still there", [n for n in done if n in here], places)
        self._judge("was acknowledged twice", [n for n, times in Counter(done).items() if times > 1], places)
        self._judge("was taken, has no effect and is nowhere", self._open - here.keys() - spooled, places)
        found: Counter[str] = Counter()
        for name, numbers in places.items():
            found[re.sub(f"^{re.escape(STORM_PREFIX)}:inflight:.*", "inflight", name)] += len(numbers)
        found["spooled"] = len(spooled)
        return found

    def spooled(self) -> set[int]:
        """Return the jobs that wait in the spool."""
        try:
            lines = (self._home / "spool" / "jobs.jsonl").read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return set()
        return {json.loads(json.loads(line)["job"])["args"]["n"] for line in lines}

    def requeue(self) -> None:
        """Put every dead letter back in line, as a person would."""
        for letter in self._wire.call("LRANGE", f"{STORM_PREFIX}:dead", 0, -1):
            job = decode(json.loads(letter)["job"].encode(), STORM)
            self.requeued += self._queue.requeue(letter, job) == "queued"

    def close(self, kills: int) -> None:
        """Judge the end, when nothing is under way: every job taken has its effect and was acknowledged once.

        A storm that was broken off by a finding has no such end.
        """
        self.follow(kills)
        if not self.findings:
            self._judge_end()
        self._world.close()
        self._taken.close()
        self._runs.close()

    def _judge_end(self) -> None:
        effects = self._world.all("effects")
        lost = [n for n in self._open if not effects[n]]
        self._judge("was taken and is lost", lost, {})
        done = int(self._wire.call("HGET", f"{STORM_PREFIX}:counts", "done") or 0)
        distinct, unsure = self.effects(), self.log().count(" unsure=True")
        # A job whose reply was lost may be done and forgotten before its producer asks again: it is then done twice.
        if not distinct <= done <= distinct + unsure:
            self.findings.append(f"{done} acknowledgements were accepted for {distinct} effects ({unsure} unsure)")
        if (self._home / "spool" / "jobs.rejected").exists():
            self.findings.append("the spool held what is no job")

    def log(self) -> str:
        """Return what all processes logged."""
        try:
            return (self._home / "log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _judge(self, what: str, jobs: list[int] | set[int], places: dict[str, list[int]]) -> None:
        for n in sorted(jobs)[:3]:
            where = [name.removeprefix(STORM_PREFIX) for name, numbers in places.items() if n in numbers]
            self.findings.append(f"job {n} {what} {where or ''}".rstrip())
