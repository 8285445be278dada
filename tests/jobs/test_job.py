"""A job's bytes: only what is wholly a job of this worker is done, and nothing else is ever run or lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.errors import BadArgs
from forge_workers.jobs.job import MOST_BYTES, NoJob, decode, identity_of, new_job
from tests.jobs.toy_daemon import toy_row

ROW = toy_row()
GOOD = {"v": 1, "id": "a" * 32, "worker": "toy", "args": {}, "key": "", "by": "person", "attempt": 1, "queued_at": 0.0}


@given(
    n=st.integers(-(2**53), 2**53),
    what=st.text(max_size=200),
    seconds=st.floats(allow_nan=False, allow_infinity=False),
    key=st.text(max_size=100),
)
def test_a_job_survives_the_way_there_and_back(n: int, what: str, seconds: float, key: str) -> None:
    """Whatever its texts are."""
    args: dict[str, Any] = {"n": n, "what": what, "seconds": seconds}
    job = new_job(ROW, args, now=12.5, key=key, by="schedule")

    assert decode(job.raw, ROW) == job


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "at most"),
        (b"[" * 50_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'"job"', "not a JSON object"),
        (b"cos\nsystem\n(S'true'\ntR.", "not JSON"),
        (b"x" * 10_000_000, "10000000 bytes"),
        (json.dumps({**GOOD, "v": 2}).encode(), "version 2, this worker knows 1: update Forge"),
        (json.dumps({**GOOD, "extra": 1}).encode(), "fields"),
        (json.dumps({name: value for name, value in GOOD.items() if name != "id"}).encode(), "fields"),
        (json.dumps({**GOOD, "id": 5}).encode(), "right kind"),
        (json.dumps({**GOOD, "attempt": True}).encode(), "right kind"),
        (json.dumps({**GOOD, "attempt": 0}).encode(), "right kind"),
        (json.dumps({**GOOD, "args": []}).encode(), "right kind"),
        (json.dumps({**GOOD, "queued_at": "now"}).encode(), "right kind"),
        (json.dumps({**GOOD, "worker": "other"}).encode(), "for the worker 'other'"),
        (json.dumps({**GOOD, "args": {"n": "x"}}).encode(), "n must be a whole number"),
        (json.dumps({**GOOD, "raw": "x"}).encode(), "fields"),
    ],
)
def test_what_is_no_job_is_said_in_one_line(raw: bytes, why: str) -> None:
    """The dead letter carries that line and the bytes."""
    with pytest.raises(NoJob, match=why) as refused:
        decode(raw, ROW)

    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


@given(st.binary(max_size=400))
def test_any_bytes_are_a_job_or_refused(raw: bytes) -> None:
    """Nothing that stands on a queue can break its reader."""
    assert identity_of(raw)
    with pytest.raises(NoJob):
        decode(raw, ROW)


def test_a_job_that_is_too_large_is_refused_at_the_caller() -> None:
    """The message says to pass a path."""
    wide = toy_row(args={f"a{n}": ROW.args["what"] for n in range(100)})

    with pytest.raises(BadArgs, match=f"at most {MOST_BYTES} are taken: pass a path instead"):
        new_job(wide, {f"a{n}": "x" * 999 for n in range(100)}, now=0.0)
