"""Judging values and looking at real things: right at every limit, and nothing a source does crashes a look."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.health import checks, probes
from forge_workers.health.checks import GAUGES, Gauge, Status
from forge_workers.health.probe import STALE_S, Probe, Reading, Scene, observe
from forge_workers.report import Outcome, Receipt, Report
from forge_workers.settings_sections import Models
from forge_workers.store import NightStore
from forge_workers.windows import window
from tests.health.scenes import HEALTHY, NIGHT, settings_in, tools
from tests.standins.forge import NOBODY
from tests.standins.ollama import OllamaStandIn
from tests.standins.redis import PrivateRedis
from tests.standins.repositories import Repo

MODEL_PROBE = next(probe for probe in probes.PROBES if probe.gauge is checks.MODEL_SERVER)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def scene(home: Path, **chosen: object) -> Scene:
    """Return a scene in ``home`` with no earlier nights."""
    return Scene(tools=tools(home, **chosen), night=NIGHT, now=1_772_492_400.0)


@pytest.mark.parametrize("gauge", GAUGES, ids=lambda g: g.name)
def test_every_gauge_turns_exactly_at_its_limits(gauge: Gauge) -> None:
    """At a limit from above, below it for a gauge where low is bad: one hair earlier it still is the better status."""
    for limit, worse in ((gauge.warn, Status.WARN), (gauge.fail, Status.FAIL)):
        if limit is not None:
            better, bad = (limit, math.nextafter(limit, -math.inf)) if gauge.low_is_bad else (
                math.nextafter(limit, -math.inf), limit)  # fmt: skip
            assert gauge.judge(bad).status is worse
            assert gauge.judge(better).status.rank < worse.rank


@given(st.sampled_from(GAUGES), FINITE, FINITE)
def test_a_worse_value_never_gets_a_better_status(gauge: Gauge, one: float, other: float) -> None:
    """Judging is monotone in the value, in the gauge's own direction."""
    good, bad = sorted((one, other), reverse=gauge.low_is_bad)

    assert gauge.judge(bad).status.rank >= gauge.judge(good).status.rank


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_unknown(value: float) -> None:
    """A value that JSON cannot carry is not judged and not kept."""
    check = checks.DISK_FREE.judge(value)

    assert (check.status, check.value) == (Status.UNKNOWN, None)


def test_names_of_checks_and_numbers_are_unique_and_carry_the_unit() -> None:
    """Each gauge has its own name and number; the limit that fails lies past the one that warns."""
    assert len({g.name for g in GAUGES}) == len({g.number for g in GAUGES}) == len(GAUGES)
    assert {g.name for g in GAUGES} == set(HEALTHY) == {p.gauge.name for p in probes.PROBES}
    assert checks.MEMORY_AVAILABLE.number == "memory_available_percent"
    assert checks.DISK_FREE.threshold == "warn below 10 GiB, fail below 2 GiB"
    for gauge in GAUGES:
        if gauge.warn is not None and gauge.fail is not None:
            assert (gauge.fail < gauge.warn) is gauge.low_is_bad


def test_a_detail_is_one_plain_line() -> None:
    """Control characters and line ends of a source do not reach a check."""
    check = checks.REPOSITORIES.judge(50, "evil\x1b[31m\nname\u202e")

    assert check.detail == "evil[31m name"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(5, "Input/output error"), "OSError: [Errno 5] Input/output error"),
        (ValueError("x\ny"), "ValueError: x y"),
        (RecursionError(), "RecursionError:"),
    ],
)
def test_a_probe_that_raises_is_unknown_with_the_reason(tmp_path: Path, error: Exception, said: str) -> None:
    """Whatever a source throws becomes the check's detail."""

    def look(_: Scene) -> Reading:
        raise error

    check = observe(Probe(checks.LOAD, look, 5.0), scene(tmp_path))

    assert (check.status, check.detail) == (Status.UNKNOWN, said)


def test_a_probe_that_hangs_is_left_behind(tmp_path: Path) -> None:
    """After the deadline the look goes on without it."""
    never = threading.Event()

    check = observe(Probe(checks.LOAD, lambda _: Reading(float(never.wait())), 0.05), scene(tmp_path))
    never.set()

    assert (check.status, check.detail) == (Status.UNKNOWN, "no answer within 0.05 s")


def test_an_own_secret_in_an_error_is_hidden(tmp_path: Path) -> None:
    """An error that carries Forge's own password does not carry it into a report."""
    url = "redis://:hunter2-and-more@127.0.0.1:1/0"

    def look(_: Scene) -> Reading:
        raise ValueError(f"cannot use {url}")

    check = observe(Probe(checks.LOAD, look, 5.0), scene(tmp_path, redis_url=url))

    assert "hunter2" not in check.detail


@pytest.mark.parametrize("probe", [p for p in probes.PROBES if p.gauge.source == "psutil"], ids=lambda p: p.gauge.name)
def test_the_machine_itself_gives_a_number(tmp_path: Path, probe: Probe) -> None:
    """Each psutil probe measures this machine, whether FORGE_HOME exists yet or not."""
    here = Scene(tools=tools(tmp_path / "not" / "yet"), night=NIGHT, now=time.time())

    check = observe(probe, here)

    assert check.value is not None
    assert check.value >= 0
    assert check.status is not Status.UNKNOWN


@pytest.mark.slow
def test_a_real_redis_is_timed_and_its_durability_compared(redis_server: PrivateRedis) -> None:
    """The bundled server passes both; one changed setting is counted and named; a foreign one within limits is fine."""
    here = scene(redis_server.home)

    assert 0 < (observe(probes.PROBES[7], here).value or 0) < 250
    assert probes.redis_drift(here).value == 0
    redis_server.client().config_set("appendonly", "no")
    redis_server.client().config_set("appendfsync", "always")
    assert (probes.redis_drift(here).value, "appendonly no" in probes.redis_drift(here).detail) == (1, True)


def test_a_redis_that_does_not_answer_fails_once(tmp_path: Path) -> None:
    """The round trip fails with the reason; the settings are then unknown, not wrong."""
    here = scene(tmp_path, redis_url="redis://127.0.0.1:1/0")

    trip, drift = (observe(p, here) for p in probes.PROBES if p.gauge.source == "redis")

    assert (trip.status, drift.status) == (Status.FAIL, Status.UNKNOWN)
    assert "no Redis answers" in trip.detail


@pytest.mark.parametrize(
    ("models", "status", "detail"),
    [
        ({"ollama_url": NOBODY}, Status.WARN, "Ollama does not answer at 127.0.0.1:9"),
        ({"engine": "extractive"}, Status.OK, "no model is wanted: models.engine is extractive"),
    ],
)
def test_no_model_server_is_a_warning_unless_none_is_wanted(
    tmp_path: Path, models: dict[str, str], status: Status, detail: str
) -> None:
    """The gateway's reason is the check's detail."""
    check = observe(MODEL_PROBE, scene(tmp_path, models=Models.model_validate(models)))

    assert (check.status, check.detail) == (status, detail)


def test_a_model_server_is_asked_for_the_nights_model(tmp_path: Path) -> None:
    """With the model it passes and is timed; without it it warns and says how to get it."""
    with OllamaStandIn() as server:
        there = observe(MODEL_PROBE, scene(tmp_path, models=server.settings(tmp_path).models))
        lacking = observe(MODEL_PROBE, scene(tmp_path, models=server.settings(tmp_path, generate="other:1b").models))

    assert (there.status, there.detail) == (Status.OK, "qwen3:8b is there")
    assert (there.value or -1) > 0
    assert lacking.status is Status.WARN
    assert "ollama pull other:1b" in lacking.detail
    assert server.asked == []


@pytest.mark.slow
def database(path: Path) -> Path:
    """Make a real SQLite file of some pages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (body TEXT)")
        connection.executemany("INSERT INTO runs VALUES (?)", [("x" * 500,) for _ in range(200)])
    connection.close()
    return path


def test_whole_databases_of_dagster_are_added_up(tmp_path: Path) -> None:
    """Every .db file below dagster is checked and counted; none is fine too."""
    nothing = probes.dagster_databases(scene(tmp_path))
    paths = [database(tmp_path / "dagster" / name) for name in ("history/runs.db", "schedules/schedules ?#.db")]

    reading = probes.dagster_databases(scene(tmp_path))

    assert (nothing.value, nothing.detail) == (0, "0 databases, 0.00 GiB")
    assert reading.value == sum(p.stat().st_size for p in paths) / 1024**3


def flip(path: Path) -> None:
    """Overwrite the head of an inner page."""
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 64)


@pytest.mark.parametrize("harm", [lambda p: p.write_bytes(b"no database" * 100), flip])
def test_a_damaged_database_of_dagster_fails_with_its_name(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """A file that is no database and one with a flipped page are both found, and neither is changed."""
    path = database(tmp_path / "dagster" / "runs.db")
    harm(path)
    before = path.read_bytes()

    check = observe(next(p for p in probes.PROBES if p.gauge is checks.DAGSTER_DATABASES), scene(tmp_path))

    assert check.status is Status.FAIL
    assert check.detail.startswith("runs.db is damaged: ")
    assert path.read_bytes() == before


def test_a_locked_database_is_unknown_and_not_damaged(tmp_path: Path) -> None:
    """Dagster writing at that moment is no fault of the file."""
    path = database(tmp_path / "dagster" / "runs.db")
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")

    check = observe(Probe(checks.DAGSTER_DATABASES, probes.dagster_databases, 30.0), scene(tmp_path))
    holder.close()

    assert (check.status, check.detail) == (Status.UNKNOWN, "OperationalError: database is locked")


def test_dagsters_home_is_written_to_or_where_it_will_be(tmp_path: Path) -> None:
    """A synced write is timed and leaves nothing; a home that is a file takes none."""
    reading = probes.dagster_home(scene(tmp_path / "home"))
    (tmp_path / "file").touch()
    blocked = probes.dagster_home(scene(tmp_path / "file"))

    assert (reading.value or 0) > 0
    assert blocked.status is Status.FAIL
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def keep_nights(store: NightStore, *nights: str, without: str = "") -> None:
    """Keep a report of every step of ``nights`` but ``without``."""
    for night in nights:
        for asset in (*probes.STEPS, probes.BRIEFING):
            if asset != without:
                store.save(Report(asset=asset, night=night, headline="h"))


@pytest.mark.slow
def test_the_last_good_night_is_the_newest_one_with_every_report(tmp_path: Path) -> None:
    """A night that lacks one step is not good; no night at all is the first; none good counts from before the first."""
    store = NightStore(tmp_path / "nights")
    first = probes.last_good_night(scene(tmp_path))
    keep_nights(store, "2026-02-28", without="code_review")
    never = probes.last_good_night(scene(tmp_path))
    keep_nights(store, "2026-02-25", "2026-02-27")
    good = probes.last_good_night(scene(tmp_path))

    made = Receipt(
        asset="gpu_readiness", night="2026-02-27", outcome=Outcome.RAN, started_at=1_772_488_800.0, seconds=1.0
    )
    store.save(Report(asset="gpu_readiness", night="2026-02-27", headline="h", receipt=made))
    just_made = probes.last_good_night(scene(tmp_path))

    assert just_made.value == 1
    assert (first.value, first.status) == (None, Status.OK)
    assert (never.value, never.detail) == (3, "none since the first, 2026-02-28")
    assert (good.value, good.detail) == (3, "the night of 2026-02-27")


def test_a_night_long_past_is_not_asked_for_its_last_good_night(tmp_path: Path) -> None:
    """What a night of weeks ago finds missing before it is no fault of tonight; one and a half nights late is asked."""
    keep_nights(NightStore(tmp_path / "nights"), "2026-02-10")
    end = window(NIGHT, settings_in(tmp_path).zone).end_at
    asked = probes.last_good_night(Scene(tools(tmp_path), NIGHT, end + STALE_S))
    late = probes.last_good_night(Scene(tools(tmp_path), NIGHT, end + STALE_S + 1))

    assert asked.value == 20
    assert (late.value, late.status, late.detail) == (None, Status.OK, "not asked for a past night")


def test_repositories_out_of_reach_are_named_with_the_reason(tmp_path: Path) -> None:
    """One missing is a warning, none readable a failure, none named a failure too; no share of a repository is told."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a": "1"}, at=1_772_409_600.0)
    here, gone = str(repo.path), str(tmp_path / "gone")
    seen = {}
    for names in ((here,), (here, gone), (gone,), ()):
        probe = Probe(checks.REPOSITORIES, probes.repositories, 30.0)
        seen[names] = observe(probe, scene(tmp_path / "home", repositories=names))

    told = [(check.status, check.detail) for check in seen.values()]
    assert told == [
        (Status.OK, "1 of 1"),
        (Status.WARN, f"1 of 2; {gone}: it does not exist"),
        (Status.FAIL, f"0 of 1; {gone}: it does not exist"),
        (Status.FAIL, "none is named under repositories in forge.toml"),
    ]
    assert all(check.threshold == "warn when one is missing, fail when none can be read" for check in seen.values())
    assert all("%" not in check.shown + check.threshold for check in seen.values())
