"""Holding a claim about code against the code.

A finding quotes one line of one file at one commit. Here the quote is looked up in that file, so that neither a model
nor a scanner can claim what is not there. Belongs here: the check, pure. Does not belong here: reading the file.
"""

from __future__ import annotations

from typing import NamedTuple

from forge_workers.report import Evidence, Finding

#: Characters of a line that a quote may hold, as ``Evidence.quote`` allows.
QUOTE_LENGTH = 500


class Checked(NamedTuple):
    """Findings whose quotes stand in their file, and how many claims were dropped."""

    findings: tuple[Finding, ...]
    dropped: int


def lines_of(content: str) -> list[str]:
    """Split ``content`` into lines as Git and editors count them, each without its trailing blanks."""
    return [line.rstrip() for line in content.split("\n")]


def place(quote: str, line: int | None, lines: list[str]) -> int | None:
    """Say on which line ``quote`` stands.

    1. It is the text of the line claimed: that line.
    2. It is the text of exactly one other line: that line; the number was off.
    3. The same two steps again without regard to indentation, which models tend to drop.
    4. Otherwise it stands nowhere, or it cannot be told where.

    Args:
        quote: The claimed text; blanks at its end do not count.
        line: The claimed line number, from 1.
        lines: The file, as :func:`lines_of` gives it.

    Returns:
        The line number, from 1, or None.
    """
    for trimmed in (str.rstrip, str.strip):
        wanted = trimmed(quote)[:QUOTE_LENGTH]
        if not wanted.strip():
            return None
        there = [n for n, text in enumerate(lines, start=1) if trimmed(text)[:QUOTE_LENGTH] == wanted]
        if line in there:
            return line
        if there:
            return there[0] if len(there) == 1 else None
    return None


def check(finding: Finding, content: str) -> Finding | None:
    """Return ``finding`` with its evidence as it stands in ``content``, or None when a quote does not.

    Args:
        finding: Claims something about one file; a line number that is off and a lost indentation are put right.
        content: That file at the commit of the evidence.
    """
    lines = lines_of(content)
    settled: list[Evidence] = []
    for evidence in finding.evidence:
        line = place(evidence.quote or "", evidence.line, lines)
        if line is None:
            return None
        settled.append(evidence.model_copy(update={"line": line, "quote": lines[line - 1][:QUOTE_LENGTH]}))
    return finding.model_copy(update={"evidence": tuple(settled)})
