"""Rules of the GPU lease that only whole processes can show: killed, stopped, woken too late."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from forge_workers.errors import Snooze
from forge_workers.gpu.mutex import mutex_file
from tests.gpu import players
from tests.gpu.holding import LEASE, leases_at, until
from tests.standins.redis import PrivateRedis

pytestmark = pytest.mark.slow


def in_order(terms: list[int]) -> bool:
    """Whether no accepted write carries a lower term than one before it."""
    return all(earlier <= later for earlier, later in pairwise(terms))


def test_a_killed_holder_is_followed_within_its_ttl_and_a_second(redis_server: PrivateRedis) -> None:
    """Where no kernel lock tells, after SIGKILL the waiter gets the lease when the TTL ends."""
    leases = leases_at(redis_server.socket, ttl_s=1.5)
    hear, tell = players.pipe()
    with players.running(players.hold, redis_server.socket, None, 1.5, tell) as holder:
        assert hear.recv() == 1
        taken: list[float] = []

        def wait() -> None:
            with leases.acquire("waiter", wait_s=20) as lease:
                taken.append(time.monotonic())
                assert lease.term == 2

        waiter = threading.Thread(target=wait)
        waiter.start()
        until(lambda: len(leases.status(now=0).waiters) == 1)
        time.sleep(2)  # longer than the TTL: a living holder keeps what it has
        assert not taken
        holder.kill()
        killed = time.monotonic()
        waiter.join()
    assert taken[0] - killed <= 1.5 + 1.0


def test_a_killed_waiter_costs_the_next_one_two_seconds_at_most(redis_server: PrivateRedis) -> None:
    """A turn handed to a process that was killed in line goes on to the next one."""
    leases = leases_at(redis_server.socket)
    first = leases.acquire("first", wait_s=0)
    _, tell = players.pipe()
    with players.running(players.hold, redis_server.socket, None, 30.0, tell) as dead:
        until(lambda: len(leases.status(now=0).waiters) == 1)
        dead.kill()
        dead.join()
        first.release()
        started = time.monotonic()
        leases.acquire("next", wait_s=10).release()
    assert time.monotonic() - started < 2 + 1


@pytest.mark.parametrize("fenced", [True, False])
def test_a_holder_that_slept_past_its_lease_writes_nothing(
    redis_server: PrivateRedis, tmp_path: Path, fenced: bool
) -> None:
    """Stopped between check and write, an old holder is refused by the store; a store without fence is caught."""
    store, client = players.FencedStore(tmp_path / "store", fenced=fenced), redis_server.client()
    hear, tell = players.pipe()
    with players.running(players.sleep_before_writing, redis_server.socket, store, None, 0.5, tell) as sleeper:
        hear.recv()
        until(lambda: not client.exists(LEASE))
        with leases_at(redis_server.socket).acquire("next", wait_s=5) as lease:
            assert store.write(lease.term)
            os.kill(sleeper.pid or 0, signal.SIGCONT)
            assert hear.recv() is not fenced
    assert in_order(store.accepted()) is fenced


def test_a_stopped_holder_keeps_the_kernel_lock(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """With the kernel's file the next holder waits until the sleeper has let go: safety before progress."""
    store, client, mutex = players.FencedStore(tmp_path / "store"), redis_server.client(), mutex_file(tmp_path)
    hear, tell = players.pipe()
    with players.running(players.sleep_before_writing, redis_server.socket, store, mutex, 0.5, tell) as sleeper:
        hear.recv()
        until(lambda: not client.exists(LEASE))
        leases = leases_at(redis_server.socket, mutex=mutex)
        with pytest.raises(Snooze, match=f"still in use by process {sleeper.pid}"):
            leases.acquire("next", wait_s=0.3)
        os.kill(sleeper.pid or 0, signal.SIGCONT)
        with leases.acquire("next", wait_s=5) as lease:
            assert hear.recv() is True
            store.write(lease.term)
    assert in_order(store.accepted())


@pytest.mark.parametrize("with_mutex", [True, False])
def test_a_storm_of_stops_lets_no_stale_write_in(redis_server: PrivateRedis, tmp_path: Path, with_mutex: bool) -> None:
    """Five processes stopped and continued at random: writes stay in order; with the kernel lock none ever overlap.

    Without the kernel lock the same run is the control: holders stopped past their lease then do overlap.
    """
    mutex, chance = mutex_file(tmp_path) if with_mutex else None, random.Random(7)
    leases = leases_at(redis_server.socket, mutex=mutex)
    with ExitStack() as stack:
        game = [redis_server.socket, tmp_path, mutex, 6.0, 0.3]
        crowd = [stack.enter_context(players.running(players.compete, *game)) for _ in range(5)]
        device, store = players.Device(tmp_path / "device"), players.FencedStore(tmp_path / "store")
        until(lambda: bool(store.accepted()), within_s=30)
        while all(player.is_alive() for player in crowd):
            holder = leases.status(now=0).holder
            victim = holder.pid if holder and chance.random() < 0.7 else chance.choice(crowd).pid or 0
            os.kill(victim, signal.SIGSTOP)
            time.sleep(chance.uniform(0.05, 0.6))
            os.kill(victim, signal.SIGCONT)
            time.sleep(0.02)
        for player in crowd:
            player.join()
    terms = store.accepted()
    assert in_order(terms)
    assert len(set(terms)) > 20, "the storm got somewhere"
    assert (device.overlaps() == 0) is with_mutex
