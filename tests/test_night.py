"""What became of each step, read back from the store."""

from __future__ import annotations

from pathlib import Path

from forge_workers.night import STEPS, gather
from forge_workers.store import NightStore
from tests.test_store import receipt, report

NIGHT = "2026-11-23"


def told(store: NightStore) -> dict[str, str]:
    """Return each step's state in a word or its reason."""
    return {
        s.asset: "report" if s.report else "failure" if s.failure else s.missing or "" for s in gather(store, NIGHT)
    }


def test_every_step_is_told_whatever_became_of_it(tmp_path: Path) -> None:
    """Done, failed, stopped by what failed before it, or never finished: no step is left out."""
    store = NightStore(tmp_path, "a")
    store.save(report("health_snapshot"))
    store.save_failure(receipt("commit_log"))

    states = told(store)

    assert tuple(states) == tuple(STEPS)
    assert states["health_snapshot"] == "report"
    assert states["commit_log"] == "failure"
    assert states["security_review"] == "commit_log failed before it"
    assert states["gpu_readiness"] == "it did not finish"
    assert states["threat_assessment"] == "gpu_readiness left no result before it"


def test_a_step_that_left_nothing_may_be_at_work_or_not_asked_for(tmp_path: Path) -> None:
    """It is then told as such; what there is counts all the same, and a night that nobody began says so."""
    store = NightStore(tmp_path)
    store.save(report("commit_log"))
    store.save_failure(receipt("pr_digest"))
    why = "the night was missed"
    found = gather(
        store,
        NIGHT,
        skipped={"health_snapshot": why, "commit_log": why},
        at_work={"pr_digest", "code_review", "commit_log"},
        begun=False,
    )
    steps = {step.asset: step for step in found}

    assert steps["health_snapshot"].report is not None
    assert steps["health_snapshot"].report.reasons == (why,)
    assert steps["health_snapshot"].report.receipt is None
    assert steps["commit_log"].report == store.load("commit_log", NIGHT)
    assert steps["pr_digest"].failure is not None
    assert steps["code_review"].at_work
    assert steps["code_review"].missing is None
    assert steps["gpu_readiness"].missing == "nobody began the night"


def test_only_this_attempts_reports_count(tmp_path: Path) -> None:
    """A night run again does not tell yesterday's attempt as its own; without an attempt the newest counts."""
    NightStore(tmp_path, "old").save(report("commit_log"))

    assert told(NightStore(tmp_path, "new"))["commit_log"] == "it did not finish"
    assert told(NightStore(tmp_path))["commit_log"] == "report"


def test_a_failure_that_could_not_be_stored_is_told_from_memory(tmp_path: Path) -> None:
    """A full disk does not turn a failed step into an unknown one."""
    states = gather(NightStore(tmp_path, "a"), NIGHT, {"commit_log": receipt("commit_log")})

    assert next(s for s in states if s.asset == "commit_log").failure == receipt("commit_log")


def test_a_damaged_report_is_told_by_its_file(tmp_path: Path) -> None:
    """The reader learns which file is damaged, and that the night can be run again."""
    store = NightStore(tmp_path, "a")
    (store.save(report("commit_log")) / "report.json").write_text("{}")

    assert "report.json does not match its manifest: run the night" in told(store)["commit_log"]
