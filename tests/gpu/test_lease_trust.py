"""When a holder may believe in its lease, and what the kernel adds to Redis."""

from __future__ import annotations

import logging
import time
from itertools import pairwise
from pathlib import Path

import pytest

from forge_workers.errors import LeaseLost, Snooze, Transient
from forge_workers.gpu.held import Lease
from forge_workers.gpu.lease import Leases
from forge_workers.gpu.mutex import Mutex, mutex_file
from tests.gpu import broken
from tests.gpu.holding import LEASE, HandClock, holds, leases_at, until
from tests.standins.lossy import lossy_relay
from tests.standins.redis import PrivateRedis


@pytest.mark.slow
def test_a_lease_is_renewed_at_a_third_of_its_ttl(redis_server: PrivateRedis) -> None:
    """A lease outlives its TTL many times while its holder lives, and one lost renewal ends it for good."""
    client = redis_server.client()
    lease = leases_at(redis_server.socket, ttl_s=0.3).acquire("work", wait_s=0)
    for _ in range(10):
        time.sleep(0.1)
        lease.check()
    client.delete(LEASE)
    until(lambda: not holds(lease), within_s=0.3)
    client.set(LEASE, lease.token, px=30_000)
    time.sleep(0.2)
    assert not holds(lease)


def test_trust_ends_before_the_ttl_on_the_holders_own_clock(redis_server: PrivateRedis) -> None:
    """At nine tenths of the TTL without a renewal the holder stops, whatever Redis or the wall clock says."""
    client, clock = redis_server.client(), HandClock()
    lease = leases_at(redis_server.socket, ttl_s=30, clock=clock).acquire("work", wait_s=0)
    clock.now += 26.9
    lease.check()
    clock.now += 0.2
    with pytest.raises(LeaseLost, match="not renewed in time"):
        lease.check()
    assert client.get(LEASE) == lease.token
    clock.now -= 20
    lease.renew()
    assert not holds(lease), "a lost lease is never trusted again"


@pytest.mark.slow
def test_time_is_counted_from_before_the_request(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """With late replies no holder trusts a lease that Redis has ended; counting from the reply is caught."""
    with lossy_relay(tmp_path / "r", redis_server.socket) as relay:
        leases, server = leases_at(relay.path, ttl_s=1.0), redis_server.client()
        leases.script.wire.call("PING")
        relay.delay_s = 0.6
        right = leases.acquire("right", wait_s=0)
        wrong = broken.trust_from_the_reply(Lease(leases, "x", 1, None, sent_at=0.0, for_s=1.0))
        leases.renewals.drop(right)  # no renewals: what counts here is the first request
        until(lambda: not server.exists(LEASE))
        assert not holds(right)
        assert holds(wrong)


def test_a_dead_redis_ends_the_lease_before_its_ttl(
    redis_server: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """When Redis is killed the next renewal is unknown, and unknown means lost."""
    lease = leases_at(redis_server.socket, ttl_s=1.5).acquire("work", wait_s=0)
    started = time.monotonic()
    redis_server.kill()
    with caplog.at_level(logging.WARNING):
        until(lambda: not holds(lease))
        assert time.monotonic() - started < 1.5
    assert "lease.lost" in caplog.text
    lease.release()
    with pytest.raises(Transient, match="GPU local:0 cannot be had: no Redis answers"):
        leases_at(redis_server.socket).acquire("work", wait_s=0)


def test_a_restart_of_redis_between_two_renewals_is_survived(redis_server: PrivateRedis) -> None:
    """A token that reached the disk is there again, so its holder keeps the lease."""
    leases = leases_at(redis_server.socket)
    with leases.acquire("work", wait_s=0) as lease:
        redis_server.client().waitaof(1, 0, 5_000)
        redis_server.kill()
        redis_server.restart()
        lease.renew()
        lease.check()
        redis_server.client().script_flush()
        lease.renew()
        lease.check()


def terms(server: PrivateRedis, leases: Leases) -> list[int]:
    """Return the terms of five grants with a crash and a flush between them."""
    found = []
    # A crash may lose the last second, so a lease that was given back can be there again until its TTL ends.
    for disaster in (server.kill, lambda: None, lambda: server.client().flushall(), lambda: None):
        with leases.acquire("work", wait_s=5) as lease:
            found.append(lease.term)
        disaster()
        server.restart()
    with leases.acquire("work", wait_s=5) as lease:
        return [*found, lease.term]


@pytest.mark.slow
def test_terms_rise_through_restart_and_flush(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """No term comes twice, even when Redis lost everything; without the kernel lock's file, or INCR, it is caught."""

    def rise(found: list[int]) -> bool:
        return all(a < b for a, b in pairwise(found))

    assert rise(terms(redis_server, leases_at(redis_server.socket, ttl_s=1, mutex=mutex_file(tmp_path))))
    assert not rise(terms(redis_server, leases_at(redis_server.socket, "a", ttl_s=1)))
    forgetful = broken.break_script(leases_at(redis_server.socket, "b", ttl_s=1), broken.FORGETFUL)
    assert not rise(terms(redis_server, forgetful))


def test_a_lost_reply_counts_as_maybe_held(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """One lost reply is cured by asking again, with one term used; more give the lease back."""
    server = leases_at(redis_server.socket)
    with lossy_relay(tmp_path / "r", redis_server.socket) as relay:
        leases_at(relay.path).acquire("load the script", wait_s=0).release()
        relay.lose = 1
        with leases_at(relay.path).acquire("work", wait_s=0) as lease:
            assert lease.term == 2
        relay.lose = 2
        with pytest.raises(Transient):
            leases_at(relay.path).acquire("work", wait_s=0)
    assert server.status(now=0).holder is None
    assert server.acquire("next", wait_s=0).term == 4


def test_the_kernel_keeps_out_what_redis_cannot(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """While a holder that lost its lease still works, the next waits and is told; without the file two work at once."""
    client, leases = redis_server.client(), leases_at(redis_server.socket, mutex=mutex_file(tmp_path))
    broken.break_script(leases, broken.GRANT_AT_ONCE)  # as of a server that started long ago
    late = leases.acquire("late", wait_s=0)
    client.flushall()
    with pytest.raises(Snooze, match=r"still in use by process \d+, whose lease is over"):
        leases.acquire("next", wait_s=0.1)
    assert client.keys() == ["{forge:gpu:local:0}:term"]
    without = leases_at(redis_server.socket).acquire("control", wait_s=0)
    assert holds(late)
    assert holds(without)
    without.release()
    late.release()
    leases.acquire("next", wait_s=0).release()


def test_the_file_of_a_device_stays_in_its_folder(tmp_path: Path) -> None:
    """A device's name is data: it never leads out of the home, and a link in the file's place is refused."""
    assert mutex_file(tmp_path, "../../etc:0").parent == tmp_path / "gpu"
    (tmp_path / "gpu").mkdir()
    mutex_file(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Mutex(mutex_file(tmp_path))
