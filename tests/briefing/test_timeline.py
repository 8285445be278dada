"""The night as a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from forge_workers.briefing import timeline
from forge_workers.charts import DARK, LIGHT
from forge_workers.night import STEPS, Step
from tests.briefing.examples import broken, busy
from tests.briefing.parts import BEGAN, briefing, step


def test_every_outcome_has_its_colour_in_light_and_in_dark() -> None:
    """Both forms are whole SVGs in their theme's colours."""
    image = timeline.picture(briefing(broken()))
    for svg, palette in ((image.light_svg, LIGHT), (image.dark_svg, DARK)):
        assert ET.fromstring(svg).tag.endswith("svg")  # noqa: S314 - our own picture
        for colour in (palette.good, palette.idle, palette.bad, palette.ink):
            assert colour in svg


def test_the_picture_is_told_in_words() -> None:
    """Those who cannot see it read every step with its outcome."""
    alt = timeline.picture(briefing(broken())).alt

    assert "Security review 48 s, failed" in alt
    assert "Code review left no result" in alt
    assert "GPU readiness skipped" in alt


def test_the_same_night_gives_the_same_picture() -> None:
    """A repeat changes no byte."""
    assert timeline.picture(briefing(busy())) == timeline.picture(briefing(busy()))


def test_a_night_without_any_receipt_is_drawn() -> None:
    """When nothing ran there is still a picture that says so."""
    image = timeline.picture(briefing(tuple(Step(asset=asset, missing="it did not finish") for asset in STEPS)))

    assert image.alt.count("left no result") == len(STEPS)


def test_the_axis_has_few_round_marks() -> None:
    """From a moment to a month, the marks are round and at most seven."""
    for span in (0.5, 3, 59, 600, 7_200, 40_000, 86_400 * 30):
        ticks = timeline._ticks(BEGAN, span)

        assert len(ticks) <= 7
        assert all(BEGAN <= tick <= BEGAN + span for tick in ticks)


def test_a_step_of_no_time_is_drawn() -> None:
    """One step that took no time at all is a picture too."""
    report = step("gpu_readiness", "ready").report
    assert report is not None
    assert report.receipt is not None
    instant = report.model_copy(update={"receipt": report.receipt.model_copy(update={"seconds": 0.0})})

    assert timeline.picture(briefing((Step(asset="gpu_readiness", report=instant),))).light_svg
