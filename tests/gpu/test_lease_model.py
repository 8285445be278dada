"""The lease's script against a model of it: any order of asking, leaving, expiring and dying."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from forge_workers.gpu.lease import Leases
from tests.gpu import broken
from tests.standins.redis import PrivateRedis, start_redis

TOKENS = st.sampled_from(["a", "b", "c", "d"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """One real Redis for all runs of this module."""
    folder: Path = tmp_path_factory.mktemp("model")
    with start_redis(folder) as running:
        yield running


class LeaseModel(RuleBasedStateMachine):
    """What ``lease.lua`` shall do, said in Python.

    Attributes:
        leases: The lease under test; set by the test before it runs.
    """

    leases: Leases

    @initialize()
    def begin(self) -> None:
        """Start with an empty server."""
        self.leases._client.flushall()
        self.holder: str | None = None
        self.line: list[str] = []
        self.dead: set[str] = set()
        self.term = 0

    def _hand_over(self) -> None:
        self.holder = None
        while self.line and self.holder is None:
            first = self.line.pop(0)
            if first not in self.dead:
                self.holder = first
                self.term += 1

    @rule(token=TOKENS)
    def ask(self, token: str) -> None:
        """Who asks is granted a free lease if first in line, and else stands in line once."""
        reply = self.leases.call("ask", token, 60_000, 60_000, 60_000, "work", 1, "host")
        if self.holder != token:
            self.dead.discard(token)
            if token not in self.line:
                self.line.append(token)
            if self.holder is None:
                self._hand_over()
        assert reply[0] == (self.term if self.holder == token else 0)

    @rule(token=TOKENS)
    def release(self, token: str) -> None:
        """Whoever leaves is gone from the line; only the holder ends the lease, and the first living waiter gets it."""
        assert self.leases.call("release", token, 60_000) == (self.holder == token)
        self.line = [waiter for waiter in self.line if waiter != token]
        if self.holder == token:
            self._hand_over()

    @rule(token=TOKENS)
    def renew(self, token: str) -> None:
        """Only the holder extends the lease."""
        assert self.leases.call("renew", token, 60_000) == (self.holder == token)

    @rule(token=TOKENS, above=st.integers(0, 30))
    def lift(self, token: str, above: int) -> None:
        """Only the holder lifts its term, and always upwards."""
        lifted = self.leases.call("lift", token, above)
        if self.holder == token:
            self.term = max(self.term, above) + 1
        assert lifted == (self.term if self.holder == token else 0)

    @rule()
    def expire(self) -> None:
        """The holder is silent for too long: its lease ends, and nobody is told."""
        self.leases._client.delete(*self.leases._keys[:2])
        self.holder = None

    @rule(token=TOKENS)
    def die(self, token: str) -> None:
        """A waiter gives no sign of life any more."""
        if self.leases._client.delete(f"{self.leases._keys[0]}:waiter:{token}"):
            self.dead.add(token)

    @invariant()
    def status_agrees(self) -> None:
        """Status shows the holder, the newest term and the living waiters."""
        if hasattr(self, "line"):
            status = self.leases.status(now=0)
            assert self.leases._client.get(self.leases._keys[0]) == self.holder
            assert (status.holder is not None) == (self.holder is not None)
            assert status.term == self.term
            assert len(status.waiters) == len([waiter for waiter in self.line if waiter not in self.dead])


def agree(leases: Leases, runs: int) -> None:
    """Run the model beside ``leases``; the first difference is reported as it was found."""
    LeaseModel.leases = leases
    chosen = settings(
        max_examples=runs,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(LeaseModel, settings=chosen)


@pytest.mark.slow
def test_the_script_does_what_the_model_says(server: PrivateRedis) -> None:
    """In 200 runs of 30 steps the script and the model never differ."""
    agree(Leases(server.client(), mutex=None), runs=200)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        broken.PLAIN_DELETE,
        broken.RECREATE,
        broken.LAST_COME_FIRST,
        broken.FORGETFUL,
        broken.GRANT_THE_DEAD,
        broken.BARGE,
        broken.JOIN_TWICE,
    ],
)
def test_the_model_sees_every_broken_script(server: PrivateRedis, change: tuple[str, str]) -> None:
    """Each script that is broken on purpose is told apart from the model."""
    with pytest.raises(AssertionError):
        agree(broken.break_script(Leases(server.client(), mutex=None), change), runs=200)
