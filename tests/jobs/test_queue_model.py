"""The queue's script against a model of it: asking, doing, dying, taking back, forgetting, repeating, in any order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from forge_workers.jobs.job import Job, again, new_job
from forge_workers.jobs.queue import Fetched, Pace, Queue, prefix_of
from tests.jobs import broken
from tests.jobs.queues import Clock
from tests.jobs.toy_daemon import toy_row
from tests.standins.redis import PrivateRedis, start_redis

CLAIMS = st.sampled_from(["a" * 32, "b" * 32])
#: Which of the jobs there are, counted from the newest; a small number is drawn more often than a large one.
JOBS = st.integers(0, 9)
KEYS = st.sampled_from(["", "", "x", "y"])
OUTCOMES = st.sampled_from(["done", "retried", "snoozed", "bury"])
#: Dead letters and outcomes that are kept here: few, so that the bounds are met.
MOST = 3
ROW = toy_row(max_deaths=3)
PREFIX = prefix_of(ROW.name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """One real Redis for all runs of this module."""
    folder: Path = tmp_path_factory.mktemp("model")
    with start_redis(folder) as running:
        yield running


class QueueModel(RuleBasedStateMachine):
    """What ``queue.lua`` shall do, said in Python with lists and dictionaries.

    Attributes:
        queue: The queue under test; set by the test before it runs.
        clock: Its clock.
    """

    queue: Queue
    clock: Clock

    @initialize()
    def begin(self) -> None:
        """Start with an empty server and one process that may reserve."""
        self.queue.wire.call("FLUSHALL")
        self.jobs: list[Job] = []
        self.waiting: list[bytes] = []
        self.scheduled: dict[bytes, float] = {}
        self.inflight: dict[str, list[bytes]] = {}
        self.dead: list[bytes] = []
        self.done: list[str] = []
        self.keys: dict[str, str] = {}
        self.deaths: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.claims: dict[str, bool] = {}
        self.register("a" * 32)

    # What producers do.

    @rule(
        key=KEYS,
        urgent=st.booleans(),
        in_s=st.sampled_from([None, None, -1.0, 5.0]),
        lost=st.booleans(),
    )
    def enqueue(self, key: str, urgent: bool, in_s: float | None, lost: bool) -> None:
        """A job goes to the tail, or to the head, or to its time, unless one with its key waits or runs."""
        n = len(self.jobs)
        job = new_job(ROW, {"n": n}, now=self.clock(), key=key, job_id=f"{n:032x}")
        due = None if in_s is None else self.clock() + in_s
        self.jobs.append(job)
        urgent = urgent and due is None
        self._place(job, urgent, due, sure=False)
        if lost:
            self._place(job, urgent, due, sure=True)

    @rule(which=JOBS, urgent=st.booleans())
    def replay(self, which: int, urgent: bool) -> None:
        """A job that may have been put in line before is so only if nothing knows it."""
        if self.jobs:
            self._place(self._job(which), urgent, None, sure=True)

    def _place(self, job: Job, urgent: bool, due: float | None, *, sure: bool) -> None:
        ticket = self.queue.place(job, urgent=urgent, due=due, sure=sure)
        if sure and self._known(job):
            assert (ticket.placed, ticket.id) == ("duplicate", job.id)
        elif job.key in self.keys:
            assert (ticket.placed, ticket.id) == ("duplicate", self.keys[job.key])
        else:
            assert (ticket.placed, ticket.id) == ("queued" if due is None else "scheduled", job.id)
            if job.key:
                self.keys[job.key] = job.id
            if due is not None:
                self.scheduled[job.raw] = due
            else:
                self.waiting.insert(0 if urgent else len(self.waiting), job.raw)

    def _known(self, job: Job) -> bool:
        held = [raw for jobs in self.inflight.values() for raw in jobs]
        here = {_id(raw) for raw in (*self.waiting, *self.scheduled, *held, *self.dead)}
        return job.id in here or job.id in self.done

    # What processes do.

    @rule(claim=CLAIMS)
    def register(self, claim: str) -> None:
        """A process may reserve from now on."""
        self.queue.register(claim, {})
        self.claims[claim] = True

    @rule(claim=CLAIMS)
    def beat(self, claim: str) -> None:
        """A beat counts until the claim is taken back."""
        assert self.queue.beat(claim, {}) == (claim in self.claims)
        if claim in self.claims:
            self.claims[claim] = True

    @rule(claim=CLAIMS, lost=st.booleans())
    def fetch(self, claim: str, lost: bool) -> None:
        """What a lost reply reserved comes first, then what is due, then the head; nothing for a stranger."""
        if claim not in self.claims:
            assert self.queue.fetch(claim) == Fetched(None, None)
            return
        expected = self._next(claim)
        for _ in range(1 + lost):
            assert self.queue.fetch(claim) == expected

    @rule(claim=CLAIMS)
    def wait(self, claim: str) -> None:
        """A wait is given the head of the line, in its list, even if the claim was taken back meanwhile."""
        expected = self.waiting.pop(0) if self.waiting else None
        if expected is not None:
            self.inflight.setdefault(claim, []).append(expected)
        assert self.queue.wait(claim, 0.001) == expected

    @rule(claim=CLAIMS, key=KEYS, outcomes=st.lists(OUTCOMES, min_size=1, max_size=4), more=st.booleans())
    def serve(self, claim: str, key: str, outcomes: list[str], more: bool) -> None:
        """A job comes, and a process that does a few."""
        self.enqueue(key, urgent=False, in_s=None, lost=False)
        self.register(claim)
        for how in outcomes:
            self.fetch(claim, lost=False)
            self.finish(claim, 0, how, more)

    @rule(claim=CLAIMS)
    def come_again(self, claim: str) -> None:
        """A job is put back, and whoever made it asks about the bytes that it had before."""
        held = self.inflight.get(claim, [])
        if held:
            first = next(job for job in self.jobs if job.id == _id(held[0]))
            self.finish(claim, 0, "retried", more=False)
            self._place(first, urgent=False, due=None, sure=True)

    @rule(claim=CLAIMS, which=JOBS, how=OUTCOMES, more=st.booleans())
    def finish(self, claim: str, which: int, how: str, more: bool) -> None:
        """Any outcome counts once, and only of who has the job in flight."""
        held = self.inflight.get(claim, [])
        if not self.jobs:
            return
        job = _job_of(held[0]) if held and which < 8 else self._job(which)
        following = again(job, attempt=job.attempt + 1) if how == "retried" else job
        due = self.clock() + 2.0
        value = {
            "done": json.dumps({"id": job.id}),
            "bury": json.dumps({"id": job.id, "job": job.raw.decode()}),
        }.get(how, repr(due).encode() + b" " + following.raw)
        kept = job.raw in held
        if kept:
            held.remove(job.raw)
            self._settle(job, how, following, due)
        expected = self._next(claim) if kept and more else Fetched(None, None)
        for still in (kept, False):
            found = self.queue._finish(claim, job, how, value=value, most=MOST, event="", notice=b"", more=more)
            assert found == Fetched(expected.raw, expected.due_at, still)
            expected = Fetched(None, None)

    def _settle(self, job: Job, how: str, following: Job, due: float) -> None:
        if how in {"retried", "snoozed"}:
            self.scheduled[following.raw] = due
            self.counts[how] += 1
            return
        self._release(job)
        if how == "done":
            self.done = [job.id, *self.done][:MOST]
            self.counts["done"] += 1
        else:
            self._bury(job.raw)

    def _release(self, job: Job) -> None:
        if self.keys.get(job.key) == job.id:
            del self.keys[job.key]
        self.deaths.pop(job.id, None)

    def _bury(self, raw: bytes) -> None:
        self.counts["buried"] += 1
        self.counts["forgotten"] += len(self.dead) >= MOST
        self.dead = [raw, *self.dead][:MOST]

    def _next(self, claim: str) -> Fetched:
        mine = self.inflight.setdefault(claim, [])
        if not mine:
            ready = sorted((due, raw) for raw, due in self.scheduled.items() if due <= self.clock())
            for _, raw in ready:
                self.waiting.append(raw)
                del self.scheduled[raw]
            if self.waiting:
                mine.append(self.waiting.pop(0))
        return Fetched(mine[0], None) if mine else Fetched(None, min(self.scheduled.values(), default=None))

    @rule(claim=CLAIMS, lost=st.booleans())
    def hand_back(self, claim: str, lost: bool) -> None:
        """Who leaves puts what it has first in line, in order, and may reserve no more."""
        if not self.inflight.get(claim):
            return
        back = self.inflight.pop(claim, [])
        self.waiting[:0] = back
        self.claims.pop(claim, None)
        assert self.queue.hand_back(claim) == len(back)
        assert not lost or self.queue.hand_back(claim) == 0

    # What happens to them.

    @rule(claim=CLAIMS)
    def fall_silent(self, claim: str) -> None:
        """The heartbeat of a process expires."""
        self.queue.wire.call("DEL", f"{PREFIX}:alive:{claim}")
        if claim in self.claims:
            self.claims[claim] = False

    @rule(claim=CLAIMS, lost=st.booleans(), times=st.integers(1, 3))
    def die(self, claim: str, lost: bool, times: int) -> None:
        """A process dies with a job, and so do those that follow it."""
        self.enqueue("", urgent=True, in_s=None, lost=False)
        for _ in range(times):
            self.register(claim)
            self.fetch(claim, lost=lost)
            self.fall_silent(claim)
            self.reclaim(lost=lost)

    @rule(lost=st.booleans())
    def reclaim(self, lost: bool) -> None:
        """Only what silent processes had is taken back: first in line, in order, or buried after too many deaths."""
        silent = [claim for claim, alive in self.claims.items() if not alive]
        reply = self.queue._run("reclaim", repr(self.clock()), ROW.max_deaths, MOST, 0)
        order = [_id(raw) for raw in reply[::2]]
        held = {claim: self.inflight.get(claim, []) for claim in silent}
        first = {claim: order.index(_id(jobs[-1])) for claim, jobs in held.items() if jobs}
        expected = [line for claim in sorted(first, key=first.__getitem__) for line in self._taken_back(claim)]
        assert [(raw, how == b"buried") for raw, how in zip(reply[::2], reply[1::2], strict=True)] == expected
        for claim in silent:
            del self.claims[claim]
        if lost:
            assert self.queue.reclaim() == ()

    @rule(claim=CLAIMS)
    def retire(self, claim: str) -> None:
        """Who is known to be gone loses what it has at once, heartbeat or not."""
        if not self.inflight.get(claim):
            return
        reply = self.queue._run("retire", repr(self.clock()), ROW.max_deaths, MOST, claim)
        self.claims.pop(claim, None)
        expected = self._taken_back(claim)
        assert [(raw, how == b"buried") for raw, how in zip(reply[::2], reply[1::2], strict=True)] == expected

    def _taken_back(self, claim: str) -> list[tuple[bytes, bool]]:
        moved = []
        for raw in reversed(self.inflight.pop(claim, [])):
            job = _job_of(raw)
            self.deaths[job.id] += 1
            self.counts["reclaimed"] += 1
            buried = self.deaths[job.id] >= ROW.max_deaths
            if buried:
                self._release(job)
                self._bury(raw)
            else:
                self.waiting.insert(0, raw)
            moved.append((raw, buried))
        return moved

    @rule(seconds=st.sampled_from([1.0, 10.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    @rule()
    def forget_the_script(self) -> None:
        """The server forgets every script."""
        self.queue.wire.call("SCRIPT", "FLUSH")

    # What people do.

    @rule(place=st.integers(0, MOST - 1), lost=st.booleans())
    def requeue(self, place: int, lost: bool) -> None:
        """A dead letter goes back in line, unless another job has its key by now."""
        if place >= len(self.dead):
            return
        job, letter = _job_of(self.dead[place]), self._letters()[place]
        if job.key in self.keys:
            assert self.queue.requeue(letter, job) == "duplicate"
            return
        del self.dead[place]
        self.waiting.append(job.raw)
        if job.key:
            self.keys[job.key] = job.id
        assert self.queue.requeue(letter, job) == "queued"
        assert not lost or self.queue.requeue(letter, job) == "gone"

    @rule(place=st.integers(0, MOST - 1), lost=st.booleans())
    def drop(self, place: int, lost: bool) -> None:
        """A dead letter is dropped, once."""
        if place < len(self.dead):
            letter = self._letters()[place]
            del self.dead[place]
            assert self.queue.drop(letter)
            assert not lost or not self.queue.drop(letter)

    # What holds after each step.

    @invariant()
    def everything_agrees(self) -> None:
        """Every place, every order, every key, death and count is as the model has it."""
        if not hasattr(self, "jobs"):
            return
        call = self.queue.wire.call
        assert call("LRANGE", f"{PREFIX}:waiting", 0, -1) == self.waiting
        assert self._hash("claims").keys() == self.claims.keys()
        flat = call("ZRANGE", f"{PREFIX}:scheduled", 0, -1, "WITHSCORES")
        assert {raw: float(due) for raw, due in zip(flat[::2], flat[1::2], strict=True)} == self.scheduled
        lists = {str(key.decode())[-32:]: call("LRANGE", key, 0, -1) for key in call("KEYS", f"{PREFIX}:inflight:*")}
        assert lists == {claim: jobs for claim, jobs in self.inflight.items() if jobs}
        assert [json.loads(letter)["job"].encode() for letter in self._letters()] == self.dead
        assert [json.loads(record)["id"] for record in call("LRANGE", f"{PREFIX}:done", 0, -1)] == self.done
        assert self._hash("keys") == self.keys
        assert {name: int(times) for name, times in self._hash("counts").items()} == +self.counts
        assert {job: int(times) for job, times in self._hash("deaths").items() if times != "0"} == +self.deaths

    @invariant()
    def each_job_is_in_one_place(self) -> None:
        """No job is in two places, in Redis as in the model."""
        if hasattr(self, "jobs"):
            held = [raw for jobs in self.inflight.values() for raw in jobs]
            here = [_id(raw) for raw in (*self.waiting, *self.scheduled, *held, *self.dead)]
            assert len(here) == len(set(here))

    def _letters(self) -> list[bytes]:
        letters: list[bytes] = self.queue.wire.call("LRANGE", f"{PREFIX}:dead", 0, -1)
        return letters

    def _hash(self, name: str) -> dict[str, str]:
        flat = [word.decode() for word in self.queue.wire.call("HGETALL", f"{PREFIX}:{name}")]
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def _job(self, which: int) -> Job:
        return self.jobs[-1 - which % len(self.jobs)]


def _id(raw: bytes) -> str:
    return str(json.loads(raw)["id"])


def _job_of(raw: bytes) -> Job:
    fields = json.loads(raw)
    del fields["v"]
    return Job(raw=raw, **fields)


def agree(server: PrivateRedis, *changes: broken.Change, runs: int = 150) -> None:
    """Run the model beside a queue whose script has ``changes``; the first difference is reported as it was found."""
    QueueModel.clock = Clock()
    wire = broken.ChangedWire(f"unix://{server.socket}", changes)
    QueueModel.queue = Queue(wire, ROW, QueueModel.clock, Pace(ttl_s=3600, settle_s=0))
    chosen = settings(
        max_examples=runs,
        stateful_step_count=40,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(QueueModel, settings=chosen)


@pytest.mark.slow
def test_the_script_does_what_the_model_says(server: PrivateRedis) -> None:
    """In 150 runs of 40 steps the script and the model never differ."""
    agree(server)


@pytest.mark.slow
@pytest.mark.parametrize("flaw", broken.SCRIPTS)
def test_the_model_sees_every_broken_script(server: PrivateRedis, flaw: str) -> None:
    """Each script that is broken on purpose is told apart from the model."""
    with pytest.raises(AssertionError):
        agree(server, broken.SCRIPTS[flaw])
