"""Asset checks through Dagster: told in the step of their asset, refusing what would lie, and told in the briefing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from forge_assets.checks import Checked, checked
from forge_assets.definitions import build_defs, defs
from forge_assets.nights import NIGHTS, WEEKS
from forge_assets.resources.store import ReportStore
from forge_assets.steps import Steps
from forge_workers.audit.checks import CHECKS
from forge_workers.briefing.shortfalls import shortfalls
from forge_workers.briefing.told import tell
from forge_workers.night import BRIEFING, STEPS, Step
from forge_workers.nights.week import WEEKLY
from forge_workers.report import Report
from forge_workers.tools import Request, Tools
from tests.assets.test_steps import NIGHT, steps

Desk = Callable[[Request, Tools], Report]
LOG = {"repositories": [], "commits": []}
TOKEN = "xoxb-7143-" + "kQ9vTz2LmR8wXs"


def empty_log(request: Request, tools: Tools) -> Report:
    """Return a commit log that read nothing, as it should be."""
    why = ("no repository could be read",)
    return Report(
        asset="commit_log", night=request.night, outcome="degraded", reasons=why, headline="Nothing.", data=LOG
    )


def lying_log(request: Request, tools: Tools) -> Report:
    """Return a commit log that claims commits it does not list."""
    return empty_log(request, tools).model_copy(update={"numbers": {"commits": 40.0}})


def run(one: Steps, desk: Desk, name: str = "commit_log") -> tuple[dg.ExecuteInProcessResult, list[str]]:
    """Run ``desk`` as the asset ``name`` with a step below it; return the result and which steps below ran."""
    below: list[str] = []

    @dg.asset(name=name, partitions_def=NIGHTS)
    def asset(context: dg.AssetExecutionContext) -> Checked:
        yield from checked(context, one, desk)

    @dg.asset(partitions_def=NIGHTS, deps=[asset])
    def what_follows() -> dg.MaterializeResult:
        below.append("ran")
        return dg.MaterializeResult()

    resources = {"io_manager": ReportStore(one)}
    both = [asset, what_follows]
    return dg.materialize(both, partition_key=NIGHT, resources=resources, raise_on_error=False), below


def told(made: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """Return what Dagster heard, by check."""
    return {one.check_name: one for one in made.get_asset_check_evaluations()}


def test_every_asset_of_the_night_and_the_week_has_every_check() -> None:
    """One check per night of each kind; those that refuse a report are the blocking ones."""
    graph = defs.resolve_asset_graph()
    found = {(key.asset_key.path[-1], key.name): graph.get(key) for key in graph.asset_check_keys}

    assert {*found} == {(asset, name) for asset in (*STEPS, BRIEFING, WEEKLY) for name in CHECKS}
    assert all(node.partitions_def == (WEEKS if asset == WEEKLY else NIGHTS) for (asset, _), node in found.items())
    assert {key for key, node in found.items() if node.blocking} == {
        *((asset, "no_secret") for asset in (*STEPS, WEEKLY)),
        *(("commit_log", name) for name in ("schema", "evidence_holds", "counts_add_up")),
    }


@pytest.mark.parametrize("job", ["night", "backfill", "weekly", "briefing"])
def test_no_job_starts_a_step_for_a_check(job: str) -> None:
    """Each step runs its own checks: a job has one step per asset."""
    chosen = defs.resolve_job_def(job)

    assert {node.name for node in chosen.nodes} <= {*STEPS, BRIEFING, WEEKLY}


def test_a_report_is_kept_with_what_its_checks_say(tmp_path: Path) -> None:
    """The receipt holds all results; Dagster hears each once, with its numbers and its night."""
    one = steps(tmp_path, [])

    made, below = run(one, empty_log)

    kept = one.store.load("commit_log", NIGHT)
    assert made.success
    assert below == ["ran"]
    assert kept is not None
    assert kept.receipt is not None
    assert [check.name for check in kept.receipt.checks] == [*CHECKS]
    assert {name: e.passed for name, e in told(made).items()} == {c.name: c.passed for c in kept.receipt.checks}
    counted = told(made)["counts_add_up"]
    assert (counted.partition, counted.metadata["sums"].value) == (NIGHT, 2)
    assert counted.target_materialization_data is not None
    assert counted.target_materialization_data.run_id == made.run_id


def test_a_commit_log_that_lies_is_refused(tmp_path: Path) -> None:
    """The step fails with the check's words, nothing below it runs, and the older report stays."""
    one = steps(tmp_path, [])
    run(one, empty_log)

    made, below = run(one, lying_log)

    failure, kept = one.store.failure("commit_log", NIGHT), one.store.load("commit_log", NIGHT)
    assert not made.success
    assert below == []
    assert not told(made)["counts_add_up"].passed
    assert failure is not None
    assert failure.reasons == ("the check counts_add_up failed: numbers without a repository is 1 and counts to 0",)
    assert kept is not None
    assert kept.numbers == {}


def test_a_report_with_a_secret_of_forges_own_reaches_no_page(tmp_path: Path) -> None:
    """It is neither stored nor shown, and the reason does not hold the secret."""
    one = steps(tmp_path, [])
    slack = one.settings.slack.model_copy(update={"token": SecretStr(TOKEN)})
    one = replace(one, settings=one.settings.model_copy(update={"slack": slack}))

    def leaky(request: Request, tools: Tools) -> Report:
        return Report(asset="pr_digest", night=request.night, headline=f"Asked with {TOKEN}.", outcome="skipped",
                      reasons=("no answer",))  # fmt: skip

    made, _ = run(one, leaky, "pr_digest")

    everything = "".join(p.read_text(errors="replace") for p in tmp_path.rglob("*") if p.is_file())
    assert not made.success
    assert one.store.load("pr_digest", NIGHT) is None
    assert TOKEN not in everything
    assert all(TOKEN not in str(event) for event in made.all_events)


def test_a_failed_check_that_refuses_nothing_is_told_in_the_briefing(tmp_path: Path) -> None:
    """The report is kept, and the briefing names the check and what it found."""
    one = steps(tmp_path, [])

    def boasting(request: Request, tools: Tools) -> Report:
        return Report(asset="pr_digest", night=request.night, headline="Three wait.",
                      numbers={"waiting": 3.0, "opened": 0.0, "merged": 0.0},
                      data={"waiting": [], "opened": [], "merged": []})  # fmt: skip

    made, _ = run(one, boasting, "pr_digest")

    report = one.store.load("pr_digest", NIGHT)
    short = shortfalls(tell((Step(asset="pr_digest", report=report),), 2000.0))
    assert made.success
    assert not told(made)["counts_add_up"].passed
    assert [(s.what, s.why) for s in short if s.kind == "gap"] == [
        (("the check counts_add_up of pr_digest failed",), "waiting is 3 and counts to 0")
    ]


def test_a_stored_report_can_be_audited_again(tmp_path: Path) -> None:
    """Executed by themselves, as from Dagster's pages, checks audit what is stored; without a night, the newest."""
    one = steps(tmp_path, [])
    run(one, empty_log)
    wanted = dg.AssetCheckKey(dg.AssetKey("commit_log"), "counts_add_up")
    job = build_defs(one).resolve_implicit_global_asset_job_def().get_subset(asset_check_selection={wanted})

    def executed(**tags: str) -> list[tuple[str, bool]]:
        done = job.execute_in_process(tags=tags, raise_on_error=False)
        return [(e.check_name, e.passed) for e in done.get_asset_check_evaluations()]

    of_night = {"dagster/partition": NIGHT}
    assert executed(**of_night) == executed() == [("counts_add_up", True)]
    report = one.store.load("commit_log", NIGHT)
    assert report is not None
    one.store.save(report.model_copy(update={"numbers": {"commits": 9.0}}))
    assert executed(**of_night) == [("counts_add_up", False)]
    assert executed(**{"dagster/partition": "2026-11-20"}) == []
