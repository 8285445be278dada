"""From the workers' stream to Dagster: what each event becomes, and each once, whatever dies in between."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from forge_assets import automation
from forge_assets import worker_events as events
from forge_assets.resources.queues import START, Entry, Queues, Stream
from forge_workers.catalog import WORKERS
from forge_workers.jobs import outcome
from forge_workers.jobs.child import summary_of
from forge_workers.jobs.queue import EVENTS, Queue
from forge_workers.night import BRIEFING, STEPS
from forge_workers.redact import Redactor
from forge_workers.report import Report
from forge_workers.wire import Wire
from tests.standins.redis import PrivateRedis

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARIS = ZoneInfo("Europe/Paris")
NIGHT = "2026-03-01"
#: Noon of that day in UTC.
NOON = 1_772_366_400.0


#: The asset of the night that each of these workers makes by day.
MAKES = {
    "security_review": "security_review",
    "code_review": "code_review",
    "pr_digest": "pr_digest",
    "evolution_monitor": "evolution_report",
    "gpu_warmup": "gpu_readiness",
    "health_check": "health_snapshot",
    "amygdala": "threat_assessment",
    "morning_briefing": BRIEFING,
}


def said(worker: str = "code_review", **changed: object) -> bytes:
    """Return an event as a worker tells it."""
    report = Report(
        asset=MAKES.get(worker, worker), night=NIGHT, headline="Two findings.", numbers={"files": 3.0}, data={}
    )
    summary = {**summary_of(report, Redactor(())), "findings": 2, "new": 1}
    job = outcome.Job(id=os.urandom(16).hex(), worker=worker, args={}, queued_at=NOON)
    told = json.loads(outcome.told(job, kind="done", now=NOON, summary=summary))
    return json.dumps({**told, **changed}).encode()


def judged(level: str, **changed: object) -> bytes:
    """Return what the amygdala tells."""
    return said("amygdala", level=level, **changed)


def decided(
    *told: bytes | None, start: events.Cursor | None = None, zone: ZoneInfo = PARIS, now: float = NOON
) -> events.Plan:
    """Decide about ``told``, the first at place 1-0."""
    entries = [Entry(f"{n}-0", event) for n, event in enumerate(told, start=1)]
    return events.decide(start or events.Cursor(), entries, zone=zone, is_known=lambda night: night == NIGHT, now=now)


def test_a_red_of_an_earlier_day_starts_nothing_when_it_is_read_late() -> None:
    """Its night was briefed long ago; what was seen is still told on the asset."""
    plan = decided(judged("RED"), now=NOON + 3 * 86_400)

    assert plan.runs == ()
    assert len(plan.observations) == 1


def test_a_finished_daytime_job_is_an_observation_on_its_asset() -> None:
    """Partition, headline, outcome, counts, figures, job and worker are shown; the tags say which event it was."""
    told = said(id="a" * 32)

    (seen,) = decided(told).observations

    assert (seen.asset_key, seen.partition) == (dg.AssetKey("code_review"), NIGHT)
    assert seen.tags == {"forge/event": "1-0", "forge/job": "a" * 32}
    shown = {name: value.value for name, value in seen.metadata.items()}
    assert shown == {
        "files": 3.0,
        "headline": "Two findings.",
        "outcome": "ran",
        "findings": 2,
        "new findings": 1,
        "worker": "code_review",
        "job": "a" * 32,
        "asked by": "person",
        "ended at": NOON,
    }


def test_every_worker_whose_work_the_night_does_too_is_told_on_that_asset() -> None:
    """Eight workers make an asset of the night; the other four make none."""
    plan = decided(*(said(name) for name in WORKERS))

    assert sorted(seen.asset_key.path[-1] for seen in plan.observations) == sorted(MAKES.values())
    assert {*MAKES.values()} == {*STEPS, BRIEFING} - {"commit_log"}
    assert {*WORKERS} - {*MAKES} == {"repo_watch", "gpu_coordinator", "queue_janitor", "slack_notifier"}


@pytest.mark.parametrize(
    "told",
    [
        said(kind="buried", reason="it hangs"),
        said("repo_watch"),
        said("slack_notifier"),
        said("a_worker_of_tomorrow"),
        judged("RED", kind="buried"),
    ],
    ids=["buried", "repo_watch", "slack_notifier", "unknown", "buried and RED"],
)
def test_what_concerns_dagster_not_at_all_becomes_nothing(told: bytes) -> None:
    """It is read, and it is over."""
    plan = decided(told)

    assert (plan.observations, plan.runs, plan.unread) == ((), (), ())
    assert plan.cursor.at == "1-0"


def test_red_asks_for_the_days_security_review() -> None:
    """The log and the review of the local day of the event, under a key made of the event, marked as by day."""
    late = NOON + 11.5 * 3600  # half past midnight in Paris: the next day

    plan = decided(judged("RED", id="b" * 32), judged("RED", at=late), zone=PARIS)

    (asked,) = plan.runs  # the next day is no night that Dagster has yet
    assert asked.partition_key == NIGHT
    assert asked.asset_selection == [dg.AssetKey("commit_log"), dg.AssetKey("security_review")]
    assert asked.run_key == f"RED by {'b' * 32}"
    assert asked.tags[events.BY_DAY] == "yes"


def test_red_that_stands_is_not_reviewed_again() -> None:
    """One run per night and per change to RED, over ticks too; GREEN between them makes it a change."""
    first = decided(judged("RED"), judged("RED"))
    second = decided(judged("RED"), start=first.cursor)
    third = decided(judged("YELLOW"), judged("RED"), judged("RED"), start=second.cursor)

    assert [len(plan.runs) for plan in (first, second, third)] == [1, 0, 1]


def test_a_routine_look_is_told_when_it_says_something_else() -> None:
    """Every five minutes the same is one observation; a change, a new night, or a person who asks is one more."""
    by = {"by": "schedule"}
    plan = decided(
        judged("GREEN", **by),
        judged("GREEN", **by, headline="41 % of the disk is used."),
        judged("YELLOW", **by),
        judged("YELLOW", **by, findings=3),
        judged("YELLOW", **by, findings=3),
        judged("YELLOW", findings=3),
        judged("YELLOW", **by, findings=3, night="2026-03-02"),
    )

    assert [seen.tags["forge/event"] for seen in plan.observations] == ["1-0", "3-0", "4-0", "6-0", "7-0"]


def test_a_night_that_dagster_has_not_got_is_left_out() -> None:
    """The observation is told all the same, on the whole asset."""
    plan = decided(said(night="2031-01-01"), said(night="last night"), said(night=None))

    assert [seen.partition for seen in plan.observations] == [None, None, None]


@pytest.mark.parametrize(
    "told",
    [
        None,
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'"RED"',
        said(id=None),
        said(id="../../x"),
        said(id="x\n"),
        said(at="noon"),
        said(at=float("nan")),
        said(at=1e300),
        said(findings=-1),
        said(findings=10**30),
        said(numbers=[1]),
        said(numbers={"a": "many"}),
        said().replace(b'"worker": "code_review"', b'"worker": 7'),
    ],
)
def test_what_is_no_event_is_named_and_passed_over(told: bytes | None) -> None:
    """One bad entry neither stops what comes after it nor is it read again."""
    plan = decided(told, said())

    assert len(plan.observations) == 1
    assert len(plan.unread) == 1
    assert plan.unread[0].startswith("1-0 ")
    assert len(plan.unread[0]) < 150
    assert (plan.cursor.at, plan.cursor.seen) == ("2-0", 2)


def test_a_headline_is_data() -> None:
    """Nobody's commit message becomes markup, a second line, an endless one, or a figure that is none."""
    evil = "# **Click** [here](https://x.example)\n\x1b[31m\u202e" + "a" * 5_000
    numbers = {"headline": 1.0, "b" * 500: 2.0, "n\nn": float("inf"), **{f"n{n}": 0.0 for n in range(500)}}

    (seen,) = decided(said(headline=evil, outcome="x" * 999, by="y" * 999, numbers=numbers)).observations

    headline = seen.metadata["headline"]
    assert isinstance(headline, dg.TextMetadataValue)
    assert headline.value is not None
    assert len(headline.value) <= 300
    assert headline.value.isprintable()
    assert all(len(name) <= 60 for name in seen.metadata)
    assert not any(isinstance(value, dg.MarkdownMetadataValue) for value in seen.metadata.values())
    assert len(seen.metadata) < 60


@pytest.mark.parametrize(
    ("stream", "at", "seen", "lost"),
    [
        (Stream(last="90-0", length=10, added=90), "80-0", 80, None),
        (Stream(last="90-0", length=9, added=90), "80-0", 81, "1 events were dropped"),
        (Stream(last="900-0", length=10, added=900), "80-0", 890, "810 events were dropped"),
        (Stream(last="900-0", length=10, added=None), "80-0", 80, None),
        (Stream(), START, 0, "Redis lost"),
        (Stream(last="7-0", length=7, added=7), START, 0, "Redis lost"),
        (Stream(last="7-0", length=7, added=None), START, 0, "Redis lost"),
        (Stream(last="95-0", length=7, added=9), START, 2, "Redis lost"),
    ],
    ids=["all there", "one gone", "trimmed", "no count", "gone", "older", "older, no count", "newer but fewer"],
)
def test_where_to_read_on(stream: Stream, at: str, seen: int, lost: str | None) -> None:
    """What was trimmed is counted, and another stream is known by its ids or its count."""
    place = events.placed(events.Cursor(at="80-0", seen=80, high="80-0", red=NIGHT), stream)

    assert (place.cursor.at, place.cursor.seen) == (at, seen)
    assert place.cursor.high == "80-0"
    assert [what[: len(lost or "")] for what in place.lost] == ([lost] if lost else [])


@pytest.mark.parametrize("kept", [None, "", "{", "[]", '{"at": "yesterday"}', '{"at": "1-0", "more": 1}'])
def test_a_cursor_that_cannot_be_read_begins_again(kept: str | None) -> None:
    """At the first entry, looking all the way back for what was told."""
    assert events.read(kept) is None
    place = events.placed(None, Stream(last="90-0", length=10, added=90))
    assert (place.cursor.at, place.cursor.seen, place.cursor.high, place.lost) == (START, 80, "90-0", ())


class Ticker:
    """The real sensor on a real stream and a real event log, ticked as Dagster's daemon does."""

    def __init__(self, instance: dg.DagsterInstance, server: PrivateRedis) -> None:
        self.instance = instance
        self.wire = Wire(f"unix://{server.socket}")
        self.queues = Queues(f"unix://{server.socket}")
        self.cursor: str | None = None

    def add(self, *told: bytes, at: str = "*") -> None:
        """Append to the stream."""
        for event in told:
            self.wire.call("XADD", EVENTS, at, "event", event)

    def evaluate(self) -> dg.SensorResult | dg.SkipReason:
        """Let the sensor decide; nothing is reported and the cursor stays."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources={"queues": self.queues})
        result = automation.worker_events(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    def tick(self, *, dies_after: int | None = None) -> dg.SensorResult:
        """Evaluate, report, and store the cursor; or die after so many reports."""
        result = self.evaluate()
        assert isinstance(result, dg.SensorResult)
        for seen in list(result.asset_events)[:dies_after]:
            assert isinstance(seen, dg.AssetObservation)
            self.instance.report_runless_asset_event(seen)
        if dies_after is None:
            self.cursor = result.cursor
        return result

    def observed(self, asset: str = "code_review") -> Counter[str]:
        """Count the observations on ``asset`` by job."""
        records = self.instance.fetch_observations(dg.AssetKey(asset), limit=10_000).records
        return Counter(r.asset_observation.tags["forge/job"] for r in records if r.asset_observation)


@pytest.fixture
def ticker(redis_server: PrivateRedis) -> Iterator[Ticker]:
    """A sensor whose Dagster lives in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticker(instance, redis_server)


def why(result: dg.SensorResult | dg.SkipReason) -> str:
    """Return what the tick says."""
    reason = result if isinstance(result, dg.SkipReason) else result.skip_reason
    return (reason.skip_message if reason else None) or ""


def ids(*told: bytes) -> set[str]:
    """Return the jobs of these events."""
    return {json.loads(event)["id"] for event in told}


def test_what_a_worker_really_tells_is_understood(ticker: Ticker) -> None:
    """From the queue's own acknowledgement to an observation, without a hand-made event between."""
    queue = Queue(ticker.wire, WORKERS["security_review"], lambda: NOON)
    queue.register("c" * 32, {})
    ticket = queue.enqueue({"night": NIGHT})
    raw = queue.fetch("c" * 32).raw
    assert raw is not None
    job = automation_job(raw)
    told = outcome.told(job, kind="done", now=NOON, summary={"asset": "security_review", "night": NIGHT, "new": 0})
    queue.done("c" * 32, job, "{}", event=told, more=False)

    ticker.tick()

    assert ticker.observed("security_review") == {ticket.id: 1}


def automation_job(raw: bytes) -> outcome.Job:
    """Read the job back as its worker does."""
    return outcome.Job(raw=raw, **{k: v for k, v in json.loads(raw).items() if k != "v"})


@pytest.mark.parametrize("dies_after", [0, 1, 7, 20])
def test_a_sensor_that_dies_before_its_cursor_is_stored_tells_nothing_twice(ticker: Ticker, dies_after: int) -> None:
    """What is in the event log above the cursor is left out of the next tick."""
    told = [said() for _ in range(20)]
    ticker.add(*told[:5])
    ticker.tick()
    ticker.add(*told[5:])

    ticker.tick(dies_after=dies_after)
    ticker.tick(dies_after=3)
    ticker.tick()

    assert ticker.observed() == dict.fromkeys(ids(*told), 1)


def test_without_looking_into_the_event_log_the_same_death_tells_twice(ticker: Ticker) -> None:
    """The control of the test above: the plan alone holds what was told already."""
    ticker.add(*(said() for _ in range(5)))
    ticker.tick(dies_after=3)

    entries = ticker.queues.events(START, 100).entries
    plan = events.decide(events.Cursor(), entries, zone=PARIS, is_known=lambda _: True, now=NOON)
    for seen in plan.observations:
        ticker.instance.report_runless_asset_event(seen)

    assert sorted(ticker.observed().values()) == [1, 1, 2, 2, 2]


def test_somebody_elses_observations_do_not_hide_ours(ticker: Ticker) -> None:
    """More of them than a page of the event log holds, between what was told and the look."""
    told = [said() for _ in range(3)]
    ticker.add(*told)
    ticker.tick(dies_after=2)
    for _ in range(120):
        ticker.instance.report_runless_asset_event(dg.AssetObservation("code_review"))

    ticker.tick()

    records = ticker.instance.fetch_observations(dg.AssetKey("code_review"), limit=1000).records
    assert Counter("forge/job" in r.asset_observation.tags for r in records if r.asset_observation) == {
        False: 120,
        True: 3,
    }


def test_many_events_are_taken_in_bounded_ticks(ticker: Ticker) -> None:
    """Each tick takes a batch and goes on where the last ended; an empty one says so and changes nothing."""
    told = [said() for _ in range(events.BATCH + 30)]
    ticker.add(*told)

    counts = [len(ticker.tick().asset_events) for _ in range(3)]

    assert counts == [events.BATCH, 30, 0]
    assert ticker.observed() == dict.fromkeys(ids(*told), 1)
    assert why(ticker.evaluate()) == "0 events read, 0 told, 0 unreadable"


def test_events_that_were_trimmed_unread_are_counted(ticker: Ticker) -> None:
    """The tick says how many Dagster never heard of, and goes on with those that are there."""
    ticker.add(said(), said())
    ticker.tick()
    told = [said() for _ in range(12)]
    ticker.add(*told)
    ticker.wire.call("XTRIM", EVENTS, "MAXLEN", 5)

    result = ticker.tick()

    assert why(result).startswith("7 events were dropped before they were read")
    assert len(result.asset_events) == 5
    assert why(ticker.tick()) == "0 events read, 0 told, 0 unreadable"


@pytest.mark.parametrize("again_at", ["5-0", "*"], ids=["older ids", "newer ids"])
def test_an_emptied_redis_is_noticed_and_read_from_its_start(ticker: Ticker, again_at: str) -> None:
    """Said once; what the new stream holds is told once, whether its ids are lower or higher than before."""
    ticker.add(said(), said(), said())
    ticker.tick()
    ticker.wire.call("DEL", EVENTS)
    told = said()
    ticker.add(told, at=again_at)

    result = ticker.tick()

    assert why(result).startswith("Redis lost the workers' events or is another one")
    assert [seen.tags["forge/job"] for seen in result.asset_events] == list(ids(told))  # type: ignore[union-attr]
    assert why(ticker.tick()) == "0 events read, 0 told, 0 unreadable"


def test_a_stream_that_is_gone_is_said_once(ticker: Ticker) -> None:
    """No event since: the cursor is at the start, and the next tick has nothing to say."""
    ticker.add(said())
    ticker.tick()
    ticker.wire.call("FLUSHALL")

    assert why(ticker.tick()).startswith("Redis lost the workers' events")
    assert why(ticker.tick()) == "0 events read, 0 told, 0 unreadable"


def test_a_redis_that_forgot_its_last_second_tells_nothing_twice(ticker: Ticker) -> None:
    """The stream steps back behind the cursor; all it holds was told, and what comes after is told once."""
    told = [said() for _ in range(6)]
    for number, event in enumerate(told, start=1):
        ticker.add(event, at=f"{number}-0")
    ticker.tick()
    ticker.wire.call("DEL", EVENTS)
    for number, event in enumerate(told[:4], start=1):  # as it comes back from a file that lacks the last two
        ticker.add(event, at=f"{number}-0")

    ticker.tick()
    new = said()
    ticker.add(new, at="7-0")
    ticker.tick()

    assert ticker.observed() == dict.fromkeys(ids(*told, new), 1)


def test_a_cursor_that_a_person_resets_tells_nothing_twice(ticker: Ticker) -> None:
    """Dagster's page has a button for it; the event log is then looked through as far as the stream goes."""
    told = [said() for _ in range(events.BATCH + 60)]
    ticker.add(*told)
    ticker.tick()
    ticker.tick()
    ticker.cursor = None

    ticker.tick()
    ticker.tick()

    assert ticker.observed() == dict.fromkeys(ids(*told), 1)


def test_a_redis_that_is_away_is_one_line(ticker: Ticker, redis_server: PrivateRedis) -> None:
    """The tick is skipped with the reason, and the cursor stays where it is."""
    redis_server.kill()

    result = ticker.evaluate()

    assert isinstance(result, dg.SkipReason)
    assert why(result).startswith("no Redis answers at ")
    assert "\n" not in why(result)
    redis_server.restart()
    assert isinstance(ticker.evaluate(), dg.SensorResult)


def test_another_type_of_key_in_the_streams_place_is_one_line(ticker: Ticker) -> None:
    """What Redis refuses is said as it says it."""
    ticker.wire.call("SET", EVENTS, "x")

    assert why(ticker.evaluate()).startswith("Redis says ")
