"""A night that a person asks for again in Slack: from the event to one run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from forge_assets import automation
from forge_assets import worker_events as events
from forge_assets.resources.queues import Entry, Queues
from forge_workers.jobs import outcome
from forge_workers.jobs.queue import EVENTS
from forge_workers.wire import Wire
from tests.standins.redis import PrivateRedis

pytestmark = pytest.mark.slow

NIGHT = "2026-03-01"
#: Noon of that day in UTC.
NOON = 1_772_366_400.0


def told(**changed: object) -> bytes:
    """Return the event as the gateway tells it."""
    event = json.loads(outcome.asked("a" * 32, night=NIGHT, asset=None, by="U0ALICE", now=NOON))
    return json.dumps({**event, **changed}).encode()


def decided(*entries: bytes, now: float = NOON) -> events.Plan:
    """Decide about events, the first at place 1-0."""
    listed = [Entry(f"{n}-0", event) for n, event in enumerate(entries, start=1)]
    zone = ZoneInfo("Europe/Paris")
    return events.decide(events.Cursor(), listed, zone=zone, is_known=lambda night: night == NIGHT, now=now)


def test_an_ask_is_a_run_of_the_whole_night_under_the_asks_name() -> None:
    """The name is the key that Dagster starts one run for; the run publishes, since a person wants to see it."""
    plan = decided(told(), told())

    assert {run.run_key for run in plan.runs} == {f"asked by {'a' * 32}"}
    (run, _) = plan.runs
    assert (run.partition_key, run.asset_selection) == (NIGHT, None)
    assert events.BY_DAY not in run.tags
    assert plan.observations == ()
    assert plan.cursor.at == "2-0"


def test_an_ask_for_one_step_runs_that_step() -> None:
    """The others stay as they are; the briefing follows any run of a night."""
    (run,) = decided(told(asset="code_review")).runs

    assert run.asset_selection == [dg.AssetKey("code_review")]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"night": "2026-02-28"}, "a night that is not known"),
        ({"night": "../../etc"}, "a night that is not known"),
        ({"night": None}, "a night that is not known"),
        ({"night": 7}, "night"),
        ({"asset": "morning_briefing"}, "a step that no night has"),
        ({"asset": "../x"}, "a step that no night has"),
        ({"id": "a b"}, "id"),
        ({"at": -1}, "at"),
        ({"at": NOON - 86_401}, "more than a day ago"),
    ],
)
def test_an_ask_that_is_not_the_gateways_starts_nothing(changed: dict[str, object], why: str) -> None:
    """It is named among what could not be read, and the cursor goes on."""
    plan = decided(told(**changed))

    assert plan.runs == ()
    assert why in plan.unread[0]
    assert plan.cursor.at == "1-0"


def test_the_sensor_asks_for_the_run(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """From the stream in Redis to a request for the job night, once: the second tick finds nothing new."""
    url = f"unix://{redis_server.socket}"
    wire = Wire(url)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        cursor = None
        asked = []
        for _ in range(2):
            if cursor is None:
                event = outcome.asked("b" * 32, night=NIGHT, asset=None, by="U0ALICE", now=time.time())
                wire.call("XADD", EVENTS, "*", "event", event)
            context = dg.build_sensor_context(instance=instance, cursor=cursor)
            result = automation.hear(context, Queues(url))
            assert isinstance(result, dg.SensorResult)
            asked += list(result.run_requests or ())
            cursor = result.cursor

    assert [(run.run_key, run.partition_key) for run in asked] == [(f"asked by {'b' * 32}", NIGHT)]
