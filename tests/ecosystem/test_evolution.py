"""The evolution report: figures of committed code at the window's end, against 1, 7 and 28 nights ago."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from markdown_it import MarkdownIt

from forge_workers.code.commits import commit_log
from forge_workers.ecosystem.evolution import evolution_report
from forge_workers.ecosystem.states import Evolution
from forge_workers.report import Outcome, Report
from forge_workers.settings import Settings
from forge_workers.tools import Request
from forge_workers.windows import window
from tests.standins import repositories
from tests.standins.repositories import DAY, HOUR, MONDAY, Repo
from tests.standins.tools import tools_of

#: Dozens of histories made by real git: together more than a few seconds.
pytestmark = pytest.mark.slow

NIGHT = "2026-03-02"
NOON = MONDAY + 12 * HOUR


def report_of(tmp_path: Path, *watched: Path, night: str = NIGHT, after_log: bool = False) -> Report:
    """Run the evolution report of ``night`` over ``watched``, alone or after the commit log."""
    settings = Settings(home=tmp_path / "forge", repositories=tuple(map(str, watched)), timezone="UTC")
    tools = tools_of(settings, MONDAY)
    request = Request(night, window(night, ZoneInfo("UTC")))
    upstream = {"commit_log": commit_log(request, tools)} if after_log else {}
    return evolution_report(Request(night, request.window, upstream), tools)


def moves_of(report: Report) -> Evolution:
    """Return the data of ``report`` after a round trip through JSON."""
    return Evolution.model_validate(Report.model_validate_json(report.model_dump_json()).data)


@pytest.mark.slow
def test_lines_and_files_are_those_of_plain_numstat_at_each_state(tmp_path: Path) -> None:
    """The size now and 1, 7 and 28 nights ago is what plain git counts against the empty tree."""
    repo = repositories.synthetic(tmp_path / "s", commits=300, until=MONDAY + DAY - 1)
    (moves,) = moves_of(report_of(tmp_path, repo.path)).repositories
    empty = repo.git("hash-object", "-t", "tree", "/dev/null").decode().strip()
    for nights, size in ((0, moves.now), *moves.before.items()):
        until = f"--until=@{int(MONDAY + (1 - nights) * DAY) - 1} +0000"
        state = repo.git("rev-list", "-1", "--first-parent", until, "main").decode().strip()
        rows = repo.git("diff", "--numstat", "--no-renames", empty, state).decode().splitlines()
        counts = [int(row.split("\t")[0]) for row in rows]
        assert size is not None
        assert (size.lines, size.files) == (sum(counts), len(counts))
        assert sum(size.languages.values()) == size.lines


def test_only_what_is_committed_by_the_windows_end_counts(tmp_path: Path) -> None:
    """Neither the work tree nor a later commit changes a night that is told again."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a.py": "1\n2\n"}, at=NOON)
    before = report_of(tmp_path, repo.path)
    repo.checkout()
    (repo.path / "a.py").write_text("1\n" * 100)
    repo.commit({"b.py": "3\n" * 50}, at=MONDAY + DAY)
    assert report_of(tmp_path, repo.path) == before
    assert before.numbers["lines"] == 2


def test_the_growth_of_each_stretch_is_told(tmp_path: Path) -> None:
    """A state is the last commit before a night began, 1, 7 and 28 nights back."""
    repo = Repo(tmp_path / "r")
    for nights, lines in ((40, 10), (20, 30), (3, 25), (0, 26)):
        repo.commit({"a.py": "x\n" * lines}, at=NOON - nights * DAY)
    report = report_of(tmp_path, repo.path)
    assert [report.numbers[f"lines_in_{stretch}"] for stretch in ("1_night", "7_nights", "28_nights")] == [1, -4, 16]
    assert report.headline == "26 lines in 1 file: +1 in 1 night, \u22124 in 7 nights, +16 in 28 nights."


def test_tests_vendored_generated_and_binary_files_are_told_apart(tmp_path: Path) -> None:
    """The ratio is lines of tests among all lines; what nobody wrote here is left out."""
    repo = Repo(tmp_path / "r")
    files = {"src/a.py": "1\n" * 3, "tests/test_a.py": "1\n", "node_modules/x/index.js": "1\n" * 999}
    repo.commit({**files, "package-lock.json": "{\n}\n", "logo.png": b"\0\1"}, at=NOON)
    report = report_of(tmp_path, repo.path)
    assert (report.numbers["lines"], report.numbers["files"], report.numbers["test_ratio"]) == (4, 2, 0.25)
    assert dict(moves_of(report).repositories[0].now.languages) == {"Python": 4}


def test_dependencies_that_came_or_went_are_named_with_the_stretch(tmp_path: Path) -> None:
    """Python, npm, Go and Cargo manifests are read; each change is told once, at its shortest stretch."""
    repo = Repo(tmp_path / "r")
    project = '[project]\ndependencies = ["rich>=14", "typer"]\n'
    old = {"pyproject.toml": project, "web/package.json": '{"dependencies": {"left-pad": "1"}}'}
    repo.commit(old, at=NOON - 40 * DAY)
    repo.commit({"go.mod": "module x\n\nrequire github.com/a/b v1.0.0\n"}, at=NOON - 10 * DAY)
    repo.commit({"Cargo.toml": '[dependencies]\nserde = "1"\n', "requirements-dev.txt": "pytest\n"}, at=NOON - 3 * DAY)
    repo.commit({"pyproject.toml": project.replace("typer", "httpx"), "web/package.json": "{}"}, at=NOON)
    report = report_of(tmp_path, repo.path)
    assert [(c.nights, c.change, c.name, c.manifest) for c in moves_of(report).changes] == [
        (1, "added", "httpx", "pyproject.toml"),
        (1, "removed", "typer", "pyproject.toml"),
        (1, "removed", "left-pad", "web/package.json"),
        (7, "added", "serde", "Cargo.toml"),
        (7, "added", "pytest", "requirements-dev.txt"),
        (28, "added", "github.com/a/b", "go.mod"),
    ]
    assert (report.numbers["dependencies_added"], report.numbers["dependencies_removed"]) == (1, 2)
    assert "`httpx` added in `pyproject.toml`" in report.markdown


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("pyproject.toml", "[project\n"),
        ("pyproject.toml", "project = 3\n"),
        ("package.json", "{"),
        ("package.json", "[" * 100_000),
        ("package.json", '{"dependencies": ["a"]}'),
        ("Cargo.toml", b"\xff\xfe"),
        ("package.json", b"{}" + b" " * 2_000_001),
    ],
)
def test_a_malformed_manifest_is_a_gap_and_tells_of_no_change(tmp_path: Path, path: str, content: str | bytes) -> None:
    """What cannot be parsed is named; its dependencies are not reported as removed."""
    repo = Repo(tmp_path / "r")
    repo.commit({path: '{"dependencies": {"a": "1"}}' if path.endswith("json") else ""}, at=NOON - DAY)
    repo.commit({path: content}, at=NOON)
    report = report_of(tmp_path, repo.path)
    assert [(gap.what, gap.why.split(":")[0]) for gap in report.gaps] == [
        (f"r/{path}", "its dependencies are not known")
    ]
    assert moves_of(report).changes == ()
    assert report.outcome is Outcome.RAN


def test_the_most_touched_files_of_28_nights_lead(tmp_path: Path) -> None:
    """Commits are counted per file; older ones, deletions and lock files do not count, nor does a single touch."""
    repo = Repo(tmp_path / "r")
    for number in range(5):
        repo.commit({"old.py": f"{number}\n"}, at=NOON - 28 * DAY)
    for number in range(3):
        files = {"hot.py": f"{number}\n", "poetry.lock": f"{number}\n"}
        repo.commit(files | ({"warm.py": f"{number}\n"} if number else {}), at=NOON - number * DAY)
    repo.commit({"cold.py": "1\n", "old.py": None}, at=NOON)
    assert [(hot.path, hot.commits) for hot in moves_of(report_of(tmp_path, repo.path)).hot_files] == [
        ("hot.py", 3),
        ("warm.py", 2),
    ]


def test_the_chart_shows_28_nights_in_words_too(tmp_path: Path) -> None:
    """One picture, light and dark, with the same figures in its words."""
    repo = Repo(tmp_path / "r")
    for nights in (0, 0, 5, 27, 28):
        repo.commit({"a": f"{nights}"}, at=NOON - nights * DAY)
    report = report_of(tmp_path, repo.path)
    (image,) = report.images
    assert image.alt.startswith("Bar chart of commits in each of the 28 nights to 2026-03-02: ")
    assert image.alt.endswith("4 in all, 2 in the last, most in 2026-03-02 with 2.")
    assert len(moves_of(report).commits_by_night) == 28
    assert report_of(tmp_path, repo.path).images == report.images


def test_a_shallow_clone_says_unknown_instead_of_growth(tmp_path: Path) -> None:
    """A state before the clone's start is unknown. Control: the whole clone knows when it began."""
    shallow = repositories.shallow(tmp_path / "shallow", at=NOON)
    report = report_of(tmp_path, shallow.path, after_log=True)
    (moves,) = moves_of(report).repositories
    assert (moves.before[7], moves.before[28]) == (None, None)
    assert "unknown" in report.markdown
    assert [gap.why for gap in report.gaps] == [
        "its state 7 nights ago is not in this shallow clone",
        "its state 28 nights ago is not in this shallow clone",
    ]
    assert moves.begins is None
    whole = report_of(tmp_path, tmp_path / "shallow-seed")
    assert moves_of(whole).repositories[0].begins is not None
    assert "unknown" not in whole.markdown
    assert whole.gaps == ()


def test_gaps_that_the_commit_log_told_are_not_told_again(tmp_path: Path) -> None:
    """After the commit log its repositories are taken; alone the report names the missing one itself."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a.py": "1\n"}, at=NOON)
    missing = tmp_path / "missing"
    assert report_of(tmp_path, repo.path, missing, after_log=True).gaps == ()
    alone = report_of(tmp_path, repo.path, missing)
    assert [gap.what for gap in alone.gaps] == [str(missing)]
    assert alone.outcome is Outcome.DEGRADED


def test_a_damaged_repository_is_a_gap_and_the_others_are_told(tmp_path: Path) -> None:
    """One broken history degrades the report and hides no other."""
    broken, good = Repo(tmp_path / "broken"), Repo(tmp_path / "good")
    first = broken.commit({"a.py": "1\n"}, at=NOON - DAY)
    broken.commit({"a.py": "2\n"}, at=NOON)
    (broken.path / ".git" / "objects" / first[:2] / first[2:]).unlink()
    good.commit({"b.py": "1\n"}, at=NOON)
    report = report_of(tmp_path, broken.path, good.path)
    assert report.outcome is Outcome.DEGRADED
    assert [moves.name for moves in moves_of(report).repositories] == ["good"]
    assert [gap.what for gap in report.gaps] == ["broken"]


def no_first_lines_as_growth(report: Report) -> None:
    """Check that a code's first lines are not told as growth over nights it did not see."""
    assert "28 nights:" not in report.headline
    assert "in 28 nights" not in report.headline
    assert "lines_in_28_nights" not in report.numbers


def test_a_history_shorter_than_a_stretch_says_when_it_begins(tmp_path: Path) -> None:
    """Code of three nights ago has grown since the night before; further back there is nothing to compare with."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a.py": "x\n" * 1000, "requirements.txt": "rich\n"}, at=NOON - 3 * DAY)
    repo.commit({"a.py": "x\n" * 1001}, at=NOON)
    report = report_of(tmp_path, repo.path)

    no_first_lines_as_growth(report)
    assert report.headline == "1,002 lines in 2 files: +1 in 1 night; history begins 27 Feb."
    assert [name for name in report.numbers if name.startswith("lines_in")] == ["lines_in_1_night"]
    assert report.markdown.count("history begins 27 Feb |") == 2
    assert "None came or went in 1 night." in report.markdown
    assert (report.outcome, report.gaps) == (Outcome.RAN, ())


def test_the_check_catches_a_report_that_counts_from_nothing(tmp_path: Path) -> None:
    """Control: the same check fails on code whose state 28 nights ago is there."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a.py": "x\n"}, at=NOON - 30 * DAY)
    with pytest.raises(AssertionError):
        no_first_lines_as_growth(report_of(tmp_path, repo.path))


def test_the_first_night_of_a_repository_has_nothing_to_compare_with(tmp_path: Path) -> None:
    """All its lines are its first ones, and none of its dependencies came tonight."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a.py": "x\n" * 9, "requirements.txt": "rich\n"}, at=NOON)
    report = report_of(tmp_path, repo.path)

    assert report.headline == "10 lines in 2 files: history begins 2 Mar."
    assert report.numbers["dependencies_added"] == 0
    assert "There is no earlier state yet." in report.markdown


def test_a_young_repository_among_old_ones_counts_for_no_growth(tmp_path: Path) -> None:
    """The stretches are told for the old one, and the young one is named."""
    old, young = Repo(tmp_path / "old"), Repo(tmp_path / "young")
    old.commit({"a.py": "x\n"}, at=NOON - 40 * DAY)
    old.commit({"a.py": "x\n" * 3}, at=NOON)
    young.commit({"a.py": "x\n" * 500}, at=NOON)
    report = report_of(tmp_path, old.path, young.path)

    said = "503 lines in 2 files: +2 in 1 night, +2 in 7 nights, +2 in 28 nights; young: history begins 2 Mar."
    assert report.headline == said
    assert report.numbers["lines_in_28_nights"] == 2


@pytest.mark.parametrize("night", ["2026-01-01", "2199-01-01"])
def test_nights_before_the_code_and_far_in_the_future_are_fine(tmp_path: Path, night: str) -> None:
    """Nothing yet compares with nothing; nothing since is no change."""
    repo = Repo(tmp_path / "r")
    repo.commit({"a.py": "1\n"}, at=NOON)
    report = report_of(tmp_path, repo.path, night=night)
    assert report.outcome is Outcome.RAN
    assert report.numbers.get("lines_in_28_nights") == (None if night < NIGHT else 0)
    assert ("nothing to compare with yet" in report.headline) == (night < NIGHT)
    assert report.numbers["commits_28_nights"] == 0


def test_no_repository_at_all_is_said(tmp_path: Path) -> None:
    """With nothing read there is no figure to mistake for shrunken code."""
    for after_log in (False, True):
        report = report_of(tmp_path, tmp_path / "missing", after_log=after_log)
        assert report.headline == "No watched repository could be read."
        assert (report.outcome, report.numbers, report.images) == (Outcome.SKIPPED, {}, ())
        assert report.reasons[0] == "no repository could be read"
        assert "None came or went" not in report.markdown


def test_hostile_names_become_no_markup(tmp_path: Path) -> None:
    """File and dependency names are shown as text inside the table and the lists."""
    repo = repositories.hostile(tmp_path / "h|x", at=MONDAY)
    repo.commit({"package.json": '{"dependencies": {"[x](https://evil.example) `<b>` |": "1"}}'}, at=NOON)
    for number in range(2):
        repo.commit({"<img src=x>`|\n# h.py": f"{number}\n"}, at=NOON + number)
    page = MarkdownIt("gfm-like", {"linkify": False}).render(report_of(tmp_path, repo.path).markdown)
    tags = {"h2", "h3", "p", "ul", "li", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"<(\w+)", page)) <= tags
    assert page.count("<tr>") == 2
