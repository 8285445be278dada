"""The commit log: what the night's window holds, and what could not be read, in plain words."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from markdown_it import MarkdownIt

from forge_workers.code.commits import CommitLog, commit_log, github_names
from forge_workers.report import Outcome, Report
from forge_workers.settings import Settings
from forge_workers.tools import Request
from forge_workers.windows import window
from tests.standins import repositories
from tests.standins.repositories import DAY, HOUR, MONDAY, Repo
from tests.standins.tools import tools_of

NIGHT = "2026-03-02"


def report_of(tmp_path: Path, *watched: Path | str, night: str = NIGHT, zone: str = "UTC") -> Report:
    """Run the commit log of ``night`` over ``watched``."""
    settings = Settings(home=tmp_path / "forge", repositories=tuple(map(str, watched)), timezone=zone)
    return commit_log(Request(night, window(night, ZoneInfo(zone))), tools_of(settings, MONDAY))


def log_of(report: Report) -> CommitLog:
    """Return the data of ``report`` after a round trip through JSON, as the steps below get it."""
    return CommitLog.model_validate(Report.model_validate_json(report.model_dump_json()).data)


@pytest.mark.slow
def test_counts_are_those_of_plain_git_log_in_every_repository(tmp_path: Path) -> None:
    """Two histories, ten nights: commits and lines are what plain git says."""
    repos = [repositories.synthetic(tmp_path / f"r{seed}", commits=150, seed=seed, days=15) for seed in (1, 2)]
    for day in range(10):
        night = f"2026-02-{19 + day:02}"
        start = window(night, ZoneInfo("UTC")).start_at
        report = report_of(tmp_path, *(repo.path for repo in repos), night=night)
        plain = [repo.git("log", "--branches", "--remotes", "--tags", "HEAD", "--format=%ct").split() for repo in repos]
        dates = [int(date) for dates in plain for date in dates]
        assert report.numbers["commits"] == sum(start <= date < start + DAY for date in dates)
        assert report.numbers["repositories"] == 2
        assert report.outcome is Outcome.RAN


def test_the_log_hands_on_commits_newest_first_and_where_the_branch_stood(tmp_path: Path) -> None:
    """Base and tip frame the window; remotes at GitHub are named; there are no findings."""
    repo = Repo(tmp_path / "app")
    base = repo.commit({"a.py": "1\n"}, at=MONDAY - HOUR)
    repo.commit({"a.py": "2\n"}, "First of the night", at=MONDAY)
    tip = repo.commit({"a.py": "3\n"}, "Fix it", at=MONDAY + HOUR, author="Grace")
    repo.commit({"a.py": "4\n"}, at=MONDAY + DAY)
    repo.git("remote", "add", "origin", "https://ada:secret@github.com/acme/app.git")
    report = report_of(tmp_path, repo.path)
    log = log_of(report)
    (watched,) = log.repositories
    assert (watched.name, watched.base, watched.tip, watched.remotes) == ("app", base, tip, ("acme/app",))
    assert [(commit.subject, commit.fix, commit.author) for commit in log.commits] == [
        ("Fix it", True, "Grace"),
        ("First of the night", False, "Ada"),
    ]
    assert report.findings == ()
    assert report.headline == "2 commits by 2 authors in 1 repository, +2 \u22122 lines."
    assert "secret" not in report.model_dump_json()


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Missing, empty and bare degrade the report by name; shallow and locked are noted without degrading it."""
    good = Repo(tmp_path / "good")
    good.commit({"a": "1"}, at=MONDAY)
    repositories.shallow(tmp_path / "shallow")
    repositories.locked(tmp_path / "locked")
    names = ("good", "shallow", "locked")
    fine = report_of(tmp_path, *(tmp_path / name for name in names))
    assert fine.outcome is Outcome.RAN
    assert [gap.what for gap in fine.gaps] == ["shallow", "locked"]
    repositories.empty(tmp_path / "empty")
    repositories.bare(tmp_path / "bare")
    bad = report_of(tmp_path, *(tmp_path / name for name in (*names, "missing", "empty", "bare")))
    assert bad.outcome is Outcome.DEGRADED
    assert [Path(reason.split(" ")[0]).name for reason in bad.reasons] == ["missing", "empty", "bare"]
    assert bad.numbers["commits"] == fine.numbers["commits"] == 3


def test_a_history_that_breaks_off_keeps_what_was_read_and_says_so(tmp_path: Path) -> None:
    """A damaged repository is a gap; the next one is read whole."""
    broken, good = Repo(tmp_path / "broken"), Repo(tmp_path / "good")
    first = broken.commit({"a": "1"}, at=MONDAY)
    broken.commit({"a": "2"}, at=MONDAY + 1)
    (broken.path / ".git" / "objects" / first[:2] / first[2:]).unlink()
    good.commit({"a": "1"}, at=MONDAY)
    report = report_of(tmp_path, broken.path, good.path)
    assert report.outcome is Outcome.DEGRADED
    assert "cannot be read to the end" in report.gaps[0].why
    assert [commit.repository for commit in log_of(report).commits if commit.repository == "good"] == ["good"]


def test_nothing_at_all_is_degraded_and_said(tmp_path: Path) -> None:
    """With no repository there is no count to mistake for a quiet night."""
    report = report_of(tmp_path, tmp_path / "missing")
    assert report.headline == "No watched repository could be read."
    assert report.outcome is Outcome.DEGRADED
    assert report.reasons[0] == "no repository could be read"
    assert report.numbers == {}
    none = report_of(tmp_path)
    assert none.outcome is Outcome.DEGRADED
    assert none.reasons == ("no repository could be read: none is named under repositories in forge.toml",)


@pytest.mark.parametrize(
    ("night", "said"),
    [
        ("2026-03-01", "0 commits: the night is before the first commit"),
        ("2026-03-03", "0 commits in 1 repository."),
        ("2199-01-01", "0 commits in 1 repository."),
    ],
)
def test_a_quiet_night_is_said_plainly(tmp_path: Path, night: str, said: str) -> None:
    """Before the first commit, after the last, and far in the future: nought, and why."""
    Repo(tmp_path / "r").commit({"a": "1"}, at=MONDAY)
    report = report_of(tmp_path, tmp_path / "r", night=night)
    assert report.headline.startswith(said)
    assert report.numbers["commits"] == 0
    assert report.outcome is Outcome.RAN


def test_a_night_of_25_hours_holds_all_its_commits(tmp_path: Path) -> None:
    """When daylight saving ends, the night is an hour longer."""
    repo = Repo(tmp_path / "r")
    start = window("2026-10-25", ZoneInfo("Europe/Paris")).start_at
    for hour in range(26):
        repo.commit({"a": str(hour)}, at=start + hour * HOUR)
    report = report_of(tmp_path, repo.path, night="2026-10-25", zone="Europe/Paris")
    assert report.numbers["commits"] == 25


def test_hostile_text_becomes_no_markup(tmp_path: Path) -> None:
    """Messages and authors are shown as text: no link, image, heading, raw HTML or control character of theirs."""
    repo = repositories.hostile(tmp_path / "h")
    evil = "[x](https://evil.example) ![i](https://evil.example/i) <script>x</script> `a` https://evil.example"
    repo.commit({"a.py": "9\n"}, evil, at=MONDAY + 6 * HOUR, author="# *Eve* <b>")
    report = report_of(tmp_path, repo.path)
    page = MarkdownIt("gfm-like", {"linkify": False}).render(report.markdown)
    assert set(re.findall(r"<(\w+)", page)) <= {"h2", "h3", "p", "ul", "li", "br", "code"}
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", report.markdown)
    assert report.numbers["lines_added"] > 100_000


def test_a_long_night_shows_thirty_commits_and_counts_the_rest(tmp_path: Path) -> None:
    """The text is capped; the data is whole."""
    repo = repositories.synthetic(tmp_path / "s", commits=50, days=1, until=MONDAY + DAY - 1)
    report = report_of(tmp_path, repo.path)
    assert "and 20 more" in report.markdown
    assert len(log_of(report).commits) == 50
    assert report.numbers["merges"] == sum(commit.merge for commit in log_of(report).commits)


def test_the_same_night_told_again_is_the_same(tmp_path: Path) -> None:
    """Later commits change nothing of an earlier night."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a": "1"}, at=MONDAY)
    before = report_of(tmp_path, repo.path)
    repo.commit({"a": "2"}, at=MONDAY + DAY)
    assert report_of(tmp_path, repo.path) == before


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("git@github.com:acme/app.git", ("acme/app",)),
        ("https://github.com/acme/app", ("acme/app",)),
        ("https://ada:secret@github.com/acme/app.git/", ("acme/app",)),
        ("ssh://git@ssh.github.com:443/acme/app.git", ("acme/app",)),
        ("git@code.acme.example:team/tool.git", ("team/tool",)),
        ("https://gitlab.com/acme/app.git", ()),
        ("https://evil.example/github.com/acme/app", ()),
        ("https://github.com/acme/app/../../x", ()),
        ("https://github.com.evil.example/acme/app", ()),
        ("https://[", ()),
        ("ext::sh -c touch% pwned", ()),
        ("/srv/git/app.git", ()),
        ("", ()),
    ],
)
def test_only_names_at_the_forge_host_are_taken_from_remotes(address: str, names: tuple[str, ...]) -> None:
    """An address gives owner and name at GitHub or at the company's host, or nothing; never a password."""
    assert github_names([address], "https://code.acme.example/api/v3") == names
