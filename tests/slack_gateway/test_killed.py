"""The gateway killed by SIGKILL at every step of a press: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forge_workers.briefing.buttons import Verb, action_id
from forge_workers.catalog import WORKERS
from forge_workers.feedback import Feedback
from forge_workers.jobs.inspection import Inspection
from forge_workers.jobs.queue import EVENTS
from forge_workers.wire import Wire
from tests.slack_gateway.killing import gateway_of, take
from tests.slack_gateway.scenes import NIGHT, POSTED, carried, furnish, orchard, wait_for
from tests.standins.redis import PrivateRedis
from tests.standins.slack import SlackServer, slack_server
from tests.standins.slack_socket import pressed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def killer() -> Iterator[subprocess.Popen[str]]:
    """The process that forks and kills, loaded once."""
    command = [sys.executable, "-m", "tests.slack_gateway.killing"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)


def was_killed(killer: subprocess.Popen[str], *words: object) -> bool:
    """Let a fork take the press, and say whether it was killed on the way."""
    assert killer.stdin is not None
    assert killer.stdout is not None
    killer.stdin.write(" ".join(map(str, words)) + "\n")
    status = int(killer.stdout.readline())
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def killed_at_every_step(
    killer: subprocess.Popen[str], folder: Path, redis: str, payload: dict[str, Any], check: Callable[[Path], None]
) -> int:
    """Kill at the first step, the second ..., start again each time as the supervisor does, and check.

    What was not acknowledged Slack delivers again. Returns how many steps there were.
    """
    orchard(folder)
    for step in range(1, 200):
        home, sent = folder / f"forge{step}", folder / f"{step}.json"
        furnish(home)
        with slack_server() as web:
            payload = {**payload, "trigger_id": f"t{step}", "response_url": web.hook}
            payload["actions"][0]["action_ts"] = f"{step}.0"
            sent.write_text(json.dumps(payload))
            killed = was_killed(killer, home, web.url, redis, sent, step)
            start_again(home, web, redis, sent)
            check(home)
            assert web.whispers, f"no answer after a kill at step {step}"
        if not killed:
            return step - 1
    raise AssertionError("it never ended")


def start_again(home: Path, web: SlackServer, redis: str, sent: Path) -> None:
    """Start the gateway anew, take up what was left behind, and deliver again what was not acknowledged."""
    gateway = gateway_of(home, web.url, redis)
    gateway.resume()
    wait_for(lambda: not gateway.busy)
    if not sent.with_suffix(".ack").exists():
        take(gateway, sent)
    gateway.stop(5)


def test_an_opinion_is_kept_once(killer: subprocess.Popen[str], tmp_path: Path) -> None:
    """Whatever the step, there is one opinion, and the person has an answer."""

    def check(home: Path) -> None:
        assert len(Feedback(home).views().opinions) == 1

    payload = pressed(action_id(Verb.UP), carried(Verb.UP), ts=POSTED)
    assert killed_at_every_step(killer, tmp_path, "unix:///nowhere", payload, check) > 10


def test_a_review_is_asked_for_once(killer: subprocess.Popen[str], tmp_path: Path, redis_server: PrivateRedis) -> None:
    """Whatever the step, each reviewer has one job: its name is made from the press."""
    url = f"unix://{redis_server.socket}"
    wire = Wire(url)

    def check(_: Path) -> None:
        jobs = [
            job
            for name in ("security_review", "code_review")
            for job in Inspection(wire, WORKERS[name]).jobs("waiting")
        ]
        assert sorted(job.worker for job in jobs) == ["code_review", "security_review"]
        wire.call("FLUSHALL")

    value = carried(Verb.REVIEW, repository="orchard", commit="abcdef1")
    payload = pressed(action_id(Verb.REVIEW), value, ts=POSTED)
    assert killed_at_every_step(killer, tmp_path, url, payload, check) > 10


def test_a_night_is_asked_for_under_one_name(
    killer: subprocess.Popen[str], tmp_path: Path, redis_server: PrivateRedis
) -> None:
    """Whatever the step, Dagster is told at least once and under one name, for which it starts one run."""
    url = f"unix://{redis_server.socket}"
    wire = Wire(url)

    def check(_: Path) -> None:
        told = [json.loads(fields[1]) for _, fields in wire.call("XRANGE", EVENTS, "-", "+")]
        assert {event["night"] for event in told} == {NIGHT}
        assert len({event["id"] for event in told}) == 1
        wire.call("FLUSHALL")

    payload = pressed(action_id(Verb.RERUN), carried(Verb.RERUN, None), ts=POSTED)
    assert killed_at_every_step(killer, tmp_path, url, payload, check) > 10
