"""What the screen shows, at the widths people have."""

from __future__ import annotations

import io
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console, RenderableType

from forge_workers.catalog import WORKERS
from forge_workers.fleet import tables
from forge_workers.fleet.redis_state import RedisState
from forge_workers.fleet.status import STATES, FleetStatus, ProcessStatus, WorkerStatus
from forge_workers.jobs.inspection import Ended, Seen

NOW = 1_795_500_000.0
UTC = ZoneInfo("UTC")
HOSTILE = "\x1b[2Jwiped\u202e [red]markup[/red] " + "long " * 200


def shown(drawn: RenderableType, width: int = 120) -> list[str]:
    """Return the lines a person sees."""
    console = Console(width=width, file=io.StringIO(), color_system=None, highlight=False)
    with console.capture() as text:
        console.print(drawn)
    return [line.rstrip() for line in text.get().splitlines()]


def status(*, redis: str = "up") -> FleetStatus:
    """Return a fleet in which every state occurs and every text is hostile."""
    workers = []
    for n, name in enumerate(WORKERS):
        state = STATES[n % len(STATES)]
        job = "a1b2c3d4e5" if state == "busy" else ""
        process = ProcessStatus(0, "h", state, 4_194_304, NOW - 86_400, 3.0, job, NOW - 75 if job else None, HOSTILE)
        last = Ended("f" * 32, NOW - 4_000, buried=False, headline=HOSTILE, outcome="degraded") if n % 2 else None
        workers.append(WorkerStatus(name, state, (process,), 99_999, 12, 1, 3, 700_000.0, None, last, {}))
    server = RedisState("up", "/home/somebody/.forge/redis/forge.sock", "valkey", "9.1.2", 90, 2_000_000)
    away = RedisState("away", "there", problem="no Redis answers there")
    return FleetStatus(NOW, "/h", "up", 7, tuple(workers), None, server if redis == "up" else away, 3, 1)


@pytest.mark.parametrize("width", [80, 109, 110, 120, 200])
def test_a_line_per_worker_fits_the_screen(width: int) -> None:
    """Names, states and counts are whole at every width; only the last column is cut."""
    lines = shown(tables.fleet(status(), UTC, width), width)

    assert all(len(line) <= width for line in lines)
    for worker, line in zip(status().workers, lines[1:], strict=False):
        assert line.startswith(worker.name)
        assert f" {worker.state} " in line
        assert "99999" in line
        assert "8 d" in line
    assert len(lines) <= 1 + len(WORKERS) + 1 + 5


def test_what_is_at_work_and_what_came_last_is_told() -> None:
    """The running job with its progress, else the last outcome with its age."""
    lines = shown(tables.fleet(status(), UTC, 160), 160)

    assert any("a1b2c3d4 75 s: [2Jwiped" in line for line in lines)
    assert any("66 min ago degraded: [2Jwiped" in line for line in lines)


def test_every_state_is_a_word_and_a_mark_of_its_own() -> None:
    """Nothing is told by colour alone."""
    lines = shown(tables.fleet(status(), UTC, 120), 120)[1:9]
    marks = {state: line.split()[1] for state, line in zip(STATES, lines, strict=True)}

    assert marks["up"] != marks["busy"] != marks["failing"] != marks["down"]
    assert len(set(marks.values())) >= 6


def test_the_rest_is_told_below() -> None:
    """The supervisor, Redis, the GPU and the spool; a Redis that is away leaves no figure standing."""
    text = "\n".join(shown(tables.fleet(status(), UTC, 120)))

    assert "2 of 12 workers up, under supervisord (process 7)" in text
    assert "valkey 9.1.2 at /home/somebody/.forge/redis/forge.sock, 2.0 MB, up 90 s" in text
    assert "3 jobs on disk for Redis; 1 line put aside" in text
    assert "redis  away: no Redis answers there" in shown(tables.fleet(status(redis="away"), UTC, 120))


def test_hostile_text_stays_text() -> None:
    """Nothing that a job or a handler wrote moves the cursor, turns the line round or becomes markup."""
    texts = {"key": HOSTILE, "by": HOSTILE, "args": {"x": HOSTILE}, "reason": HOSTILE, "traceback": HOSTILE}
    job = Seen("b" * 32, "toy", "dead", b"\xff", NOW - 9, 2, died_at=NOW, **texts)
    drawn = [tables.fleet(status(), UTC, 120), tables.seen([job], NOW, UTC), tables.job(job, None, NOW, UTC)]

    for lines in map(shown, drawn):
        assert not any(c in line for line in lines for c in "\x1b\u202e")
    assert any("[red]markup[/red]" in line for line in shown(tables.job(job, None, NOW, UTC)))


def test_many_jobs_are_counted_and_not_poured_out() -> None:
    """The first of each kind are shown, the rest are a number."""
    jobs = [Seen(f"{n:032x}", "toy", "waiting", b"", NOW, 1, "", "person") for n in range(1_000)]

    lines = shown(tables.seen(jobs, NOW, UTC))

    assert len(lines) < 30
    assert "and 980 more" in lines[-1]
    assert shown(tables.seen([], NOW, UTC)) == ["No jobs."]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (119.4, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h"), (172_800, "2 d")],
)
def test_a_duration_has_one_unit(seconds: float, text: str) -> None:
    """Short enough for a column, exact enough to act on."""
    assert tables.duration(seconds) == text
