"""A finding in code as words, the same in every review.

Belongs here: how one finding and many of them are written. Does not belong here: the pages around them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from forge_workers.plain import code, markdown
from forge_workers.report import Finding, Severity


def by_severity(findings: Iterable[Finding]) -> str:
    """Count findings by severity, the most severe first: "2 high, 1 info"."""
    counts = Counter(finding.severity for finding in findings)
    return ", ".join(f"{counts[s]} {s.value}" for s in reversed(Severity) if counts[s])


def listed(findings: Iterable[Finding]) -> str:
    """Return findings as a Markdown list: title and place, the quoted line, what to do and how to accept it."""
    return "\n".join(line for finding in findings for line in _lines(finding))


def _lines(finding: Finding) -> Iterator[str]:
    at = finding.evidence[0]
    where = f"{at.repository}: {at.path}:{at.line}"
    yield f"- **{finding.severity.value}** {markdown(finding.title)} — {code(where)} at {code((at.commit or '')[:10])}"
    yield f"  {code(at.quote or '')}"
    yield f"  {markdown(finding.detail, 600)} To accept it: {code(f'forge dismiss {finding.fingerprint} --because …')}"
