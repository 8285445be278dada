"""The code review: the night's diffs by risk, the riskiest of them before a model, every claim held against the code.

Rules rank and spare first; a model sees single diffs with some of their file around them until the night's tokens are
spent; what it did not see is listed with the reason. Belongs here: the order of things. Does not belong here: the score
(``risk.py``), the order and the spared (``ranking.py``), the question and its check (``remarks.py``), the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from forge_workers.code.commits import CommitLog, log_of, unseen
from forge_workers.code.ranking import Diff, ranked
from forge_workers.code.review_page import Counts, headline, named, page, why
from forge_workers.code.risk import HISTORY_NIGHTS, Past, past_of
from forge_workers.code.session import Course, review
from forge_workers.dismissals import Dismissals, sift
from forge_workers.errors import Damaged, ForgeError
from forge_workers.feedback import Feedback, Leaning
from forge_workers.git import Repository
from forge_workers.redact import Redactor
from forge_workers.report import Gap, Outcome, Report, by_weight
from forge_workers.tools import Request, Tools
from forge_workers.windows import Window, nights_before, window

ASSET = "code_review"


def code_review(request: Request, tools: Tools) -> Report:
    """Rank the diffs of the window by risk and have a model look at the riskiest.

    Returns:
        New findings only. Degraded when no model could be asked or answers were of no use; skipped without a commit
        log or a readable repository, or when ``models.night_tokens`` is 0. The ranking is in every report.

    Raises:
        LeaseLost: The GPU lease was lost.
    """
    log = log_of(request)
    if log is None or not log.repositories:
        why = f"{unseen(log)}, so no diff could be ranked."
        return _nothing(request, why, Outcome.SKIPPED)
    first = nights_before(request.night, HISTORY_NIGHTS)[-1]
    before = Window(window(first, tools.settings.zone).start_at, request.window.start_at)
    repositories, past, gaps = _opened(log, before)
    leaning, unheard = _leaning(request, tools)
    gaps += unheard
    diffs = ranked(log.commits, past, leaning)
    if not diffs:
        return _nothing(request, "No diffs to review.", Outcome.RAN, gaps)
    spared = [(diff, diff.spared) for diff in diffs if diff.spared is not None]
    tools.models.spare(len(spared))
    course = Course(left=tools.settings.models.night_tokens)
    wanted = [diff for diff in diffs if diff.spared is None]
    course.refusal = _refusal(wanted, tools)
    if course.refusal is not None:
        course.passed_over = [(diff, course.refusal[1]) for diff in wanted]
    else:
        redactor = Redactor(tools.settings.secrets)
        chosen = tools.settings.models
        review(wanted, repositories, chosen=chosen, models=tools.models, redactor=redactor, course=course)
    course.passed_over += spared
    return _report(request, tools, log, course, gaps)


def _leaning(request: Request, tools: Tools) -> tuple[Leaning, list[Gap]]:
    """Return what people thought of reviews before the window's end, so that the night comes out the same later."""
    try:
        return Feedback(tools.settings.home).views().leaning(request.window.end_at), []
    except Damaged as error:
        return Leaning(), [Gap(what="opinions on reviews", why=str(error))]


def _nothing(request: Request, why: str, outcome: Outcome, gaps: Iterable[Gap] = ()) -> Report:
    reasons = (why,) if outcome is Outcome.SKIPPED else ()
    return Report(
        asset=ASSET,
        night=request.night,
        outcome=outcome,
        reasons=reasons,
        headline=why,
        markdown=f"## Code review\n\n{why}\n",
        gaps=tuple(gaps),
        data={"reviewed": [], "not_reviewed": []},
    )


def _opened(log: CommitLog, before: Window) -> tuple[dict[str, Repository], Mapping[tuple[str, str], Past], list[Gap]]:
    """Open every repository with commits and count what the nights before did to its files."""
    opened: dict[str, Repository] = {}
    past: dict[tuple[str, str], Past] = {}
    gaps: list[Gap] = []
    for watched in log.repositories:
        if not any(commit.repository == watched.name and commit.files for commit in log.commits):
            continue
        try:
            opened[watched.name] = Repository.open(Path(watched.path), watched.name)
            counted = past_of(opened[watched.name].log(before))
        except ForgeError as error:
            gaps.append(Gap(what=watched.name, why=f"its history was not weighed: {error}"))
            continue
        past |= {(watched.name, path): count for path, count in counted.items()}
    return opened, past, gaps


def _refusal(wanted: list[Diff], tools: Tools) -> tuple[Outcome, str] | None:
    """Say why no model is asked at all, or None."""
    if not wanted:
        return None
    if tools.settings.models.night_tokens == 0:
        return Outcome.SKIPPED, "the settings give the night no tokens (models.night_tokens is 0)"
    why = tools.models.probe()
    return None if why is None else (Outcome.DEGRADED, f"no model: {why}")


def _report(request: Request, tools: Tools, log: CommitLog, course: Course, gaps: Iterable[Gap]) -> Report:
    known = tools.history.fingerprints(ASSET, before=request.night)
    sifted = sift(course.findings, known, Dismissals(tools.settings.home).all())
    findings = by_weight(sifted.new)
    outcome, reasons = (Outcome.DEGRADED if course.faults else Outcome.RAN), tuple(dict.fromkeys(course.faults))
    if course.refusal is not None:
        outcome, reasons = course.refusal[0], (course.refusal[1],)
    counts = Counts(
        ranked=len(course.reviewed) + len(course.passed_over),
        reviewed=len(course.reviewed),
        merges=sum(commit.merge for commit in log.commits),
        known=sifted.known,
        dismissed=sifted.dismissed,
        dropped=course.dropped,
    )
    said = headline(findings, counts, tools.models.usage.model, reasons)
    return Report(
        asset=ASSET,
        night=request.night,
        outcome=outcome,
        reasons=reasons,
        headline=said,
        markdown=page(said, findings, course.reviewed, course.passed_over, counts),
        numbers=counts.numbers(new=len(findings)),
        findings=findings,
        known=sifted.known,
        dismissed=sifted.dismissed,
        gaps=tuple(gaps),
        data={
            "reviewed": [{**named(diff), "why": why(diff, note)} for diff, note in course.reviewed],
            "not_reviewed": [{**named(diff), "reason": reason} for diff, reason in course.passed_over],
        },
    )
