"""From being woken to being renewed: what a hand-over is trusted for, and what keeps a lease alive."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from forge_workers.errors import LeaseLost
from forge_workers.gpu.lease import Lease, Leases
from forge_workers.gpu.mutex import mutex_file
from forge_workers.gpu.script import Asked, LeaseScript
from tests.gpu import broken
from tests.gpu.holding import HandClock, ask, holds, leases_at, until
from tests.standins.lossy import lossy_relay
from tests.standins.redis import PrivateRedis


class Counting(LeaseScript):
    """Counts what is asked."""

    asks = 0

    def ask(self, token: str, claim: tuple[str | int, ...], *, proof: bool) -> Asked:
        """Ask."""
        self.asks += 1
        return super().ask(token, claim, proof=proof)


def handed_over(first: Leases, second: Leases) -> Lease:
    """Return a lease that was handed from the one to the other while it waited."""
    held, got = first.acquire("first", wait_s=0), list[Lease]()
    waiter = threading.Thread(target=lambda: got.append(second.acquire("second", wait_s=10)))
    waiter.start()
    until(lambda: len(first.status(now=0).waiters) == 1)
    time.sleep(0.05)
    held.release()
    waiter.join()
    return got[0]


def test_a_hand_over_takes_one_trip_and_is_renewed_by_itself(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """A woken waiter asks no more; it trusts the hand-over only, until the first renewal makes it a whole TTL."""
    leases = leases_at(redis_server.socket, mutex=mutex_file(tmp_path))
    broken.break_script(leases, broken.GRANT_AT_ONCE)  # as of a server that started long ago
    asking = leases_at(redis_server.socket, mutex=mutex_file(tmp_path))
    asking.script = Counting(asking.script.wire, "local:0", 30.0, 900.0)
    lease = handed_over(leases, asking)
    assert asking.script.asks == 1
    until(lambda: (leases.status(now=0).expires_in_s or 0) > 25, within_s=2)
    lease.check()
    lease.release()


def test_a_hand_over_is_trusted_only_from_before_the_last_ask(redis_server: PrivateRedis) -> None:
    """Without a renewal the trust ends nine tenths of the hand-over after the last ask, long before the TTL."""
    clock = HandClock()
    leases = leases_at(redis_server.socket, clock=clock)
    held = leases.acquire("first", wait_s=0)
    assert ask(leases, "a" * 32).term == 0
    held.release()
    assert leases.script.woken("a" * 32, 1.0) == 2
    lease = Lease(leases, "a" * 32, 2, None, sent_at=clock.now, for_s=leases.script.hand_s)
    clock.now += 0.9 * leases.script.hand_s - 0.01
    lease.check()
    clock.now += 0.02
    assert not holds(lease)


def test_a_lost_wake_is_cured_by_asking_again(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """The element that should have woken a waiter is gone with its reply: the next ask finds the same grant."""
    leases = leases_at(redis_server.socket, mutex=mutex_file(tmp_path))
    with lossy_relay(tmp_path / "r", redis_server.socket) as relay:
        relay.watch, relay.lose = b"BLPOP", 1
        lease = handed_over(leases, leases_at(relay.path, mutex=mutex_file(tmp_path)))
        assert (relay.lose, lease.term) == (0, 2)
        lease.check()
        lease.release()


@pytest.mark.parametrize("moves", [True, False])
def test_a_lease_without_progress_is_renewed_no_more(redis_server: PrivateRedis, moves: bool) -> None:
    """A renewal thread alone keeps no lease: hung work loses it after 15 minutes, work that moves does not."""
    clock = HandClock()
    lease = leases_at(redis_server.socket, clock=clock).acquire("work", wait_s=0)
    for _ in range(100):
        clock.now += 10
        lease.renew()
        if moves:
            lease.progress()
    assert (lease.over() is None) is moves
    if not moves:
        with pytest.raises(LeaseLost, match="no progress for 910 s"):
            lease.check()


def test_watching_the_work_is_no_progress(redis_server: PrivateRedis) -> None:
    """A keeper that asks whether the lease is over does not keep it alive."""
    clock = HandClock()
    lease = leases_at(redis_server.socket, clock=clock, stall_s=50.0).acquire("work", wait_s=0)
    for _ in range(6):
        clock.now += 10
        assert lease.over() is None
        lease.renew()
    assert lease.over() == "its work has shown no progress for 60 s"


@pytest.mark.slow
def test_taking_a_lease_stays_light() -> None:
    """A daemon that takes leases loads neither pydantic nor redis-py nor psutil for it."""
    heavy = ("pydantic", "redis", "psutil", "pandas", "rich", "typer", "forge_workers.report")
    source = (
        "import sys, forge_workers.gpu.lease, forge_workers.gpu.process, forge_workers.fence; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    assert subprocess.check_output([sys.executable, "-c", source], text=True).strip() == "[]"
