"""How findings are told: what is dismissed by typing it, what is told together, and which advice is told once.

Pure. Belongs here: decisions about the telling. Does not belong here: which findings are told (``compose.py``), or
their look (the renderers).
"""

from __future__ import annotations

import re
from itertools import groupby

from forge_workers.briefing.model import NewFinding
from forge_workers.plain import plain
from forge_workers.report import Finding, Severity

#: A file below a folder of tests, or one that pytest would collect.
_TEST = re.compile(r"(^|.*/)(tests?/.*|test_[^/]*\.py)")
_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z])")
#: From this severity on a finding is told in full wherever it is told.
_FULL = Severity.HIGH


def typed(fingerprint: str) -> str:
    """Return a fingerprint without anything that a shell would read."""
    return "".join(c for c in fingerprint[:64] if c.isascii() and (c.isalnum() or c in "-_"))


def in_tests(finding: Finding) -> bool:
    """Whether every place of a finding is a test or belongs to one."""
    return all(evidence.path and _TEST.fullmatch(evidence.path) for evidence in finding.evidence)


def advice(finding: Finding) -> str:
    """Return the first sentence of a finding's detail."""
    return _SENTENCE.split(plain(finding.detail, 600), maxsplit=1)[0]


def in_full(finding: NewFinding) -> bool:
    """Whether a short page shows the detail and the line of code too."""
    return finding.severity.rank >= _FULL.rank


def together(findings: tuple[NewFinding, ...]) -> tuple[tuple[NewFinding, ...], ...]:
    """Return the findings in their order, those in one place where tests keep look-alikes of secrets as one."""
    groups: dict[object, list[NewFinding]] = {}
    for place, finding in enumerate(findings):
        alike = finding.in_tests and finding.rule.startswith("secret:")
        groups.setdefault(finding.severity if alike else place, []).append(finding)
    return tuple(map(tuple, groups.values()))


def details(findings: tuple[NewFinding, ...]) -> tuple[tuple[NewFinding, str], ...]:
    """Return each finding with its detail, which is empty where the finding right above it already said the same."""
    alike = groupby(findings, key=lambda finding: (finding.severity, finding.rule.partition(":")[0], finding.detail))
    return tuple((f, f.detail if n == 0 else "") for _, some in alike for n, f in enumerate(some))
