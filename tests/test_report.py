"""Reports and findings: frozen, and the same after a trip through JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forge_workers.report import Evidence, Finding, Report, Severity, Usage, by_weight, fingerprint

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
evidences = st.builds(
    Evidence,
    source=texts,
    observed_at=st.floats(0, 4e9),
    path=st.none() | texts,
    line=st.none() | st.integers(1, 10**6),
    quote=st.none() | texts,
)
findings = st.builds(
    Finding,
    fingerprint=st.text("0123456789abcdef", min_size=16, max_size=16),
    rule=texts,
    severity=st.sampled_from(Severity),
    title=texts,
    evidence=st.tuples(evidences),
    is_new=st.booleans(),
)


@given(st.lists(findings, max_size=3), texts)
def test_a_report_survives_a_trip_through_json(found: list[Finding], headline: str) -> None:
    """What one step writes, another reads back equal, whatever text is in it."""
    report = Report(asset="x", night="2026-11-23", headline=headline, findings=tuple(found))

    assert Report.model_validate_json(report.model_dump_json()) == report


@given(st.lists(findings, max_size=6, unique_by=lambda f: f.fingerprint), st.randoms())
def test_the_order_of_findings_never_wavers(found: list[Finding], chance: object) -> None:
    """New first, then the most severe, whatever order they were found in."""
    shuffled = list(found)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert by_weight(found) == by_weight(shuffled)
    ranks = [(f.is_new, f.severity.rank) for f in by_weight(found)]
    assert ranks == sorted(ranks, reverse=True)


def test_a_finding_without_evidence_cannot_be_made() -> None:
    """Every claim says where it can be checked."""
    with pytest.raises(ValidationError):
        Finding(fingerprint="a", rule="r", severity=Severity.LOW, title="t", evidence=())


def test_a_fingerprint_keeps_its_parts_apart() -> None:
    """Two findings whose parts only join to the same text have different names."""
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("rule", "app", "a.py", "eval(x)") == fingerprint("rule", "app", "a.py", "eval(x)")


def test_a_report_cannot_be_changed() -> None:
    """Values are frozen: what was stored is what was returned."""
    with pytest.raises(ValidationError):
        Report(asset="x", night="2026-11-23", headline="h").headline = "other"  # type: ignore[misc]


def test_usage_adds_up() -> None:
    """Two tries of one step cost what both cost, and name the model that answered last."""
    parts = [Usage(model="a", calls=1, gpu_s=0.5), Usage(calls=2, prompt_tokens=7), Usage(model="b", saved_by_cache=1)]

    assert Usage.total(parts) == Usage(model="b", calls=3, prompt_tokens=7, gpu_s=0.5, saved_by_cache=1)
    assert Usage.total([]) == Usage()
