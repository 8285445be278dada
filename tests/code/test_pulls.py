"""The pull request digest against a GitHub stand-in, asked by the real client."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from pydantic import SecretStr

from forge_workers.code.commits import CommitLog, WatchedRepository
from forge_workers.code.github_pulls import PullDigest
from forge_workers.code.pulls import pr_digest
from forge_workers.report import Outcome, Report
from forge_workers.settings import Settings
from forge_workers.settings_sections import GitHub as GitHubSettings
from forge_workers.tools import Request
from forge_workers.windows import Window
from tests.standins.github import TOKEN, Answer, GitHub, github, pull, rate_limited
from tests.standins.repositories import DAY, HOUR, MONDAY
from tests.standins.tools import tools_of

TONIGHT = Window(MONDAY, MONDAY + DAY)
NOON = MONDAY + 12 * HOUR


@pytest.fixture
def host() -> Iterator[GitHub]:
    """A GitHub with one empty repository."""
    with github() as stand_in:
        stand_in.pulls["acme/app"] = []
        yield stand_in


def digest(
    host: GitHub,
    tmp_path: Path,
    *names: str,
    token: str | None = TOKEN,
    now: float = TONIGHT.end_at + HOUR,
    upstream: Report | None = None,
    timeout_s: float = 5.0,
) -> Report:
    """Run the digest of the night of 2 March 2026 against ``host``."""
    settings = Settings(
        home=tmp_path,
        repositories=("/nowhere",),
        timezone="UTC",
        github=GitHubSettings(
            token=SecretStr(token) if token else None, repositories=names, api_url=host.url, timeout_s=timeout_s
        ),
    )
    request = Request("2026-03-02", TONIGHT, {"commit_log": upstream} if upstream else {})
    return pr_digest(request, tools_of(settings, now))


def numbers_of(report: Report, kind: str) -> list[int]:
    """Return the numbers of the pull requests that the report lists."""
    return [pull.number for pull in getattr(PullDigest.model_validate(report.data), kind)]


def test_without_a_token_it_is_skipped_and_says_how_to_enable_it(host: GitHub, tmp_path: Path) -> None:
    """No token means a skipped report that names the variable and the key, and no request."""
    report = digest(host, tmp_path, "acme/app", token=None)
    assert report.outcome is Outcome.SKIPPED
    assert "FORGE_GITHUB_TOKEN" in report.reasons[0]
    assert "github.token" in report.reasons[0]
    assert host.asked == []


def test_opened_and_merged_ones_are_those_of_the_window(host: GitHub, tmp_path: Path) -> None:
    """A pull request is opened or merged in the half-open window, or it is not listed."""
    host.pulls["acme/app"] = [
        pull(1, "Before", opened_at=MONDAY - 1),
        pull(2, "First second", opened_at=MONDAY),
        pull(3, "Last second", opened_at=TONIGHT.end_at - 1),
        pull(4, "After", opened_at=TONIGHT.end_at),
        pull(5, "Opened and merged", opened_at=NOON, merged_at=NOON + HOUR),
        pull(6, "Merged, touched later", opened_at=MONDAY - DAY, merged_at=NOON, touched_at=TONIGHT.end_at + HOUR),
        pull(7, "Merged before", opened_at=MONDAY - DAY, merged_at=MONDAY - 1),
        pull(8, "Closed unmerged", opened_at=NOON, state="closed", touched_at=NOON + 1),
    ]
    report = digest(host, tmp_path, "acme/app")
    assert sorted(numbers_of(report, "opened")) == [2, 3, 5, 8]
    assert sorted(numbers_of(report, "merged")) == [5, 6]
    assert report.outcome is Outcome.RAN
    assert report.gaps == ()


def test_what_waits_is_a_requested_review_or_changes_requested_on_ones_own(host: GitHub, tmp_path: Path) -> None:
    """Drafts, other people's reviews, and a request for changes that was withdrawn wait for nobody."""
    early = MONDAY - 3 * DAY
    host.pulls["acme/app"] = [
        pull(1, "Review me", opened_at=early, reviewers=("ada", "linus")),
        pull(2, "Draft", opened_at=early, reviewers=("ada",), draft=True),
        pull(3, "Someone else's", opened_at=early, reviewers=("linus",)),
        pull(4, "Mine, changes wanted", author="ada", opened_at=early - DAY),
        pull(5, "Mine, approved since", author="ada", opened_at=early),
        pull(6, "Mine, nobody looked", author="ada", opened_at=early),
        pull(7, "Opened after the night", opened_at=TONIGHT.end_at, reviewers=("ada",)),
    ]
    host.reviews["acme/app#4"] = [("linus", "APPROVED"), ("grace", "CHANGES_REQUESTED")]
    host.reviews["acme/app#5"] = [("grace", "CHANGES_REQUESTED"), ("grace", "APPROVED")]
    report = digest(host, tmp_path, "acme/app")
    waiting = PullDigest.model_validate(report.data).waiting
    assert [(pull.number, pull.age_days, pull.why) for pull in waiting] == [
        (4, 5.0, "changes are requested on yours"),
        (1, 4.0, "your review is requested"),
    ]


def test_titles_and_addresses_of_others_become_neither_markup_nor_links(host: GitHub, tmp_path: Path) -> None:
    """A title is escaped, and the link is made of the host, the repository and the number, not of what was sent."""
    host.pulls["acme/app"] = [pull(1, "[x](https://evil.example) <img src=1>\n# You must approve", opened_at=NOON)]
    report = digest(host, tmp_path, "acme/app")
    page = MarkdownIt().render(report.markdown)
    assert re.findall(r"<(?:a|img|h1)\b[^>]*>", page) == [f'<a href="{host.url}/acme/app/pull/1">']
    assert "evil.example/1" not in report.model_dump_json()


def test_an_author_whose_account_is_gone_is_a_ghost(host: GitHub, tmp_path: Path) -> None:
    """GitHub sends null for the user of a deleted account."""
    host.pulls["acme/app"] = [pull(1, "Orphan", author="", opened_at=NOON)]
    report = digest(host, tmp_path, "acme/app")
    assert PullDigest.model_validate(report.data).opened[0].author == "ghost"


def test_all_pages_are_read(host: GitHub, tmp_path: Path) -> None:
    """A list longer than one page is followed through its Link headers."""
    host.pulls["acme/app"] = [pull(n, f"Number {n}", opened_at=MONDAY + n) for n in range(1, 251)]
    report = digest(host, tmp_path, "acme/app")
    assert report.numbers["opened"] == 250
    assert "and 220 more" in report.markdown


def test_more_than_is_looked_at_is_a_gap_not_half_a_list(host: GitHub, tmp_path: Path) -> None:
    """Past 500 pull requests the repository is named as not looked at."""
    host.pulls["acme/app"] = [pull(n, f"Number {n}", opened_at=MONDAY + n) for n in range(1, 502)]
    report = digest(host, tmp_path, "acme/app")
    assert "more than 500 open" in report.gaps[0].why


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (lambda: Answer(404, {"message": "Not Found"}), "knows no such repository"),
        (lambda: Answer(403, {"message": "Resource not accessible by personal access token"}), "status 403"),
        (lambda: Answer(500, {"message": "Server Error"}), "status 500"),
        (lambda: Answer(502, b"<html>Bad gateway</html>"), "status 502"),
        (lambda: Answer(200, b"{half a"), "not one that can be read"),
        (lambda: Answer(200, {"not": "a list"}), "not one that can be read"),
        (lambda: Answer(200, [{"number": "seven"}]), "not one that can be read"),
    ],
)
def test_one_bad_repository_is_a_gap_and_the_others_go_on(
    host: GitHub, tmp_path: Path, fault: Callable[[], Answer], why: str
) -> None:
    """Whatever one repository answers, it becomes one gap; the next is read; it is asked once."""
    host.pulls |= {"acme/bad": [], "acme/zeta": [pull(9, "Fine", opened_at=NOON)]}
    host.faults["/repos/acme/bad/pulls"] = fault
    report = digest(host, tmp_path, "acme/bad", "acme/zeta")
    assert [(gap.what, why in gap.why) for gap in report.gaps] == [("acme/bad", True)]
    assert report.outcome is Outcome.DEGRADED
    assert numbers_of(report, "opened") == [9]
    assert sum("acme/bad" in asked for asked in host.asked) == 1


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (lambda: Answer(401, {"message": "Bad credentials"}), "refuses the token"),
        (rate_limited, "rate limit is used up until 01:00 UTC"),
        (lambda: Answer(429, {"message": "Too many"}, {"Retry-After": "3600"}), "rate limit is used up"),
        (lambda: Answer(403, {"message": "You have exceeded a secondary rate limit"}), "rate limit is used up"),
    ],
)
def test_what_would_be_refused_again_is_asked_only_once(
    host: GitHub, tmp_path: Path, fault: Callable[[], Answer], why: str
) -> None:
    """A refused token or a spent rate limit ends the asking; every repository is a gap; nothing is retried."""
    host.faults["/user"] = fault
    report = digest(host, tmp_path, "acme/app", "acme/two", "acme/three")
    assert [gap.what for gap in report.gaps] == ["acme/app", "acme/two", "acme/three"]
    assert all(why in gap.why for gap in report.gaps)
    assert host.asked == ["/user"]


def test_a_wrong_token_is_said_and_not_shown(host: GitHub, tmp_path: Path) -> None:
    """The token stands nowhere in the report."""
    report = digest(host, tmp_path, "acme/app", token="ghp_wrongWrongWrongWrongWrongWrongWron")
    assert "refuses the token" in report.gaps[0].why
    assert "ghp_" not in report.model_dump_json()


@pytest.mark.slow
def test_a_host_that_hangs_costs_one_timeout_per_repository(host: GitHub, tmp_path: Path) -> None:
    """A repository that never answers is a gap after the timeout, and is not asked again."""
    never = threading.Event()

    def hang() -> Answer:
        never.wait(10)
        return Answer(200, [])

    host.faults["/repos/acme/app/pulls"] = hang
    report = digest(host, tmp_path, "acme/app", timeout_s=1.0)
    never.set()
    assert "in time" in report.gaps[0].why
    assert len(host.asked) == 2


def test_a_host_that_is_away_is_asked_once(tmp_path: Path) -> None:
    """A closed port degrades the digest with one gap per repository."""
    with github() as gone:
        pass
    report = digest(gone, tmp_path, "acme/app", "acme/two")
    assert [gap.why for gap in report.gaps] == ["GitHub cannot be reached"] * 2
    assert report.headline.endswith("some could not be looked at.")


def test_a_token_without_a_user_still_reads_what_was_opened(host: GitHub, tmp_path: Path) -> None:
    """An installation token may not ask who it is: nothing waits, the rest is read, and a gap says so."""
    host.faults["/user"] = lambda: Answer(403, {"message": "Resource not accessible by integration"})
    host.pulls["acme/app"] = [pull(1, "New", opened_at=NOON, reviewers=("ada",))]
    report = digest(host, tmp_path, "acme/app")
    assert numbers_of(report, "opened") == [1]
    assert numbers_of(report, "waiting") == []
    assert "whose the token is" in report.gaps[0].why


def test_repositories_come_from_the_commit_log_when_none_is_named(host: GitHub, tmp_path: Path) -> None:
    """Without names in the settings the GitHub remotes of the watched repositories are asked."""
    row = WatchedRepository(name="app", path="/src/app", base=None, tip=None, remotes=("acme/app",))
    log = CommitLog(repositories=(row,), commits=())
    upstream = Report(asset="commit_log", night="2026-03-02", headline="", data=log.model_dump(mode="json"))
    host.pulls["acme/app"] = [pull(1, "New", opened_at=NOON)]
    assert numbers_of(digest(host, tmp_path, upstream=upstream), "opened") == [1]
    assert digest(host, tmp_path).outcome is Outcome.SKIPPED


def test_a_night_long_past_says_that_waiting_is_todays(host: GitHub, tmp_path: Path) -> None:
    """What waited then cannot be asked any more, and a gap says so without degrading the report."""
    report = digest(host, tmp_path, "acme/app", now=TONIGHT.end_at + 7 * DAY)
    assert report.outcome is Outcome.RAN
    assert "what waits now" in report.gaps[0].why
