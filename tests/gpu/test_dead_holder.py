"""A holder that died on this machine is noticed at once, and a living one is never taken for dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from forge_workers.errors import Snooze
from forge_workers.gpu.lease import Leases
from forge_workers.gpu.mutex import Mutex, Note, mutex_file
from forge_workers.gpu.watch import Watch
from tests.gpu import players
from tests.gpu.holding import ask, holds, leases_at, until
from tests.standins.redis import PrivateRedis

pytestmark = pytest.mark.slow


def test_a_killed_holder_is_followed_at_once(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """After SIGKILL the waiter has the device within half a second, the TTL being 30 s; a pause changes nothing."""
    mutex = mutex_file(tmp_path)
    leases = leases_at(redis_server.socket, mutex=mutex)
    hear, tell = players.pipe()
    with players.running(players.hold, redis_server.socket, mutex, 30.0, tell) as holder:
        hear.recv()
        taken: list[float] = []

        def wait() -> None:
            with leases.acquire("waiter", wait_s=20):
                taken.append(time.monotonic())

        waiter = threading.Thread(target=wait)
        waiter.start()
        os.kill(holder.pid or 0, signal.SIGSTOP)
        time.sleep(0.5)
        assert not taken, "a holder that sleeps still has the kernel lock"
        holder.kill()
        killed = time.monotonic()
        waiter.join()
    assert taken[0] - killed < 0.5


def survives(leases: Leases, wait_s: float = 0.5) -> bool:
    """Whether the lease that is held outlasts somebody who waits and watches."""
    term = leases.status(now=0).term
    try:
        leases.acquire("waiter", wait_s=wait_s).release()
    except Snooze:
        return leases.status(now=0).term == term
    return False


def test_a_living_holder_is_never_ended(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """Whoever watches leaves it alone, while it has the lock and when a job's process has closed it and works on.

    The control watches a file that names a process which is gone: that lease is ended.
    """
    mutex = mutex_file(tmp_path)
    leases = leases_at(redis_server.socket, mutex=mutex)
    with leases.acquire("holder", wait_s=0) as lease:
        assert survives(leases)
        with lease.lock_handed_over():
            pass
        assert Mutex(mutex).note_if_free() is not None
        assert survives(leases)
        lease.renew()
        lease.check()
        named_by_the_dead(mutex, lease.token)
        control = Watch(mutex, leases.end_dead)
        until(lambda: leases.status(now=0).holder is None)
        control.stop()
        lease.renew()
        assert not holds(lease)


def named_by_the_dead(mutex: Path, token: str) -> None:
    """Have the note name a process that has ended, as after a kill."""
    code = "import sys; from pathlib import Path; from forge_workers.gpu.mutex import Mutex; "
    code += "m = Mutex(Path(sys.argv[1])); assert m.taken(); m.write(1, sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, str(mutex), token], check=True)


def test_a_holder_between_grant_and_kernel_lock_is_not_ended(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """The lock is free and an older term noted, even the same number: a new holder that is late keeps its turn.

    The control notes the new holder's own token, as a holder does that has gone: that one is ended.
    """
    mutex, client = mutex_file(tmp_path), redis_server.client()
    leases = leases_at(redis_server.socket, mutex=mutex)
    leases.acquire("earlier", wait_s=0).release()
    client.flushall()  # terms begin anew: the file and Redis name the same number
    assert ask(leases, "ab" * 16).term == 1
    named_by_the_dead(mutex, "cd" * 16)
    assert survives(leases)
    named_by_the_dead(mutex, "ab" * 16)
    assert not survives(leases)


def test_a_holder_whose_child_has_the_lock_is_not_ended(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """The keeper has handed the lock to a child and keeps no copy: the lease lasts as long as one of the two."""
    leases = leases_at(redis_server.socket, mutex=mutex_file(tmp_path))
    with leases.acquire("keeper", wait_s=0) as lease:
        with lease.lock_handed_over() as descriptors:
            child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=descriptors)
        assert survives(leases)
        lease.renew()
        lease.check()
        child.kill()
        child.wait()
        assert survives(leases)


def test_a_free_lock_ends_nothing_at_a_redis_that_is_away(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """A dead holder is ended as soon as Redis answers again, by whoever waits."""
    mutex = mutex_file(tmp_path)
    leases = leases_at(redis_server.socket, mutex=mutex)
    hear, tell = players.pipe()
    with players.running(players.hold, redis_server.socket, mutex, 30.0, tell) as holder:
        hear.recv()
        redis_server.client().waitaof(1, 0, 5_000)
        redis_server.kill()
        holder.kill()
        holder.join()
        redis_server.restart()
        started = time.monotonic()
        leases.acquire("next", wait_s=10).release()
    assert time.monotonic() - started < 2


def test_the_note_survives_whatever_stood_there(tmp_path: Path) -> None:
    """The file of an earlier version is read, a longer or broken one is overwritten whole."""
    path = mutex_file(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"42 7\n")
    mutex = Mutex(path)
    assert mutex.note() == Note(42, 7, "")
    mutex.write(43, "0" * 32)
    assert mutex.note() == Note(43, os.getpid(), "0" * 32)
    path.write_bytes(b"x" * 500)
    assert mutex.note() == Note(0, 0, "")
    mutex.write(44, "f" * 32)
    assert mutex.note().term == 44
    until(lambda: mutex.note_if_free() == Note(44, os.getpid(), "f" * 32))
