"""Dagster's pages on real nights, in a real browser: what a person sees and does there.

Pictures of each page are kept in ``tests/browser/.screenshots``: light and dark, at the width of a laptop and a phone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from forge_workers.audit.checks import CHECKS
from forge_workers.night import BRIEFING, STEPS
from forge_workers.store import NightStore
from tests.browser.scene import SECRET, Scene, played
from tests.standins.dagster import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_RUNS = "{ runsOrError { ... on Runs { results { runId jobName status tags { key value } } } } }"
_TICKS = """
query($name: String!) { sensorOrError(sensorSelector: {repositoryName: "__repository__",
  repositoryLocationName: "forge_assets.definitions", sensorName: $name})
  { ... on Sensor { sensorState { ticks(limit: 1) { status } } } } }
"""
_DESKS = ("readiness", "code", "ecosystem", "briefing")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Three nights, Dagster's pages on them, and a browser."""
    with played(tmp_path_factory.mktemp("browser")) as one:
        yield one


def test_the_asset_graph_shows_the_desks(scene: Scene) -> None:
    """Every desk is a group, and every step stands in it."""
    groups = ",".join(f"global@global:{desk}" for desk in _DESKS)
    page = scene.go(f"/asset-groups~?expanded={groups}")

    for desk in _DESKS:
        expect(page.get_by_text(desk, exact=True).first).to_be_visible()
    for asset in (*STEPS, BRIEFING):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    scene.picture("graph")


def test_a_nights_run_opens(scene: Scene) -> None:
    """The run of a night shows its partition, its steps and how it ended."""
    runs = scene.asked(_RUNS)["runsOrError"]["results"]
    wanted = {"key": "dagster/partition", "value": scene.whole}
    run = next(run for run in runs if run["jobName"] == "night" and wanted in run["tags"])

    page = scene.go(f"/runs/{run['runId']}")

    expect(page.get_by_text(f"partition: {scene.whole}")).to_be_visible()
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(page.get_by_text("commit_log").first).to_be_visible()
    scene.picture("run")


def test_a_report_opens_and_its_data_stays_text(scene: Scene) -> None:
    """The commit log is shown as Markdown, and nothing that a commit says becomes a link, a picture or a leak."""
    page = scene.go(f"/assets/commit_log?view=partitions&partition={scene.whole}")
    page.get_by_text("[Show Markdown]").first.click()
    report = page.get_by_role("dialog").last

    expect(report.get_by_role("heading", name="Commits")).to_be_visible()
    expect(report).to_contain_text("<img src=x onerror=alert(1)>")
    expect(report).to_contain_text("Use [redacted: AWS Access Key] in the test")
    assert report.locator("a, img, script").count() == 0
    assert scene.shouted == []
    scene.picture("report")


def test_a_briefing_shows_its_timeline_and_page(scene: Scene) -> None:
    """The night's timeline is a picture, the page is named as a file, and the sums of the night are numbers."""
    page = scene.go(f"/assets/{BRIEFING}?view=partitions&partition={scene.whole}")

    expect(page.get_by_text(f"{scene.whole}.html")).to_be_visible()
    for number in ("night: tokens", "night: GPU seconds", "night: minutes", "new findings"):
        expect(page.get_by_text(number, exact=True)).to_be_attached()
    row = page.get_by_role("row").filter(has_text="timeline")
    row.get_by_text("[Show Markdown]").click()
    picture = page.get_by_role("dialog").last.locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 300
    scene.picture("timeline")


def test_a_numbers_course_is_plotted(scene: Scene) -> None:
    """Dagster plots what each night found and cost."""
    page = scene.go("/assets/security_review?view=overview")
    page.get_by_role("button", name="Plots").click()
    page.get_by_role("button", name="Events").last.click()

    for number in ("findings", "tokens", "GPU seconds", "minutes"):
        expect(page.get_by_text(number, exact=True).first).to_be_visible()
    page.get_by_text("minutes", exact=True).first.scroll_into_view_if_needed()
    scene.picture("plots")


def test_a_failed_check_is_seen_with_its_numbers(scene: Scene) -> None:
    """The page of the checks names the one that failed, says why in one line, and never the secret."""
    page = scene.go("/assets/commit_log?view=checks&checkDetail=no_secret")

    expect(page.get_by_text(f"Checks ({len(CHECKS)})")).to_be_visible()
    expect(page.get_by_text("of its lines look like secrets")).to_be_visible()
    expect(page.get_by_text("likely_secrets").first).to_be_visible()
    assert SECRET not in page.content()
    scene.picture("checks")


def test_a_sensors_tick_is_seen(scene: Scene) -> None:
    """The daemon looks by itself, and the page tells when it looked last."""
    wait_until(lambda: scene.asked(_TICKS, name="worker_health")["sensorOrError"]["sensorState"]["ticks"], 90)
    page = scene.go("/locations/forge_assets.definitions/sensors/worker_health")

    expect(page.get_by_text("Latest tick")).to_be_visible()
    expect(page.get_by_role("button", name="View logs").first).to_be_visible()
    scene.picture("sensor")


def test_two_failed_nights_are_selected_and_backfilled(scene: Scene) -> None:
    """Select failed partitions, materialise: both nights turn green, and their reports are in the store."""
    assert {night: scene.statuses("pr_digest")[night] for night in scene.failed} == dict.fromkeys(
        scene.failed, "FAILED"
    )
    scene.mend()
    page = scene.go("/assets/pr_digest?view=partitions")
    expect(page.get_by_text("Failed (2)")).to_be_visible()
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog").last
    dialog.get_by_role("button", name="Failed", exact=True).click()
    expect(dialog.get_by_text("2 partitions")).to_be_visible()
    scene.picture("backfill")
    dialog.get_by_role("button", name="Launch").click()

    wait_until(lambda: set(scene.statuses("pr_digest").values()) == {"MATERIALIZED"}, 480, look_s=0.5)

    store = NightStore(scene.forge.home / "nights")
    assert all(store.load("pr_digest", night) is not None for night in scene.failed)
    page = scene.go("/assets/pr_digest?view=partitions")
    expect(page.get_by_text("Failed (0)")).to_be_visible()
    expect(page.get_by_text("Materialized (3)")).to_be_visible()
    scene.picture("backfilled")


def test_the_briefing_page_and_its_index_open(scene: Scene) -> None:
    """The index of nights leads to the briefing, a file of its own, and back."""
    folder = scene.forge.home / "briefings"
    page = scene.go((folder / "index.html").as_uri())
    scene.picture("index")
    page.locator(f'a[href="{scene.whole}.html"]').first.click()

    expect(page.get_by_role("heading").first).to_be_visible()
    assert page.url == (folder / f"{scene.whole}.html").as_uri()
    expect(page.locator("body")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator('a[href*="evil.example"], a[href^="javascript"]').count() == 0
    assert scene.shouted == []
    scene.picture("briefing")
