"""What is in the GPU's memory: used without a lease or not, and really gone or only said to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from forge_workers.errors import Transient
from forge_workers.gpu.ollama_memory import OllamaMemory
from forge_workers.gpu.residency import Loaded, Look, Release, judge, unload_all, use_without_lease
from tests.standins.ollama import Body, OllamaStandIn

GB = 1_000_000_000
SIZE = 5_200_000_000


@pytest.fixture
def server() -> Iterator[OllamaStandIn]:
    """An Ollama with two models in memory."""
    with OllamaStandIn({"qwen3:8b": "a" * 64, "llama3:8b": "b" * 64}) as running:
        for name in running.models:
            running.keep(name, 300, {})
        yield running


class Odd(OllamaStandIn):
    """Lists something else than models."""

    def resident(self) -> list[Body]:
        """Return rows of another shape."""
        return [{"name": "x", "size": "large"}]


def emptied(server: OllamaStandIn, in_use: Callable[[], int] | None = None) -> Release:
    """Unload everything with a clock that ticks half a second a look."""
    ticks = count()
    return unload_all(
        OllamaMemory(server.url),
        in_use or server.memory_in_use,
        clock=lambda: next(ticks) / 2,
        pause=lambda _: None,
    )


def test_every_listed_model_is_unloaded_and_its_memory_seen_to_return(server: OllamaStandIn) -> None:
    """Both models go, and what is reported as released is what was measured."""
    release = emptied(server)

    assert (set(release.unloaded), release.verified) == ({"qwen3:8b", "llama3:8b"}, True)
    assert release.claimed_bytes == release.released_bytes == 2 * SIZE
    assert server.resident() == []


def test_an_empty_list_proves_nothing(server: OllamaStandIn) -> None:
    """Models that leave the list and keep their memory are not released; believing the list is the control."""
    server.hoards = True

    release = emptied(server)

    assert server.resident() == []
    assert not release.verified
    assert release.why == "only 0.0 GB of 10.4 GB came back"
    assert 59 <= release.seconds <= 61


def test_a_slow_release_is_waited_for(server: OllamaStandIn) -> None:
    """Memory that comes back after ten looks is seen to, and so is a model that stays listed for some."""
    server.release_readings = 10
    server.unload_looks = 4

    release = emptied(server)

    assert release.verified
    assert release.seconds > 5


def test_memory_that_is_taken_again_does_not_count(server: OllamaStandIn) -> None:
    """A dip is no release: the fall must hold for three looks in a row."""
    wave = iter([20 * GB, 5 * GB, 5 * GB, 20 * GB, *[20 * GB] * 200])

    assert not emptied(server, lambda: next(wave)).verified


def test_a_machine_without_models_has_nothing_to_release() -> None:
    """With no model listed nothing is unloaded and the sentence says that nothing was measured."""
    with OllamaStandIn() as server:
        release = emptied(server)

    assert (release.unloaded, release.verified) == ((), True)
    assert "nothing to measure" in release.why


def test_a_server_that_is_away_is_said(server: OllamaStandIn) -> None:
    """No answer, another status and another program are one plain sentence each."""
    with pytest.raises(Transient, match=r"Ollama does not answer at 127\.0\.0\.1:1"):
        OllamaMemory("http://127.0.0.1:1").loaded()
    with pytest.raises(Transient, match="refused with status 404"):
        OllamaMemory(server.url + "/elsewhere").loaded()
    with pytest.raises(Transient, match="refused with status 404"):
        OllamaMemory(server.url).unload("unknown:1b")
    with Odd() as odd, pytest.raises(Transient, match="does not list models"):
        OllamaMemory(odd.url).loaded()


@pytest.mark.parametrize(
    ("used", "listed", "verified"),
    [
        ([20, 10, 10, 10], [], True),
        ([20, 12, 12, 12], [], True),  # 8 of 10 is enough
        ([20, 13, 12, 12], [], False),
        ([20, 10, 10], [], False),  # not yet three looks
        ([20, 10, 10, 10], ["a"], False),
        ([20, 10, 10, 19, 10, 10], [], False),
        ([20, 25, 25, 25], [], False),
    ],
)
def test_what_counts_as_released(used: list[int], listed: list[str], verified: bool) -> None:
    """Four fifths of what was claimed, at three looks in a row, and nothing listed any more."""
    assert judge(10, used, listed)[0] is verified


def look(*models: tuple[str, float], at: float = 1000, term: int = 5, held_for: str | None = "free") -> Look:
    """Return a look at a free device, or at one held for a model; ``None`` for a holder that says no model."""
    loaded = tuple(Loaded(name, SIZE, expires_at) for name, expires_at in models)
    return Look(at, term, held_for != "free", None if held_for == "free" else held_for, loaded)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (look(), look(("x", 1300)), ("x was loaded",)),  # 1
        (look(("x", 1200)), look(("x", 1260)), ("x was used",)),  # 2
        (look(("x", 1200)), look(("x", 1200)), ()),  # left over from a holder that has gone
        (look(("x", 1200)), look(("x", 1201)), ()),  # the clocks' jitter
        (None, look(("x", 1300)), ()),  # nothing to compare with
        (None, look(("x", 900)), ("x is being used",)),  # 3
        (look(), look(("x", 1300), term=6), ()),  # somebody had the lease in between
        (look(held_for="y"), look(("x", 1300)), ()),  # its holder was there until now
        (look(held_for="y"), look(("x", 1300), ("y", 1300), held_for="y"), ("x was loaded",)),
        (look(held_for="y"), look(("y", 1300), held_for="y"), ()),
        (look(held_for=None), look(("x", 1300), held_for=None), ()),  # who says no model may use any
        (look(("x", 900), held_for="y"), look(("x", 900), held_for="y"), ()),
    ],
)
def test_who_uses_the_gpu_without_the_lease(before: Look | None, after: Look, said: tuple[str, ...]) -> None:
    """A model that appears, is used or is at work while nobody who may has the lease is named; nothing else is."""
    found = use_without_lease(before, after)

    assert len(found) == len(said)
    assert all(sentence.startswith(start) for sentence, start in zip(found, said, strict=True))
