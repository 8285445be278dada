"""What an asset check is handed besides the report, and how it says what it found.

Belongs here: the values. Does not belong here: any check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from forge_workers.plain import plain
from forge_workers.report import CheckResult, Report
from forge_workers.settings import Settings
from forge_workers.windows import Window

#: Seconds by which two looks at the wall clock may disagree: the step's and the desk's own.
SKEW_S = 2.0
#: Seconds after the window's end from which on the machine's and GitHub's present is not that night's any more.
LATE_S = 86_400.0
#: Differences named in a sentence; the rest are counted.
_NAMED = 3


@dataclass(frozen=True)
class Facts:
    """What the checks of one report are held against.

    Attributes:
        settings: The user's settings: budgets, secrets, repositories.
        window: The night's stretch of time.
        now: Wall clock when the step had ended, UTC unix seconds.
        upstream: Reports the desk was handed, by asset; for the briefing those of every step that left one.
    """

    settings: Settings
    window: Window
    now: float
    upstream: Mapping[str, Report] = field(default_factory=dict)


#: One asset check: pure but for reading committed content from the watched repositories.
Check = Callable[[Report, Facts], CheckResult]


def result(name: str, wrong: list[str], well: str, numbers: Mapping[str, float], *, grave: bool = False) -> CheckResult:
    """Return what a check found.

    Args:
        name: Its name.
        wrong: What does not hold, each in a few words; nothing when all does.
        well: What to say then.
        numbers: What was counted.
        grave: Whether what follows would be untrue when it does not hold.
    """
    more = len(wrong) - _NAMED
    named = "; ".join(plain(text, 160) for text in wrong[:_NAMED])
    why = f"{named}{f'; and {more} more' if more > 0 else ''}" if wrong else well
    return CheckResult(name=name, passed=not wrong, why=plain(why, 500), numbers=dict(numbers), grave=grave)
