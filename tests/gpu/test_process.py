"""A process that uses the device ends with its lease, and so does everything it started."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forge_workers.errors import Snooze
from forge_workers.gpu.lease import Lease, Leases
from forge_workers.gpu.mutex import Mutex, mutex_file
from forge_workers.gpu.process import HeldProcess
from tests.gpu.holding import LEASE, HandClock, leases_at, until
from tests.standins.redis import PrivateRedis

pytestmark = pytest.mark.slow

#: Forks twice, so that the grandchild is nobody's child any more, writes its number down and waits to be ended.
_DOUBLE_FORK = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN) if "deaf" in sys.argv else None
if os.fork() == 0:
    if "leaves" in sys.argv:
        os.setsid()
    if os.fork() == 0:
        open(sys.argv[1] + ".part", "w").write(str(os.getpid()))
        os.rename(sys.argv[1] + ".part", sys.argv[1])
        time.sleep(float(sys.argv[2]))
    os._exit(0)
if "stays" in sys.argv:
    time.sleep(600)
"""


def lives(pid: int) -> bool:
    """Whether the process runs: it is there, and more than an entry that waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_free(home: Path) -> bool:
    """Whether nobody has the kernel lock."""
    with contextlib.closing(Mutex(mutex_file(home))) as mutex:
        return mutex.note_if_free() is not None


def started(lease: Lease, folder: Path, *how: str, for_s: float = 600) -> tuple[HeldProcess, int]:
    """Return a process under ``lease`` and the number of its grandchild."""
    told = folder / "grandchild"
    process = HeldProcess([sys.executable, "-c", _DOUBLE_FORK, str(told), str(for_s), *how], lease)
    until(told.exists)
    return process, int(told.read_text())


@contextmanager
def held(server: PrivateRedis, home: Path, ttl_s: float = 30.0) -> Iterator[tuple[Leases, Lease]]:
    """Hold the lease with its kernel lock."""
    leases = leases_at(server.socket, ttl_s=ttl_s, mutex=mutex_file(home))
    with leases.acquire("work", wait_s=5) as lease:
        yield leases, lease


@pytest.mark.parametrize("how", ["stopped", "ended by itself"])
def test_the_whole_group_ends_with_its_leader(redis_server: PrivateRedis, tmp_path: Path, how: str) -> None:
    """Whether it is stopped or its leader is done, no grandchild is left."""
    with held(redis_server, tmp_path) as (_, lease):
        process, grandchild = started(lease, tmp_path, "stays" if how == "stopped" else "")
        if how == "ended by itself":
            assert process.popen.wait(30) == 0
        process.stop(grace_s=1)
        until(lambda: not lives(grandchild))
        assert is_free(tmp_path)


def test_killing_the_leader_alone_is_not_enough(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """The control: without the group the grandchild goes on with the kernel lock, and the next holder waits for it."""
    with held(redis_server, tmp_path) as (leases, lease):
        process, grandchild = started(lease, tmp_path, "stays")
        process.popen.kill()
        process.popen.wait()
        assert lives(grandchild)
        redis_server.client().delete(LEASE)
        with pytest.raises(Snooze, match="still in use"):
            leases.acquire("next", wait_s=0.2)
        process.stop(grace_s=0)
        leases.acquire("next", wait_s=2).release()


def test_who_does_not_hear_sigterm_is_killed_after_the_grace(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """A deaf or a stopped group is gone after the grace, not before."""
    for how in ("deaf", "stopped"):
        with held(redis_server, tmp_path) as (_, lease):
            (tmp_path / "grandchild").unlink(missing_ok=True)
            process, grandchild = started(lease, tmp_path, "stays", how)
            if how == "stopped":
                os.killpg(process.popen.pid, signal.SIGSTOP)
            began = time.monotonic()
            process.stop(grace_s=0.3)
            assert 0.3 <= time.monotonic() - began < 2
            until(lambda pid=grandchild: not lives(pid))  # type: ignore[misc]


def test_the_device_is_not_given_on_before_a_runaway_is_gone(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """A grandchild that left the group keeps the kernel lock: the lease is kept for it and given back after it."""
    with held(redis_server, tmp_path) as (leases, lease):
        process, grandchild = started(lease, tmp_path, "leaves", for_s=1.5)
        process.popen.wait(30)
        process.stop(grace_s=0.1)
        assert lives(grandchild)
        with pytest.raises(Snooze, match="held for work"):
            leases.acquire("next", wait_s=0.3)
        lease.release()
        assert not lives(grandchild)
    leases.acquire("next", wait_s=0).release()


def test_the_wait_for_a_runaway_is_bounded_and_said(
    redis_server: PrivateRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After ten seconds the lease is given back and the log says so; the next holder waits for the kernel lock."""
    clock = HandClock()
    leases = leases_at(redis_server.socket, mutex=mutex_file(tmp_path), clock=clock)
    lease = leases.acquire("work", wait_s=0)
    process, grandchild = started(lease, tmp_path, "leaves")
    process.popen.wait(30)
    process.stop(grace_s=0.1)
    with caplog.at_level(logging.WARNING):
        releasing = threading.Thread(target=lease.release)
        releasing.start()
        clock.now += 9.9
        releasing.join(0.3)
        assert releasing.is_alive()
        clock.now += 0.2
        releasing.join(5)
    assert "lease.lock_still_held" in caplog.text
    with pytest.raises(Snooze, match="still in use by process"):
        leases.acquire("next", wait_s=0)
    os.kill(grandchild, signal.SIGKILL)
    until(lambda: not lives(grandchild))


def test_a_lock_that_could_not_be_handed_over_stays(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """When the command cannot be started its keeper has the lock as before."""
    with held(redis_server, tmp_path) as (_, lease):
        with pytest.raises(FileNotFoundError):
            HeldProcess([str(tmp_path / "nothing")], lease)
        assert not is_free(tmp_path)


@pytest.mark.parametrize("inherits", [True, False])
def test_the_lock_outlives_its_keeper(redis_server: PrivateRedis, tmp_path: Path, inherits: bool) -> None:
    """A keeper that is killed leaves the lock to the process that uses the device; without inheriting it is caught."""
    source = (
        "import subprocess, sys, pathlib; from forge_workers.gpu.lease import Leases; from forge_workers.wire import "
        "Wire; from forge_workers.gpu.process import HeldProcess; "
        "lease = Leases(Wire(sys.argv[1]), mutex=pathlib.Path(sys.argv[2])).acquire('keeper', 5); "
        "argv = [sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)']; "
        "child = HeldProcess(argv, lease).popen if sys.argv[3] else subprocess.Popen(argv, stdout=subprocess.PIPE); "
        "child.stdout.readline(); print(child.pid, flush=True); child.wait()"
    )
    words = [f"unix://{redis_server.socket}", str(mutex_file(tmp_path)), "yes" if inherits else ""]
    keeper = subprocess.Popen([sys.executable, "-c", source, *words], stdout=subprocess.PIPE, text=True)
    assert keeper.stdout is not None
    child = int(keeper.stdout.readline())
    keeper.kill()
    keeper.wait()
    try:
        assert is_free(tmp_path) is not inherits
    finally:
        os.kill(child, signal.SIGKILL)
