"""Who is next: the more urgent first, nobody for ever last, and a loaded model before a load, within bounds."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from forge_workers.gpu.lease import Leases, Priority
from forge_workers.gpu.mutex import mutex_file
from forge_workers.gpu.script import OVERTAKINGS
from tests.gpu import broken
from tests.gpu.holding import ask, leases_at, until
from tests.standins.redis import PrivateRedis

INTERACTIVE, NIGHT, BACKFILL, TRAINING = Priority


def served(leases: Leases) -> list[str]:
    """Let the holder and then each who is granted leave at once; return the purposes in the order of their turns."""
    order: list[str] = []
    leases.script.call("release", "first")
    while (holder := leases.status(now=0).holder) is not None:
        order.append(holder.purpose)
        leases.script.call("release", holder.purpose)
    return order


def test_the_more_urgent_go_first_and_equals_in_order(redis_server: PrivateRedis) -> None:
    """Interactive, night, backfill, training, in any order of asking; without classes it is caught."""
    for device, changes in (("a", ()), ("b", (broken.NO_PRIORITIES,))):
        leases = broken.break_script(leases_at(redis_server.socket, device), *changes)
        ask(leases, "first")
        for name, priority in (("t", TRAINING), ("b", BACKFILL), ("n1", NIGHT), ("i1", INTERACTIVE), ("n2", NIGHT)):
            ask(leases, name, priority)
        assert (served(leases) == ["i1", "n1", "n2", "b", "t"]) is (device == "a")


def test_nobody_starves(redis_server: PrivateRedis) -> None:
    """Training that waited three ageing times goes before interactive work that came later; without ageing not."""
    for device, changes in (("a", ()), ("b", (broken.NO_AGEING,))):
        leases = broken.break_script(leases_at(redis_server.socket, device, ageing_s=0.02), *changes)
        ask(leases, "first")
        ask(leases, "training", TRAINING)
        client, waiter = redis_server.client(), f"{leases.script.keys[0]}:waiter:training"
        client.hset(waiter, "since", str(float(str(client.hget(waiter, "since"))) - 0.07))
        for number in range(5):
            ask(leases, f"later {number}", INTERACTIVE)
        assert served(leases).index("training") == (0 if device == "a" else 5)


def test_a_loaded_model_goes_first_among_equals(redis_server: PrivateRedis) -> None:
    """Twelve steps of one night that wait in the worst order load each of their two models once."""
    leases = leases_at(redis_server.socket)
    ask(leases, "first", NIGHT, "x")
    for number in range(12):
        ask(leases, f"{'xy'[number % 2]}{number}", NIGHT, "xy"[number % 2])
    order = [name[0] for name in served(leases)]
    assert order == ["x"] * 6 + ["y"] * 6


def test_affinity_stays_within_a_class(redis_server: PrivateRedis) -> None:
    """A loaded model never takes a waiter past a more urgent one."""
    leases = leases_at(redis_server.socket)
    ask(leases, "first", NIGHT, "x")
    ask(leases, "training with x", TRAINING, "x")
    ask(leases, "night with y", NIGHT, "y")
    assert served(leases) == ["night with y", "training with x"]


@pytest.mark.parametrize("change", [None, broken.UNLIMITED_AFFINITY])
def test_nobody_is_overtaken_more_than_k_times(redis_server: PrivateRedis, change: broken.Change | None) -> None:
    """However many come for the loaded model, a waiter for another lets k past; unlimited affinity is caught."""
    leases = broken.break_script(leases_at(redis_server.socket), *([change] if change else []))
    ask(leases, "first", NIGHT, "x")
    ask(leases, "other", NIGHT, "y")
    for number in range(OVERTAKINGS + 5):
        ask(leases, f"x{number}", NIGHT, "x")
    turn = served(leases).index("other")
    assert (turn == OVERTAKINGS) is (change is None)
    assert turn >= OVERTAKINGS


def test_an_acquire_says_its_priority_and_its_model(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """What ``acquire`` is told is what Redis and the status know of its holder and its waiters."""
    leases = leases_at(redis_server.socket, mutex=mutex_file(tmp_path))
    first = leases.acquire("first", wait_s=0, priority=TRAINING)
    second = threading.Thread(
        target=lambda: leases.acquire("second", wait_s=10, priority=NIGHT, model="qwen3:8b").release()
    )
    second.start()
    until(lambda: len(leases.status(now=0).waiters) == 1)
    status = leases.status(now=0)
    assert status.holder is not None
    assert (status.holder.priority, status.holder.model) == (TRAINING, None)
    assert [(waiter.priority, waiter.model) for waiter in status.waiters] == [(NIGHT, "qwen3:8b")]
    first.release()
    second.join()


def test_two_devices_do_not_meet(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """Each device has its own holder, line, terms, model and kernel lock, on one host or on several."""
    one, other = (
        leases_at(redis_server.socket, device, mutex=mutex_file(tmp_path, device)) for device in ("mac:0", "mac:1")
    )
    for _ in range(3):
        one.acquire("earlier", wait_s=0).release()
    with one.acquire("one", wait_s=0, model="x") as held, other.acquire("other", wait_s=0, model="y") as beside:
        assert (held.term, beside.term) == (4, 1)
        assert {lease.status(now=0).holder.model for lease in (one, other)} == {"x", "y"}  # type: ignore[union-attr]
        ask(other, "waiter")
        held.release()
        beside.check()
        assert one.status(now=0).holder is None
        assert len(other.status(now=0).waiters) == 1
