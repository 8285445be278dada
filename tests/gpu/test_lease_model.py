"""The lease's script against a model of it: any order of asking, leaving, expiring, dying, ageing and restarting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from forge_workers.gpu.lease import Leases, Priority
from forge_workers.gpu.script import OVERTAKINGS
from tests.gpu import broken
from tests.gpu.holding import ask, wire_to
from tests.standins.redis import PrivateRedis, start_redis

TOKENS = st.sampled_from(["a", "b", "c", "d"])
CLAIMS = {"priority": st.sampled_from([0, 0, 1, 2]).map(Priority), "model": st.sampled_from(["", "x", "y"])}
#: As in production, so that no time which really passes makes anybody older.
AGEING_S = 900


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """One real Redis for all runs of this module."""
    folder: Path = tmp_path_factory.mktemp("model")
    with start_redis(folder) as running:
        yield running


@dataclass
class Waiting:
    """One who waits, as the model sees it."""

    token: str
    priority: int
    model: str
    overtaken: int = 0
    aged: int = 0
    dead: bool = False

    @property
    def urgency(self) -> int:
        """The class with what the wait took off it."""
        return max(0, self.priority - self.aged)


class LeaseModel(RuleBasedStateMachine):
    """What ``lease.lua`` shall do, said in Python.

    Attributes:
        leases: The lease under test; set by the test before it runs.
        server: The Redis it works with.
        young: It counts as just started: nothing is granted without proof.
    """

    young: bool
    leases: Leases
    server: PrivateRedis

    @initialize()
    def begin(self) -> None:
        """Start with an empty server."""
        self.client = self.server.client()
        self.client.flushall()
        self.holder: str | None = None
        self.line: list[Waiting] = []
        self.loaded = ""
        self.term = 0

    def _next(self) -> Waiting | None:
        self.line = [one for one in self.line if not one.dead]
        lowest = min((one.urgency for one in self.line), default=0)
        equals = [one for one in self.line if one.urgency == lowest]
        for place, one in enumerate(equals):
            if not self.loaded or one.model == self.loaded:
                for overtaken in equals[:place]:
                    overtaken.overtaken += 1
                return one
            if one.overtaken >= OVERTAKINGS:
                break
        return equals[0] if equals else None

    def _hand_over(self) -> None:
        chosen = self._next()
        self.holder = chosen.token if chosen else None
        if chosen is not None:
            self.line.remove(chosen)
            self.loaded = chosen.model
            self.term += 1

    @rule(token=TOKENS, **CLAIMS, proof=st.booleans())
    def ask(self, token: str, priority: Priority, model: str, proof: bool) -> None:
        """Who asks is granted a free lease if next, and else stands in line once; without proof nobody is granted."""
        asked = ask(self.leases, token, priority, model, proof=proof)
        waits = next((one for one in self.line if one.token == token), None)
        held_back = False
        if self.holder != token:
            if waits is None:
                self.line.append(Waiting(token, priority, model))
            elif waits.dead:
                self.line[self.line.index(waits)] = Waiting(token, priority, model)
            if self.holder is None:
                held_back = self.young and not proof
                if not held_back:
                    self._hand_over()
        assert asked.term == (self.term if self.holder == token else 0)
        assert asked.held_back == held_back

    @rule(claims=st.lists(st.tuples(TOKENS, *CLAIMS.values()), min_size=4, max_size=6))
    def crowd(self, claims: list[tuple[str, Priority, str]]) -> None:
        """Several ask one after the other."""
        for token, priority, model in claims:
            self.ask(token, priority, model, proof=True)

    @rule()
    def leave(self) -> None:
        """The holder leaves."""
        if self.holder is not None:
            self.release(self.holder)

    @rule(token=TOKENS)
    def release(self, token: str) -> None:
        """Whoever leaves is gone from the line; only the holder ends the lease, and the next has it without asking."""
        assert self.leases.script.call("release", token) == (self.holder == token)
        self.line = [waiter for waiter in self.line if waiter.token != token]
        if self.holder == token:
            self.holder = None
            self.line = [one for one in self.line if not one.dead]
            if not self.young:
                self._hand_over()

    @rule(token=TOKENS)
    def renew(self, token: str) -> None:
        """Only the holder extends the lease."""
        assert self.leases.script.call("renew", token) == (self.holder == token)

    @rule(token=TOKENS, above=st.integers(0, 30))
    def lift(self, token: str, above: int) -> None:
        """Only the holder lifts its term, and always upwards."""
        lifted = self.leases.script.call("lift", token, above)
        if self.holder == token:
            self.term = max(self.term, above) + 1
        assert lifted == (self.term if self.holder == token else 0)

    @rule()
    def expire(self) -> None:
        """The holder is silent for too long: its lease ends, and nobody is told."""
        self.client.delete(*self.leases.script.keys[:2])
        self.holder = None

    @rule(token=TOKENS)
    def die(self, token: str) -> None:
        """A waiter gives no sign of life any more."""
        if self.client.delete(self._key(token)):
            next(one for one in self.line if one.token == token).dead = True

    @rule(token=TOKENS, times=st.integers(1, 2))
    def age(self, token: str, times: int) -> None:
        """A waiter has waited for a quarter of an hour more."""
        since = self.client.hget(self._key(token), "since")
        if since is not None:
            self.client.hset(self._key(token), "since", f"{float(str(since)) - times * AGEING_S:.6f}")
            next(one for one in self.line if one.token == token).aged += times

    @rule(token=TOKENS)
    def be_overtaken_often(self, token: str) -> None:
        """A waiter was overtaken as often as anybody may be."""
        if self.client.exists(self._key(token)):
            self.client.hset(self._key(token), "overtaken", str(OVERTAKINGS))
            next(one for one in self.line if one.token == token).overtaken = OVERTAKINGS

    def _key(self, token: str) -> str:
        return f"{self.leases.script.keys[0]}:waiter:{token}"

    @invariant()
    def status_agrees(self) -> None:
        """Status shows the holder, the newest term, and the living waiters with how often each was overtaken."""
        if hasattr(self, "line"):
            status = self.leases.status(now=0)
            assert self.client.get(self.leases.script.keys[0]) == self.holder
            assert (status.holder is not None) == (self.holder is not None)
            assert status.term == self.term
            living = [(one.token, one.overtaken) for one in self.line if not one.dead]
            assert [(waiter.purpose, waiter.overtaken) for waiter in status.waiters] == living


def agree(server: PrivateRedis, *changes: broken.Change, young: bool = False, runs: int = 150) -> None:
    """Run the model beside a lease with ``changes``; the first difference is reported as it was found."""
    LeaseModel.server, LeaseModel.young = server, young
    # One hour, so that the server counts as just started for as long as this runs.
    leases = Leases(wire_to(server.socket), ttl_s=3600, mutex=None, ageing_s=AGEING_S)
    LeaseModel.leases = broken.break_script(leases, *changes, *(() if young else (broken.GRANT_AT_ONCE,)))
    chosen = settings(
        max_examples=runs,
        stateful_step_count=40,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(LeaseModel, settings=chosen)


@pytest.mark.slow
@pytest.mark.parametrize("young", [False, True])
def test_the_script_does_what_the_model_says(server: PrivateRedis, young: bool) -> None:
    """In 150 runs of 40 steps the script and the model never differ, at an old server and at one just started."""
    agree(server, young=young)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        broken.PLAIN_DELETE,
        broken.RECREATE,
        broken.LAST_COME_FIRST,
        broken.FORGETFUL,
        broken.BARGE,
        broken.JOIN_TWICE,
        broken.NO_PRIORITIES,
        broken.NO_AGEING,
        broken.NO_AFFINITY,
        broken.UNLIMITED_AFFINITY,
    ],
)
def test_the_model_sees_every_broken_script(server: PrivateRedis, change: broken.Change) -> None:
    """Each script that is broken on purpose is told apart from the model."""
    with pytest.raises(AssertionError):
        agree(server, change)


@pytest.mark.slow
@pytest.mark.parametrize("change", [broken.GRANT_AT_ONCE, broken.BELIEVE_NO_PROOF])
def test_the_model_sees_who_grants_after_a_start(server: PrivateRedis, change: broken.Change) -> None:
    """A script that grants at once after a start, or does not believe a proof, is told apart from the model."""
    with pytest.raises(AssertionError):
        agree(server, change, young=True)


@pytest.mark.slow
def test_the_model_sees_a_script_that_grants_the_dead(server: PrivateRedis) -> None:
    """A turn for somebody who gives no sign of life is told apart from the model."""
    with pytest.raises(AssertionError):
        agree(server, broken.GRANT_THE_DEAD, broken.REVIVE)
