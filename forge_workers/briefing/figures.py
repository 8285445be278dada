"""Which of a night's numbers a person reads in the morning, and what they are called.

Belongs here: the choice. Every number a step left stays in its own report. Does not belong here: comparing them
(``compose.py``) or writing one with its unit (``words.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

from forge_workers.briefing.words import label

#: By step, the numbers worth comparing between nights, in the order they are read, with their labels.
_TOLD: Mapping[str, Mapping[str, str]] = {
    "gpu_readiness": {"tokens_per_s": "Model speed, tokens"},
    "health_snapshot": {
        "disk_free_gib": "Disk space free",
        "memory_available_percent": "Memory available",
        "load_per_core": "Load",
    },
    "threat_assessment": {"points": "Threat points"},
    "commit_log": {
        "commits": "Commits",
        "lines_added": "Lines added",
        "lines_removed": "Lines removed",
        "authors": "Authors",
    },
    "security_review": {"scanned_files": "Files scanned", "new_findings": "New security findings"},
    "code_review": {"reviewed_diffs": "Diffs reviewed", "not_reviewed_diffs": "Diffs not reviewed"},
    "pr_digest": {"waiting": "Pull requests waiting", "opened": "Opened", "merged": "Merged"},
    "evolution_report": {
        "lines": "Lines of code",
        "files": "Files",
        "test_ratio": "Share of test lines",
        "dependencies": "Dependencies",
    },
}
#: Numbers told of a step that has no row above.
_FIRST = 4


def told_of(asset: str, numbers: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    """Return the numbers of ``asset`` that are told, each with its label, in the order they are read."""
    chosen = tuple((name, text) for name, text in _TOLD.get(asset, {}).items() if name in numbers)
    return chosen or tuple((name, label(name)) for name in list(numbers)[:_FIRST])
