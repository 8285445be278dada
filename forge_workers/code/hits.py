"""What a scanner of one file says, before it is held against the file and becomes a finding.

Belongs here: the value and its fingerprint. Does not belong here: any scanner.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from forge_workers.redact import LABEL
from forge_workers.report import Severity, fingerprint

#: Stands for a secret; the redactor leaves its own label alone.
MASK = f"{LABEL}secret]"
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Hit:
    """One place in one file that a rule noticed.

    Attributes:
        rule: What noticed it: ``bandit:B602``, ``secret:AWS Access Key``, ``dependency:url``.
        severity: How much it matters.
        title: One plain sentence in our or the scanner's words, never the file's.
        detail: What to do.
        line: Line number from 1.
        quote: The whole line as it stands in the file; not shown to anybody before it is masked.
        key: What tells it from other hits of the rule in the file; the line's text when empty.
    """

    rule: str
    severity: Severity
    title: str
    detail: str
    line: int
    quote: str = field(repr=False)
    key: str = ""


def fingerprints(repository: str, path: str, hits: Sequence[Hit]) -> list[str]:
    """Return the fingerprint of each hit of one file.

    A second hit of the same rule on the same text has its own, so that copying a known fault is a new one.

    Args:
        repository: Name of the watched repository.
        path: The name the file has now, also for its content before the window.
        hits: All hits of one content of the file.
    """
    seen: Counter[tuple[str, str]] = Counter()
    found: list[str] = []
    for hit in hits:
        key = hit.key or _BLANKS.sub("", hit.quote)
        again = seen[hit.rule, key]
        seen[hit.rule, key] += 1
        found.append(fingerprint(hit.rule, repository, path, key, *([str(again)] if again else [])))
    return found
