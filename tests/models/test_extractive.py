"""The stand-by that needs no model."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from forge_workers.models import extractive

TEXTS = (
    "The queue lost two jobs last night because the worker was killed. The worker was killed by the memory limit.",
    "Nobody was woken. A new memory limit for the worker was set this morning. The weather was fine.",
    "fix: raise the memory limit of the worker\n\nThe queue must not lose jobs when a worker is killed.\nok\n" * 3,
    "Ein Satz auf Deutsch, der nichts mit dem Rest zu tun hat. 東京は日本の首都です。",
)
_PROGRAM = "import sys; from forge_workers.models import extractive; sys.stdout.write(extractive.digest(sys.argv[1:]))"


def test_the_digest_is_made_of_sentences_of_the_text() -> None:
    """Nothing is written that was not there, and each sentence only once."""
    lines = extractive.digest(TEXTS).splitlines()
    assert 1 < len(lines) <= extractive.SENTENCES
    assert len(set(lines)) == len(lines)
    assert all(any(line in " ".join(text.split()) for text in TEXTS) for line in lines)


def test_the_digest_keeps_what_the_text_is_about() -> None:
    """Sentences that share words with the others are kept, an odd one is not."""
    about = [f"The memory limit of worker {name} was raised by the queue." for name in ("alpha", "beta", "gamma")]
    digest = extractive.digest([*TEXTS[:3], *about, "A purple unicorn admired distant mountains."])
    assert "memory limit" in digest
    assert "unicorn" not in digest


@pytest.mark.slow
def test_the_digest_is_the_same_in_every_process() -> None:
    """The order of Python's sets, which each process draws anew, has no part in it."""
    found = {
        subprocess.run(
            [sys.executable, "-c", _PROGRAM, *TEXTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(found) == 1
    assert found.pop().decode() == extractive.digest(TEXTS)


@pytest.mark.parametrize("text", ["", "\n\n", "x", "}{\n" * 50, "a b c\n", "\x00\x1b[31m"])
def test_a_text_without_sentences_gives_an_empty_digest(text: str) -> None:
    """Nothing to say is a valid answer."""
    assert extractive.digest([text]) == ""
    assert extractive.digest([]) == ""


def test_a_single_sentence_is_its_own_digest() -> None:
    """The smallest text works."""
    assert extractive.digest(["Only one sentence stands here."]) == "Only one sentence stands here."


def test_a_long_text_takes_a_bounded_time() -> None:
    """A diff of 100,000 lines is sampled, not compared line with line."""
    started = time.monotonic()
    text = "\n".join(f"line number {n} of the change touches module alpha{n % 17} again" for n in range(100_000))
    assert extractive.digest([text])
    assert time.monotonic() - started < 20


def test_each_text_has_its_say() -> None:
    """A long text does not crowd out a short one before ranking."""
    long = "\n".join(f"alpha beta gamma delta number {'x' * n}" for n in range(1, 250))
    short = "The short text says something about zebras."
    assert any("zebras" in sentence for sentence in extractive._sentences([long, short]))
