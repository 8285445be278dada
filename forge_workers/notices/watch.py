"""Whether notices wait that could go out now, asked by the idle daemon twice a minute.

Belongs here: that one question, without heavy imports. Does not belong here: anything else about the outbox.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

#: Longest rest that is believed, in seconds; a clock that was set back must not silence the notices.
_LONGEST_REST_S = 600.0


def waiting(home: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the arguments of one job, which are none, when a notice waits that may go out by now.

    Args:
        home: ``$FORGE_HOME``.
    """
    folder = home / "spool" / "notices"
    state = _state(folder / "state.json")
    rests_s = float(state.get("rests_until", 0.0)) - time.time()
    some = state.get("dropped") is not None or next(folder.glob("[0-9]*.json"), None) is not None
    if some and not 0 < rests_s <= _LONGEST_REST_S:
        yield {}


def _state(path: Path) -> Mapping[str, Any]:
    """Return the outbox's state; one that cannot be read is no reason to leave notices where they are."""
    try:
        state = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
