"""Bandit over Python files that somebody else wrote.

The files lie under fixed names in a private directory, no configuration of their project is read, and bandit parses but
never runs them. ``# nosec`` is honoured, because that is what whoever wrote it expects, and counted, because it may be
the very thing to look at. Belongs here: everything that knows bandit. Does not belong here: what is new.

Severities, from bandit's own severity (rows) and its confidence (columns):

======  ======  ======  ======
..      high    medium  low
======  ======  ======  ======
high    high    high    medium
medium  medium  medium  low
low     low     info    info
======  ======  ======  ======

That a program starts another one is no fault by itself: B404, B603 and B607 are always info.
"""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bandit.core.config import BanditConfig
from bandit.core.manager import BanditManager

from forge_workers.code.hits import MASK, Hit
from forge_workers.code.paths import is_test
from forge_workers.plain import plain
from forge_workers.report import Severity

_SEVERITY = {
    ("HIGH", "HIGH"): Severity.HIGH,
    ("HIGH", "MEDIUM"): Severity.HIGH,
    ("HIGH", "LOW"): Severity.MEDIUM,
    ("MEDIUM", "HIGH"): Severity.MEDIUM,
    ("MEDIUM", "MEDIUM"): Severity.MEDIUM,
    ("MEDIUM", "LOW"): Severity.LOW,
    ("LOW", "HIGH"): Severity.LOW,
}
#: Rules whose message ends with the password they found.
PASSWORD_RULES = frozenset({"bandit:B105", "bandit:B106", "bandit:B107"})
#: Rules that remark on every use of ``subprocess``.
_USES = frozenset({"B404", "B603", "B607"})
_ASSERT = "B101"
#: Python ends a line at a carriage return too.
_LINE_END = re.compile(r"\r\n|\r|\n")


class PythonScan(NamedTuple):
    """What bandit says of one file.

    Attributes:
        hits: In order of line.
        silenced: Hits that a ``# nosec`` comment keeps from being listed.
        problem: Why the file could not be scanned, or None.
    """

    hits: tuple[Hit, ...] = ()
    silenced: int = 0
    problem: str | None = None


def is_python(path: str, content: bytes) -> bool:
    """Whether the file is a Python program, by its name or its first line."""
    first = content[:100].partition(b"\n")[0]
    return path.endswith((".py", ".pyw")) or (first.startswith(b"#!") and b"python" in first)


def scan_python(files: Sequence[tuple[str, bytes]]) -> list[PythonScan]:
    """Scan files in one go.

    Args:
        files: Path in its repository, which says whether it is a test, and content.

    Returns:
        One result for each file, in the same order.
    """
    with tempfile.TemporaryDirectory(prefix="forge-") as folder, _quiet():
        places = [Path(folder) / f"{number:05}.py" for number in range(len(files))]
        for place, (_, content) in zip(places, files, strict=True):
            place.write_bytes(content)
        manager = BanditManager(BanditConfig(), "file")
        manager.discover_files([str(place) for place in places])
        manager.run_tests()
    problems = {Path(name).name: reason for name, reason in manager.get_skipped()}
    issues: dict[str, list[Any]] = {}
    for issue in manager.get_issue_list():
        issues.setdefault(Path(issue.fname).name, []).append(issue)
    silenced = {Path(name).name: counts for name, counts in manager.metrics.data.items()}
    return [
        _result(*file, issues.get(place.name, []), silenced.get(place.name, {}), problems.get(place.name))
        for place, file in zip(places, files, strict=True)
    ]


def without_password(rule: str, line: str) -> str:
    """Return ``line`` cut at its first quotation mark when ``rule`` says that a password stands on it."""
    if rule not in PASSWORD_RULES:
        return line
    before, *literal = re.split("[\"']", line, maxsplit=1)
    return f"{before}{MASK}" if literal else before


def _result(path: str, content: bytes, issues: list[Any], counts: dict[str, int], problem: str | None) -> PythonScan:
    if problem is not None:
        return PythonScan(problem=f"bandit cannot scan it: {problem}")
    lines = _LINE_END.split(content.decode("utf-8", "replace"))
    wanted = [i for i in issues if 1 <= i.lineno <= len(lines) and not (i.test_id == _ASSERT and is_test(path))]
    hits = sorted((_hit(issue, lines) for issue in wanted), key=lambda hit: (hit.line, hit.rule))
    return PythonScan(tuple(hits), counts.get("nosec", 0) + counts.get("skipped_tests", 0))


def _hit(issue: Any, lines: list[str]) -> Hit:
    rule = f"bandit:{issue.test_id}"
    said = issue.text.partition(":")[0] if rule in PASSWORD_RULES else issue.text
    confidence = str(issue.confidence)
    severity = _SEVERITY.get((issue.severity, confidence), Severity.INFO)
    return Hit(
        rule=rule,
        severity=Severity.INFO if issue.test_id in _USES else severity,
        title=plain(said, 160),
        detail=f"bandit {issue.test_id} ({issue.test}), confidence {confidence.lower()}, CWE-{issue.cwe.id}.",
        line=issue.lineno,
        quote=lines[issue.lineno - 1],
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep bandit's log and progress bar, and the parser's warnings about foreign code, off the terminal."""
    logger = logging.getLogger("bandit")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
