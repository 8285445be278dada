"""The lease under pauses past its TTL, lost replies and killed servers at once; and what each safeguard is for."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.lease_storm import SHORT, Storm, run
from tests.gpu import broken

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Enough for a broken lease to show: long work, and every pause at the holder.
_SMALL = Storm(attempts=3_000, pauses=30, kills=0, lost=0, at_holder=1.0, work_s=0.05)


def test_no_fault_lets_two_in_or_an_old_one_write(tmp_path: Path) -> None:
    """In 200,000 attempts of 8 processes: no two users at once, terms that only rise, no stale write, a fair share."""
    seed = os.environ.get("FORGE_SEED", secrets.token_hex(4))

    verdict = run(SHORT, seed, tmp_path)

    print(verdict.table(seed))  # noqa: T201  the seed, for whoever must run it again
    assert verdict.broken == ()
    assert verdict.attempts >= 200_000
    assert (verdict.pauses_past_the_ttl, verdict.redis_kills) == (SHORT.pauses, SHORT.kills)
    assert verdict.replies_lost >= SHORT.lost - 5
    assert verdict.stale_writes_refused >= 200
    assert verdict.strange_acts_tried >= 200
    assert verdict.smallest_share_of_grants >= 0.05


@pytest.mark.parametrize(
    ("without", "rule"),
    [
        (replace(_SMALL, fenced=False), "stale_writes_accepted"),
        (replace(_SMALL, mutex=False, changes=(broken.GRANT_AT_ONCE,)), "overlapping_users"),
        (replace(_SMALL, changes=(broken.PLAIN_DELETE,)), "strange_acts_obeyed"),
        (replace(_SMALL, changes=(broken.RECREATE,)), "strange_acts_obeyed"),
    ],
    ids=["no fence", "no kernel lock", "plain DEL", "renew by SET"],
)
def test_every_safeguard_is_needed(tmp_path: Path, without: Storm, rule: str) -> None:
    """Take one away and a small storm breaks its rule; with all of them the same storm breaks none."""
    assert rule in run(without, "7", tmp_path).broken


def test_a_small_storm_breaks_nothing(tmp_path: Path) -> None:
    """The storm that the controls fail is survived with every safeguard in place."""
    assert run(_SMALL, "7", tmp_path).broken == ()
