"""One night with the model over single diffs: show the riskiest, keep what holds, stop when the tokens are spent.

Belongs here: the budget, and reading what is shown. Does not belong here: the order of the diffs, the question and its
check (``remarks.py``), or the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from forge_workers.code.committed import SCANNED_BYTES
from forge_workers.code.evidence import lines_of
from forge_workers.code.hunks import Piece, pieces
from forge_workers.code.ranking import Diff
from forge_workers.code.remarks import Remarks, keep, question
from forge_workers.code.secret_scan import stalls
from forge_workers.git import GitFailed, Repository
from forge_workers.models.gateway import Budget, Gateway, tokens
from forge_workers.redact import Redactor
from forge_workers.report import Finding, Outcome
from forge_workers.settings_sections import Models

#: Tokens of one answer: room for eight remarks.
_OUTPUT_TOKENS = 1_024
#: Tokens of the question around the diff: instructions, schema, notice. Measured at 620, rounded up.
_FRAME_TOKENS = 800
#: Tokens of the fence and the label around each piece.
_FENCE_TOKENS = 80
#: Room below which no diff with its context is worth trying, in tokens: one line with ten around it on each side.
_LEAST_TOKENS = 300
_SPENT = "the night's tokens are spent"


class _Shown(NamedTuple):
    """What a model is shown of a diff: the file without its secrets, and the pieces that fit out of all."""

    content: str
    pieces: tuple[Piece, ...]
    of: int


@dataclass
class Course:
    """How the review goes.

    Attributes:
        left: Tokens that the night may still spend.
        findings: What was found and holds.
        reviewed: Diffs the model saw, each with what it did not see of them.
        passed_over: Diffs it did not see, each with the reason.
        faults: Why answers were of no use.
        dropped: Remarks that did not hold.
        refusal: Why no model is asked at all, and what that makes of the report.
    """

    left: int
    findings: list[Finding] = field(default_factory=list)
    reviewed: list[tuple[Diff, str]] = field(default_factory=list)
    passed_over: list[tuple[Diff, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    dropped: int = 0
    refusal: tuple[Outcome, str] | None = None


def review(
    wanted: Iterable[Diff],
    repositories: Mapping[str, Repository],
    *,
    chosen: Models,
    models: Gateway,
    redactor: Redactor,
    course: Course,
) -> None:
    """Show diffs to the model until the tokens are spent; one that does not fit leaves its room to the next.

    Args:
        wanted: The diffs, riskiest first.
        repositories: Open ones by name.
        chosen: The model's window.
        models: Asks it.
        redactor: Hides secrets.
        course: Is brought up to date.

    Raises:
        LeaseLost: The GPU lease was lost.
    """
    for diff in wanted:
        repository = repositories.get(diff.commit.repository)
        room = _room(chosen, course.left)
        if repository is None:
            course.passed_over.append((diff, "its repository cannot be read"))
        elif room < _LEAST_TOKENS:
            course.passed_over.append((diff, _SPENT))
        else:
            shown = _shown(diff, repository, redactor, room)
            if isinstance(shown, str):
                why = shown if course.left >= chosen.context_tokens else _SPENT
                course.passed_over.append((diff, why))
            else:
                _ask(diff, shown, models, redactor, course)


def _room(chosen: Models, left: int) -> int:
    """Return the tokens that the pieces of one diff may take: what the window and the night leave."""
    output = min(_OUTPUT_TOKENS, chosen.context_tokens // 4)
    return min(chosen.context_tokens - 2 * output, left) - _FRAME_TOKENS


def _shown(diff: Diff, repository: Repository, redactor: Redactor, room: int) -> _Shown | str:
    """Read a diff and choose the pieces that fit, or say why it cannot be shown."""
    path = diff.change.path
    try:
        raw = repository.read(diff.commit.id, path)
        changed = repository.diff(diff.commit.id, path, diff.change.old_path)
    except GitFailed as error:
        return f"it cannot be read: {error}"
    if raw is None or len(raw) > SCANNED_BYTES:
        return f"the file is no regular file, or larger than {SCANNED_BYTES // 10**6} MB"
    content = raw.decode("utf-8", "replace")
    if stalls(content.split("\n")):
        return "looking for secrets in it would take too long"
    content = redactor.text(content)
    every = pieces(changed, lines_of(content))
    fitting: list[Piece] = []
    for piece in every:
        room -= tokens(piece.text) + _FENCE_TOKENS
        if room < 0:
            break
        fitting.append(piece)
    return _Shown(content, tuple(fitting), len(every)) if fitting else "too large for the model's window"


def _ask(diff: Diff, shown: _Shown, models: Gateway, redactor: Redactor, course: Course) -> None:
    prompt = question(diff, shown.pieces)
    cost = _FRAME_TOKENS + sum(tokens(piece.text) + _FENCE_TOKENS for piece in shown.pieces)
    answer = models.generate(prompt, schema=Remarks, budget=Budget(prompt_tokens=cost, output_tokens=_OUTPUT_TOKENS))
    course.left -= cost
    if not isinstance(answer.value, Remarks):
        why = answer.degraded or "the model gave no answer"
        course.faults.append(why)
        course.passed_over.append((diff, why))
        return
    kept = keep(answer.value, diff, shown.content, shown.pieces, redactor.text)
    course.findings += kept.findings
    course.dropped += kept.dropped
    part = f"only {len(shown.pieces)} of {shown.of} parts were shown" if len(shown.pieces) < shown.of else ""
    course.reviewed.append((diff, "; ".join(filter(None, (part, answer.degraded)))))
