"""The nights as Dagster's daily partitions, and the weeks as its weekly ones.

Belongs here: partitions. Does not belong here: what a night's key means in UTC seconds, which is
``forge_workers.windows``. Concept: https://docs.dagster.io/guides/build/partitions-and-backfills
"""

from __future__ import annotations

import dagster as dg

from forge_workers import settings as chosen
from forge_workers.windows import FIRST_NIGHT, week_of

#: The settings of this code location, read once, when Dagster loads it.
SETTINGS = chosen.load()

#: Local calendar days. ``end_offset=1`` lets the present day be run before it is over, which its briefing then says.
NIGHTS = dg.DailyPartitionsDefinition(start_date=FIRST_NIGHT, timezone=SETTINGS.timezone, end_offset=1)
#: Weeks from Sunday to Saturday; the key is the Sunday, and the week exists when its Saturday is over.
WEEKS = dg.WeeklyPartitionsDefinition(start_date=week_of(FIRST_NIGHT), timezone=SETTINGS.timezone, day_offset=0)
