"""What a person types after ``forge enqueue``."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from forge_workers.catalog import Arg, Worker
from forge_workers.errors import BadArgs
from forge_workers.fleet.request import arguments, due

ROW = Worker(
    "toy",
    "Plays.",
    "nowhere:nothing",
    args={
        "n": Arg("a number", kind=int),
        "x": Arg("a measure", kind=float),
        "yes": Arg("a choice", kind=bool),
        "night": Arg("a day as YYYY-MM-DD", required=True, pattern=r"\d{4}-\d{2}-\d{2}"),
    },
)
PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 25, 18, 0, tzinfo=UTC).timestamp()  # 19:00 in Paris


def test_each_value_is_read_by_the_kind_of_its_argument() -> None:
    """Numbers and choices arrive as such, texts as they were typed, with every = after the first."""
    words = ["n=-7", "x=1.5e3", "yes=false", "night=2026-03-01"]

    assert arguments(ROW, words) == {"n": -7, "x": 1500.0, "yes": False, "night": "2026-03-01"}
    assert type(arguments(ROW, ["x=2", "night=2026-03-01"])["x"]) is float


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["night"], "write NAME=VALUE, not 'night': toy takes n, x, yes, night"),
        (["=5"], "write NAME=VALUE"),
        (["n=5"], "toy: night is missing"),
        (["night=2026-03-01", "m=5"], "toy knows no argument 'm': it takes n, x, yes, night"),
        (["night=2026-03-01", "n=5.0"], "toy: n must be a whole number, not '5.0'"),
        (["night=2026-03-01", "n=1_000"], "toy: n must be a whole number"),
        (["night=2026-03-01", "n=" + "9" * 5_000], "toy: n must be a whole number"),
        (["night=2026-03-01", "x=nan"], "toy: x must be a number, not 'nan'"),
        (["night=2026-03-01", "x=1e999"], "toy: x must be a number"),
        (["night=2026-03-01", "yes=1"], "toy: yes must be true or false, not '1'"),
        (["night=yesterday"], "toy: night must be a day as YYYY-MM-DD"),
        (["night=2026-03-01", "night=2026-03-02"], "toy: night is given twice"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(words: list[str], said: str) -> None:
    """The message names the argument and what to write; nothing is guessed."""
    with pytest.raises(BadArgs) as caught:
        arguments(ROW, words)

    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("at", "in_", "expected"),
    [
        (None, None, None),
        (None, "90s", NOW + 90),
        (None, "1.5h", NOW + 5_400),
        (None, "2d", NOW + 172_800),
        ("19:30", None, NOW + 1_800),
        ("18:59", None, NOW + 86_340),
        ("2026-11-25T20:00", None, NOW + 3_600),
        ("2026-11-25T20:00:00+00:00", None, NOW + 7_200),
    ],
)
def test_a_time_is_read_in_the_persons_zone(at: str | None, in_: str | None, expected: float | None) -> None:
    """A clock time is the next one; a date is as written; a span counts from now."""
    assert due(at, in_, now=NOW, zone=PARIS) == expected


@pytest.mark.parametrize(
    ("at", "in_", "said"),
    [
        ("19:30", "5m", "--at and --in are both given"),
        ("tomorrow", None, "--at 'tomorrow' is no time: write 07:30 or"),
        ("24:00", None, "--at '24:00' is no time"),
        ("2026-11-25T18:00", None, "--at 2026-11-25T18:00 lies in the past: it is 2026-11-25 19:00 now"),
        ("2062-11-25T18:00", None, "--at 2062-11-25T18:00 is more than a year ahead"),
        (None, "5", "--in '5' is no time span: write 90s, 5m, 2h or 1d"),
        (None, "-5m", "--in '-5m' is no time span"),
        (None, "999999999d", "--in 999999999d is more than a year ahead"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(at: str | None, in_: str | None, said: str) -> None:
    """What is no time, is over, or is far away is named with what to write."""
    with pytest.raises(BadArgs) as caught:
        due(at, in_, now=NOW, zone=PARIS)

    assert str(caught.value).startswith(said)
