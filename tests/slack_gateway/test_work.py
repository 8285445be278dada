"""Work asked for from Slack: reviews and nights to run again, with Redis and without."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forge_workers.briefing.buttons import Verb
from forge_workers.catalog import WORKERS
from forge_workers.jobs.inspection import Inspection, Seen
from forge_workers.jobs.queue import EVENTS
from forge_workers.jobs.spool import Producer
from forge_workers.redis_server import url_of
from forge_workers.slack_gateway.envelope import read
from forge_workers.slack_gateway.work import ask_for_night, enqueue
from forge_workers.wire import Wire
from tests.slack_gateway.scenes import ALICE, BOB, NIGHT, NOON, Desk, chosen, desk, orchard
from tests.standins.redis import start_redis
from tests.standins.slack_socket import typed

pytestmark = pytest.mark.slow

_REVIEWERS = ("security_review", "code_review")


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Desk]:
    """A gateway with a Redis and a watched repository."""
    orchard(tmp_path)
    with start_redis(tmp_path / "forge"), desk(tmp_path) as running:
        yield running


def wire_of(running: Desk) -> Wire:
    """Return a way to the desk's Redis."""
    return Wire(url_of(chosen(running.home, running.web.url)))


def queued(running: Desk) -> list[Seen]:
    """Return every job in line."""
    wire = wire_of(running)
    return [job for row in WORKERS.values() for job in Inspection(wire, row).jobs("waiting")]


def asked(running: Desk) -> list[dict[str, Any]]:
    """Return what Dagster was told."""
    entries = wire_of(running).call("XRANGE", EVENTS, "-", "+")
    return [json.loads(fields[1]) for _, fields in entries]


def test_review_this_now_gives_both_reviewers_a_job(busy: Desk) -> None:
    """The button names the repository; its path comes from the settings, and the person hears where the jobs are."""
    busy.press(Verb.REVIEW, repository="orchard", commit="abcdef1234")

    jobs = queued(busy)
    assert sorted(job.worker for job in jobs) == sorted(_REVIEWERS)
    assert {job.args["repository"] for job in jobs} == {str(busy.home.parent / "orchard")}
    assert {(job.args["commit"], job.by) for job in jobs} == {("abcdef1234", "person")}
    assert "security_review is in line" in busy.said()


def test_two_people_asking_for_one_review_get_one(busy: Desk) -> None:
    """While it waits or runs a second one is not taken, and the answer says so."""
    busy.press(Verb.REVIEW, repository="orchard", commit="abcdef1234")
    busy.press(Verb.REVIEW, repository="orchard", commit="abcdef1234")

    assert len(queued(busy)) == 2
    assert "code_review was asked for already" in busy.said()


def test_a_repository_is_named_and_never_a_path(busy: Desk) -> None:
    """What is not watched is refused, with the names of those that are."""
    for name in ("/etc", "..", str(busy.home.parent / "orchard"), "press"):
        assert busy.sent(typed(f"review '{name}'"), "slash_commands")["came"] == "refused"
        assert "choose one of orchard" in busy.said()
    assert queued(busy) == []


def test_run_again_tells_dagster_once(busy: Desk) -> None:
    """Two people within ten minutes ask for one run; the second hears who asked before."""
    busy.press(Verb.RERUN, None)
    line = busy.press(Verb.RERUN, None)

    (event,) = asked(busy)
    assert {**event, "id": ""} == {
        "id": "", "worker": "slack_gateway", "kind": "asked", "at": NOON, "by": ALICE, "night": NIGHT
    }  # fmt: skip
    assert line["came"] == "refused"
    assert busy.said() == f"{ALICE} asked for that at 2026-11-24 12:00: once is enough"


def test_run_again_works_again_after_ten_minutes(busy: Desk) -> None:
    """What was asked for once may be wanted again."""
    busy.press(Verb.RERUN, None)
    busy.now[0] += 601
    busy.press(Verb.RERUN, None)

    assert len({event["id"] for event in asked(busy)}) == 2


def test_one_step_may_be_run_again(busy: Desk) -> None:
    """The event names it; what is no step of a night is refused."""
    busy.press(Verb.RERUN, None, asset="code_review")
    assert asked(busy)[0]["asset"] == "code_review"

    assert busy.press(Verb.RERUN, None, asset="morning_briefing")["came"] == "refused"


def test_while_redis_is_away_answers_say_so_and_nothing_is_lost(tmp_path: Path) -> None:
    """A review is kept on disk and goes in line later; a night cannot be asked for, and may be pressed again."""
    orchard(tmp_path)
    with desk(tmp_path) as running:
        running.press(Verb.REVIEW, repository="orchard", commit="abcdef1234")
        assert "safe on disk, because Redis is away" in running.said()
        assert running.press(Verb.RERUN, None)["came"] == "failed"
        assert "Redis is away" in running.said()
        assert running.sent(typed("jobs"), "slash_commands")["came"] == "failed"
        assert "Redis is away" in running.said()
        assert running.sent(typed("status"), "slash_commands")["came"] == "done"

        with start_redis(running.home):
            assert running.press(Verb.RERUN, None)["came"] == "done"
            assert len(asked(running)) == 1
            Producer(wire_of(running), running.home, WORKERS).replay()
            assert sorted(job.worker for job in queued(running)) == sorted(_REVIEWERS)


def test_an_act_that_is_repeated_after_a_kill_asks_for_the_same_job(busy: Desk) -> None:
    """The job's name is made from the press, so that it is found where it is, also after it was done."""
    ask = read("slash_commands", typed("review orchard"), NOON)
    assert ask is not None
    wire, args = wire_of(busy), {"repository": str(busy.home.parent / "orchard")}

    for _ in range(2):
        enqueue(WORKERS["pr_digest"], {"night": NIGHT}, ask, wire=wire, home=busy.home)
        enqueue(WORKERS["code_review"], args, ask, wire=wire, home=busy.home)
        ask_for_night(NIGHT, None, ask, wire)

    assert len(queued(busy)) == 2
    assert len({event["id"] for event in asked(busy)}) == 1  # Dagster starts one run for one name


def test_a_worker_is_given_a_job_by_its_name(busy: Desk) -> None:
    """Arguments are read by the catalogue, a repository by its watched name."""
    busy.sent(typed("pr_digest night=2026-11-23"), "slash_commands")
    busy.sent(typed("security_review repository=orchard commit=abcdef1"), "slash_commands")

    found = {job.worker: job.args for job in queued(busy)}
    assert found["pr_digest"] == {"night": NIGHT}
    assert found["security_review"] == {"repository": str(busy.home.parent / "orchard"), "commit": "abcdef1"}
    assert "is in line" in busy.said()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pr_digest night=yesterday", "night must be a day"),
        ("pr_digest day=2026-11-23", "knows no argument"),
        ("pr_digest 2026-11-23", "NAME=VALUE"),
        ("morning_briefing", "night is missing"),
        ("security_review repository=/etc", "no watched repository"),
        ("security_review commit=abcdef1;reboot", "commit must be"),
        ("pr_digest night=2026-11-23 night=2026-11-22", "words are too many"),
    ],
)
def test_words_that_do_not_fit_are_refused_in_one_line(busy: Desk, text: str, why: str) -> None:
    """The line says what to write; no job is made."""
    assert busy.sent(typed(text), "slash_commands")["came"] == "refused"

    assert why in busy.said()
    assert "\n" not in busy.said()
    assert queued(busy) == []


def test_who_may_not_work_gets_no_job(busy: Desk) -> None:
    """The right is that of the button."""
    assert busy.sent(typed("pr_digest", by=BOB), "slash_commands")["came"] == "refused"
    assert "slack.may.work" in busy.said()


def test_jobs_are_listed(busy: Desk) -> None:
    """Id, worker and place of each."""
    busy.sent(typed("pr_digest night=2026-11-23"), "slash_commands")
    busy.sent(typed("jobs", by=BOB), "slash_commands")

    assert "pr_digest · waiting · since 2026-11-24 12:00" in busy.said()


def test_a_slow_redis_delays_no_acknowledgement(tmp_path: Path) -> None:
    """The acknowledgement comes before the act: within a quarter of a second while Redis hangs for a second."""
    with desk(tmp_path) as running, socket.socket(socket.AF_UNIX) as deaf:
        (running.home / "redis").mkdir(parents=True, exist_ok=True)
        deaf.bind(url_of(chosen(running.home, running.web.url)).removeprefix("unix://"))
        deaf.listen()
        began = time.monotonic()
        running.press(Verb.RERUN, None)

        assert running.ear.at[0] - began < 0.25
        assert time.monotonic() - began > 0.9
        assert running.record()[-1]["came"] == "failed"
