"""The health snapshot: every check in the shared shape, faults as findings, blind spots as gaps, lateness said."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_workers.health.checks import GAUGES, Status
from forge_workers.health.probe import STALE_S, Probe, Reading
from forge_workers.health.snapshot import health_snapshot, looks, parsed
from forge_workers.report import Outcome, Report, Severity
from tests.health.scenes import HEALTHY, NIGHT, NIGHT_WINDOW, gauge, look, request, snapshot_report, tools
from tests.standins.redis import PrivateRedis


def seeing(status: dict[str, Status] | None = None, **values: float) -> tuple[Probe, ...]:
    """Return a probe of every gauge that sees a healthy machine but for ``values`` and ``status``."""
    readings = {
        name: Reading(None, "seen so", status[name]) if name in (status or {}) and status else Reading(value)
        for name, value in (HEALTHY | values).items()
    }
    return tuple(Probe(g, lambda _, name=g.name: readings[name], 5.0) for g in GAUGES)


def test_a_healthy_machine_gives_a_short_report_without_findings(tmp_path: Path) -> None:
    """All pass: the data has the shared shape and each value is a number with its unit."""
    report = health_snapshot(request(), tools(tmp_path), seeing())

    assert (report.outcome, report.findings, report.gaps) == (Outcome.RAN, (), ())
    assert report.headline == f"All {len(GAUGES)} checks of the machine pass."
    assert report.numbers["disk_free_gib"] == 80
    assert report.data["observed_at"] == NIGHT_WINDOW.end_at
    assert report.markdown.startswith("## Health snapshot\n")
    checks = report.data["checks"]
    assert isinstance(checks, list)
    assert all(set(c) == {"name", "title", "status", "value", "unit", "threshold", "detail"} for c in checks)
    assert parsed(Report.model_validate_json(report.model_dump_json())) == parsed(report)


def test_faults_become_findings_and_blind_spots_gaps(tmp_path: Path) -> None:
    """A failure is high, a warning medium, each with its source and time; an unknown check is a gap with its reason."""
    probes = seeing({"model_server": Status.UNKNOWN}, disk_free=1.0, load=2.0)

    report = health_snapshot(request(), tools(tmp_path), probes)

    assert [(f.rule, f.severity) for f in report.findings] == [
        ("health:disk_free", Severity.HIGH),
        ("health:load", Severity.MEDIUM),
    ]
    assert report.findings[0].title == "Disk space free: 1 GiB (warn below 10 GiB, fail below 2 GiB)"
    assert report.findings[0].evidence[0].source == "psutil"
    assert report.findings[0].evidence[0].observed_at == NIGHT_WINDOW.end_at
    assert [(gap.what, gap.why) for gap in report.gaps] == [("Model server", "seen so")]
    assert "disk_free_gib" in report.numbers
    assert "model_server_s" not in report.numbers


def test_a_fault_of_last_night_is_not_new(tmp_path: Path) -> None:
    """What the night before already found keeps its fingerprint and comes after what is new."""
    here = tools(tmp_path)
    here.history.save(health_snapshot(request(night="2026-03-01"), here, seeing(disk_free=1.0)))

    report = health_snapshot(request(), here, seeing(disk_free=1.5, load=2.0))

    assert [(f.rule, f.is_new) for f in report.findings] == [("health:load", True), ("health:disk_free", False)]


@pytest.mark.parametrize(("late_s", "outcome"), [(STALE_S, Outcome.RAN), (STALE_S + 1, Outcome.DEGRADED)])
def test_a_late_look_says_that_the_night_is_gone(tmp_path: Path, late_s: float, outcome: Outcome) -> None:
    """More than 36 hours after the window the report is degraded and says when it was seen."""
    report = health_snapshot(request(), tools(tmp_path, now=NIGHT_WINDOW.end_at + late_s), seeing())

    assert report.outcome is outcome
    assert all("2026-03-04 at 12:00" in reason and NIGHT in reason for reason in report.reasons)
    assert bool(report.reasons) == (outcome is Outcome.DEGRADED) == ("Degraded" in report.markdown)


def test_untrusted_words_stay_words_in_the_document(tmp_path: Path) -> None:
    """A detail with a pipe, a link and a line end breaks neither the table nor the page."""
    evil = Probe(gauge("load"), lambda _: Reading(9.0, "a | [x](http://e)\n## b <script>"), 5.0)

    report = health_snapshot(request(), tools(tmp_path), (evil,))

    rows = [line for line in report.markdown.splitlines() if line.startswith("| Load")]
    assert len(rows) == 1
    assert "<script>" not in report.markdown
    assert "](http" not in report.markdown


def test_earlier_looks_come_back_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    """Only reports that hold a snapshot count, nearest first."""
    history = tools(tmp_path).history
    history.save(snapshot_report(look(1.0), "2026-02-27"))
    history.save(Report(asset="health_snapshot", night="2026-02-28", headline="h", data={"checks": "none"}))
    history.save(snapshot_report(look(2.0), "2026-03-01"))

    assert [snapshot.observed_at for snapshot in looks(history, before=NIGHT)] == [2.0, 1.0]


@pytest.mark.slow
def test_the_real_machine_can_be_looked_at(redis_server: PrivateRedis) -> None:
    """With the real probes every gauge gives a check, and none is unknown."""
    report = health_snapshot(request(), tools(redis_server.home))

    snapshot = parsed(report)
    assert snapshot is not None
    assert [check.name for check in snapshot.checks] == [g.name for g in GAUGES]
    assert [check for check in snapshot.checks if check.status is Status.UNKNOWN] == []
