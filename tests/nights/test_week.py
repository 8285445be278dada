"""The week, told from what its seven nights left."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights.week import WEEKLY, weekly_consolidation
from forge_workers.report import Outcome, Report, Severity, Usage
from forge_workers.settings import load
from forge_workers.store import NightStore
from forge_workers.tools import Request
from forge_workers.windows import nights_of, week_window
from tests.briefing.parts import finding, receipt
from tests.standins.tools import tools_of

#: Charts and Parquet files: more than a second together.
pytestmark = pytest.mark.slow

WEEK = "2026-11-15"
NIGHTS = nights_of(WEEK)
RISK = finding("A shell is run with text from a request", Severity.HIGH)
SMALL = finding("A long line of <b>markup</b> | and bars", Severity.LOW)


def told(home: Path) -> Report:
    """Tell the week."""
    settings = load({"FORGE_HOME": str(home), "FORGE_TIMEZONE": "Europe/Paris"}, cwd=home)
    request = Request(night=WEEK, window=week_window(WEEK, settings.zone))
    return weekly_consolidation(request, tools_of(settings, 0.0))


def kept(home: Path, night: str, asset: str, outcome: Outcome = Outcome.RAN, **more: object) -> None:
    """Keep one report of one night, which asked a model."""
    usage = Usage(model="qwen3:8b", calls=2, prompt_tokens=900, output_tokens=100, gpu_s=5.0, saved_by_cache=1)
    done = receipt(asset, outcome, usage=usage).model_copy(update={"night": night, "seconds": 60.0})
    facts = {"asset": asset, "night": night, "outcome": outcome, "headline": "Done.", "receipt": done, **more}
    NightStore(home / "nights").save(Report.model_validate(facts))


def whole(
    home: Path, night: str, *, commits: float = 3.0, opened: tuple[str, ...] = (), new: tuple[object, ...] = ()
) -> None:
    """Keep a whole night."""
    listed = [{"fingerprint": mark, "title": f"Title of {mark}"} for mark in opened]
    for asset in (*STEPS, BRIEFING):
        more: dict[str, object] = {}
        if asset == "commit_log":
            more = {"numbers": {"commits": commits}}
        if asset == "security_review":
            more = {"data": {"open": listed}, "findings": new}
        kept(home, night, asset, **more)


def test_a_week_adds_up_its_nights(tmp_path: Path) -> None:
    """Whole, degraded, failed and missing nights; commits, findings new, open and settled; what models cost."""
    whole(tmp_path, NIGHTS[0], opened=("aa", "bb"), new=(RISK, SMALL))
    whole(tmp_path, NIGHTS[1], opened=("bb", "cc"), new=(RISK,))
    whole(tmp_path, NIGHTS[2], commits=4.0, opened=("cc",))
    kept(tmp_path, NIGHTS[2], "code_review", Outcome.DEGRADED)
    kept(tmp_path, NIGHTS[3], "commit_log", numbers={"commits": 1.0})
    store = NightStore(tmp_path / "nights")
    store.save_failure(receipt("pr_digest", Outcome.FAILED, ("away",)).model_copy(update={"night": NIGHTS[3]}))

    report = told(tmp_path)

    assert (report.asset, report.night, report.outcome) == (WEEKLY, WEEK, Outcome.RAN)
    assert {name: report.numbers[f"nights_{name}"] for name in ("done", "degraded", "failed", "missing")} == {
        "done": 2.0, "degraded": 1.0, "failed": 1.0, "missing": 3.0}  # fmt: skip
    assert report.numbers["commits"] == 11.0
    assert (report.numbers["new_findings"], report.numbers["open_findings"]) == (2.0, 1.0)
    assert report.numbers["settled_findings"] == 2.0
    assert report.numbers["tokens"] == (3 * 9 + 1) * 1_000
    assert report.data["nights"] == dict(
        zip(NIGHTS, ("done", "done", "degraded", "failed", "missing", "missing", "missing"), strict=True)
    )
    assert [gap.what for gap in report.gaps] == [
        f"parts of the night {NIGHTS[3]}", *(f"the night {night}" for night in NIGHTS[4:])]  # fmt: skip
    assert report.headline.startswith("3 of 7 nights whole, 11 commits, 2 new findings; 1 urgent one open, 2 settled")
    assert [image.name for image in report.images] == ["week"]


def test_the_page_escapes_what_others_wrote(tmp_path: Path) -> None:
    """Titles are data: no markup of theirs is left, and the table keeps its columns."""
    whole(tmp_path, NIGHTS[0], opened=("a|b",), new=(SMALL,))

    page = told(tmp_path).markdown

    assert "<b>" not in page
    assert "\\<b\\>" in page
    assert all(line.count("|") == 8 for line in page.splitlines() if line.startswith("| "))


def test_a_week_of_nothing_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """No chart of zeros, and no claim that nothing is open."""
    report = told(tmp_path)

    assert (report.outcome, report.reasons, report.images) == (
        Outcome.SKIPPED, ("no night of this week was done",), ())  # fmt: skip
    assert "nobody knows what is open" in report.markdown
    assert report.numbers["nights_missing"] == 7.0


def test_a_damaged_night_is_told_by_its_state(tmp_path: Path) -> None:
    """Its files count for nothing, and the others are added up."""
    whole(tmp_path, NIGHTS[0])
    whole(tmp_path, NIGHTS[1])
    (tmp_path / "nights" / NIGHTS[1] / "commit_log" / "manifest.json").write_text("{")

    report = told(tmp_path)

    assert report.numbers["commits"] == 3.0
    assert report.data["nights"][NIGHTS[1]] == "failed"  # type: ignore[index, call-overload]


def test_the_same_week_told_twice_is_the_same_report(tmp_path: Path) -> None:
    """It reads no clock: a week told again later says what it said."""
    whole(tmp_path, NIGHTS[0], new=(RISK,))

    assert told(tmp_path) == told(tmp_path)
