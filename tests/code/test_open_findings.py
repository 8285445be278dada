"""An urgent finding stays open until it is mended or dismissed, whatever the nights between touch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from forge_workers.code.open_findings import OpenFinding, carried
from forge_workers.code.security import security_review
from forge_workers.dismissals import Dismissals, resolve
from forge_workers.report import Outcome, Report
from forge_workers.tools import Request, Tools
from forge_workers.windows import Window
from tests.code.desk import NIGHT, request_for, tools_for
from tests.standins.repositories import DAY, HOUR, MONDAY, Content, Repo

pytestmark = pytest.mark.slow

SHELL = "import subprocess\nsubprocess.call(command, shell=True)\n"
SECOND, THIRD = "2026-03-03", "2026-03-04"
NIGHTS = (NIGHT, SECOND, THIRD)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository into which the first night brings one fault."""
    made = Repo(tmp_path / "app")
    made.commit({"README.md": "# App\n"}, at=MONDAY - DAY)
    made.commit({"new.py": SHELL}, at=MONDAY + HOUR)
    return made


def asked(tools: Tools, night: str) -> Request:
    """Return the request of one of the three nights."""
    start = MONDAY + NIGHTS.index(night) * DAY
    return request_for(tools, night, Window(start, start + DAY))


def told(tools: Tools, night: str) -> Report:
    """Review one of the three nights and keep the report."""
    report = security_review(asked(tools, night), tools)
    tools.history.save(report)
    return report


def left(report: Report) -> list[tuple[str, str, int | None, str]]:
    """Return rule, path, line and first night of what is open."""
    return [(one.rule, one.path, one.line, one.since) for one in carried(report)]


STILL = [("bandit:B602", "new.py", 2, NIGHT)]


def test_a_finding_stays_open_over_quiet_nights_until_it_is_mended(tmp_path: Path, repo: Repo) -> None:
    """Found, untouched the next night and still open, mended on the third and gone."""
    tools = tools_for(tmp_path / "home", repo)
    found, quiet = told(tools, NIGHT), told(tools, SECOND)
    repo.commit({"new.py": "value = 1\n"}, at=MONDAY + 2 * DAY + HOUR)
    mended = told(tools, THIRD)

    assert (left(found), left(quiet), left(mended)) == (STILL, STILL, [])
    assert (quiet.findings, quiet.numbers["open_findings"]) == ((), 1.0)
    assert "### Open" in quiet.markdown
    assert carried(quiet)[0].commit == found.findings[0].evidence[0].commit


def test_a_review_that_carries_nothing_is_caught(tmp_path: Path, repo: Repo) -> None:
    """Control: when the first night's report is not there to carry from, the same check fails."""
    tools = tools_for(tmp_path / "home", repo)
    security_review(asked(tools, NIGHT), tools)

    with pytest.raises(AssertionError):
        assert left(told(tools, SECOND)) == STILL


def test_a_dismissed_finding_is_not_open(tmp_path: Path, repo: Repo) -> None:
    """What a person accepted leaves, whether its file is touched or not."""
    tools = tools_for(tmp_path / "home", repo)
    (one,) = carried(told(tools, NIGHT))
    Dismissals(tmp_path / "home").dismiss(one.fingerprint, "only in a script", MONDAY)
    assert left(told(tools, SECOND)) == []
    repo.commit({"new.py": SHELL + "pass\n"}, at=MONDAY + 2 * DAY + HOUR)
    assert left(told(tools, THIRD)) == []


def test_a_touched_file_that_still_holds_it_gives_its_new_place(tmp_path: Path, repo: Repo) -> None:
    """The line and the commit are tonight's, the night that saw it first remains."""
    tools = tools_for(tmp_path / "home", repo)
    told(tools, NIGHT)
    last = repo.commit({"new.py": "# moved\n" + SHELL}, at=MONDAY + DAY + HOUR)
    report = told(tools, SECOND)

    assert left(report) == [("bandit:B602", "new.py", 3, NIGHT)]
    assert carried(report)[0].commit == last


@pytest.mark.parametrize("files", [{"new.py": None}, {"new.py": None, "moved.py": "value = 1\n"}])
def test_a_deleted_file_holds_nothing(tmp_path: Path, repo: Repo, files: Mapping[str | bytes, Content]) -> None:
    """A fault goes with its file."""
    tools = tools_for(tmp_path / "home", repo)
    told(tools, NIGHT)
    repo.commit(files, at=MONDAY + DAY + HOUR)
    assert left(told(tools, SECOND)) == []


def test_what_nobody_could_look_at_is_not_mended(tmp_path: Path, repo: Repo) -> None:
    """A file that cannot be parsed, or a repository that is away, keeps what was open."""
    tools = tools_for(tmp_path / "home", repo)
    told(tools, NIGHT)
    repo.commit({"new.py": SHELL + "def (:\n"}, at=MONDAY + DAY + HOUR)
    assert left(told(tools, SECOND)) == STILL
    request = asked(tools, THIRD)
    (repo.path / ".git").rename(tmp_path / "away")
    assert left(security_review(request, tools)) == STILL


def test_a_fix_on_a_branch_mends_when_it_is_merged(tmp_path: Path, repo: Repo) -> None:
    """The main branch holds the fault until the merge, and the merge ends it although it lists no files."""
    tools = tools_for(tmp_path / "home", repo)
    told(tools, NIGHT)
    repo.switch("fix", create=True)
    repo.commit({"new.py": "value = 1\n"}, at=MONDAY + DAY + HOUR)
    repo.switch("main")
    assert left(told(tools, SECOND)) == STILL
    repo.merge("fix", at=MONDAY + 2 * DAY + HOUR)
    assert left(told(tools, THIRD)) == []


def test_a_fault_on_a_side_branch_stays_until_that_branch_touches_its_file(tmp_path: Path, repo: Repo) -> None:
    """What main never held is not mended by main's lacking it."""
    repo.switch("topic", create=True)
    repo.commit({"side.py": SHELL}, at=MONDAY + HOUR)
    repo.switch("main")
    tools = tools_for(tmp_path / "home", repo)
    told(tools, NIGHT)
    assert ("bandit:B602", "side.py", 2, NIGHT) in left(told(tools, SECOND))
    repo.switch("topic")
    repo.commit({"side.py": "value = 1\n"}, at=MONDAY + 2 * DAY + HOUR)
    repo.switch("main")
    assert left(told(tools, THIRD)) == STILL


def test_a_night_without_a_commit_log_keeps_what_was_open(tmp_path: Path, repo: Repo) -> None:
    """A skipped review hands on what it was handed."""
    tools = tools_for(tmp_path / "home", repo)
    told(tools, NIGHT)
    skipped = security_review(Request(night=SECOND, window=Window(MONDAY + DAY, MONDAY + 2 * DAY)), tools)
    tools.history.save(skipped)

    assert (skipped.outcome, left(skipped)) == (Outcome.SKIPPED, STILL)
    assert left(told(tools, THIRD)) == STILL


def test_a_report_of_an_older_kind_gives_its_new_urgent_findings(tmp_path: Path, repo: Repo) -> None:
    """Without the list, the night's own new high findings are what was open."""
    report = told(tools_for(tmp_path / "home", repo), NIGHT)
    odd: Any
    for odd in ({}, {"open": "x"}, {"open": [{"fingerprint": 3}]}):
        assert left(report.model_copy(update={"data": odd})) == STILL
    assert carried(None) == ()
    assert set(OpenFinding.model_fields) >= {"fingerprint", "since", "commit", "line"}


def test_a_fault_older_than_forge_can_be_dismissed(tmp_path: Path) -> None:
    """A known fault in a touched file is open without ever having been new, and its fingerprint is found."""
    repo = Repo(tmp_path / "app")
    repo.commit({"old.py": SHELL}, at=MONDAY - DAY)
    repo.commit({"old.py": SHELL + "pass\n"}, at=MONDAY + HOUR)
    tools = tools_for(tmp_path / "home", repo)
    report = told(tools, NIGHT)
    (one,) = carried(report)

    assert report.findings == ()
    assert resolve(one.fingerprint[:6], tools.history).title == one.title
