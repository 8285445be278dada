"""What ``forge status``, ``doctor`` and ``gpu`` print."""

from __future__ import annotations

import io
import os
from pathlib import Path

from rich.console import Console, RenderableType

from forge_workers import attempt, tables
from forge_workers.gpu.status import Claim, LeaseStatus
from forge_workers.health.checks import Check, Status
from forge_workers.report import Outcome, Receipt
from forge_workers.settings import Settings, load
from forge_workers.store import NightStore
from tests.test_store import NIGHT, receipt, report

NOW = 1_795_500_000.0  # 2026-11-24 06:00 UTC


def shown(drawn: RenderableType) -> str:
    """Return what a person sees, in words."""
    console = Console(width=160, file=io.StringIO(), color_system=None)
    with console.capture() as text:
        console.print(drawn)
    return text.get()


def settings(tmp_path: Path) -> Settings:
    """Return settings for a home of the test's own."""
    return load({"FORGE_HOME": str(tmp_path), "FORGE_TIMEZONE": "UTC"}, cwd=tmp_path)


def test_without_a_night_status_says_what_to_do(tmp_path: Path) -> None:
    """An empty home is no error."""
    assert "No night has run yet" in shown(tables.nights(settings(tmp_path), NOW))


def test_status_shows_a_dot_per_step_and_why_one_failed(tmp_path: Path) -> None:
    """One line per night: what ran, what failed and why, when it was briefed."""
    root = tmp_path / "nights"
    store = NightStore(root, "a")
    briefed = report("morning_briefing").model_copy(update={"receipt": done("morning_briefing")})
    for kept in (report("health_snapshot"), briefed):
        store.save(kept)
    store.save_failure(receipt("commit_log"))
    attempt.write(root, NIGHT, attempt.Attempt(name="a", settings="s", started_at=NOW, pid=1, finished=False))

    line = next(line for line in shown(tables.nights(settings(tmp_path), NOW)).splitlines() if NIGHT in line)

    assert line.split() == [NIGHT, "–", "today", "06:00", "·●·✗····●", "commit_log:", "why"]


def test_status_says_what_runs_now_and_what_was_cut_short(tmp_path: Path) -> None:
    """A living process is named; a dead one's night tells how to go on."""
    root = tmp_path / "nights"
    for night, pid in (("2026-11-22", os.getpid()), ("2026-11-21", 2**22 + 1)):
        (root / night).mkdir(parents=True)
        attempt.write(root, night, attempt.Attempt(name="a", settings="s", started_at=9e9, pid=pid))

    text = shown(tables.nights(settings(tmp_path), NOW))

    assert f"as process {os.getpid()}" in text
    assert "did not finish: `forge night --date 2026-11-21` goes on" in text


def done(asset: str) -> Receipt:
    """Return the receipt of a step that ran."""
    return Receipt(asset=asset, night=NIGHT, outcome=Outcome.RAN, started_at=NOW, seconds=1.0)


def test_the_lease_names_holder_purpose_term_and_waiters_in_order() -> None:
    """Who, for what, since when, and who is next; a hostile purpose stays text."""
    holder = Claim(purpose="code_review [red]x[/red]", pid=7, host="mac", since_at=NOW - 60)
    waiters = tuple(Claim(purpose=f"job {n}", pid=n, host="mac", since_at=NOW - n) for n in (1, 2))
    status = LeaseStatus(device="local:0", observed_at=NOW, holder=holder, expires_in_s=21.0, term=42, waiters=waiters)

    text = shown(tables.lease(status, settings_zone()))

    assert "process 7 on mac" in text
    assert "code_review [red]x[/red]" in text
    assert "05:59 (60 s ago)" in text
    assert "42" in text
    assert text.index("1. job 1") < text.index("2. job 2")


def settings_zone():
    """Return the zone in which times are shown."""
    return load({"HOME": "/", "FORGE_TIMEZONE": "UTC"}, cwd=Path("/")).zone


def test_what_must_be_mended_comes_first_and_the_sum_last() -> None:
    """A person reads the trouble in whole sentences; what is fine takes a line each."""
    fine = Check(name="git", title="Git", status=Status.OK, detail="git 2.39.5")
    full = Check(
        name="disk_free",
        title="Disk space free",
        status=Status.FAIL,
        value=1.0,
        unit="GiB",
        threshold="fail below 2 GiB",
        detail="1 of 500 GiB free",
    )

    lines = shown(tables.checks([fine, full])).splitlines()

    assert lines[0].split() == ["fail", "Disk", "space", "free"]
    assert lines[1].strip() == "1 of 500 GiB free (fail below 2 GiB)"
    assert any(line.split() == ["ok", "Git", "git", "2.39.5"] for line in lines)
    assert lines[-1] == "1 thing must be mended; 0 warnings."
    assert shown(tables.checks([fine])).splitlines()[-1] == "Nothing must be mended; 0 warnings."
