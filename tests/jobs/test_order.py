"""From a job's arguments to a request: which night, which repository, which commit, and what counts as new."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from forge_workers.code.commits import CommitLog, commit_log
from forge_workers.code.security import security_review
from forge_workers.errors import BadArgs, Permanent
from forge_workers.git import Repository
from forge_workers.git.lookup import find_commit
from forge_workers.jobs.order import DayRequest, Focus, Order, focus_of, narrowed, request_of, with_upstream
from forge_workers.report import Report
from forge_workers.settings import Settings
from forge_workers.tools import Request, Tools
from forge_workers.windows import window
from tests.code.desk import tools_for
from tests.code.test_security import AWS, SHELL
from tests.jobs.keeping import JOB
from tests.standins.repositories import DAY, HOUR, MONDAY, Repo, shallow, synthetic

pytestmark = pytest.mark.slow

_COMMITS = {"commit_log": "forge_workers.code.commits:commit_log"}
MONDAYS_NIGHT = "2026-03-02"


def order(home: Path, queued_at: float = MONDAY + HOUR, upstream: dict[str, str] | None = None, **args: Any) -> Order:
    """Return the order of one job."""
    return Order(
        worker="security_review",
        function="forge_workers.code.security:security_review",
        upstream=_COMMITS if upstream is None else upstream,
        job_id=JOB,
        args=args,
        queued_at=queued_at,
        home=str(home),
        gpu=False,
        term=None,
        device=None,
    )


def asked(tools: Tools, **args: Any) -> tuple[DayRequest, Tools]:
    """Return the request with its upstream reports, and the tools, that a job with ``args`` gets."""
    chosen = order(tools.settings.home, **args)
    focus = focus_of(chosen.args, tools.settings)
    request = request_of(chosen, focus, tools.settings)
    fewer = Tools(narrowed(tools.settings, focus), tools.models, tools.history, tools.now)
    return with_upstream(chosen, request, fewer, focus, str), fewer


def by_day(tools: Tools, **args: Any) -> Report:
    """Return the security review of a job with ``args``."""
    return security_review(*asked(tools, **args))


def by_night(tools: Tools, night: str = MONDAYS_NIGHT) -> Report:
    """Return the security review of a whole night."""
    bare = Request(night=night, window=window(night, tools.settings.zone))
    return security_review(Request(night, bare.window, {"commit_log": commit_log(bare, tools)}), tools)


def log_in(request: Request) -> CommitLog:
    """Return the commit log that a request carries."""
    return CommitLog.model_validate(request.upstream["commit_log"].data)


def paths(report: Report) -> list[str]:
    """Return the files that findings are about, the remark about an import left out."""
    return sorted(f.evidence[0].path or "" for f in report.findings if f.rule != "bandit:B404")


def settings_in(home: Path, *repos: Repo, timezone: str = "UTC") -> Settings:
    """Return settings that watch ``repos``."""
    return Settings(home=home, repositories=tuple(str(repo.path) for repo in repos), timezone=timezone)


def test_the_night_is_the_day_on_which_the_job_was_asked_for(tmp_path: Path) -> None:
    """A job that waits over midnight still means its own day, in the zone of the settings."""
    late = MONDAY + DAY - HOUR / 2

    utc = request_of(order(tmp_path, late), Focus(), settings_in(tmp_path))
    paris = request_of(order(tmp_path, late), Focus(), settings_in(tmp_path, timezone="Europe/Paris"))

    assert utc.night == MONDAYS_NIGHT
    assert paris.night == "2026-03-03"
    assert paris.window == window("2026-03-03", settings_in(tmp_path, timezone="Europe/Paris").zone)


def test_a_night_that_is_named_wins(tmp_path: Path) -> None:
    """The job says which day it is about."""
    request = request_of(order(tmp_path, night="2026-02-01"), Focus(), settings_in(tmp_path))

    assert request.night == "2026-02-01"
    assert request.job_id == JOB
    assert request.args == {"night": "2026-02-01"}


def test_the_night_of_a_commit_is_its_own_day(tmp_path: Path) -> None:
    """A commit that arrives days later is looked at in the day it was made on."""
    repo = Repo(tmp_path / "app")
    commit = repo.commit({"a.py": "x = 1\n"}, at=MONDAY + HOUR)
    tools = tools_for(tmp_path / "home", repo)

    request, _ = asked(tools, queued_at=MONDAY + 9 * DAY, commit=commit[:9])

    assert request.night == MONDAYS_NIGHT
    assert [c.id for c in log_in(request).commits] == [commit]


def test_a_night_that_is_not_the_commits_own_is_refused(tmp_path: Path) -> None:
    """Two arguments that contradict each other are said, not guessed about."""
    repo = Repo(tmp_path / "app")
    commit = repo.commit({"a.py": "x = 1\n"}, at=MONDAY)
    tools = tools_for(tmp_path / "home", repo)

    assert asked(tools, commit=commit, night=MONDAYS_NIGHT)[0].night == MONDAYS_NIGHT
    with pytest.raises(BadArgs, match="is of 2026-03-02, not of 2026-03-01: leave night out"):
        asked(tools, commit=commit, night="2026-03-01")


@pytest.mark.parametrize("moment", [float("inf"), float("nan"), 1e18])
def test_a_moment_that_no_calendar_has_is_no_night(tmp_path: Path, moment: float) -> None:
    """A clock that ran wild becomes one plain line."""
    with pytest.raises(Permanent, match="no moment of any day"):
        request_of(order(tmp_path, moment), Focus(), settings_in(tmp_path))


def test_a_repository_must_be_a_watched_one(tmp_path: Path) -> None:
    """A path that is not watched is refused with the ones that are."""
    repo, other = Repo(tmp_path / "app"), Repo(tmp_path / "other")
    for made in (repo, other):
        made.commit({"a.py": "x = 1\n"})
    tools = tools_for(tmp_path / "home", repo)

    with pytest.raises(BadArgs, match=f"other is not watched: choose one of {repo.path}"):
        asked(tools, repository=str(other.path))


def test_a_watched_repository_that_cannot_be_read_is_told_by_the_desk(tmp_path: Path) -> None:
    """It is watched, so the job is right; the report says why there is nothing to look at."""
    tools = tools_for(tmp_path / "home", tmp_path / "gone")

    report = by_day(tools, repository=str(tmp_path / "gone"))

    assert report.outcome == "skipped"
    assert report.reasons == ("No repository could be read, so no file could be reviewed.",)


def test_only_the_named_repository_is_read(tmp_path: Path) -> None:
    """The others play no part in the commit log."""
    one, two = Repo(tmp_path / "one"), Repo(tmp_path / "two")
    for repo in (one, two):
        repo.commit({"a.py": "x = 1\n"}, at=MONDAY + HOUR)

    request, tools = asked(tools_for(tmp_path / "home", one, two), repository=str(two.path))

    assert [repository.name for repository in log_in(request).repositories] == ["two"]
    assert tools.settings.repositories == (str(two.path),)


def test_an_unknown_commit_is_one_line(tmp_path: Path) -> None:
    """Neither a job nor a day is wasted on a commit that is not there."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a.py": "x = 1\n"})
    tools = tools_for(tmp_path / "home", repo)

    with pytest.raises(Permanent, match="there is no commit 0123456789 in the watched repositories"):
        asked(tools, commit="0123456789")
    with pytest.raises(Permanent, match=f"there is no commit 0123456789 in {repo.path}"):
        asked(tools, commit="0123456789", repository=str(repo.path))


def test_a_repository_that_is_broken_does_not_hide_a_commit_of_another(tmp_path: Path) -> None:
    """The commit is found where it is; only when it is nowhere the broken one is named."""
    broken, repo = Repo(tmp_path / "broken"), Repo(tmp_path / "app")
    commit, lost = (made.commit({"a.py": f"{made.path}\n"}, at=MONDAY) for made in (repo, broken))
    shutil.rmtree(broken.path / ".git" / "objects")
    (broken.path / ".git" / "objects").mkdir()
    tools = tools_for(tmp_path / "home", broken, repo)

    assert asked(tools, repository=str(repo.path), commit=commit)[0].night == MONDAYS_NIGHT
    assert focus_of({"commit": commit}, tools.settings).place == str(repo.path)
    with pytest.raises(Permanent, match=f"there is no commit {lost}"):
        asked(tools, commit=lost)


def test_a_tree_and_a_branch_are_no_commit(tmp_path: Path) -> None:
    """Only commits are meant: no other object, and no branch that is called like an id."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a.py": "x = 1\n"})
    tree = repo.git("rev-parse", "HEAD^{tree}").decode().strip()
    repo.git("branch", "abcdef1")
    tools = tools_for(tmp_path / "home", repo)

    for name in (tree, "abcdef1"):
        with pytest.raises(Permanent, match="there is no commit"):
            asked(tools, commit=name)


def test_a_commit_that_two_repositories_hold_needs_one_named(tmp_path: Path) -> None:
    """A clone has the same commits; which one is meant must be said."""
    repo = Repo(tmp_path / "app")
    commit = repo.commit({"a.py": "x = 1\n"}, at=MONDAY)
    repo.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    tools = tools_for(tmp_path / "home", repo, tmp_path / "clone")

    with pytest.raises(Permanent, match="in several repositories: say repository="):
        asked(tools, commit=commit)
    assert asked(tools, commit=commit, repository=str(tmp_path / "clone"))[0].night == MONDAYS_NIGHT


@pytest.mark.slow
def test_a_beginning_that_two_commits_share_is_ambiguous(tmp_path: Path) -> None:
    """An id that is too short to be one commit's is refused."""
    repo = synthetic(tmp_path / "app", 1000)
    begins = Counter(name[:4] for name in repo.git("rev-list", "--all").decode().split())
    shared, count = begins.most_common(1)[0]

    assert count > 1
    with pytest.raises(Permanent, match=f"{count} commits of app begin with {shared}: write more of the id"):
        find_commit(Repository.open(repo.path), shared)


def test_a_commit_that_no_branch_holds_any_more_is_still_reviewed(tmp_path: Path) -> None:
    """A rebase between asking and doing makes no dead letter."""
    repo = Repo(tmp_path / "app")
    first = repo.commit({"a.py": "x = 1\n"}, at=MONDAY)
    lost = repo.commit({"b.py": SHELL}, at=MONDAY + HOUR)
    repo.git("update-ref", "HEAD", first)

    assert paths(by_day(tools_for(tmp_path / "home", repo), commit=lost)) == ["b.py"]


def test_a_finding_is_the_same_by_day_as_by_night(tmp_path: Path) -> None:
    """Fingerprints agree, also where two repositories are told apart by more than their last name."""
    one, two = Repo(tmp_path / "a" / "app"), Repo(tmp_path / "b" / "app")
    one.commit({"one.py": "x = 1\n"}, at=MONDAY)
    commit = two.commit({"two.py": f'key = "{AWS}"\n{SHELL}'}, at=MONDAY + HOUR)
    tools = tools_for(tmp_path / "home", one, two)
    night = {f.fingerprint for f in by_night(tools).findings}

    assert len(night) > 1
    for args in ({"commit": commit}, {"repository": str(two.path)}, {"repository": str(two.path), "commit": commit}):
        assert {f.fingerprint for f in by_day(tools, **args).findings} == night


def test_the_last_name_alone_would_give_other_fingerprints(tmp_path: Path) -> None:
    """The control: with settings that watch one of the two only, the same finding has another name."""
    one, two = Repo(tmp_path / "a" / "app"), Repo(tmp_path / "b" / "app")
    one.commit({"one.py": "x = 1\n"}, at=MONDAY)
    two.commit({"two.py": SHELL}, at=MONDAY + HOUR)

    both = by_night(tools_for(tmp_path / "home", one, two))
    alone = by_night(tools_for(tmp_path / "home", two))

    assert not {f.fingerprint for f in both.findings} & {f.fingerprint for f in alone.findings}


def test_what_a_night_told_is_not_new_by_day(tmp_path: Path) -> None:
    """A finding of an earlier night is counted as known when a later commit touches its file."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a.py": "x = 1\n"}, at=MONDAY - 2 * DAY)
    repo.commit({"a.py": SHELL}, at=MONDAY - DAY)
    tools = tools_for(tmp_path / "home", repo)
    tools.history.save(by_night(tools, "2026-03-01"))
    commit = repo.commit({"a.py": SHELL + "x = 2\n"}, at=MONDAY + HOUR)

    report = by_day(tools, commit=commit)

    assert paths(report) == []
    assert report.known >= 1


def test_each_commit_answers_for_what_it_brought_in(tmp_path: Path) -> None:
    """What the parent had already is not new, so that one fault is not told with every later commit of the day."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a.py": "x = 1\n"}, at=MONDAY - DAY)
    guilty = repo.commit({"a.py": SHELL}, at=MONDAY + HOUR)
    later = repo.commit({"a.py": SHELL + "x = 2\n"}, at=MONDAY + 2 * HOUR)
    tools = tools_for(tmp_path / "home", repo)

    assert paths(by_day(tools, commit=guilty)) == ["a.py"]
    assert paths(by_day(tools, commit=later)) == []
    assert paths(by_day(tools, repository=str(repo.path))) == ["a.py"]


def test_a_commit_is_looked_at_as_it_was_committed(tmp_path: Path) -> None:
    """What later commits did to the file does not hide what this one brought in."""
    repo = Repo(tmp_path / "app")
    guilty = repo.commit({"a.py": SHELL}, at=MONDAY + HOUR)
    repo.commit({"a.py": "x = 2\n"}, at=MONDAY + 2 * HOUR)

    report = by_day(tools_for(tmp_path / "home", repo), commit=guilty)

    assert [f.evidence[0].commit for f in report.findings if f.rule != "bandit:B404"] == [guilty]


def test_a_merge_brings_nothing_of_its_own(tmp_path: Path) -> None:
    """As by night, a merge comes without files."""
    repo = Repo(tmp_path / "app")
    repo.commit({"a.py": "x = 1\n"}, at=MONDAY - DAY)
    repo.switch("side", create=True)
    repo.commit({"b.py": SHELL}, at=MONDAY - HOUR)
    repo.switch("main")
    repo.commit({"c.py": "x = 1\n"}, at=MONDAY)
    merge = repo.merge("side", at=MONDAY + HOUR)

    assert by_day(tools_for(tmp_path / "home", repo), commit=merge).numbers["scanned_files"] == 0


def test_the_first_commit_of_a_shallow_clone_can_be_asked_for(tmp_path: Path) -> None:
    """A commit whose parent is missing counts as the first one."""
    repo = shallow(tmp_path / "app", at=MONDAY + HOUR)
    oldest = repo.git("rev-list", "HEAD").decode().split()[-1]

    request, _ = asked(tools_for(tmp_path / "home", repo), commit=oldest)

    assert log_in(request).repositories[0].base is None
    assert [c.id for c in log_in(request).commits] == [oldest]


def test_without_arguments_no_repository_is_opened(tmp_path: Path) -> None:
    """A row that has nothing to do with code does not pay for git."""
    assert focus_of({"night": MONDAYS_NIGHT}, settings_in(tmp_path)) == Focus()
