"""While Redis is away jobs wait on disk, bounded and in order, and are put in line once when it is back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forge_workers.errors import BadArgs
from forge_workers.jobs.queue import prefix_of
from forge_workers.jobs.spool import Producer, SpoolFull
from forge_workers.wire import Refused, Wire
from tests.jobs.queues import Clock, fetched, places, toy_queue
from tests.jobs.toy_daemon import toy_row
from tests.standins.lossy import lossy_relay
from tests.standins.redis import PrivateRedis

ROWS = {"toy": toy_row()}


def producer_to(socket: Path, home: Path, most_bytes: int = 1_000_000) -> Producer:
    """Return a producer of toys."""
    return Producer(Wire(f"unix://{socket}"), home, ROWS, Clock(), most_bytes)


def waiting(server: PrivateRedis) -> list[int]:
    """Return the numbers of the waiting toys, in their order."""
    return [json.loads(raw)["args"]["n"] for raw in places(toy_queue(server)).get("waiting", [])]


def test_with_redis_there_nothing_is_spooled(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """The spool is for when it is away."""
    producer = producer_to(redis_server.socket, tmp_path)
    ticket = producer.enqueue("toy", {"n": 1})

    assert ticket.placed == "queued"
    assert waiting(redis_server) == [1]
    assert not (tmp_path / "spool").exists()


def test_jobs_made_while_redis_is_away_are_put_in_line_in_order_and_once(
    redis_server: PrivateRedis, tmp_path: Path
) -> None:
    """And a job made after its return goes behind them."""
    producer = producer_to(redis_server.socket, tmp_path)
    redis_server.kill()
    assert {producer.enqueue("toy", {"n": n}).placed for n in range(3)} == {"spooled"}
    redis_server.restart()
    producer.enqueue("toy", {"n": 3})

    assert waiting(redis_server) == [0, 1, 2, 3]
    assert producer.replay()
    assert waiting(redis_server) == [0, 1, 2, 3]


def test_key_urgency_and_time_survive_the_spool(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """A spooled job is put where it would have gone."""
    producer = producer_to(redis_server.socket, tmp_path)
    redis_server.kill()
    producer.enqueue("toy", {"n": 1}, key="k")
    producer.enqueue("toy", {"n": 2}, key="k")
    producer.enqueue("toy", {"n": 3}, urgent=True)
    producer.enqueue("toy", {"n": 4}, at=1_900_000_000.0)
    redis_server.restart()

    assert producer.replay()
    assert waiting(redis_server) == [3, 1]
    assert len(places(toy_queue(redis_server))["scheduled"]) == 1


def test_a_job_whose_reply_was_lost_is_in_line_once(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """It was spooled, since nobody knew; replaying found it."""
    with lossy_relay(tmp_path / "r.sock", redis_server.socket) as relay:
        relay.watch, relay.lose = b"RPUSH", 1
        producer = producer_to(relay.path, tmp_path)

        assert producer.enqueue("toy", {"n": 1}).placed == "spooled"
        assert waiting(redis_server) == [1]
        assert producer.replay()
        assert waiting(redis_server) == [1]


def test_the_control_that_does_not_look_first_puts_it_in_line_twice(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """What the look is for."""
    queue = toy_queue(redis_server)
    with lossy_relay(tmp_path / "r.sock", redis_server.socket) as relay:
        relay.watch, relay.lose = b"RPUSH", 1
        producer_to(relay.path, tmp_path).enqueue("toy", {"n": 1})
    spooled = json.loads((tmp_path / "spool" / "jobs.jsonl").read_text(encoding="utf-8"))
    queue.wire.call("RPUSH", f"{prefix_of('toy')}:waiting", spooled["job"])

    assert waiting(redis_server) == [1, 1]


def test_a_full_spool_raises_and_keeps_what_it_has(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """Never a silent drop: the caller learns that the job was not taken, and what to do."""
    producer = producer_to(redis_server.socket, tmp_path, most_bytes=1_000)
    redis_server.kill()
    for n in range(3):
        producer.enqueue("toy", {"n": n})

    with pytest.raises(SpoolFull, match=r"spool .* is full .*start Redis"):
        producer.enqueue("toy", {"n": 3, "what": "x" * 500})
    redis_server.restart()

    assert producer.replay()
    assert waiting(redis_server) == [0, 1, 2]


def test_what_a_crash_cut_off_was_never_acknowledged(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """Half a line at the end is dropped, and the next job is whole."""
    producer = producer_to(redis_server.socket, tmp_path)
    redis_server.kill()
    producer.enqueue("toy", {"n": 1})
    with (tmp_path / "spool" / "jobs.jsonl").open("ab") as file:
        file.write(b'{"job": "{\\"v\\": 1, \\"id')
    producer.enqueue("toy", {"n": 2})
    redis_server.restart()

    assert producer.replay()
    assert waiting(redis_server) == [1, 2]
    assert not (tmp_path / "spool" / "jobs.rejected").exists()


def test_a_spooled_job_of_no_worker_is_put_aside_and_blocks_nobody(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """As after going back to an older version."""
    redis_server.kill()
    newer = Producer(Wire(f"unix://{redis_server.socket}"), tmp_path, {**ROWS, "new": toy_row(name="new")}, Clock())
    newer.enqueue("new", {"n": 1})
    newer.enqueue("toy", {"n": 2})
    redis_server.restart()
    producer = producer_to(redis_server.socket, tmp_path)

    assert producer.replay()
    assert waiting(redis_server) == [2]
    assert '"worker\\":\\"new' in (tmp_path / "spool" / "jobs.rejected").read_text(encoding="utf-8")


def test_bad_arguments_are_refused_before_anything_is_spooled(tmp_path: Path) -> None:
    """Redis away or not."""
    producer = producer_to(tmp_path / "none.sock", tmp_path)

    with pytest.raises(BadArgs, match="there is no worker 'none': choose one of toy"):
        producer.enqueue("none", {})
    with pytest.raises(BadArgs, match="knows no argument"):
        producer.enqueue("toy", {"m": 1})
    assert not (tmp_path / "spool").exists()


def test_a_redis_that_answers_and_refuses_is_no_redis_that_is_away(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """A full server says so to the caller at once."""
    producer = producer_to(redis_server.socket, tmp_path)
    toy_queue(redis_server).wire.call("CONFIG", "SET", "maxmemory", 1_000_000)

    with pytest.raises(Refused, match="OOM"):
        producer.enqueue("toy", {"n": 1})
    assert not (tmp_path / "spool").exists()


@pytest.mark.slow
def test_producers_killed_at_any_moment_leave_every_acknowledged_job_once(
    redis_server: PrivateRedis, tmp_path: Path
) -> None:
    """What they had said to be kept is kept, in the spool or in line."""
    said: set[int] = set()
    for start in range(0, 4_000, 1_000):
        if start == 2_000:
            redis_server.kill()
        command = [sys.executable, "-m", "tests.jobs.producing", str(redis_server.socket), str(tmp_path), str(start)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert process.stdout is not None
        for line in process.stdout:
            said.add(int(line))
            if len(said) >= start // 10 + 60:
                os.kill(process.pid, signal.SIGKILL)
                break
        said |= {int(line) for line in process.stdout if line.endswith("\n")}
        process.wait()
    redis_server.restart()
    assert producer_to(redis_server.socket, tmp_path).replay()

    found = waiting(redis_server)
    assert len(found) == len(set(found))
    assert said <= set(found)
    assert len(said) > 200
    fetched(toy_queue(redis_server))
