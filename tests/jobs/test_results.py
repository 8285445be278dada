"""What jobs returned: kept whole under worker and job, bounded, and never in the way of the night's own reports."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forge_workers.errors import BadArgs, Damaged, LeaseLost
from forge_workers.jobs.results import MOST_KEPT, Results
from forge_workers.report import Report
from forge_workers.store import NightStore

NIGHT = "2026-03-02"


def job(number: int) -> str:
    """Return the id of a job."""
    return f"{number:032x}"


def report(said: str = "Said.") -> Report:
    """Return a small report."""
    return Report(asset="security_review", night=NIGHT, headline=said)


def test_a_result_is_read_back_as_it_was(tmp_path: Path) -> None:
    """The whole report is kept, readable by its owner only."""
    results = Results(tmp_path)

    path = results.save("security_review", job(1), report())

    assert results.load("security_review", job(1)) == report()
    assert path == tmp_path / "results" / "security_review" / f"{job(1)}.json"
    assert path.stat().st_mode & 0o077 == 0


def test_a_job_done_twice_has_the_last_result(tmp_path: Path) -> None:
    """Saving again replaces what was there."""
    results = Results(tmp_path)

    results.save("toy", job(1), report("First."))
    results.save("toy", job(1), report("Second."))

    assert results.jobs("toy") == (job(1),)
    assert results.load("toy", job(1)) == report("Second.")


def test_a_daytime_result_leaves_the_nights_report_alone(tmp_path: Path) -> None:
    """The store of nights knows nothing of what jobs returned."""
    store = NightStore(tmp_path / "nights")
    store.save(report("By night."))

    Results(tmp_path).save("security_review", job(1), report("By day."))

    assert store.load("security_review", NIGHT) == report("By night.")
    assert store.nights("security_review") == (NIGHT,)


def test_only_the_newest_results_are_kept(tmp_path: Path) -> None:
    """The oldest go, worker by worker, and nothing that is no result is touched."""
    results = Results(tmp_path)
    for number in range(MOST_KEPT + 3):
        path = results.path("toy", job(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (number, number))
    results.path("toy", job(0)).with_name("notes.json").write_text("mine")

    results.save("toy", job(9_999), report())
    results.save("other", job(1), report())

    assert len(results.jobs("toy")) == MOST_KEPT
    assert results.jobs("toy")[0] == job(9_999)
    assert job(3) not in results.jobs("toy")
    assert job(4) in results.jobs("toy")
    assert (tmp_path / "results" / "toy" / "notes.json").exists()
    assert results.jobs("other") == (job(1),)


@pytest.mark.parametrize("job_id", ["", "../../../etc/passwd", "A" * 32, "0" * 31, "0" * 33, f"{'0' * 32}\n"])
def test_only_a_jobs_id_names_a_file(tmp_path: Path, job_id: str) -> None:
    """Nothing else can become a path."""
    with pytest.raises(BadArgs, match="no job's id"):
        Results(tmp_path).save("toy", job_id, report())


@pytest.mark.parametrize("worker", ["", "..", "a/b", "a b"])
def test_only_a_workers_name_names_a_folder(tmp_path: Path, worker: str) -> None:
    """Nothing else can become a path."""
    with pytest.raises(BadArgs, match="no worker's name"):
        Results(tmp_path).load(worker, job(1))


def test_what_is_no_report_is_said(tmp_path: Path) -> None:
    """A damaged file is named; a missing one is None."""
    results = Results(tmp_path)
    path = results.save("toy", job(1), report())
    path.write_text("{")

    assert results.load("toy", job(2)) is None
    with pytest.raises(Damaged, match=str(path)):
        results.load("toy", job(1))


def test_a_result_of_an_older_lease_is_refused(tmp_path: Path) -> None:
    """A process that was paused past its lease does not write over what the next one kept."""
    results = Results(tmp_path)
    results.save("code_review", job(1), report("Later."), device="local:0", term=6)

    with pytest.raises(LeaseLost):
        results.save("code_review", job(1), report("Earlier."), device="local:0", term=5)
    results.save("code_review", job(2), report("Same."), device="local:0", term=6)

    assert results.load("code_review", job(1)) == report("Later.")
    assert results.jobs("code_review") == (job(2), job(1))


def test_a_result_without_the_fence_is_overwritten(tmp_path: Path) -> None:
    """The control: without its term the older write goes through, as it does for rows that hold no lease."""
    results = Results(tmp_path)
    results.save("code_review", job(1), report("Later."), device="local:0", term=6)

    results.save("code_review", job(1), report("Earlier."))

    assert results.load("code_review", job(1)) == report("Earlier.")
