"""What a running night tells whoever watches it: one JSON object per line.

Belongs here: the shape of those lines, shared by the process that runs the night and the one that shows it. Does not
belong here: how they are shown.
"""

from __future__ import annotations

from typing import Literal

from forge_workers.report import Frozen, Outcome, Report


class Progress(Frozen):
    """One thing that happened while a night ran.

    Attributes:
        kind: ``plan`` (the night's steps), ``started``, ``ended`` (one step; at once for a step that an
            interrupted attempt had already done), ``refused`` (nothing was
            done), ``stopped`` (asked to stop), ``done``.
        at: UTC unix seconds.
        asset: The step.
        assets: Of a plan: the steps in order.
        outcome: Of an ended step.
        seconds: Of an ended step.
        text: The step's headline, or why something was refused or failed.
        report: Of an ended step whose report could not be stored, so that a briefing still reaches its reader.
    """

    kind: Literal["plan", "started", "ended", "refused", "stopped", "done"]
    at: float
    asset: str = ""
    assets: tuple[str, ...] = ()
    outcome: Outcome | None = None
    seconds: float = 0.0
    text: str = ""
    report: Report | None = None
