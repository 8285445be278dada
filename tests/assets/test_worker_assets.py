"""The workers on Dagster's pages: twelve external assets, and their health told when it flips."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import dagster as dg
import pytest

from forge_assets import automation
from forge_assets.assets import workers
from forge_assets.assets.workers import AGAIN_S, Status, Told, key_of, status_of, tell
from forge_assets.definitions import defs
from forge_assets.resources.queues import Queues
from forge_workers.catalog import WORKERS
from forge_workers.jobs.inspection import Process, QueueState
from forge_workers.jobs.queue import Queue
from forge_workers.wire import Wire
from tests.standins.redis import PrivateRedis

GRAPH = defs.resolve_asset_graph()
NOW = 1_772_366_400.0


def state(*processes: Process, waiting: int = 0) -> QueueState:
    """Return how a queue stands."""
    return QueueState(
        waiting=waiting,
        scheduled=0,
        dead=0,
        running=(),
        processes=processes,
        oldest_at=None,
        due_at=None,
        last=None,
        counts={},
    )


def process(beat: float, *, alive: bool = True) -> Process:
    """Return a process whose last beat was ``beat`` seconds ago."""
    return Process("a" * 32, alive=alive, pid=7, host="here", beat_at=NOW - beat)


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        (state(process(1.0)), Status.RUNNING),
        (state(process(10.0)), Status.RUNNING),
        (state(process(10.1)), Status.LATE),
        (state(process(500.0, alive=False), process(2.0)), Status.RUNNING),
        (state(process(16.0, alive=False)), Status.DOWN),
        (state(waiting=1), Status.DOWN),
        (state(), Status.ABSENT),
        (state(process(-3.0)), Status.RUNNING),
    ],
    ids=["fresh", "two beats", "a beat missing", "one of two", "expired", "jobs and nobody", "nothing", "other clock"],
)
def test_a_status_follows_from_heartbeats_and_depth(seen: QueueState, status: Status) -> None:
    """Running, late, down or absent."""
    assert status_of(seen, NOW) is status


def test_a_status_is_told_when_it_flips_and_once_a_day() -> None:
    """First sight, nothing, a flip, nothing for a day, the same again; a clock set back tells it too."""
    told: dict[str, Told] = {}
    counts = []
    looks = [
        (NOW, state()),
        (NOW + 30, state()),
        (NOW + 60, state(process(-60.0))),
        (NOW + 60 + AGAIN_S - 1, state(process(-60 - AGAIN_S))),
        (NOW + 60 + AGAIN_S, state(process(-60 - AGAIN_S))),
        (NOW - 900, state(process(900.0))),
    ]
    for now, seen in looks:
        telling = tell({"pr_digest": seen}, told, now)
        told = workers.read(workers.kept(telling.told))
        counts.append(len(telling.observations))

    assert counts == [1, 0, 1, 0, 1, 1]


@pytest.mark.parametrize("kept", [None, "", "{", "[1]", '{"pr_digest": 3}'])
def test_a_cursor_that_cannot_be_read_tells_all_again(kept: str | None) -> None:
    """Nothing else depends on it."""
    assert workers.read(kept) == {}


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_every_worker_is_an_external_asset(name: str) -> None:
    """With its purpose, owner, kinds and group; nothing waits for it, it waits for nothing, and no run makes it."""
    node = GRAPH.get(key_of(name))

    assert node.is_external
    assert not node.is_materializable
    assert (node.group_name, node.description) == ("workers", WORKERS[name].purpose)
    assert node.owners == ["team:forge"]
    assert "redis" in node.kinds
    assert not node.parent_keys | node.child_keys
    assert node.metadata["queue"] == f"forge:{{{name}}}:waiting"


@pytest.mark.parametrize("job", ["night", "briefing"])
def test_no_job_takes_a_worker_for_a_step(job: str) -> None:
    """The night's job is its steps, as before."""
    chosen = defs.resolve_job_def(job).asset_layer.executable_asset_keys

    assert not [key for key in chosen if key.path[0] == "workers"]


class Ticker:
    """The real sensor on real queues, ticked as Dagster's daemon does."""

    def __init__(self, instance: dg.DagsterInstance, server: PrivateRedis) -> None:
        self.instance = instance
        self.wire = Wire(f"unix://{server.socket}")
        self.queues = Queues(f"unix://{server.socket}")
        self.cursor: str | None = None

    def tick(self) -> dict[str, dict[str, object]]:
        """Return what was told, by worker."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources={"queues": self.queues})
        result = automation.worker_health(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for seen in result.asset_events:
            assert isinstance(seen, dg.AssetObservation)
            self.instance.report_runless_asset_event(seen)
        return {
            seen.asset_key.path[-1]: {name: value.value for name, value in seen.metadata.items()}
            for seen in result.asset_events
        }


@pytest.fixture
def ticker(redis_server: PrivateRedis) -> Iterator[Ticker]:
    """A sensor whose Dagster lives in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticker(instance, redis_server)


def test_a_worker_that_comes_and_goes_is_told(ticker: Ticker) -> None:
    """Absent at first sight like all; running with pid and depths; absent again when it has left."""
    queue = Queue(ticker.wire, WORKERS["pr_digest"])
    first = ticker.tick()
    queue.register("a" * 32, {"pid": 4711, "host": "here", "slot": 0, "beat_at": time.time()})
    queue.enqueue({})
    second = ticker.tick()
    third = ticker.tick()
    queue.hand_back("a" * 32)
    ticker.wire.call("DEL", "forge:{pr_digest}:waiting")
    fourth = ticker.tick()

    assert {name: shown["status"] for name, shown in first.items()} == dict.fromkeys(WORKERS, "absent")
    assert list(second) == ["pr_digest"]
    shown = second["pr_digest"]
    assert (shown["status"], shown["pid"], shown["waiting"], shown["dead letters"]) == ("running", 4711, 1, 0)
    assert 0.0 <= float(str(shown["heartbeat age (s)"])) < 60.0
    assert third == {}
    assert fourth["pr_digest"]["status"] == "absent"


def test_a_process_that_says_nonsense_is_still_there(ticker: Ticker) -> None:
    """A heartbeat is data: what cannot be read is left out, and no host name becomes a second line."""
    claims = "forge:{pr_digest}:claims"
    for number, said in enumerate([b"\xff", b"[]", b'{"pid": "x", "host": 3}', json.dumps({"host": "a\nb"}).encode()]):
        ticker.wire.call("HSET", claims, f"{number:032}", said)

    shown = ticker.tick()["pr_digest"]

    assert shown["status"] == "down"
    assert str(shown["host"]).isprintable()


def test_a_redis_that_is_away_flips_nobody(ticker: Ticker, redis_server: PrivateRedis) -> None:
    """The tick is skipped with one line; whether the workers are up is not known."""
    redis_server.kill()
    context = dg.build_sensor_context(instance=ticker.instance, resources={"queues": ticker.queues})

    result = automation.worker_health(context)

    assert isinstance(result, dg.SkipReason)
    assert (result.skip_message or "").startswith("no Redis answers at ")
