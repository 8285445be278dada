"""The frame around every step: a receipt whatever happens, and a report kept whole or told in memory."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from forge_assets.resources.store import ReportStore
from forge_assets.steps import Steps
from forge_workers.errors import Damaged, LeaseLost
from forge_workers.models.gateway import open_gateway
from forge_workers.progress import Progress
from forge_workers.report import Effect, Image, Outcome, Report
from forge_workers.settings import load
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from tests.standins.lease import LeaseStandIn
from tests.standins.ollama import OllamaStandIn

NIGHT = "2026-11-23"


def steps(tmp_path: Path, heard: list[Progress]) -> Steps:
    """Return steps that run in a home of the test's own and tell what happens."""
    environ = {"FORGE_HOME": str(tmp_path), "FORGE_TIMEZONE": "Europe/Paris", "FORGE_MODELS_ENGINE": "extractive"}
    settings = load(environ, cwd=tmp_path)
    clock = iter(range(100))
    return Steps(
        settings=settings,
        store=NightStore(tmp_path / "nights", "a"),
        gateway=lambda _: open_gateway(settings, lease=None),
        listener=heard.append,
        now=lambda: 1000.0,
        monotonic=lambda: float(next(clock)),
    )


def materialised(one: Steps, desk) -> dg.ExecuteInProcessResult:
    """Run ``desk`` as an asset, as Dagster does."""

    @dg.asset(name="some_desk", partitions_def=dg.DailyPartitionsDefinition("2026-11-01"))
    def asset(context: dg.AssetExecutionContext) -> Report:
        return one.run(context, desk)

    return dg.materialize(
        [asset], partition_key=NIGHT, resources={"io_manager": ReportStore(one)}, raise_on_error=False
    )


def good(request: Request, tools: Tools) -> Report:
    """Return a report that shows what the desk was handed."""
    tools.models.spare(3)
    image = Image(name="chart", alt="a chart", light_svg="<svg/>", dark_svg="<svg/>")
    return Report(
        asset="some_desk",
        night=request.night,
        outcome=Outcome.DEGRADED,
        reasons=("no model",),
        headline="Done.",
        markdown="## Done",
        numbers={"hours": (request.window.end_at - request.window.start_at) / 3600},
        effects=(Effect(name="posted", target="here", verified=True),),
        images=(image,),
    )


def test_a_report_gets_its_receipt_and_is_stored(tmp_path: Path) -> None:
    """Outcome, reasons, effects, time and usage are the desk's; the store and the listener have them."""
    heard: list[Progress] = []
    one = steps(tmp_path, heard)

    assert materialised(one, good).success

    receipt = one.store.load("some_desk", NIGHT).receipt  # type: ignore[union-attr]
    assert receipt is not None
    assert (receipt.outcome, receipt.reasons, receipt.seconds) == (Outcome.DEGRADED, ("no model",), 1.0)
    assert (receipt.usage.saved_by_rules, receipt.effects[0].name) == (3, "posted")
    assert [(p.kind, p.asset) for p in heard] == [("started", "some_desk"), ("ended", "some_desk")]


def test_dagster_shows_the_report(tmp_path: Path) -> None:
    """Markdown, counts, seconds, tokens, the desk's numbers and its picture are metadata."""
    made = materialised(steps(tmp_path, []), good).asset_materializations_for_node("some_desk")[0]

    assert made.metadata["report"].value == "## Done"
    assert made.metadata["hours"].value == 24.0
    assert str(made.metadata["chart"].value).startswith("![a chart](data:image/svg+xml;base64,")
    assert {"outcome", "reasons", "findings", "new findings", "gaps", "seconds", "tokens"} <= set(made.metadata)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Damaged("notes.json is damaged"), "notes.json is damaged"), (KeyError("x"), "KeyError: 'x'")],
)
def test_a_desk_that_raises_leaves_a_failed_receipt(tmp_path: Path, error: Exception, reason: str) -> None:
    """The reason is one line in the store, for the listener and in Dagster; no report is made up."""
    heard: list[Progress] = []
    one = steps(tmp_path, heard)

    def bad(_: Request, __: Tools) -> Report:
        raise error

    result = materialised(one, bad)

    assert not result.success
    assert one.store.failure("some_desk", NIGHT).reasons == (reason,)  # type: ignore[union-attr]
    assert (heard[-1].outcome, heard[-1].text) == (Outcome.FAILED, reason)
    assert one.store.load("some_desk", NIGHT) is None


def test_a_step_that_lost_the_gpu_lease_is_tried_once_more(tmp_path: Path) -> None:
    """The second try is counted with the first; a lease lost twice fails the step."""
    tries: list[int] = []

    def unlucky(times: int, request: Request, tools: Tools) -> Report:
        tries.append(1)
        tools.models.spare(2)
        if len(tries) <= times:
            raise LeaseLost
        return Report(asset="some_desk", night=request.night, headline="Done.")

    one = steps(tmp_path, [])

    assert materialised(one, partial(unlucky, 1)).success
    assert one.store.load("some_desk", NIGHT).receipt.usage.saved_by_rules == 4  # type: ignore[union-attr]
    tries.clear()
    assert not materialised(one, partial(unlucky, 2)).success


def test_a_receipt_tells_the_term_of_the_gpu_lease(tmp_path: Path) -> None:
    """A step that asked the model carries the term it worked under, the newest one when it was tried twice."""
    lease, tries = LeaseStandIn(), list[int]()

    def asks(request: Request, tools: Tools) -> Report:
        tries.append(1)
        tools.models.warm_up()
        if len(tries) == 1:
            raise LeaseLost
        return Report(asset="some_desk", night=request.night, headline="Done.")

    with OllamaStandIn() as server:
        chosen = server.settings(tmp_path)
        one = replace(steps(tmp_path, []), gateway=lambda _: open_gateway(chosen, lease=lease))
        assert materialised(one, asks).success
    assert one.store.load("some_desk", NIGHT).receipt.term == 2  # type: ignore[union-attr]

    assert materialised(steps(tmp_path, []), good).success
    assert one.store.load("some_desk", NIGHT).receipt.term is None  # type: ignore[union-attr]


def test_a_report_that_cannot_be_stored_is_told_with_the_reason(tmp_path: Path) -> None:
    """The step has failed, its reason is kept in memory, and only a briefing travels with it."""
    heard: list[Progress] = []
    one = steps(tmp_path, heard)
    (tmp_path / "nights").write_text("a file where the directory should be")

    assert not materialised(one, good).success

    assert heard[-1].outcome is Outcome.FAILED
    assert heard[-1].text.startswith("the report could not be stored: ")
    assert heard[-1].report is None
    assert one.failures["some_desk"].outcome is Outcome.FAILED


def test_a_missing_upstream_report_says_what_to_do(tmp_path: Path) -> None:
    """Dagster's page tells which asset to materialise first."""
    store = ReportStore(steps(tmp_path, []))
    context = dg.build_input_context(
        asset_key=dg.AssetKey("commit_log"), partition_key=NIGHT, asset_partitions_def=None, name="commit_log"
    )

    with pytest.raises(dg.Failure, match=f"commit_log has no report for {NIGHT}: materialise it first"):
        store.load_input(context)
