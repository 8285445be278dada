"""Rules of the GPU lease that one process can show."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forge_workers.errors import Snooze
from forge_workers.gpu.lease import Leases
from forge_workers.gpu.mutex import mutex_file
from tests.gpu import broken
from tests.gpu.holding import LEASE, ask, holds, leases_at, until
from tests.standins.redis import PrivateRedis


def test_one_holder_and_nothing_left_behind(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """While held, status says by whom and what for; afterwards Redis keeps the term and nothing else."""
    client = redis_server.client()
    leases = leases_at(redis_server.socket, mutex=mutex_file(tmp_path))
    with leases.acquire("code_review", wait_s=0) as lease:
        lease.check()
        status = leases.status(now=time.time())
        assert status.holder is not None
        assert status.holder.purpose == "code_review"
        assert status.term == lease.term == 1
        assert 29 < (status.expires_in_s or 0) <= 30
        assert "held for code_review by process" in status.sentence
    assert leases.status(now=time.time()).sentence == "GPU local:0 is free"
    assert client.keys() == ["{forge:gpu:local:0}:term"]


def test_a_wait_that_runs_out_names_the_holder(redis_server: PrivateRedis) -> None:
    """Who gives up is told who holds the device, and leaves the line."""
    leases = leases_at(redis_server.socket)
    with leases.acquire("training\n\x1b[2J of [everything](x)", wait_s=0):
        with pytest.raises(Snooze, match=r"held for training .* by process \d+ on .* 0 waiting") as caught:
            leases.acquire("review", wait_s=0.05)
        assert "\x1b" not in str(caught.value)
        assert caught.value.delay_s == 30.0
        assert leases.status(now=0).waiters == ()


def served(server: PrivateRedis, leases: Leases, count: int = 8) -> list[int]:
    """Let ``count`` waiters join one after the other, free the device, and return the order they were served in."""
    order: list[int] = []

    def wait(number: int) -> None:
        with leases.acquire(f"waiter {number}", wait_s=20):
            order.append(number)

    first = leases.acquire("first", wait_s=0)
    threads = [threading.Thread(target=wait, args=(number,)) for number in range(count)]
    for place, thread in enumerate(threads, start=1):
        thread.start()
        until(lambda place=place: len(leases.status(now=0).waiters) == place)  # type: ignore[misc]
    purposes = [waiter.purpose for waiter in leases.status(now=0).waiters]
    assert purposes == [f"waiter {number}" for number in range(count)]
    first.release()
    for thread in threads:
        thread.join()
    return order


def test_eight_waiters_are_served_first_come_first_served(redis_server: PrivateRedis) -> None:
    """Waiters get the device in the order they asked; a queue served from the wrong end is caught."""
    assert served(redis_server, leases_at(redis_server.socket)) == list(range(8))
    upside_down = broken.break_script(leases_at(redis_server.socket, "other"), broken.LAST_COME_FIRST)
    assert served(redis_server, upside_down) != list(range(8))


def asked_while_waiting(server: PrivateRedis, wait: Callable[[], object], for_s: float = 0.6) -> int:
    """Return how many commands the server got from one waiter."""
    looking = server.client()
    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    before = looking.info("stats")["total_commands_processed"]
    time.sleep(for_s)
    after = looking.info("stats")["total_commands_processed"]
    thread.join()
    return int(after - before) - 1


@pytest.mark.slow
def test_a_waiter_is_woken_and_does_not_poll(redis_server: PrivateRedis) -> None:
    """Between two signs of life a waiter sends nothing; redis-py's Lock, which polls, is caught by the same count."""
    client = redis_server.client()
    leases = leases_at(redis_server.socket)

    def wait_in_line() -> None:
        with pytest.raises(Snooze):
            leases.acquire("waiter", wait_s=0.9)

    def poll() -> None:
        assert not client.lock("polled", timeout=30).acquire(blocking_timeout=0.9)

    with leases.acquire("holder", wait_s=0):
        assert asked_while_waiting(redis_server, wait_in_line) == 0
    client.lock("polled", timeout=30).acquire()
    assert asked_while_waiting(redis_server, poll) >= 3


@pytest.mark.slow
def test_a_dead_waiter_is_passed_over(redis_server: PrivateRedis) -> None:
    """A waiter without a sign of life loses its turn at once; a script that grants it anyway is caught."""

    def wait_behind_the_dead(leases: Leases) -> float:
        first = leases.acquire("first", wait_s=0)
        ask(leases, "dead")
        redis_server.client().delete(f"{leases.script.keys[0]}:waiter:dead")
        assert leases.status(now=0).waiters == ()
        first.release()
        started = time.monotonic()
        leases.acquire("living", wait_s=5).release()
        return time.monotonic() - started

    assert wait_behind_the_dead(leases_at(redis_server.socket)) < 0.5
    generous = broken.break_script(leases_at(redis_server.socket, "other"), broken.GRANT_THE_DEAD, broken.REVIVE)
    assert wait_behind_the_dead(generous) > 1


def test_everything_but_the_term_and_the_model_expires(redis_server: PrivateRedis) -> None:
    """Whatever a killed holder or waiter leaves in Redis goes away by itself."""
    client = redis_server.client()
    leases = leases_at(redis_server.socket)
    ask(leases, "holder", model="m")
    for waiter in ("a", "b", "c"):
        ask(leases, waiter)
    kept = {key: client.pttl(key) for key in client.scan_iter()}
    assert len(kept) == 8
    assert [kept.pop(f"{{forge:gpu:local:0}}:{stays}") for stays in ("term", "model")] == [-1, -1]
    assert all(0 < left_ms <= 30_000 for left_ms in kept.values()), kept


@pytest.mark.parametrize("change", [None, broken.PLAIN_DELETE])
def test_only_the_holder_ends_a_lease(redis_server: PrivateRedis, change: tuple[str, str] | None) -> None:
    """A late release of an old term and a stranger's release remove nothing; a plain DEL is caught."""
    client, leases = redis_server.client(), leases_at(redis_server.socket)
    if change is not None:
        broken.break_script(leases, change)
    old = leases.acquire("old", wait_s=0)
    client.delete(*leases.script.keys[:2])  # it expired
    with leases.acquire("new", wait_s=0) as new:
        old.release()
        leases.give_back("stranger")
        assert (client.get(LEASE) == new.token) is (change is None)


@pytest.mark.parametrize("change", [None, broken.RECREATE])
def test_a_renewal_never_brings_a_lease_back(redis_server: PrivateRedis, change: tuple[str, str] | None) -> None:
    """FLUSHALL is seen at the next renewal and the lease stays lost; a renewal that re-creates is caught."""
    client, leases = redis_server.client(), leases_at(redis_server.socket)
    if change is not None:
        broken.break_script(leases, change)
    lease = leases.acquire("work", wait_s=0)
    client.flushall()
    lease.renew()
    assert holds(lease) is (change is not None)
    assert bool(client.exists(LEASE)) is (change is not None)
