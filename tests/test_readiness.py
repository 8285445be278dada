"""The report on the night's model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from forge_workers.errors import Snooze
from forge_workers.models.gateway import open_gateway
from forge_workers.readiness import gpu_readiness
from forge_workers.report import Outcome, Report
from forge_workers.store import NightStore
from forge_workers.tools import Request, Tools
from forge_workers.windows import Window
from tests.standins.lease import LeaseStandIn
from tests.standins.ollama import Fault, OllamaStandIn

REQUEST = Request(night="2026-11-23", window=Window(1_795_388_400.0, 1_795_474_800.0))


@pytest.fixture
def server() -> Iterator[OllamaStandIn]:
    """A stand-in with one model."""
    with OllamaStandIn() as stand_in:
        yield stand_in


def report(server: OllamaStandIn, home: Path, lease: LeaseStandIn | None = None, **models: object) -> Report:
    """Run the desk as a step does."""
    settings = server.settings(home, **models)
    gateway = open_gateway(settings, lease=lease)
    tools = Tools(settings=settings, models=gateway, history=NightStore(home / "nights"), now=lambda: 0.0)
    try:
        return gpu_readiness(REQUEST, tools)
    finally:
        gateway.close()


def test_a_model_that_is_there_is_loaded_measured_and_read_back(server: OllamaStandIn, tmp_path: Path) -> None:
    """The figures are those of the server, and the effect was verified by looking."""
    lease = LeaseStandIn()
    found = report(server, tmp_path, lease)
    assert (found.asset, found.night, found.outcome, found.reasons) == ("gpu_readiness", REQUEST.night, Outcome.RAN, ())
    assert found.numbers["tokens_per_s"] == pytest.approx(40)
    assert found.numbers["resident_bytes"] == 5_200_000_000
    assert 0 <= found.numbers["load_s"] < 5
    assert found.headline == "qwen3:8b is loaded and writes 40 tokens a second."
    assert [(e.target, e.verified) for e in found.effects] == [("qwen3:8b", True)]
    assert (lease.taken, lease.released) == (1, 1)
    assert "qwen3:8b" in {row["name"] for row in server.resident()}


def test_without_a_server_the_step_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """The default machine has none, and that is no fault; the lease is not even taken."""
    with OllamaStandIn() as server:
        pass
    lease = LeaseStandIn()
    found = report(server, tmp_path, lease)
    assert found.outcome is Outcome.SKIPPED
    assert found.reasons[0].startswith("no model: Ollama does not answer at 127.0.0.1:")
    assert (found.numbers, found.effects, lease.taken) == ({}, (), 0)


def test_a_user_who_wants_no_model_gets_a_skipped_step(server: OllamaStandIn, tmp_path: Path) -> None:
    """Nothing is asked of a server that the settings do not choose."""
    found = report(server, tmp_path, engine="extractive")
    assert found.outcome is Outcome.SKIPPED
    assert found.reasons == ("no model: the settings choose to ask no model",)
    assert server.requests == []


def test_a_missing_model_degrades_the_step_and_says_how_to_get_it(tmp_path: Path) -> None:
    """The command is shown quoted, so that a strange name stays one word."""
    with OllamaStandIn({"other:1b": "abc"}) as server:
        found = report(server, tmp_path, generate="qwen3:8b && reboot")
    assert found.outcome is Outcome.DEGRADED
    assert found.reasons[0].endswith("run ollama pull 'qwen3:8b && reboot'")


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.HANG, Fault.BUSY, Fault.GARBAGE])
@pytest.mark.parametrize("where", ["fault", "load_fault"])
def test_a_server_that_fails_degrades_the_step(server: OllamaStandIn, tmp_path: Path, fault: Fault, where: str) -> None:
    """While loading or while answering: one reason, no figures that were not measured."""
    setattr(server, where, fault)
    found = report(server, tmp_path, timeout_s=0.2, load_timeout_s=0.2)
    assert (found.outcome, found.numbers, len(found.reasons)) == (Outcome.DEGRADED, {}, 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lists_resident": False}, "does not list it as resident"),
        ({"window": 4_096}, "has a window of 4096 tokens, not the 16384 asked for"),
        ({"gpu_share": 0.25}, "only 25 % of qwen3:8b fits on the GPU"),
    ],
)
def test_what_was_read_back_counts_not_what_was_asked(
    server: OllamaStandIn, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    """A model that is loaded otherwise than wanted degrades the step."""
    for name, value in change.items():
        setattr(server, name, value)
    found = report(server, tmp_path)
    assert found.outcome is Outcome.DEGRADED
    assert reason in found.reasons[0]
    assert found.effects[0].verified is ("lists_resident" not in change)


def test_a_model_on_the_processor_alone_is_no_shortcoming(server: OllamaStandIn, tmp_path: Path) -> None:
    """A machine without a GPU is as its owner knows it."""
    server.gpu_share = 0.0
    assert report(server, tmp_path).outcome is Outcome.RAN


def test_a_lost_lease_degrades_the_step_and_measures_nothing(server: OllamaStandIn, tmp_path: Path) -> None:
    """The step does not pretend to have measured, and the triage that waits for it goes on."""
    found = report(server, tmp_path, LeaseStandIn(lost_at=2))

    assert found.outcome is Outcome.DEGRADED
    assert "lease" in found.reasons[0]
    assert found.numbers == {}


def test_a_lease_that_cannot_be_had_degrades_the_step_and_fails_none_after_it(
    server: OllamaStandIn, tmp_path: Path
) -> None:
    """Whoever holds the GPU all night is named; what waits for this step still has its rules."""
    found = report(server, tmp_path, LeaseStandIn(refusal=Snooze(30.0, "GPU local:0 is held for training")))
    assert found.outcome is Outcome.DEGRADED
    assert found.reasons == ("no model: the GPU lease cannot be had: GPU local:0 is held for training",)
    assert found.numbers == {}


def test_names_from_the_server_are_no_markup(tmp_path: Path) -> None:
    """A model's name is shown as code and breaks neither the table nor the page."""
    name = "a`|<b>x</b>[l](http://e):1"
    with OllamaStandIn({name: "abc"}) as server:
        found = report(server, tmp_path, generate=name)
    page = MarkdownIt("commonmark").enable("table").render(found.markdown)
    assert "<b>" not in page
    assert "<a " not in page
    assert page.count("<td") == 4


def test_a_night_that_runs_again_keeps_its_measurement_of_the_same_model(tmp_path: Path) -> None:
    """The second run loads nothing and asks nothing; another model under the same name is measured anew."""
    with OllamaStandIn() as server:
        NightStore(tmp_path / "nights").save(report(server, tmp_path))
        before = len(server.asked)
        again = report(server, tmp_path)
        kept_for = len(server.asked)
        server.models["qwen3:8b"] = "f" * 64
        report(server, tmp_path)

    assert kept_for == before
    assert again.headline == "qwen3:8b wrote 40 tokens a second when this night first ran."
    assert again.effects == ()
    assert len(server.asked) > before
