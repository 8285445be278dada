"""What a Redis that has just started may grant: nothing, unless somebody proves that the device is idle."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from forge_workers.errors import Snooze
from forge_workers.gpu.lease import Leases
from forge_workers.gpu.mutex import mutex_file
from tests.gpu import broken
from tests.gpu.holding import ask, holds, wire_to
from tests.standins.redis import PrivateRedis


def forgotten(server: PrivateRedis, holder: Leases) -> None:
    """Kill the server and start it again on data that does not know ``holder``'s lease any more."""
    server.kill()
    server.restart()
    server.client().delete(*holder.script.keys[:2])


@pytest.mark.slow
def test_a_restarted_redis_grants_nothing_while_a_forgotten_holder_may_work(redis_server: PrivateRedis) -> None:
    """Without a kernel lock the next waits until the forgotten holder has surely stopped; granted at once, two work."""
    for device, changes in (("right", ()), ("control", (broken.GRANT_AT_ONCE,))):
        leases = broken.break_script(Leases(wire_to(redis_server.socket), device, 3.0, mutex=None), *changes)
        if not changes:
            with pytest.raises(Snooze, match=r"to nobody for another [1-4] s, because Redis has just started"):
                leases.acquire("too early", wait_s=0)
        old = leases.acquire("old", wait_s=8)
        forgotten(redis_server, leases)
        overlapped: list[bool] = []
        with leases.acquire("next", wait_s=8):
            overlapped.append(holds(old))
        assert overlapped == [bool(changes)]


@pytest.mark.slow
def test_the_kernel_lock_proves_that_the_device_is_idle(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """With the kernel lock nobody waits after a restart, unless a forgotten holder works; then only until it stops."""
    leases = Leases(wire_to(redis_server.socket), mutex=mutex_file(tmp_path))
    started = time.monotonic()
    old = leases.acquire("old", wait_s=0)
    assert time.monotonic() - started < 1, "a server that has just started grants to whoever holds the kernel lock"
    forgotten(redis_server, leases)
    with pytest.raises(Snooze, match=r"still in use by process \d+, which Redis, just started, does not know"):
        leases.acquire("next", wait_s=0.2)
    assert old.term == 1
    old.release()
    with leases.acquire("next", wait_s=0) as lease:
        assert lease.term > old.term


def test_whose_turn_it_is_does_not_depend_on_who_proves(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """The proof of one who came later gives the device to the first in line, and the kernel lock is let go for it."""
    leases = Leases(wire_to(redis_server.socket), mutex=mutex_file(tmp_path))
    assert ask(leases, "first", proof=False).held_back
    with pytest.raises(Snooze, match="held for first"):
        leases.acquire("second", wait_s=0)
    assert ask(leases, "first", proof=False).term == 1


@pytest.mark.slow
def test_a_line_goes_on_after_a_restart(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """Waiters at a server that was killed and came back are served one after the other, without a wait for a TTL."""
    leases = Leases(wire_to(redis_server.socket), mutex=mutex_file(tmp_path))
    order: list[int] = []

    def wait(number: int) -> None:
        with leases.acquire(f"waiter {number}", wait_s=20):
            order.append(number)

    first = leases.acquire("first", wait_s=0)
    waiting = [threading.Thread(target=wait, args=(number,)) for number in range(3)]
    for thread in waiting:
        thread.start()
    time.sleep(1.2)  # everything so far is on disk
    redis_server.kill()
    redis_server.restart()
    started = time.monotonic()
    first.release()
    for thread in waiting:
        thread.join()
    assert sorted(order) == [0, 1, 2]
    assert time.monotonic() - started < 5
