"""The cheap look at refs: every move is told once, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forge_workers.code import refs
from forge_workers.code.refs import Listed, Refs
from tests.jobs.queues import Clock
from tests.standins.repositories import Repo, bare

ROOT = Path(__file__).parents[2]


class Scene:
    """A home whose list names one repository as it is now, and a look at it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.repo = Repo(folder / "app")
        self.first = self.repo.commit({"a.py": "x = 1\n"})
        self.clock = Clock(time.time())
        self.refs = Refs(self.clock)
        self.list()
        self.moved = [{"repository": str(self.repo.path)}]

    def list(self, **others: str) -> None:
        """Say that everything was read as it is now."""
        git = str(self.repo.path / ".git")
        repositories = {str(self.repo.path): (git, git, refs.mark_of_repository(git, git))}
        settings = refs.mark_of_settings(self.home)
        refs.write_list(self.home, Listed(settings, self.clock.now, repositories, others))

    def look(self) -> list[dict[str, str]]:
        """Look once."""
        return self.refs.moved(self.home)

    def settle(self) -> None:
        """Let so much time pass that the files' times are trusted, and look."""
        self.clock.now += 10
        assert self.look() == []


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """One repository, read and listed."""
    return Scene(tmp_path)


def test_a_new_commit_is_told_once(scene: Scene) -> None:
    """The job is asked for once, not at every look until it is done."""
    scene.settle()
    scene.repo.commit({"a.py": "x = 2\n"})

    assert scene.look() == scene.moved
    assert scene.look() == []
    scene.list()
    assert scene.look() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("branch", "topic"),
        ("tag", "v1"),
        ("update-ref", "refs/remotes/origin/main", "HEAD"),
        ("update-ref", "refs/heads/deep/er/topic", "HEAD"),
        ("update-ref", "--no-deref", "HEAD", "HEAD"),
    ],
)
def test_every_ref_that_a_night_reads_is_watched(scene: Scene, arguments: tuple[str, ...]) -> None:
    """Branches, remote branches, tags, and a HEAD on no branch."""
    scene.settle()
    scene.repo.git(*arguments)

    assert scene.look() == scene.moved


@pytest.mark.parametrize(
    "arguments",
    [("update-ref", "refs/stash", "HEAD"), ("config", "a.b", "c"), ("symbolic-ref", "HEAD", "refs/heads/x")],
)
def test_what_no_night_reads_is_not_told(scene: Scene, arguments: tuple[str, ...]) -> None:
    """A stash, a setting, or another branch to stand on brings no commit."""
    scene.repo.git("branch", "x")
    scene.list()
    scene.settle()
    scene.repo.git(*arguments)

    assert scene.look() == []


def test_a_change_inside_the_same_tick_of_the_clock_is_told(scene: Scene) -> None:
    """A second change that leaves the same times behind is seen, as long as those are young."""
    heads = scene.repo.path / ".git" / "refs" / "heads"
    second = scene.repo.commit({"a.py": "x = 2\n"})
    same = (heads.stat().st_atime_ns, heads.stat().st_mtime_ns)
    assert scene.look() == scene.moved
    scene.repo.git("update-ref", "refs/heads/main", scene.first, second)
    scene.repo.git("update-ref", "refs/heads/other", second)
    scene.list()
    scene.repo.git("update-ref", "refs/heads/other", scene.first)
    os.utime(heads, ns=same)

    assert scene.look() == scene.moved


def test_a_look_that_trusts_young_times_misses_it(scene: Scene) -> None:
    """The control: the same second change under times that count as settled goes unseen."""
    heads = scene.repo.path / ".git" / "refs" / "heads"
    scene.repo.git("update-ref", "refs/heads/other", scene.first)
    scene.list()
    scene.settle()
    same = (heads.stat().st_atime_ns, heads.stat().st_mtime_ns)
    second = scene.repo.commit({"a.py": "x = 2\n"})
    os.utime(heads, ns=same)
    scene.look()

    assert second != scene.first
    assert scene.look() == []


def test_packed_refs_and_a_collected_repository_are_watched(scene: Scene) -> None:
    """What git moves into one file is followed there."""
    scene.repo.git("pack-refs", "--all", "--prune")
    scene.list()
    scene.settle()
    scene.repo.commit({"a.py": "x = 2\n"})
    assert scene.look() == scene.moved
    scene.list()
    scene.settle()
    scene.repo.git("pack-refs", "--all", "--prune")

    assert scene.look() == scene.moved


def test_a_linked_work_tree_is_watched_at_both_of_its_places(scene: Scene, tmp_path: Path) -> None:
    """Its HEAD is its own, its branches are the repository's."""
    tree = tmp_path / "tree"
    scene.repo.git("worktree", "add", "--quiet", "--no-checkout", "--detach", str(tree))
    own, common = scene.repo.path / ".git" / "worktrees" / "tree", scene.repo.path / ".git"
    before = refs.mark_of_repository(str(own), str(common))

    scene.repo.git("--git-dir", str(own), "update-ref", "HEAD", scene.repo.commit({"a.py": "x = 2\n"}))
    detached = refs.mark_of_repository(str(own), str(common))
    scene.repo.git("branch", "topic")

    assert len({before, detached, refs.mark_of_repository(str(own), str(common))}) == 3


def test_a_bare_repository_and_what_is_none_are_marked_without_an_error(tmp_path: Path) -> None:
    """A place that git does not read has a mark as well; what is not there is gone."""
    place = str(bare(tmp_path / "bare.git"))
    file = tmp_path / "file"
    file.touch()

    assert refs.mark_of_repository(place, place) != refs.GONE
    assert refs.mark_of_repository(str(file), str(file)) == refs.GONE
    assert refs.mark_of_place(str(tmp_path / "nowhere")) == refs.GONE


def test_a_pipe_in_the_place_of_a_ref_is_not_waited_for(scene: Scene) -> None:
    """A repository that others wrote cannot hold up the daemon."""
    for name in ("HEAD", "packed-refs", "refs/heads/pipe"):
        path = scene.repo.path / ".git" / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    began = time.monotonic()

    scene.look()

    assert time.monotonic() - began < 1


def test_a_link_that_leads_back_is_not_followed(scene: Scene) -> None:
    """A directory of refs that contains itself ends, and holds no further ref."""
    (scene.repo.path / ".git" / "refs" / "heads" / "loop").symlink_to(scene.repo.path / ".git" / "refs")

    assert scene.look() == []


def test_without_a_list_one_full_look_is_asked_for(tmp_path: Path) -> None:
    """The first look of a fleet finds out what is watched."""
    home = tmp_path / "home"
    home.mkdir()
    look = Refs(Clock())

    assert look.moved(home) == [{}]
    assert look.moved(home) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"settings": 1}', '{"settings": "x", "repositories": [], "others": {}}']
)
def test_a_list_that_cannot_be_read_counts_as_none(scene: Scene, text: str) -> None:
    """A damaged file leads to a full look, which writes it anew."""
    refs.list_file(scene.home).write_text(text)

    assert scene.look() == [{}]


def test_a_list_that_is_lost_is_asked_for_again(scene: Scene) -> None:
    """Also when it was asked for once before."""
    list_file = refs.list_file(scene.home)
    kept = list_file.read_bytes()
    list_file.unlink()
    assert scene.look() == [{}]
    list_file.write_bytes(kept)
    assert scene.look() == []
    list_file.unlink()

    assert scene.look() == [{}]


def test_changed_settings_ask_for_a_full_look(scene: Scene) -> None:
    """A repository that is added to forge.toml is watched within seconds."""
    scene.settle()
    (scene.home / "forge.toml").write_text('timezone = "UTC"\n')

    assert scene.look() == [{}]
    assert scene.look() == []
    scene.list()
    assert scene.look() == []


def test_a_variable_that_names_other_repositories_asks_for_a_full_look(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that is started with other repositories looks at those."""
    monkeypatch.setenv("FORGE_REPOSITORIES", "/elsewhere")

    assert scene.look() == [{}]


def test_a_repository_that_is_gone_asks_for_a_full_look(scene: Scene) -> None:
    """What vanished is taken off the list by whoever makes it."""
    scene.settle()
    (scene.repo.path / ".git").rename(scene.repo.path / "away")

    assert scene.look() == [{}]
    assert scene.look() == []


def test_a_repository_that_begins_in_a_watched_place_asks_for_a_full_look(scene: Scene, tmp_path: Path) -> None:
    """A clone into a directory that a pattern looks into is watched within seconds."""
    src = tmp_path / "src"
    src.mkdir()
    scene.list(**{str(src): refs.mark_of_place(str(src))})
    assert scene.look() == []
    (src / "notes").mkdir()
    assert scene.look() == []
    Repo(src / "new")

    assert scene.look() == [{}]
    assert scene.look() == []


def test_the_first_commit_of_an_empty_repository_asks_for_a_full_look(scene: Scene, tmp_path: Path) -> None:
    """A repository that could not be opened yet is tried again when it has changed."""
    new = Repo(tmp_path / "new")
    scene.list(**{str(new.path): refs.mark_of_place(str(new.path))})
    assert scene.look() == []
    new.commit({"a.py": "x = 1\n"})

    assert scene.look() == [{}]


def test_a_move_that_nobody_read_is_told_again_after_a_while(scene: Scene) -> None:
    """A job that was lost, or buried, does not hide the commit for ever."""
    scene.settle()
    scene.repo.commit({"a.py": "x = 2\n"})
    assert scene.look() == scene.moved
    scene.clock.now += 300
    assert scene.look() == []
    scene.clock.now += 301

    assert scene.look() == scene.moved


def test_everything_is_looked_at_in_full_every_few_hours(scene: Scene) -> None:
    """What no time of a file tells is found then."""
    scene.clock.now += 6 * 3600 + 1

    assert scene.look() == [{}]


def test_a_daemon_that_starts_anew_tells_only_what_moved_meanwhile(scene: Scene) -> None:
    """The list remembers for it."""
    assert Refs(scene.clock).moved(scene.home) == []
    scene.repo.commit({"a.py": "x = 2\n"})

    assert Refs(scene.clock).moved(scene.home) == scene.moved


@pytest.mark.slow
def test_a_look_is_nearly_free(tmp_path: Path) -> None:
    """Ten repositories cost less than 0.03 % of a core at one look in two seconds, and nothing heavy is loaded."""
    home = tmp_path / "home"
    home.mkdir()
    repositories = {}
    for number in range(10):
        repo = Repo(tmp_path / f"app{number}")
        commit = repo.commit({"a.py": "x = 1\n"})
        names = [*(f"refs/heads/f/{n}" for n in range(20)), *(f"refs/remotes/origin/{n}" for n in range(10))]
        repo.git("update-ref", "--stdin", stdin="".join(f"create {name} {commit}\n" for name in names).encode())
        git = str(repo.path / ".git")
        repositories[str(repo.path)] = (git, git, refs.mark_of_repository(git, git))
    refs.write_list(home, Listed(refs.mark_of_settings(home), time.time(), repositories))
    script = """
import json, sys, time
from pathlib import Path
from forge_workers.code.refs import moved
home = Path(sys.argv[1])
time.sleep(3.5)
told, began = moved(home), time.process_time()
for _ in range(1000):
    told += moved(home)
used = (time.process_time() - began) / 1000
print(json.dumps([told, used, sorted(set(sys.modules) & {"pydantic", "redis", "pandas", "subprocess", "asyncio"})]))
"""
    done = subprocess.run([sys.executable, "-c", script, str(home)], cwd=ROOT, capture_output=True, check=True)
    told, used_s, heavy = json.loads(done.stdout)

    assert told == []
    assert used_s / 2.0 < 0.0003
    assert heavy == []
