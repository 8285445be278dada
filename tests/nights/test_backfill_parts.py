"""Which parts of nights a backfill runs: what is missing or failed, and what stands on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.errors import BadArgs
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights import grid, repair
from forge_workers.nights.grid import State
from tests.standins.forge import Forge, forge_in

NIGHT = "2026-11-23"
WHOLE = dict.fromkeys(grid.ASSETS, State.DONE)
BROKEN = {State.MISSING, State.FAILED}


def chosen(*assets: str, **states: State) -> repair.Repair | None:
    """Return what is run of a night on which only ``states`` are not done."""
    return next(iter(repair.choose({NIGHT: WHOLE | states}, assets)), None)


def test_what_stands_on_a_repaired_step_is_run_again() -> None:
    """Nothing of the night lies on old data, and the two kinds are told apart."""
    found = chosen(health_snapshot=State.FAILED)

    assert found == repair.Repair(night=NIGHT, broken=("health_snapshot",), below=("threat_assessment",))


def test_a_chosen_step_brings_what_it_waits_for() -> None:
    """A step whose source is missing could only fail: the source comes first, with all that stands on it."""
    found = chosen("pr_digest", pr_digest=State.MISSING, commit_log=State.MISSING, health_snapshot=State.MISSING)

    assert found is not None
    assert found.parts == ("commit_log", "security_review", "code_review", "pr_digest", "evolution_report")
    assert found.broken == ("commit_log", "pr_digest")


def test_what_was_left_out_on_purpose_stays_out() -> None:
    """A step that the settings skipped for a missed night is not run because its source is; one that ran empty is."""
    states = {NIGHT: WHOLE | {"commit_log": State.FAILED, "pr_digest": State.SKIPPED, "code_review": State.SKIPPED}}
    (found,) = repair.choose(states, left_out={NIGHT: {"code_review": "it was missed"}})

    assert found.parts == ("commit_log", "security_review", "pr_digest", "evolution_report")


def test_other_broken_steps_are_left_when_one_is_named() -> None:
    """Only what was asked for, and what stands on it."""
    found = chosen("pr_digest", pr_digest=State.FAILED, health_snapshot=State.FAILED)

    assert found == repair.Repair(night=NIGHT, broken=("pr_digest",))


@pytest.mark.parametrize(
    "states",
    [
        {},
        {"pr_digest": State.SKIPPED, "code_review": State.DEGRADED},
        {BRIEFING: State.MISSING},
        {"pr_digest": State.FAILED, "commit_log": State.RUNNING},
    ],
    ids=["whole", "skipped and degraded", "only the briefing", "at work"],
)
def test_nothing_is_run_of_a_night_that_needs_none(states: dict[str, State]) -> None:
    """Whole, skipped on purpose, told already, or being repaired by whoever works on it."""
    assert chosen(**states) is None


ANY_NIGHT = st.fixed_dictionaries({asset: st.sampled_from(list(State)) for asset in grid.ASSETS})


def wrong(steps: dict[str, State], assets: set[str], found: repair.Repair | None) -> str:
    """Say what is wrong with a repair of a night, "" if nothing is."""
    if found is None:
        missed = {step for step in STEPS if steps[step] in BROKEN and (not assets or step in assets)}
        return "something was missed" if missed and State.RUNNING not in steps.values() else ""
    run = set(found.parts)
    rules = {
        "it is no step": run <= set(STEPS),
        "it runs a whole step for nothing": all(run & set(STEPS[step]) for step in found.below),
        "it calls a whole step broken": all(steps[step] in BROKEN for step in found.broken),
        "old data is left": all(step in run for step, needs in STEPS.items() if run & set(needs)),
        "a source is missing": all(
            steps[need] not in BROKEN or need in run for step in found.broken for need in STEPS[step]
        ),
    }
    return next((rule for rule, holds in rules.items() if not holds), "")


@given(ANY_NIGHT, st.sets(st.sampled_from(list(STEPS))))
def test_a_repair_is_closed_and_exact(steps: dict[str, State], assets: set[str]) -> None:
    """Over any night: no briefing, no whole step for nothing, nothing broken above, no old data below."""
    assert wrong(steps, assets, next(iter(repair.choose({NIGHT: steps}, assets)), None)) == ""


def test_the_rules_catch_a_repair_that_leaves_old_data() -> None:
    """A control: what runs only the broken steps, as the bare reading of "failed" would, is caught."""
    steps = WHOLE | {"commit_log": State.FAILED}
    bare = repair.Repair(night=NIGHT, broken=("commit_log",))

    assert wrong(steps, set(), bare) == "old data is left"
    assert wrong(steps, set(), None) == "something was missed"


def test_the_oldest_night_comes_first() -> None:
    """Whatever order the nights are given in."""
    found = {night: dict.fromkeys(grid.ASSETS, State.MISSING) for night in ("2026-11-23", "2026-11-20", "2026-11-21")}

    assert [each.night for each in repair.choose(found)] == ["2026-11-20", "2026-11-21", "2026-11-23"]


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """Give a Forge on which no night was ever run."""
    with forge_in(tmp_path_factory.mktemp("backfill")) as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say which nights: --failed for the last 60, or --from"),
        (("--to", "2026-03-01"), "say which nights: --failed for the last 60, or --from"),
        (("--from", "2026-03-09", "--to", "2026-03-01"), "--from 2026-03-09 lies after --to 2026-03-01"),
        (("--from", "2099-01-01"), "has not begun"),
        (("--from", "2026-02-30"), "is not a day"),
        (("--from", "2026-01-01'; rm -rf ~ #"), "is not a day"),
        (("--from", "\x1b[2J../../x"), "is not a day"),
        (("--failed", "--asset", "nothing_such"), "is no step of a night: it is one of gpu_readiness"),
        (("--failed", "--asset", BRIEFING), "is never part of a backfill"),
        (("--from", "2025-01-01", "--to", "2026-02-04"), "400 nights are more than 90 at once: begin with --from"),
    ],
)
def test_what_cannot_be_meant_is_one_line(forge: Forge, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2, one line that says what to change, and nothing printed that an attacker wrote for a terminal."""
    done = forge.run("backfill", *arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr + done.stdout


def test_too_many_nights_are_refused_with_a_way_out() -> None:
    """The line says with which range to begin, and a dry run of the same is allowed."""
    repairs = [repair.Repair(night=night, broken=("commit_log",)) for night in grid.between("2025-01-01", "2026-02-04")]

    with pytest.raises(
        BadArgs, match="400 nights are more than 90 at once: begin with --from 2025-01-01 --to 2025-03-31"
    ):
        repair.check_size(repairs, dry_run=False)
    repair.check_size(repairs, dry_run=True)
    repair.check_size(repairs[:90], dry_run=False)
