"""The coordinator's report: what it saw, what it did, and what it could not see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from forge_workers.errors import Transient
from forge_workers.gpu import coordinator
from forge_workers.gpu.lease import Priority
from forge_workers.gpu.mutex import mutex_file
from forge_workers.report import Outcome, Report
from forge_workers.tools import Request, Tools
from forge_workers.windows import window
from tests.gpu.holding import ask, leases_at
from tests.standins.ollama import OllamaStandIn
from tests.standins.redis import PrivateRedis
from tests.standins.tools import tools_of

NIGHT = "2026-11-24"


@pytest.fixture
def server() -> Iterator[OllamaStandIn]:
    """An Ollama with one model in memory."""
    with OllamaStandIn() as running:
        running.keep("qwen3:8b", 300, {})
        yield running


def coordinated(redis: PrivateRedis, server: OllamaStandIn, later_s: float = 0.0, **models: object) -> Report:
    """Let the coordinator look once, ``later_s`` seconds from now."""
    settings = server.settings(redis.home, **models)
    now = redis.client().time()[0] + later_s  # type: ignore[index]
    tools = Tools(settings, tools_of(settings, now).models, tools_of(settings, now).history, lambda: now)
    request = Request(night=NIGHT, window=window(NIGHT, settings.zone))
    passed = [0.0]

    def pause(seconds: float) -> None:
        passed[0] += seconds

    return coordinator.coordinate(request, tools, in_use=server.memory_in_use, clock=lambda: passed[0], pause=pause)


def test_a_quiet_device_has_nothing_to_tell(redis_server: PrivateRedis, server: OllamaStandIn) -> None:
    """Nobody waits, nobody cheats: one sentence, no finding, nothing unloaded, and no lease taken."""
    for _ in range(2):
        report = coordinated(redis_server, server)

        assert (report.outcome, report.findings, report.effects) == (Outcome.RAN, (), ())
        assert report.headline == "GPU local:0 is free."
    assert len(server.resident()) == 1
    assert leases_at(redis_server.socket).status(now=0).term == 0


def test_use_without_the_lease_is_reported(redis_server: PrivateRedis, server: OllamaStandIn) -> None:
    """Between two looks somebody used the model while nobody held the lease; under a lease the same is no finding."""
    coordinated(redis_server, server)
    server.use("qwen3:8b")

    found = coordinated(redis_server, server).findings

    assert [(finding.rule, finding.title) for finding in found] == [
        ("gpu:without lease", "qwen3:8b was used without the GPU lease.")
    ]
    leases_at(redis_server.socket, mutex=mutex_file(redis_server.home)).acquire("night", wait_s=0).release()
    server.use("qwen3:8b")
    assert coordinated(redis_server, server).findings == ()


def test_who_waits_too_long_is_reported(redis_server: PrivateRedis, server: OllamaStandIn) -> None:
    """A waiter older than five minutes is contention; a younger one is not."""
    leases = leases_at(redis_server.socket)
    ask(leases, "holder", model="qwen3:8b")
    ask(leases, "security_review of tonight")

    assert coordinated(redis_server, server, later_s=290).findings == ()
    report = coordinated(redis_server, server, later_s=310)
    assert [finding.rule for finding in report.findings] == ["gpu:contention"]
    assert "has waited 5 min" in report.findings[0].title
    assert report.numbers["longest_wait_s"] >= 305


@pytest.mark.parametrize("hoards", [False, True])
def test_the_device_is_emptied_for_training(redis_server: PrivateRedis, server: OllamaStandIn, hoards: bool) -> None:
    """Training that holds the lease, or has it next, gets an empty device; memory that stays is said, not believed."""
    server.hoards = hoards
    leases = leases_at(redis_server.socket)
    ask(leases, "training", Priority.TRAINING)

    report = coordinated(redis_server, server)

    assert server.resident() == []
    assert [(effect.target, effect.verified) for effect in report.effects] == [("qwen3:8b", not hoards)]
    assert report.outcome is (Outcome.DEGRADED if hoards else Outcome.RAN)
    assert ("not seen to be empty" in "".join(report.reasons)) is hoards


def test_a_device_that_somebody_works_on_is_left_alone(redis_server: PrivateRedis, server: OllamaStandIn) -> None:
    """Training that waits behind a holder takes no model from it."""
    leases = leases_at(redis_server.socket)
    ask(leases, "interactive", model="qwen3:8b")
    ask(leases, "training", Priority.TRAINING)

    assert coordinated(redis_server, server).effects == ()
    assert len(server.resident()) == 1


def test_what_cannot_be_seen_is_a_gap(redis_server: PrivateRedis, server: OllamaStandIn, tmp_path: Path) -> None:
    """No Ollama: the lease is told and the gap named. No engine chosen: no gap. No Redis: another attempt."""
    report = coordinated(redis_server, server, ollama_url="http://127.0.0.1:1")
    assert report.outcome is Outcome.DEGRADED
    assert report.gaps[0].why == "Ollama does not answer at 127.0.0.1:1"

    assert coordinated(redis_server, server, engine="extractive").outcome is Outcome.RAN
    redis_server.client().set("{forge:gpu:local:0}:look", "[broken")
    assert coordinated(redis_server, server).outcome is Outcome.RAN

    settings = server.settings(tmp_path / "nowhere")
    tools = tools_of(settings, 1.0)
    with pytest.raises(Transient, match="cannot be looked at"):
        coordinator.gpu_coordinator(Request(night=NIGHT, window=window(NIGHT, settings.zone)), tools)


def test_the_memory_in_use_is_a_number_of_bytes() -> None:
    """What is measured on this machine is some of its memory, not all of it and not none."""
    assert 10_000_000 < coordinator.memory_in_use() < 10**14
