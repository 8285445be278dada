"""The grid of nights: what is shown is what the store holds, and a year of it takes a moment."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from forge_workers import attempt
from forge_workers.errors import BadArgs, Damaged
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights import asked, at_work, drawing, grid
from forge_workers.nights.grid import State
from forge_workers.report import Outcome, Receipt, Report
from forge_workers.settings import Settings
from forge_workers.store import NightStore
from tests.standins.forge import forge_in
from tests.standins.many_nights import LAST, many_nights

NIGHT = "2026-11-23"
#: Noon of the day after, in UTC.
NOON = 1_795_521_600.0
SETTINGS = Settings(home=Path("/nowhere"), repositories=("/nowhere",), timezone="UTC")


def report(asset: str, outcome: Outcome = Outcome.RAN, night: str = NIGHT) -> Report:
    """Return the smallest report with this outcome."""
    return Report(asset=asset, night=night, outcome=outcome, headline="done")


def failure(asset: str) -> Receipt:
    """Return the receipt of a step that failed."""
    return Receipt(asset=asset, night=NIGHT, outcome=Outcome.FAILED, reasons=("no",), started_at=1.0, seconds=1.0)


def state(store: NightStore, asset: str) -> State:
    """Return what the grid says of one step of the night."""
    return grid.states(store, (NIGHT,))[NIGHT][asset]


def from_whole_reports(store: NightStore, night: str) -> dict[str, State]:
    """Say the same as the grid, the slow way: from every receipt and every report, digests and all."""
    found = {}
    for asset in grid.ASSETS:
        try:
            kept = store.load(asset, night)
        except Damaged:
            found[asset] = State.FAILED
            continue
        said = State.DONE if kept and kept.outcome is Outcome.RAN else State(kept.outcome) if kept else State.MISSING
        found[asset] = State.FAILED if store.failure(asset, night) else said
    return found


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [(Outcome.RAN, State.DONE), (Outcome.DEGRADED, State.DEGRADED), (Outcome.SKIPPED, State.SKIPPED)],
)
def test_a_report_is_shown_as_its_outcome(tmp_path: Path, outcome: Outcome, shown: State) -> None:
    """Done, degraded and skipped are what the report itself says."""
    store = NightStore(tmp_path)
    store.save(report("commit_log", outcome))

    assert state(store, "commit_log") is shown
    assert state(store, "pr_digest") is State.MISSING


def test_the_newest_try_counts(tmp_path: Path) -> None:
    """A failure after a good report is failed; a good report after a failure is done."""
    store = NightStore(tmp_path)
    store.save(report("commit_log"))
    store.save_failure(failure("commit_log"))
    then = state(store, "commit_log")
    store.save(report("commit_log"))

    assert (then, state(store, "commit_log")) == (State.FAILED, State.DONE)


@pytest.mark.parametrize("harm", ["manifest", "report", "half a report"])
def test_what_cannot_be_read_has_failed(tmp_path: Path, harm: str) -> None:
    """A damaged manifest or report is to be repaired, not to be taken for done."""
    store = NightStore(tmp_path)
    kept = store.save(report("commit_log")) / "report.json"
    if harm == "manifest":
        (tmp_path / NIGHT / "commit_log" / "manifest.json").write_text("{")
    elif harm == "report":
        kept.unlink()
    else:
        kept.write_text('{\n "asset": "commit_log"')

    assert state(store, "commit_log") is State.FAILED


def test_a_headline_cannot_pass_for_an_outcome(tmp_path: Path) -> None:
    """What stands in a report's texts, in whatever order the keys come, never decides its state."""
    store = NightStore(tmp_path)
    told = report("commit_log", Outcome.DEGRADED).model_copy(update={"headline": '\n "outcome": "ran",\n'})
    kept = store.save(told) / "report.json"
    assert state(store, "commit_log") is State.DEGRADED
    turned = dict(reversed(json.loads(kept.read_bytes()).items()))
    kept.write_text(json.dumps(turned))

    assert state(store, "commit_log") is State.DEGRADED


def test_a_step_at_work_is_running_until_something_comes_of_it(tmp_path: Path) -> None:
    """The note of a living process counts until a report or a failure is written after it."""
    store = NightStore(tmp_path)
    store.save(report("commit_log"))
    at_work.begin(store.folder("commit_log", NIGHT))
    at_work.begin(store.folder("pr_digest", NIGHT))
    both = (state(store, "commit_log"), state(store, "pr_digest"))
    store.save(report("commit_log", Outcome.DEGRADED))
    store.save_failure(failure("pr_digest"))

    assert both == (State.RUNNING, State.RUNNING)
    assert (state(store, "commit_log"), state(store, "pr_digest")) == (State.DEGRADED, State.FAILED)


def test_the_note_of_a_dead_process_is_nothing(tmp_path: Path) -> None:
    """A step whose process was killed is missing, also when another process has its number by now."""
    store = NightStore(tmp_path)
    folder = store.folder("commit_log", NIGHT)
    at_work.begin(folder)
    note = json.loads((folder / "at_work.json").read_text())
    (folder / "at_work.json").write_text(json.dumps({**note, "born_at": note["born_at"] - 100}))
    another = state(store, "commit_log")
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    (folder / "at_work.json").write_text(json.dumps({**note, "pid": int(child.stdout)}))
    gone = state(store, "commit_log")
    (folder / "at_work.json").write_text("[")

    assert (another, gone, state(store, "commit_log")) == (State.MISSING, State.MISSING, State.MISSING)


def test_what_a_running_attempt_has_yet_to_do_is_running(tmp_path: Path) -> None:
    """A report of an earlier attempt is about to be replaced; one of this attempt is done."""
    store = NightStore(tmp_path, "now")
    NightStore(tmp_path, "before").save(report("pr_digest"))
    store.save(report("commit_log"))
    noted = attempt.Attempt(name="now", settings="", started_at=time.time(), pid=os.getpid())
    attempt.write(tmp_path, NIGHT, noted)
    working = (state(store, "commit_log"), state(store, "pr_digest"))
    attempt.write(tmp_path, NIGHT, noted.model_copy(update={"finished": True}))

    assert working == (State.DONE, State.RUNNING)
    assert state(store, "pr_digest") is State.DONE


def test_a_year_is_shown_as_the_whole_reports_say(tmp_path: Path) -> None:
    """Reading only heads and receipts says the same as reading everything."""
    store = NightStore(tmp_path / "nights")
    keys = many_nights(store.root, 40, seed=7)

    assert grid.states(store, keys) == {key: from_whole_reports(store, key) for key in keys}


@pytest.mark.slow
def test_a_year_in_the_store_is_answered_within_two_seconds(tmp_path: Path) -> None:
    """The command, the start of Python included, with 365 nights in the store and with all of them on the screen."""
    with forge_in(tmp_path) as forge:
        keys = many_nights(forge.home / "nights", 365)
        took = {}
        for name, arguments in {"last": (), "all": ("--from", keys[0], "--to", LAST)}.items():
            best = 60.0
            for _ in range(3):  # of three, since the machine may be busy with something else
                began = time.monotonic()
                done = forge.run("nights", *arguments)
                best = min(best, time.monotonic() - began)
                assert done.returncode == 0, done.stderr
            took[name] = best

    assert done.stdout.count("\n20") + 1 >= 365 - 1
    assert max(took.values()) <= 2.0, took


def test_what_the_settings_leave_out_of_a_missed_night_is_skipped(tmp_path: Path) -> None:
    """On purpose is not missing; what was made all the same is what it is; what is still to run is missing."""
    store = NightStore(tmp_path)
    record = asked.Asked(night=NIGHT, kind="skipped", at=1.0, claim="a", skipped={"code_review": "old"}, tells_in=NIGHT)
    store.save(report("commit_log"))
    (tmp_path / NIGHT / "asked.json").write_text(record.model_dump_json())
    skipped = grid.states(store, (NIGHT,))[NIGHT]
    (tmp_path / NIGHT / "asked.json").write_text(record.model_copy(update={"kind": "caught up"}).model_dump_json())
    caught_up = grid.states(store, (NIGHT,))[NIGHT]

    assert [asset for asset in grid.ASSETS if skipped[asset] is State.SKIPPED] == ["code_review", BRIEFING]
    assert [asset for asset in grid.ASSETS if caught_up[asset] is State.SKIPPED] == ["code_review"]
    assert skipped["commit_log"] is State.DONE
    assert skipped["pr_digest"] is State.MISSING


def test_no_night_before_the_first_one_is_missing(tmp_path: Path) -> None:
    """On a young Forge the grid begins with its first night; on an old one it holds sixty; a named range is whole."""
    store = NightStore(tmp_path)
    store.save(report("commit_log", night="2026-11-20"))
    young = grid.chosen(None, None, store, SETTINGS, NOON)
    store.save(report("commit_log", night="2026-01-01"))
    old = grid.chosen(None, None, store, SETTINGS, NOON)

    assert young == ("2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23")
    assert (len(old), old[-1]) == (60, "2026-11-23")
    assert len(grid.chosen("2025-11-24", None, store, SETTINGS, NOON)) == 365
    assert grid.chosen(None, "2025-11-24", store, SETTINGS, NOON)[-1] == "2025-11-24"


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("2026-11-32", None, "is not a day"),
        ("../../etc", None, "is not a day"),
        ("2026-11-01\n2026-11-02", None, "is not a day"),
        ("2026-11-01", "<b>2026</b>", "is not a day"),
        ("2026-11-25", None, "has not begun"),
        (None, "2027-01-01", "has not begun"),
        ("2014-12-31", None, "before the first night"),
        ("2026-11-20", "2026-11-19", "give the older night first"),
    ],
)
def test_a_range_that_is_none_is_one_line(tmp_path: Path, first: str | None, last: str | None, said: str) -> None:
    """Unknown, future, reversed or no night at all: one line that says what to write."""
    with pytest.raises(BadArgs) as refused:
        grid.chosen(first, last, NightStore(tmp_path), SETTINGS, NOON)

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("width", [80, 120])
def test_the_grid_is_read_without_colour_and_fits(tmp_path: Path, width: int) -> None:
    """Every state has a glyph of its own that the legend names, every night its row and totals, no line is too long."""
    whole = dict.fromkeys(grid.ASSETS, State.DONE)
    some = dict(zip(grid.ASSETS, [*State, State.DONE, State.FAILED, State.FAILED], strict=False))
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(drawing.grid({"2026-11-22": whole, NIGHT: some}))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]

    glyphs = {word.split()[1]: word.split()[0] for word in lines[-1].split("   ")}
    assert set(glyphs) == set(State)
    assert len(set(glyphs.values())) == len(State)
    assert lines[0].split() == ["2026-11-22", "Sun", *[glyphs["done"]] * 9, "9"]
    assert lines[1].split()[2:11] == [glyphs[some[asset]] for asset in grid.ASSETS]
    assert lines[1].split()[11:] == ["2", "1", "1", "3", "1", "1"]
    assert [name for name in (*STEPS, BRIEFING) if not any(line.endswith(f"└ {name}") for line in lines)] == []
    assert max(map(len, lines)) <= width
