"""The daemon, as real processes with real signals on a real Redis: whatever happens to it, no job is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forge_workers.jobs.queue import EVENTS, Queue, prefix_of
from tests.jobs.queues import counts, places, wire_to
from tests.jobs.toy_daemon import toy_row
from tests.standins.redis import PrivateRedis

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: Three beats in a second and a half: a dead process is noticed soon, and a busy machine is not taken for a dead one.
PACE = {"ttl_s": 1.5, "beat_s": 0.5, "settle_s": 0}


class Toy:
    """One toy row, its queue, and daemons of it."""

    def __init__(self, server: PrivateRedis, folder: Path, **facts: Any) -> None:
        self.facts = {"pace": PACE, "max_attempts": 2, "backoff_s": 0.0, "grace_s": 5.0, **facts}
        row = {name: value for name, value in self.facts.items() if name != "pace"}
        self.server = server
        self.path = folder / "effects"
        self.path.touch()
        self.log = folder / "daemon.log"
        self.queue = Queue(wire_to(server), toy_row(**row))
        self.environ = {
            "PATH": os.environ["PATH"],
            "FORGE_HOME": str(server.home),
            "FORGE_REPOSITORIES": str(ROOT),
            "FORGE_MODELS_ENGINE": "extractive",
            "PYTHONPATH": str(ROOT),
            "TOY_PATH": str(self.path),
        }
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self, slot: int = 0, **environ: str) -> subprocess.Popen[bytes]:
        """Start a daemon."""
        with self.log.open("ab") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "tests.jobs.toy_daemon", json.dumps(self.facts), str(slot)],
                env={**self.environ, **environ},
                cwd=ROOT,
                stderr=log,
                stdout=log,
            )
        self.daemons.append(daemon)
        return daemon

    def effects(self) -> list[str]:
        """Return what the handlers wrote."""
        return self.path.read_text(encoding="utf-8").splitlines()

    def said(self) -> str:
        """Return the daemons' log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def counts(self) -> dict[str, int]:
        """Return the queue's counters."""
        return counts(self.queue)

    def letters(self) -> list[dict[str, Any]]:
        """Return the dead letters."""
        return [json.loads(found) for found in self.queue.wire.call("LRANGE", f"{prefix_of('toy')}:dead", 0, -1)]

    def outcomes(self) -> list[dict[str, Any]]:
        """Return what is kept of the jobs that were done."""
        return [json.loads(found) for found in self.queue.wire.call("LRANGE", f"{prefix_of('toy')}:done", 0, -1)]


@pytest.fixture
def toy(redis_server: PrivateRedis, tmp_path: Path) -> Iterator[Callable[..., Toy]]:
    """Make toys; their daemons are killed at the end."""
    made: list[Toy] = []

    def make(function: str = "report", **facts: Any) -> Toy:
        made.append(Toy(redis_server, tmp_path, function=f"tests.jobs.toy_desk:{function}", **facts))
        return made[-1]

    yield make
    for one in made:
        for daemon in one.daemons:
            with contextlib.suppress(ProcessLookupError):
                daemon.kill()
            daemon.wait()


def until(what: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait until ``what`` holds."""
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether no process has this number, or only one that is dead and not collected."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"


def test_a_job_is_done_in_a_process_of_its_own_and_told(toy: Callable[..., Toy]) -> None:
    """Its outcome is kept, Dagster gets the event, and the person who asked gets a notice."""
    toys = toy()
    ticket = toys.queue.enqueue({})
    daemon = toys.start()
    until(toys.outcomes)

    [kept] = toys.outcomes()
    assert (kept["id"], kept["headline"], kept["outcome"]) == (ticket.id, "it is done", "ran")
    [(_, fields)] = toys.queue.wire.call("XRANGE", EVENTS, "-", "+")
    assert json.loads(fields[1])["id"] == ticket.id
    [notice] = toys.queue.wire.call("LRANGE", "forge:{slack_notifier}:waiting", 0, -1)
    assert json.loads(notice)["args"]["title"] == "toy: it is done"
    assert toys.effects()[0].split()[1] != str(daemon.pid)
    assert "job.done worker=toy" in toys.said()


def test_an_idle_worker_stops_at_once_and_with_exit_code_0(toy: Callable[..., Toy]) -> None:
    """And leaves no claim behind."""
    toys = toy()
    daemon = toys.start()
    until(lambda: "worker.started" in toys.said())
    time.sleep(0.2)
    daemon.terminate()

    assert daemon.wait(30) == 0
    assert toys.queue.wire.call("EXISTS", f"{prefix_of('toy')}:claims") == 0


def test_a_job_at_work_finishes_within_the_grace_and_no_other_is_taken(toy: Callable[..., Toy]) -> None:
    """SIGTERM lets the job end, and its outcome counts."""
    toys = toy(grace_s=20.0)
    for _ in range(2):
        toys.queue.enqueue({})
    daemon = toys.start(TOY_SECONDS="1")
    until(toys.effects)
    daemon.terminate()

    assert daemon.wait(20) == 0
    assert toys.counts() == {"done": 1}
    assert {place: len(jobs) for place, jobs in places(toys.queue).items()} == {"waiting": 1}


def test_a_job_longer_than_the_grace_is_handed_back_uncounted(toy: Callable[..., Toy]) -> None:
    """It is first in line for the next process, at the same attempt."""
    toys = toy(grace_s=0.5)
    toys.queue.enqueue({})
    daemon = toys.start(TOY_SECONDS="60")
    until(toys.effects)
    job_pid = int(toys.effects()[0].split()[1])
    daemon.terminate()

    assert daemon.wait(30) == 0
    assert gone(job_pid)
    [raw] = places(toys.queue)["waiting"]
    assert json.loads(raw)["attempt"] == 1
    assert toys.counts() == {}


def test_a_second_sigterm_hands_back_at_once(toy: Callable[..., Toy]) -> None:
    """Whoever asks twice is in a hurry."""
    toys = toy("deaf", grace_s=60.0)
    toys.queue.enqueue({})
    daemon = toys.start()
    until(toys.effects)
    daemon.terminate()
    time.sleep(0.2)
    daemon.terminate()

    assert daemon.wait(30) == 0
    assert "waiting" in places(toys.queue)


def test_a_killed_worker_s_job_is_taken_back_by_its_successor_at_once(toy: Callable[..., Toy]) -> None:
    """The kernel says that nobody of it lives: no heartbeat needs to expire."""
    toys = toy(pace={"ttl_s": 60.0, "beat_s": 20.0, "settle_s": 60})
    ticket = toys.queue.enqueue({})
    first = toys.start(TOY_SECONDS="60")
    until(toys.effects)
    first.kill()
    first.wait()
    toys.start(TOY_SECONDS="0")
    until(toys.outcomes)

    assert [kept["id"] for kept in toys.outcomes()] == [ticket.id]
    assert len(toys.effects()) == 2
    assert gone(int(toys.effects()[0].split()[1]))


def test_a_killed_worker_s_job_is_taken_back_by_any_other_when_its_heartbeat_expires(toy: Callable[..., Toy]) -> None:
    """With nobody to start it anew and without other traffic."""
    toys = toy()
    toys.queue.enqueue({})
    first = toys.start(slot=0, TOY_SECONDS="60")
    until(toys.effects)
    toys.start(slot=1, TOY_SECONDS="0")
    until(lambda: toys.said().count("worker.started") == 2)
    first.kill()
    until(toys.outcomes)

    assert "job.reclaimed" in toys.said()


def test_a_paused_worker_is_refused_when_it_goes_on_and_works_under_a_new_claim(toy: Callable[..., Toy]) -> None:
    """The job that was taken back from it is done once by another, and its own outcome is dropped."""
    toys = toy()
    ticket = toys.queue.enqueue({})
    first = toys.start(slot=0, TOY_SECONDS="4")
    until(toys.effects)
    first.send_signal(signal.SIGSTOP)
    os.kill(int(toys.effects()[0].split()[1]), signal.SIGSTOP)
    toys.start(slot=1, TOY_SECONDS="0")
    until(toys.outcomes)
    os.kill(int(toys.effects()[0].split()[1]), signal.SIGCONT)
    first.send_signal(signal.SIGCONT)
    until(lambda: "claim.lost" in toys.said())

    assert [kept["id"] for kept in toys.outcomes()] == [ticket.id]
    until(lambda: toys.queue.wire.call("HLEN", f"{prefix_of('toy')}:claims") == 2)


def test_redis_dying_under_a_job_loses_neither_the_job_nor_its_outcome(toy: Callable[..., Toy]) -> None:
    """The worker finishes, waits for Redis, says the outcome, and goes on."""
    toys = toy()
    toys.queue.enqueue({})
    toys.start(TOY_SECONDS="1.5")
    until(toys.effects)
    toys.server.kill()
    time.sleep(2.5)
    toys.server.restart()
    until(toys.outcomes)
    toys.queue.enqueue({})
    until(lambda: len(toys.outcomes()) == 2)

    assert len(toys.effects()) == 2
    assert "redis.away" in toys.said()
    assert "redis.back" in toys.said()


@pytest.mark.parametrize(
    ("function", "facts", "reason"),
    [
        ("fail", {}, "ValueError: no luck second line (attempt 2 of 2)"),
        ("never", {}, "it never works"),
        ("abort", {}, "its process was ended by SIGABRT (attempt 2 of 2)"),
        ("leave", {}, "its process ended with exit code 3 and told no outcome (attempt 2 of 2)"),
        ("nonsense", {}, "returned"),
        ("deaf", {"timeout_s": 1.5}, "longer than its time limit"),
        ("hold_the_interpreter", {"timeout_s": 2.0}, "longer than its time limit"),
        ("print_much", {}, "printed 50 MB (attempt 2 of 2)"),
        ("leave_a_child", {}, "left a child behind (attempt 2 of 2)"),
        ("close_files", {}, "(attempt 2 of 2)"),
        ("missing", {}, "cannot be loaded"),
    ],
)
def test_a_handler_that_misbehaves_ends_as_a_dead_letter_and_the_worker_goes_on(
    toy: Callable[..., Toy], function: str, facts: dict[str, Any], reason: str
) -> None:
    """With its reason in one line, all its attempts, no process left behind, and the next job done."""
    toys = toy(function, **facts)
    ticket = toys.queue.enqueue({"n": 1})
    daemon = toys.start()
    until(toys.letters, within_s=60)

    [letter] = toys.letters()
    assert letter["id"] == ticket.id
    assert reason in letter["reason"]
    assert "\n" not in letter["reason"]
    assert json.loads(letter["job"])["args"] == {"n": 1}
    until(lambda: all(gone(int(line.split()[1])) for line in toys.effects()))
    assert daemon.poll() is None
    assert toys.log.stat().st_size < 1_000_000
    assert "Traceback" in letter["traceback"] or function not in {"fail", "never"}


def test_a_snoozed_job_waits_and_counts_no_attempt(toy: Callable[..., Toy]) -> None:
    """It is scheduled at the same attempt."""
    toys = toy("snooze")
    toys.queue.enqueue({})
    toys.start()
    until(lambda: "scheduled" in places(toys.queue))

    [raw] = places(toys.queue)["scheduled"]
    assert json.loads(raw)["attempt"] == 1
    assert toys.counts() == {"snoozed": 1}


@pytest.mark.parametrize("raw", [b"\xff\x00no job", b'{"v":9,"id":"x"}', b"x" * 10_000_000])
def test_what_is_no_job_is_buried_with_its_bytes_and_blocks_nobody(toy: Callable[..., Toy], raw: bytes) -> None:
    """Whoever put it there."""
    toys = toy("inline", inline=True)
    toys.queue.wire.call("RPUSH", f"{prefix_of('toy')}:waiting", raw)
    toys.queue.enqueue({"path": str(toys.path)})
    toys.start()
    until(lambda: toys.counts() == {"buried": 1, "done": 1})

    from forge_workers.jobs.outcome import raw_of  # noqa: PLC0415

    assert raw_of(toys.letters()[0]) == raw


def test_an_inline_job_that_takes_too_long_or_aborts_is_buried_in_the_end(toy: Callable[..., Toy]) -> None:
    """The time limit holds in the daemon too; a death is counted by whoever takes the job back."""
    toys = toy("inline", inline=True, timeout_s=0.5, max_deaths=2)
    toys.queue.enqueue({"path": str(toys.path), "seconds": 30.0})
    daemon = toys.start()
    until(toys.letters)
    assert "longer than its time limit" in toys.letters()[0]["reason"]
    toys.queue.enqueue({"path": str(toys.path), "what": "abort"})
    assert daemon.wait(30) == -signal.SIGABRT
    assert toys.start().wait(30) == -signal.SIGABRT
    toys.start()
    until(lambda: len(toys.letters()) == 2)

    assert "its process died 2 times" in toys.letters()[0]["reason"]


def test_a_worker_whose_supervisor_is_gone_leaves_by_itself(toy: Callable[..., Toy]) -> None:
    """Or the next supervisor would run two of each."""
    toys = toy()
    code = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"
    command = [sys.executable, "-m", "tests.jobs.toy_daemon", json.dumps(toys.facts), "0"]
    with toys.log.open("ab") as log:
        parent = subprocess.Popen([sys.executable, "-c", code, *command], env=toys.environ, cwd=ROOT, stderr=log)
    until(lambda: "worker.started" in toys.said())
    parent.kill()
    parent.wait()
    until(lambda: "worker.stopped" in toys.said())

    assert "worker.orphaned" in toys.said()


def test_a_second_process_of_a_slot_waits_until_the_first_is_gone(toy: Callable[..., Toy]) -> None:
    """Two fleets on one home do each job once."""
    toys = toy()
    first = toys.start()
    until(lambda: toys.said().count("worker.started") == 1)
    second = toys.start()
    time.sleep(1)
    assert toys.said().count("worker.started") == 1
    first.terminate()
    first.wait()
    until(lambda: toys.said().count("worker.started") == 2)
    second.terminate()

    assert second.wait(30) == 0


def test_a_gpu_job_runs_under_the_lease_and_is_snoozed_when_it_does_not_come(toy: Callable[..., Toy]) -> None:
    """Its process holds the kernel lock; the next one's wait is bounded and told."""
    toys = toy(gpu=True, gpu_wait_s=1.0)
    toys.queue.enqueue({})
    toys.queue.enqueue({})
    toys.start(slot=0, TOY_SECONDS="4")
    until(toys.effects)
    toys.start(slot=1, TOY_SECONDS="0")
    until(lambda: toys.counts().get("snoozed") == 1)

    assert len(toys.effects()) == 1
    assert "is held for toy" in toys.said()
    until(lambda: toys.counts().get("done") == 1)
    kept = toys.queue.wire.call("LRANGE", "forge:{slack_notifier}:waiting", 0, -1)
    assert "contention" in {json.loads(raw)["args"]["kind"] for raw in kept}


def test_losing_the_lease_ends_the_job_s_process(toy: Callable[..., Toy]) -> None:
    """Its whole group is killed, and the job is tried again."""
    toys = toy(gpu=True)
    toys.queue.enqueue({})
    toys.start(TOY_SECONDS="120")
    until(toys.effects)
    job_pid = int(toys.effects()[0].split()[1])
    for key in toys.queue.wire.call("KEYS", "{forge:gpu:local:0}:lease"):
        toys.queue.wire.call("DEL", key)
    until(lambda: gone(job_pid), within_s=40)

    until(lambda: toys.counts().get("retried") == 1)
    assert "error=LeaseLost" in toys.said()


def test_an_idle_worker_is_well_after_more_than_a_minute(toy: Callable[..., Toy]) -> None:
    """No time-out of any client ends it, and the job is then taken at once."""
    toys = toy("inline", inline=True)
    daemon = toys.start()
    until(lambda: "worker.started" in toys.said())
    time.sleep(62)
    toys.queue.enqueue({"path": str(toys.path)})
    until(toys.effects, within_s=2)

    assert daemon.poll() is None
    assert "redis.away" not in toys.said()


def test_a_server_that_is_too_old_is_refused_with_one_line(toy: Callable[..., Toy], tmp_path: Path) -> None:
    """It names both versions, and the worker exits with 2."""
    toys = toy()
    with _old_server(tmp_path / "old.sock"):
        daemon = toys.start(FORGE_REDIS_URL=f"unix://{tmp_path / 'old.sock'}")
        assert daemon.wait(30) == 2

    assert "the server is 6.2.14, Forge needs 7.0: update it or unset FORGE_REDIS_URL" in toys.said()


@contextlib.contextmanager
def _old_server(path: Path) -> Iterator[None]:
    """Answer every command with what an old server says of itself."""
    said = b"# Server\r\nredis_version:6.2.14\r\n"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    while client.recv(4096):
                        client.sendall(b"$%d\r\n%s\r\n" % (len(said), said))

        threading.Thread(target=serve, daemon=True).start()
        yield


def test_a_daemon_loads_nothing_heavy() -> None:
    """27 of them wait at once: no Dagster, no settings, no client that nobody needs."""
    code = (
        "import sys; from forge_workers.jobs import daemon, janitor; from forge_workers.gpu import lease; "
        "from forge_workers.code import refs; from forge_workers.notices import watch; "
        "print([m for m in ('dagster', 'pydantic', 'redis', 'pandas', 'rich', 'typer', 'asyncio') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert found.stdout.strip() == "[]"
