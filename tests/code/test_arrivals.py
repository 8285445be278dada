"""New commits become jobs: each once, none lost, whatever was done to the repository meanwhile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forge_workers.catalog import WORKERS
from forge_workers.code import arrivals, refs
from forge_workers.code.arrivals import repo_watch
from forge_workers.code.refs import Refs, read_list
from forge_workers.errors import Transient
from forge_workers.jobs.order import DayRequest
from forge_workers.jobs.queue import prefix_of
from forge_workers.jobs.spool import Producer
from forge_workers.report import Report
from forge_workers.settings import Settings
from forge_workers.tools import Tools
from forge_workers.wire import Wire
from tests.code.desk import NIGHT, WINDOW, tools_for
from tests.standins.redis import PrivateRedis
from tests.standins.repositories import DAY, HOUR, MONDAY, Repo, bare, locked, shallow

pytestmark = pytest.mark.slow

Job = tuple[str, dict[str, Any], str]


class Line:
    """Takes jobs as a queue does: one with a key that is there already is not taken. May break at a chosen job."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.breaks_after: int | None = None

    def __call__(self, worker: str, args: Mapping[str, Any], *, key: str = "", by: str = "person") -> object:
        """Take a job."""
        WORKERS[worker].check(args)
        assert by == "repo_watch"
        if self.breaks_after == 0:
            raise Transient("Redis is away and the spool is full")
        if self.breaks_after is not None:
            self.breaks_after -= 1
        if (worker, key) not in {(taken, there) for taken, _, there in self.jobs}:
            self.jobs.append((worker, dict(args), key))
        return None

    def of(self, worker: str) -> list[dict[str, Any]]:
        """Return the arguments of the jobs of one worker."""
        return [args for taken, args, _ in self.jobs if taken == worker]


class Watching:
    """A home that watches some places, and the jobs that came of it."""

    def __init__(self, home: Path, *places: Repo | Path | str) -> None:
        home.mkdir(exist_ok=True)
        self.line = Line()
        tools = tools_for(home)
        named = tuple(str(place.path if isinstance(place, Repo) else place) for place in places)
        self.home = home
        self.tools = replace(tools, settings=tools.settings.model_copy(update={"repositories": named}))

    def look(self, repository: Repo | None = None, enqueue: Any = None) -> Report:
        """Look at all, or at one, as a job would."""
        tools, args = replace(self.tools, enqueue=enqueue or self.line), {}
        if repository is not None:
            args = {"repository": str(repository.path)}
            tools = replace(tools, settings=_only(tools, repository))
        return repo_watch(DayRequest(night=NIGHT, window=WINDOW, args=args), tools)

    def moved(self) -> list[dict[str, str]]:
        """Look as a daemon does that starts now, a minute after the last full look."""
        return Refs(lambda: self.tools.now() + 60).moved(self.home)

    def reviewed(self) -> list[str]:
        """Return the commits that are to be reviewed, in order; both reviewers must have the same."""
        security, code = self.line.of("security_review"), self.line.of("code_review")
        assert security == code
        return [args.get("commit", args.get("night", "")) for args in security]


def _only(tools: Tools, repository: Repo) -> Settings:
    return tools.settings.model_copy(update={"repositories": (str(repository.path),)})


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with one commit."""
    made = Repo(tmp_path / "app")
    made.commit({"a.py": "x = 0\n"}, at=MONDAY - DAY)
    return made


@pytest.fixture
def watching(tmp_path: Path, repo: Repo) -> Watching:
    """A home that has looked at the repository once."""
    made = Watching(tmp_path / "home", repo)
    made.look()
    return made


def commits(repo: Repo, count: int, *, first: float = MONDAY) -> list[str]:
    """Make some commits, a minute apart."""
    return [repo.commit({"a.py": f"x = {n}\n"}, f"Step {n}", at=first + n * 60) for n in range(1, count + 1)]


def test_the_first_look_only_remembers(watching: Watching) -> None:
    """What was there before anybody watched is not reviewed."""
    assert watching.line.jobs == []
    assert watching.look().headline == "Nothing new in 1 repository."


def test_each_new_commit_becomes_one_job_for_each_reviewer(watching: Watching, repo: Repo) -> None:
    """Oldest first, named by repository and commit, and once."""
    made = commits(repo, 3)

    report = watching.look()
    watching.look()

    assert watching.reviewed() == made
    assert watching.line.jobs[0] == (
        "security_review",
        {"repository": str(repo.path), "commit": made[0]},
        f"{repo.path}@{made[0]}",
    )
    assert report.headline == "3 new commits in 1 repository: 6 reviews asked for."
    assert report.numbers == {"repositories": 1.0, "new_commits": 3.0, "jobs": 6.0}
    assert report.outcome == "ran"


def test_a_crash_before_the_tips_are_written_loses_nothing(watching: Watching, repo: Repo) -> None:
    """The jobs are put in line once more, and the key keeps each to one."""
    made = commits(repo, 3)
    watching.line.breaks_after = 3
    with pytest.raises(Transient):
        watching.look()
    watching.line.breaks_after = None

    watching.look()

    assert watching.reviewed() == made


def test_tips_that_are_written_first_lose_commits(watching: Watching, repo: Repo) -> None:
    """The control: with the order turned round, the same crash loses what was not yet in line."""
    commits(repo, 3)
    opened = arrivals.watched(watching.tools.settings)[0][0]
    arrivals._Tips(watching.home).remember(str(repo.path), arrivals._tips_of(opened))
    watching.line.breaks_after = 3

    watching.look()

    assert watching.reviewed() == []


@pytest.mark.slow
def test_a_real_queue_takes_each_commit_once(redis_server: PrivateRedis, tmp_path: Path, repo: Repo) -> None:
    """The same on Redis: a repeated look puts no second job in line while the first waits."""
    wire = Wire(f"unix://{redis_server.socket}")
    enqueue = Producer(wire, redis_server.home, WORKERS).enqueue
    watching = Watching(redis_server.home, repo)
    watching.look(enqueue=enqueue)
    made = commits(repo, 2)
    before = (redis_server.home / "watch" / "tips.json").read_bytes()
    watching.look(enqueue=enqueue)
    (redis_server.home / "watch" / "tips.json").write_bytes(before)

    watching.look(enqueue=enqueue)

    for worker in ("security_review", "code_review"):
        waiting = [json.loads(raw) for raw in wire.call("LRANGE", f"{prefix_of(worker)}:waiting", 0, -1)]
        assert [job["args"]["commit"] for job in waiting] == made
        assert {job["by"] for job in waiting} == {"repo_watch"}


def test_a_commit_on_any_branch_remote_branch_or_tag_is_new(watching: Watching, repo: Repo) -> None:
    """As by night, HEAD's branch is not the only one."""
    first = repo.head()
    made = []
    for ref in ("refs/heads/topic", "refs/remotes/origin/main", "refs/tags/v1"):
        made += commits(repo, 1, first=MONDAY + len(made) * HOUR)
        repo.git("update-ref", ref, made[-1])
        repo.git("update-ref", "HEAD", first)

    watching.look()

    assert sorted(watching.reviewed()) == sorted(made)


def test_a_detached_head_and_an_annotated_tag_are_followed(watching: Watching, repo: Repo) -> None:
    """A HEAD on no branch is looked at; a tag stands for its commit."""
    made = commits(repo, 1)
    repo.git("tag", "--annotate", "--message=one", "v1", made[0])
    repo.git("update-ref", "--no-deref", "HEAD", made[0])
    repo.git("update-ref", "-d", "refs/heads/main")

    watching.look()

    assert watching.reviewed() == made


def test_a_merge_is_passed_over_and_what_it_brings_is_not(watching: Watching, repo: Repo) -> None:
    """What a merge brings in is listed at its own commit."""
    repo.switch("side", create=True)
    side = commits(repo, 1)
    repo.switch("main")
    main = commits(repo, 1, first=MONDAY + HOUR)
    repo.merge("side", at=MONDAY + 2 * HOUR)

    watching.look()

    assert watching.reviewed() == side + main


def test_a_forced_push_has_only_the_rewritten_commits_reviewed(watching: Watching, repo: Repo) -> None:
    """What both histories share was seen."""
    commits(repo, 2)
    watching.look()
    watching.line.jobs.clear()
    repo.git("update-ref", "HEAD", "HEAD~1")
    rewritten = repo.commit({"a.py": "x = 9\n"}, "Again", at=MONDAY + HOUR)

    watching.look()

    assert watching.reviewed() == [rewritten]


def test_a_deleted_branch_is_no_news(watching: Watching, repo: Repo) -> None:
    """Nothing new is reached."""
    repo.git("branch", "topic")
    watching.look()
    repo.git("branch", "-D", "topic")

    assert watching.look().numbers["new_commits"] == 0


def test_old_commits_that_git_has_thrown_away_are_no_obstacle(watching: Watching, repo: Repo) -> None:
    """After a rebase and a collection, the tips that are left still say what was seen."""
    repo.git("branch", "kept")
    commits(repo, 1)
    watching.look()
    watching.line.jobs.clear()
    repo.git("update-ref", "HEAD", "HEAD~1")
    made = commits(repo, 1, first=MONDAY + HOUR)
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")

    report = watching.look()

    assert watching.reviewed() == made
    assert report.outcome == "ran"


def test_a_repository_that_was_replaced_is_watched_from_now_on(watching: Watching, repo: Repo) -> None:
    """With no commit left of those that were seen, its whole history is not reviewed; a gap says so."""
    shutil.rmtree(repo.path)
    again = Repo(repo.path)
    commits(again, 3)

    report = watching.look()
    made = again.commit({"b.py": "x = 1\n"}, at=MONDAY + HOUR)
    watching.look()

    assert [gap.why for gap in report.gaps] == [
        "none of the commits it had at the last look is left, so all of it counts as seen"
    ]
    assert watching.reviewed() == [made]


@pytest.mark.slow
def test_very_many_commits_are_reviewed_by_day(watching: Watching, repo: Repo) -> None:
    """More than fifty at once become one job for each of their newest seven days, and a gap says so."""
    for day in range(9):
        commits(repo, 6, first=MONDAY - 20 * DAY + day * DAY)

    report = watching.look()

    assert watching.reviewed() == [f"2026-02-{day:02}" for day in range(12, 19)]
    assert report.numbers["new_commits"] == 54
    assert report.gaps[0].why.endswith("reviewed by day and not one by one; those before 2026-02-12 are not reviewed")


@pytest.mark.slow
def test_fifty_commits_are_still_reviewed_one_by_one(watching: Watching, repo: Repo) -> None:
    """The bound itself."""
    made = commits(repo, 50)

    watching.look()

    assert watching.reviewed() == made


def test_a_repository_that_cannot_be_read_is_said_and_the_others_go_on(tmp_path: Path, repo: Repo) -> None:
    """Missing, bare, empty, or with broken refs: no crash, and its commits are found when it is back."""
    broken = Repo(tmp_path / "broken")
    commits(broken, 1)
    watching = Watching(
        tmp_path / "home", tmp_path / "none", bare(tmp_path / "b.git"), Repo(tmp_path / "empty"), broken, repo
    )
    watching.look()
    made = commits(repo, 1)
    lost = commits(broken, 1, first=MONDAY + HOUR)
    objects = broken.path / ".git" / "objects"
    objects.rename(broken.path / "objects")
    objects.mkdir()

    report = watching.look()

    assert report.outcome == "degraded"
    assert watching.reviewed() == made
    assert {gap.what for gap in report.gaps} == {str(tmp_path / n) for n in ("none", "b.git", "empty")} | {"broken"}
    objects.rmdir()
    (broken.path / "objects").rename(objects)
    watching.look()
    assert watching.reviewed() == made + lost


def test_a_shallow_and_a_locked_repository_are_watched_as_they_stand(tmp_path: Path) -> None:
    """Both are read, and the gap says what is odd about them."""
    short, busy = shallow(tmp_path / "short"), locked(tmp_path / "busy")
    watching = Watching(tmp_path / "home", short, busy)
    watching.look()
    made = [*commits(short, 1)]
    (busy.path / ".git" / "index.lock").unlink()
    made += commits(busy, 1)
    (busy.path / ".git" / "index.lock").touch()

    report = watching.look()

    assert watching.reviewed() == made
    assert report.outcome == "ran"
    assert {gap.what for gap in report.gaps} == {"short", "busy"}


def test_a_linked_work_tree_is_watched(tmp_path: Path, repo: Repo) -> None:
    """A work tree whose .git is a file has its own HEAD and the repository's branches."""
    tree = tmp_path / "tree"
    repo.git("worktree", "add", "--quiet", "--no-checkout", "--detach", str(tree))
    watching = Watching(tmp_path / "home", tree)
    watching.look()
    made = commits(repo, 1)

    watching.look()

    assert watching.reviewed() == made
    assert watching.line.of("code_review")[0]["repository"] == str(tree)


def test_without_a_repository_the_look_is_skipped(tmp_path: Path) -> None:
    """Nobody looked is not nothing happened."""
    report = Watching(tmp_path / "home", tmp_path / "none").look()

    assert report.outcome == "skipped"
    assert report.reasons == (f"{tmp_path / 'none'} could not be read",)


def test_a_look_at_one_repository_leaves_the_others_on_the_list(tmp_path: Path, repo: Repo) -> None:
    """What the cheap look watches is replaced by a full look only."""
    other = Repo(tmp_path / "other")
    commits(other, 1)
    watching = Watching(tmp_path / "home", repo, other)
    watching.look()
    made = commits(repo, 1)
    commits(other, 1, first=MONDAY + HOUR)

    watching.look(repo)

    assert watching.reviewed() == made
    listed = read_list(watching.home)
    assert listed is not None
    assert set(listed.repositories) == {str(repo.path), str(other.path)}
    assert watching.moved() == [{"repository": str(other.path)}]


def test_a_look_at_one_repository_makes_no_list_of_its_own(tmp_path: Path, repo: Repo) -> None:
    """Without a list the cheap look must still ask for a full one."""
    watching = Watching(tmp_path / "home", repo, Repo(tmp_path / "other"))

    watching.look(repo)

    assert read_list(watching.home) is None
    assert watching.moved() == [{}]


def test_the_cheap_look_and_the_desk_agree(watching: Watching, repo: Repo) -> None:
    """After a look nothing has moved; after a commit exactly this repository has; after the next look nothing."""
    assert watching.moved() == []
    commits(repo, 1)
    assert watching.moved() == [{"repository": str(repo.path)}]
    watching.look(repo)

    assert watching.moved() == []


def test_a_move_during_the_look_is_told_again(watching: Watching, repo: Repo) -> None:
    """What is marked as read is what was there before git was asked."""
    made = commits(repo, 1)

    def late(worker: str, args: Mapping[str, Any], *, key: str = "", by: str = "person") -> object:
        if len(made) == 1:
            made.extend(commits(repo, 1, first=MONDAY + HOUR))
        return watching.line(worker, args, key=key, by=by)

    watching.look(enqueue=late)
    assert watching.moved() == [{"repository": str(repo.path)}]
    watching.look(repo)

    assert watching.reviewed() == made


def test_a_repository_that_vanished_is_said_once_and_found_again(tmp_path: Path) -> None:
    """A disk that is away for a while loses no commit."""
    src = tmp_path / "src"
    repo = Repo(src / "app")
    commits(repo, 1)
    watching = Watching(tmp_path / "home", f"{src}/*")
    watching.look()
    repo.path.rename(tmp_path / "away")
    assert watching.moved() == [{}]

    gone = watching.look()
    again = watching.look()
    (tmp_path / "away").rename(repo.path)
    assert watching.moved() == [{}]
    made = commits(repo, 1, first=MONDAY + HOUR)
    watching.look()

    assert [gap.why for gap in gone.gaps if gap.what == str(repo.path)] == ["it was watched and is not there any more"]
    assert [gap.what for gap in again.gaps] == [f"{src}/*"]
    assert watching.reviewed() == made


def test_a_path_that_no_job_can_hold_is_said(tmp_path: Path) -> None:
    """A repository whose path is too long for a job is a gap, and a long one has a key that fits."""
    long, longer = tmp_path / ("d" * 150) / "app", tmp_path.joinpath(*["e" * 200] * 5) / "app"
    repos = [Repo(long), Repo(longer)]
    for repo in repos:
        commits(repo, 1)
    watching = Watching(tmp_path / "home", *repos)
    watching.look()
    made = [commits(repo, 1, first=MONDAY + HOUR)[0] for repo in repos]

    report = watching.look()

    assert watching.reviewed() == made[:1]
    assert all(len(key) <= 200 for _, _, key in watching.line.jobs)
    assert ["not reviewed: " in gap.why for gap in report.gaps] == [True, True]


def test_a_damaged_list_of_tips_counts_as_a_first_look(watching: Watching, repo: Repo) -> None:
    """Nothing is reviewed by mistake, and the file is whole afterwards."""
    (watching.home / "watch" / "tips.json").write_text("[1, 2")
    commits(repo, 1)

    watching.look()

    assert watching.reviewed() == []
    assert json.loads((watching.home / "watch" / "tips.json").read_bytes())[str(repo.path)]


def test_the_tips_of_what_is_not_watched_any_more_are_bounded(watching: Watching) -> None:
    """A thousand short-lived clones do not stay for ever."""
    path = watching.home / "watch" / "tips.json"
    kept = json.loads(path.read_bytes())
    path.write_text(json.dumps({**{f"/gone/{n}": [] for n in range(1000)}, **kept}))

    watching.look()

    left = json.loads(path.read_bytes())
    assert len(left) == 201
    assert set(kept) < set(left)


def test_what_is_kept_is_for_its_owner_alone(watching: Watching) -> None:
    """Paths and ids are nobody else's business."""
    for name in ("tips.json", "repositories.json"):
        assert (watching.home / "watch" / name).stat().st_mode & 0o077 == 0
    assert refs.list_file(watching.home).exists()
