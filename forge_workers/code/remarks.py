"""What is asked about a diff, and what of the answer is kept.

The answer is a stranger's: the diff may have told the model what to write. So each remark must quote a line that was
shown, its words lose links and markup, and its severity stays between what the rules say and ``high``. What an
attacker can still do is keep the model silent; the ranking and the security review do not ask it. Belongs here: the
question, the schema and the check, pure. Does not belong here: choosing diffs, or asking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel

from forge_workers.code.evidence import Checked, check, lines_of
from forge_workers.code.hunks import Piece
from forge_workers.code.ranking import Diff
from forge_workers.code.risk import floor_of
from forge_workers.models.gateway import Block, Prompt
from forge_workers.plain import plain
from forge_workers.report import Evidence, Finding, Severity, fingerprint

RULE = "review:model"
#: Remarks kept of one answer; a model that has more to say about one diff is guessing.
_MOST = 8
_INSTRUCTIONS = """\
You review one change to one file. Each line of the material is: line number after the change, a mark (+ added, \
- removed, blank unchanged), the text.

Report only defects that this change brings in and that you can point at: wrong results, lost data, security holes, \
races, leaks, errors swallowed, callers broken. No style, no praise, no guesses. Most changes have none: then answer \
with an empty list.

For each defect give the path; the line number; one line quoted exactly as its text stands, without number and mark; a \
severity; a title of one plain sentence; and a detail that says when it goes wrong and what to do."""
_LINKS = re.compile(
    r"!?\[(?P<words>[^\]]*)\]\([^)]*\)|<[^<>]*>|\b(?:https?|ftp|file|mailto|javascript|data|slack|vscode):\S+|\bwww\.\S+"
    r"|\b(?:[\w-]+\.)+[a-z]{2,}/\S*",
    re.IGNORECASE,
)
_CALLS = re.compile(r"@(?=(?:here|channel|everyone)\b)", re.IGNORECASE)


class Remark(BaseModel):  # the docstrings of these two are part of the prompt
    """One defect."""

    path: str
    line: int
    quote: str
    severity: Literal["info", "low", "medium", "high", "critical"]
    title: str
    detail: str


class Remarks(BaseModel):
    """The whole answer."""

    findings: list[Remark]


def question(diff: Diff, shown: Sequence[Piece]) -> Prompt:
    """Ask about ``diff``, of which the ``shown`` pieces fit."""
    blocks = tuple(Block(label=_label(diff, n, len(shown)), text=piece.text) for n, piece in enumerate(shown, start=1))
    return Prompt(purpose="code_review", instructions=_INSTRUCTIONS, blocks=blocks)


def _label(diff: Diff, number: int, of: int) -> str:
    part = f", part {number} of {of}" if of > 1 else ""
    return f"change to {diff.change.path}{part}"


def keep(answer: Remarks, diff: Diff, content: str, shown: Sequence[Piece], redact: Callable[[str], str]) -> Checked:
    """Keep the remarks that hold.

    A remark is dropped when it names another file, quotes what is not there or was not shown, or says nothing.

    Args:
        answer: The model's.
        diff: What it was asked about.
        content: The file as it was shown, secrets hidden.
        shown: The pieces it saw.
        redact: Hides secrets in its words.
    """
    seen = frozenset[int]().union(*(piece.lines for piece in shown))
    findings = [
        finding
        for remark in answer.findings[:_MOST]
        if (finding := _finding(remark, diff, content, redact)) is not None and finding.evidence[0].line in seen
    ]
    return Checked(tuple(findings), len(answer.findings) - len(findings))


def _finding(remark: Remark, diff: Diff, content: str, redact: Callable[[str], str]) -> Finding | None:
    title = _words(redact(remark.title), 160)
    if not title or plain(remark.path) != plain(diff.change.path):
        return None
    quoted = next((line for line in lines_of(remark.quote) if line.strip()), "")[:500]
    evidence = Evidence(
        source="git",
        observed_at=diff.commit.committed_at,
        repository=diff.commit.repository,
        commit=diff.commit.id,
        path=diff.change.path,
        line=remark.line if remark.line >= 1 else None,
        quote=quoted,
    )
    claimed = Finding(
        fingerprint="",
        rule=RULE,
        severity=settled(Severity(remark.severity), floor_of(diff.change)),
        title=title,
        detail=_words(redact(remark.detail), 600),
        evidence=(evidence,),
    )
    held = check(claimed, content)
    if held is None:
        return None
    line = re.sub(r"\s+", "", held.evidence[0].quote or "")
    name = fingerprint(RULE, diff.commit.repository, diff.change.path, line)
    return held.model_copy(update={"fingerprint": name})


def settled(claimed: Severity, floor: Severity) -> Severity:
    """Return the severity that counts: a model may go above the rules' floor but not below, and never above high."""
    return max(floor, min(claimed, Severity.HIGH, key=lambda s: s.rank), key=lambda s: s.rank)


def _words(text: str, limit: int) -> str:
    """Return a model's words as plain text on one line, without links, markup and calls to everybody."""
    bare = _LINKS.sub(lambda m: m["words"] or "", text[: limit * 8])
    return plain(_CALLS.sub("", bare), limit)
