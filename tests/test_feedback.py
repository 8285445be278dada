"""Opinions and snoozes: remembered, bounded, and what they come to."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from forge_workers.code.ranking import ranked
from forge_workers.errors import Damaged
from forge_workers.feedback import MOST_OPINIONS, Feedback, Opinion, Snooze, Views
from forge_workers.git import Commit, FileChange
from forge_workers.report import Evidence, Finding, Severity

NIGHT = "2026-11-23"
A, B = "00000000000000aa", "00000000000000bb"


def opinion(at: float = 1.0, **changed: Any) -> Opinion:
    """Return thumbs up by Alice."""
    facts = {"by": "U0ALICE", "up": True, "night": NIGHT, "fingerprint": A, "rule": "r", "repository": "orchard"}
    return Opinion(at=at, **{**facts, **changed})


def finding(fingerprint: str = A, **changed: Any) -> Finding:
    """Return a finding of that rule in that repository."""
    seen = Evidence(source="bandit", observed_at=0, repository=changed.pop("repository", "orchard"))
    facts = {"rule": "r", "severity": Severity.HIGH, "title": "t", **changed}
    return Finding(fingerprint=fingerprint, evidence=(seen,), **facts)


def test_what_was_said_is_remembered(tmp_path: Path) -> None:
    """Another process reads the same; the file is its owner's alone."""
    Feedback(tmp_path).opine(opinion())
    Feedback(tmp_path).snooze(Snooze(fingerprint=B, until=9.0, by="U0ALICE", at=1.0))

    views = Feedback(tmp_path).views()
    assert views.opinions == (opinion(),)
    assert [snooze.fingerprint for snooze in views.snoozes] == [B]
    assert (tmp_path / "feedback.json").stat().st_mode & 0o077 == 0


def test_the_same_opinion_twice_is_one(tmp_path: Path) -> None:
    """A press that is acted on again after a kill changes nothing."""
    for _ in range(2):
        Feedback(tmp_path).opine(opinion())

    assert len(Feedback(tmp_path).views().opinions) == 1


def test_a_persons_latest_opinion_counts() -> None:
    """In whatever order they are kept."""
    views = Views(opinions=(opinion(2.0, up=False), opinion(1.0)))

    assert views.leaning(before=9.0).of_finding(finding()) < 0


def test_only_opinions_before_a_moment_count() -> None:
    """A night that is done again comes out as it did, whatever people have said since."""
    views = Views(opinions=(opinion(1.0), opinion(5.0, up=False)))

    assert views.leaning(before=5.0).of_finding(finding()) == 3
    assert views.leaning(before=1.0).of_finding(finding()) == 0


def test_a_leaning_is_twice_the_findings_own_and_once_its_rules() -> None:
    """A finding nobody judged leans as its rule does in its repository, and not elsewhere."""
    leaning = Views(opinions=(opinion(), opinion(by="U0BOB"))).leaning(9.0)

    assert leaning.of_finding(finding()) == 2 * 2 + 2
    assert leaning.of_finding(finding(B)) == 2
    assert leaning.of_finding(finding(B, repository="press")) == 0
    assert leaning.of_finding(finding(B, rule="other")) == 0


def test_many_clicks_weigh_no_more_than_a_few_people() -> None:
    """A crowd cannot push a finding further than three people can."""
    views = Views(opinions=tuple(opinion(by=f"U{n}") for n in range(500)))

    assert views.leaning(9.0).of_finding(finding()) == 2 * 3 + 3


def test_an_opinion_on_a_whole_briefing_moves_no_finding() -> None:
    """It names none."""
    assert Views(opinions=(opinion(fingerprint=None),)).leaning(9.0).of_finding(finding()) == 0


def test_a_snooze_ends_by_itself_and_a_later_one_counts(tmp_path: Path) -> None:
    """Of one finding the latest asking is kept."""
    feedback = Feedback(tmp_path)
    feedback.snooze(Snooze(fingerprint=A, until=20.0, by="U1", at=2.0))
    feedback.snooze(Snooze(fingerprint=A, until=10.0, by="U1", at=1.0))

    views = feedback.views()
    assert len(views.snoozes) == 1
    assert views.snoozed_until(A, Severity.HIGH, now=19.9) == 20.0
    assert views.snoozed_until(A, Severity.HIGH, now=20.0) is None
    assert views.snoozed_until(A, Severity.CRITICAL, now=5.0) is None


def test_the_file_is_bounded(tmp_path: Path) -> None:
    """The newest opinions are kept."""
    full = Views(opinions=tuple(opinion(float(n)) for n in range(MOST_OPINIONS)))
    (tmp_path / "feedback.json").write_text(full.model_dump_json())

    Feedback(tmp_path).opine(opinion(1e9))

    kept = Feedback(tmp_path).views().opinions
    assert (len(kept), kept[0].at, kept[-1].at) == (MOST_OPINIONS, 1.0, 1e9)


@pytest.mark.parametrize("content", ["", "[]", '{"opinions":[{}]}', '{"more":1}'])
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    """A person mends it; nothing writes over it."""
    path = tmp_path / "feedback.json"
    path.write_text(content)

    with pytest.raises(Damaged, match="mend it or move it away"):
        Feedback(tmp_path).opine(opinion())
    assert path.read_text() == content


def test_people_who_press_at_once_are_all_heard(tmp_path: Path) -> None:
    """A lock lets one write at a time."""
    pressing = [threading.Thread(target=Feedback(tmp_path).opine, args=(opinion(by=f"U{n}"),)) for n in range(8)]
    for thread in pressing:
        thread.start()
    for thread in pressing:
        thread.join()

    assert len(Feedback(tmp_path).views().opinions) == 8


def change(path: str, added: int = 20) -> FileChange:
    """Return a change to one file."""
    return FileChange(path=path, old_path=None, status="M", added=added, removed=0, binary=False, language="python")


def test_of_two_diffs_of_one_risk_the_one_with_the_better_reviews_comes_first() -> None:
    """Opinions on a file's reviews decide between equals, and never against the score."""
    files = (change("a.py"), change("b.py"), change("c.py", 600))
    commit = Commit(
        id="a" * 40, repository="orchard", author="Ada", authored_at=0, committed_at=0, subject="Change", files=files
    )
    liked = opinion(asset="code_review", path="b.py")
    loathed = opinion(asset="code_review", path="c.py", up=False, fingerprint=B)
    leaning = Views(opinions=(liked, loathed)).leaning(9.0)

    plain = [diff.change.path for diff in ranked([commit], {})]
    heard = [diff.change.path for diff in ranked([commit], {}, leaning)]
    assert plain == ["c.py", "a.py", "b.py"]
    assert heard == ["c.py", "b.py", "a.py"]
    assert [d.risk for d in ranked([commit], {}, leaning) if d.change.path == "c.py"] == [
        d.risk for d in ranked([commit], {}) if d.change.path == "c.py"
    ]
