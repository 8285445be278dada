"""Evidence: a claim about code stands only on a line that the file has."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.code.evidence import check, lines_of, place
from forge_workers.report import Evidence, Finding, Severity

FILE = "def f():\n    return eval(x)\n\n\ndef g():\n    pass\n\n\ndef h():\n    pass\n"


def claim(quote: str | None, line: int | None) -> Finding:
    """Return a finding that quotes ``quote`` on ``line``."""
    evidence = Evidence(source="git", observed_at=1.0, path="a.py", line=line, quote=quote)
    return Finding(fingerprint="f", rule="r", severity=Severity.LOW, title="t", evidence=(evidence,))


@pytest.mark.parametrize(
    ("quote", "line", "found"),
    [
        ("    return eval(x)", 2, 2),  # as it stands
        ("    return eval(x)  \t", 2, 2),  # blanks at the end
        ("    return eval(x)", 9, 2),  # the number is off, the quote is there once
        ("    return eval(x)", None, 2),  # no number
        ("return eval(x)", 2, 2),  # the indentation was lost
        ("    pass", 6, 6),  # twice there, once on the line claimed
        ("    pass", 7, None),  # twice there, on neither line claimed
        ("    return eval(y)", 2, None),  # not there
        ("return", 2, None),  # a part of a line is no line
        ("", 3, None),  # a blank line proves nothing
        ("   ", 3, None),
        ("def f():\n    return eval(x)", 1, None),  # two lines are no line
    ],
)
def test_a_quote_stands_where_the_file_has_it(quote: str, line: int | None, found: int | None) -> None:
    """Exact text but for blanks at the ends; a wrong number is corrected only when there is one place for it."""
    assert place(quote, line, lines_of(FILE)) == found
    held = check(claim(quote, line), FILE)
    assert (held.evidence[0].line if held else None) == found


def test_a_kept_finding_quotes_the_file_itself() -> None:
    """What is stored is the file's own line, with its indentation, at most 500 characters."""
    held = check(claim("return eval(x)", 7), FILE)
    assert held is not None
    assert (held.evidence[0].line, held.evidence[0].quote) == (2, "    return eval(x)")

    long = "x" * 800
    held = check(claim(long[:500], 1), long + "\n")
    assert held is not None
    assert held.evidence[0].quote == long[:500]


def test_a_finding_without_a_quote_is_dropped() -> None:
    """A claim that shows nothing cannot be checked."""
    assert check(claim(None, 1), FILE) is None


def holds(checked: Callable[[Finding, str], Finding | None], finding: Finding, content: str) -> bool:
    """Whether whatever ``checked`` keeps is there: its quote is the very text of its line."""
    held = checked(finding, content)
    if held is None:
        return True
    at, lines = held.evidence[0], lines_of(content)
    return at.line is not None and at.line <= len(lines) and lines[at.line - 1][:500] == at.quote


@given(st.text("ab \t\n", max_size=60), st.text("ab \t\n", max_size=10), st.none() | st.integers(1, 40))
def test_whatever_is_kept_is_there(content: str, quote: str, line: int | None) -> None:
    """For any file, quote and number, a kept finding shows a line the file has."""
    assert holds(check, claim(quote, line), content)


@pytest.mark.parametrize(("quote", "line"), [("os.system(cmd)", 2), ("    pass", 40), ("    return eval(x)", 1)])
def test_the_check_catches_a_reviewer_that_trusts_the_model(quote: str, line: int) -> None:
    """Control: a variant that keeps what it is told fails the same property."""
    assert not holds(lambda finding, _: finding, claim(quote, line), FILE)
