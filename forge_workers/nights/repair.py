"""What a backfill runs: the parts of nights that are missing or failed, and what stands on them.

Belongs here: choosing the parts, purely, and the words between ``forge backfill`` and the process that talks to
Dagster. Does not belong here: that process (``forge_assets/backfill.py``), or watching it (``watching.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Literal

from forge_workers.errors import BadArgs
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights.grid import State
from forge_workers.plain import plain
from forge_workers.report import Frozen
from forge_workers.windows import NightKey

#: Nights that one backfill may run: a quarter of a year, which is days of work for a GPU.
MOST = 90
_BROKEN = frozenset({State.FAILED, State.MISSING})


class Repair(Frozen):
    """What is run of one night.

    Attributes:
        night: Its key.
        broken: The steps that are missing or failed.
        below: Steps that are whole but stand on those, in the order of the night.
    """

    night: NightKey
    broken: tuple[str, ...]
    below: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Every step that is run, in the order of the night."""
        return tuple(step for step in STEPS if step in {*self.broken, *self.below})


class Order(Frozen):
    """What the process that talks to Dagster is to do: run ``repairs``, or with ``dry_run`` only say what it would."""

    repairs: tuple[Repair, ...]
    dry_run: bool = False


class Told(Frozen):
    """One thing that process tells.

    Attributes:
        kind: ``refused`` (nothing was done), ``left_out`` (a night is asked for already), ``plan`` (what is run),
            ``asked`` (Dagster has it), ``progress``, ``ended``.
        text: Why, or which nights, one plain line.
        repairs: Of a plan.
        nights: How many nights Dagster was asked for.
        done: How many of them are whole again.
        failed: How many of them failed.
        at_work: The nights that run now.
    """

    kind: Literal["refused", "left_out", "plan", "asked", "progress", "ended"]
    text: str = ""
    repairs: tuple[Repair, ...] = ()
    nights: int = 0
    done: int = 0
    failed: int = 0
    at_work: tuple[str, ...] = ()


def choose(
    found: Mapping[str, Mapping[str, State]],
    assets: Collection[str] = (),
    left_out: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> tuple[Repair, ...]:
    """Return what must be run so that each night is whole, oldest night first.

    1. What is missing or failed; with ``assets`` only of these. What any chosen step waits for, if that is broken too.
    2. What stands on a chosen step in the same night, so that nothing lies on old data.
    3. Never the briefing: what was told is told.
    4. Nothing of a night that is at work: it repairs itself.
    5. Nothing that the settings left out of a missed night: it lies on no data at all.

    Args:
        found: The nights as ``grid.states`` returns them.
        assets: Only these steps; all when empty.
        left_out: What the settings left out, by night.
    """
    repairs = (_night(night, found[night], assets, left_out.get(night, ())) for night in sorted(found))
    return tuple(repair for repair in repairs if repair is not None)


def _night(night: str, steps: Mapping[str, State], assets: Collection[str], left_out: Collection[str]) -> Repair | None:
    if State.RUNNING in steps.values():
        return None  # 4
    broken = {step for step in STEPS if steps[step] in _BROKEN}  # 3: the briefing is no step
    skipped = {step for step in left_out if steps.get(step) is State.SKIPPED}  # 5
    run = {step for step in broken if not assets or step in assets}  # 1
    before = None
    while run != before:
        before = set(run)
        run |= {need for step in before for need in STEPS[step] if need in broken}  # 1
        run |= {step for step, needs in STEPS.items() if before & set(needs)} - skipped  # 2
    if not run:
        return None
    return Repair(
        night=night,
        broken=tuple(step for step in STEPS if step in run & broken),
        below=tuple(step for step in STEPS if step in run - broken),
    )


def check_assets(names: Collection[str]) -> None:
    """Refuse what no backfill can run.

    Raises:
        BadArgs: One is the briefing or no step of a night; the message says what to write.
    """
    for name in names:
        if name == BRIEFING:
            raise BadArgs(f"{BRIEFING} is never part of a backfill: run `forge night --date` to tell a night again")
        if name not in STEPS:
            raise BadArgs(f"{plain(name, 60)!r} is no step of a night: it is one of {', '.join(STEPS)}")


def check_size(repairs: Collection[Repair], *, dry_run: bool) -> None:
    """Refuse more than :data:`MOST` nights at once.

    Raises:
        BadArgs: There are more; the message says how to split them.
    """
    if len(repairs) <= MOST or dry_run:
        return
    nights = sorted(repair.night for repair in repairs)
    raise BadArgs(
        f"{len(nights)} nights are more than {MOST} at once: begin with --from {nights[0]} --to {nights[MOST - 1]}, "
        "or see them all with --dry-run"
    )
