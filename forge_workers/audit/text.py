"""The check ``no_secret``: no text of a report holds a secret, Forge's own least of all.

Belongs here: looking. Does not belong here: what a secret is, or hiding it (``redact.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from forge_workers.audit.facts import Facts, result
from forge_workers.redact import Redactor
from forge_workers.report import CheckResult, Report

NAME = "no_secret"
#: Different lines that the detectors look at, some 0.1 ms each; Forge's own secrets are sought in all of them.
MOST_LINES = 3_000


def no_secret(report: Report, facts: Facts) -> CheckResult:
    """Check the report's text and data; only a secret of Forge's own is grave, and keeps the report from being stored.

    What people wrote into a commit's message is theirs: it is told here, and the briefing hides it.
    """
    redactor = Redactor(facts.settings.secrets)
    lines = list(dict.fromkeys(line for text in _texts(report) for line in text.splitlines() if line.strip()))
    mine = {line for line in lines if redactor.holds_own_secret(line)}
    looked = lines[:MOST_LINES]
    own, found = len(mine), sum(redactor.text(line) != line for line in looked if line not in mine)
    wrong = [f"{own} of its lines hold a secret of Forge's own"] if own else []
    wrong += [f"{found} of its lines look like secrets, which the briefing hides"] if found else []
    numbers = {"lines": len(lines), "checked": len(looked), "own_secrets": own, "likely_secrets": found}
    left = "" if len(looked) == len(lines) else f"; {len(lines) - len(looked):,} more only for Forge's own"
    return result(NAME, wrong, f"{len(looked):,} lines looked at, no secret in them{left}", numbers, grave=bool(own))


def _texts(report: Report) -> Iterator[str]:
    """Yield what people read first, then the data."""
    yield from (report.headline, report.markdown, *report.reasons)
    for finding in report.findings:
        yield from (finding.title, finding.detail, *(one.quote or "" for one in finding.evidence))
    yield from (f"{gap.what}: {gap.why}" for gap in report.gaps)
    yield from (f"{effect.name} {effect.target} {effect.detail}" for effect in report.effects)
    yield from (image.alt for image in report.images)
    yield from _strings(report.data)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
