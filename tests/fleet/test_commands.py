"""``forge enqueue``, ``jobs``, ``logs`` and ``status`` as a person types them, without a fleet."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge_workers.catalog import WORKERS
from forge_workers.jobs import outcome
from forge_workers.jobs.job import decode, new_job
from forge_workers.jobs.queue import Queue, prefix_of
from forge_workers.wire import Wire
from tests.standins.forge import Forge, forge_in
from tests.standins.old_redis import server_of_version
from tests.standins.redis import start_redis

pytestmark = pytest.mark.slow
NIGHT = ("pr_digest", "night=2026-03-01")


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """A home with a Redis and no workers, which the tests of this module share, each with jobs of its own."""
    with forge_in(tmp_path_factory.mktemp("forge")) as forge, start_redis(forge.home):
        yield forge


def wire_of(forge: Forge) -> Wire:
    """Return the way to its Redis."""
    return Wire(f"unix://{forge.home}/redis/forge.sock")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "there is no worker 'nobody': choose one of amygdala, code_review"),
        (["pr_digest", "nigth=2026-03-01"], "pr_digest knows no argument 'nigth': it takes night"),
        (["pr_digest", "night=1"], "pr_digest: night must be a day as YYYY-MM-DD"),
        ([*NIGHT, "--at", "soon"], "--at 'soon' is no time: write 07:30 or 2026-12-01T07:30"),
    ],
)
def test_wrong_words_are_one_line_and_nothing_is_enqueued(forge: Forge, arguments: list[str], said: str) -> None:
    """The line names what to change, the exit code is 2, and no queue has a job."""
    done = forge.run("enqueue", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"forge: {said}")
    assert done.stderr.count("\n") == 1
    assert wire_of(forge).call("EXISTS", f"{prefix_of('pr_digest')}:waiting") == 0


def test_a_job_is_queued_scheduled_listed_and_shown(forge: Forge) -> None:
    """Where it went is said with its id; it is listed, shown by the first digits, and a second with its key refused."""
    queued = forge.run("enqueue", *NIGHT, "--key", "once")
    again = forge.run("enqueue", *NIGHT, "--key", "once")
    later = forge.run("enqueue", *NIGHT, "--in", "2h")
    job_id, later_id = queued.stdout.split()[1], later.stdout.split()[1]
    listed = json.loads(forge.run("jobs", "--worker", "pr_digest", "--json").stdout)
    shown = forge.run("jobs", "show", job_id[:10]).stdout

    assert queued.stdout == f"Queued {job_id} for pr_digest.\n"
    assert again.stdout == f"Not taken: job {job_id} with the same key waits or runs already.\n"
    assert later.stdout.startswith(f"Scheduled {later_id} for pr_digest at 20")
    assert {(job["id"], job["where"]) for job in listed} == {(job_id, "waiting"), (later_id, "scheduled")}
    assert '{"night": "2026-03-01"}' in shown
    assert "once" in shown


def test_dead_letters_are_listed_requeued_and_dropped(forge: Forge) -> None:
    """With their reason; one at a time by id, or all of one worker; what names none is refused."""
    wire = wire_of(forge)
    for n in range(3):
        job = new_job(WORKERS["evolution_monitor"], {}, now=1.0, job_id=f"{n:02x}" * 16)
        letter = outcome.letter(job.raw, job.id, now=1.0, reason="it broke", traceback="Traceback\n  here")
        wire.call("LPUSH", f"{prefix_of('evolution_monitor')}:dead", letter)

    listed = forge.run("jobs", "--dead").stdout
    shown = forge.run("jobs", "show", "0101").stdout
    requeued = forge.run("jobs", "requeue", "0101")
    unknown = forge.run("jobs", "requeue", "0101")
    careless = forge.run("jobs", "drop", "--all")
    dropped = forge.run("jobs", "drop", "--all", "--worker", "evolution_monitor", "--yes")

    assert listed.count("it broke") == 3
    assert "here" in shown
    assert requeued.stdout == "Queued 01010101 for evolution_monitor\n"
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "forge: job 01010101 is waiting: only a dead letter can be requeued or dropped\n",
    )
    assert (careless.returncode, careless.stderr.count("\n")) == (2, 1)
    assert dropped.stdout == "Dropped 2 dead letters of evolution_monitor.\n"
    assert wire.call("LLEN", f"{prefix_of('evolution_monitor')}:dead") == 0


@pytest.mark.parametrize(("buried", "code"), [(False, 0), (True, 1)])
def test_waiting_ends_with_the_jobs_outcome(forge: Forge, buried: bool, code: int) -> None:
    """The headline is printed; a job that was buried is exit code 1. The test does what a daemon would."""
    wire = wire_of(forge)
    queue = Queue(wire, WORKERS["gpu_warmup"])
    queue.register("c" * 32, {})
    waiting = forge.start("enqueue", "gpu_warmup", "--wait")
    raw = None
    for _ in range(10):
        raw = raw or queue.wait("c" * 32, 4.0)
    assert raw is not None
    job = decode(raw, queue.row)
    if buried:
        letter = outcome.letter(raw, job.id, now=1.0, reason="It broke.", traceback="")
        queue.bury("c" * 32, job, letter, more=False)
    else:
        queue.done("c" * 32, job, outcome.record(job, now=1.0, seconds=2.0, summary={"headline": "Well."}), more=False)
    out, err = waiting.communicate(timeout=30)

    assert waiting.returncode == code, err
    assert out.splitlines()[-1] == ("buried: It broke." if buried else "done: Well.")


def test_while_redis_is_away_a_job_is_kept_and_everything_says_so(tmp_path: Path) -> None:
    """Status is fine without Redis and without a fleet; a job is safe on disk; lists say in one line what is wrong."""
    with forge_in(tmp_path) as forge:
        enqueued = forge.run("enqueue", "health_check")
        status, told = forge.run("status"), forge.run("status", "--json")
        jobs, logs = forge.run("jobs"), forge.run("logs", "health_check")

        assert (enqueued.returncode, "safe on disk" in enqueued.stdout) == (0, True)
        assert (status.returncode, status.stderr) == (0, "")
        assert "down: run `forge up`" in status.stdout
        assert "away: no Redis answers at" in status.stdout
        assert "1 job on disk for Redis" in status.stdout
        assert json.loads(told.stdout)["spooled"] == 1
        assert (jobs.returncode, jobs.stderr.count("\n")) == (2, 1)
        assert (logs.returncode, logs.stderr) == (2, "forge: health_check has logged nothing yet: run `forge up`\n")
        assert "was not running" in forge.run("down").stdout


def test_a_redis_that_is_too_old_is_named_by_every_command(tmp_path: Path) -> None:
    """One line with both versions and exit code 2; status shows it and goes on."""
    with server_of_version(tmp_path, "6.2.14") as url:
        forge = Forge(tmp_path / "forge", FORGE_REDIS_URL=url)
        for arguments in (["enqueue", "health_check"], ["up"]):
            done = forge.run(*arguments)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
            assert "the server is 6.2.14, Forge needs 7.0" in done.stderr
        status = forge.run("status")

    assert status.returncode == 0
    assert "Forge needs 7.0" in " ".join(status.stdout.split())
    assert not (tmp_path / "forge" / "fleet").exists()


def test_watching_and_following_go_on_until_ctrl_c(forge: Forge) -> None:
    """What is added to a log appears; the screen is drawn again; Ctrl-C is exit code 130 without a traceback."""
    log = forge.home / "logs" / "repo_watch.log"
    log.write_text("first\n")
    following = forge.start("logs", "repo_watch", "-f")
    watching = forge.start("status", "--watch")
    assert following.stdout is not None
    assert following.stdout.readline() == "first\n"
    with log.open("a") as file:
        file.write("second\n")
    assert following.stdout.readline() == "second\n"
    assert watching.stdout is not None
    drawn = [watching.stdout.readline() for _ in range(40)]
    for process in (following, watching):
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1] == ""
        assert process.returncode == 130

    assert sum(line.startswith("repo_watch") for line in drawn) >= 2


def test_logs_shows_the_end_of_a_log(forge: Forge) -> None:
    """The last lines, safe for a terminal; a worker that does not exist is named."""
    log = forge.home / "logs" / "amygdala.log"
    log.write_bytes(b"".join(b"line %d \x1b[31m\n" % n for n in range(100)))

    assert forge.run("logs", "amygdala", "-n", "2").stdout == "line 98\nline 99\n"
    assert forge.run("logs", "nobody").returncode == 2
