"""Nobody looked is never told as nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge_workers.briefing.model import Briefing
from forge_workers.code.commits import commit_log
from forge_workers.code.review import code_review
from forge_workers.code.security import security_review
from forge_workers.ecosystem.evolution import evolution_report
from forge_workers.night import Step
from tests.briefing.examples import calm
from tests.briefing.parts import DAY, NIGHT, briefing
from tests.briefing.test_compose import changed
from tests.code.desk import request_for, tools_for
from tests.standins.repositories import Repo


def night_over(tmp_path: Path, *repos: Path) -> Briefing:
    """Run the desks that read code over ``repos`` and tell them with a machine that is well."""
    tools = tools_for(tmp_path / "home", *repos)
    request = request_for(tools, NIGHT, DAY)
    desks = (commit_log, security_review, code_review, evolution_report)
    steps = [Step(asset=desk.__name__, report=desk(request, tools)) for desk in desks]
    return briefing(changed(calm(), *steps))


def claims_nothing(told: Briefing) -> None:
    """Check that no sentence and no number claims that somebody looked at code."""
    assert "Nothing new was found" not in told.findings_note
    assert "Security review: nobody looked" in told.findings_note
    assert "Code review: nobody looked" in told.findings_note
    assert told.code_note == "No repository could be read."
    assert told.verdict.sentence.startswith("The machine is well, and nobody looked at the code")
    assert not told.quiet
    code = {"commit_log", "security_review", "code_review", "evolution_report"}
    assert [figure for figure in told.figures if figure.asset in code] == []


def test_a_night_without_a_readable_repository_says_that_nobody_looked(tmp_path: Path) -> None:
    """Real desks over a path that is not there: four steps that claim nothing."""
    claims_nothing(night_over(tmp_path, tmp_path / "missing"))


def test_the_check_catches_a_night_that_calls_it_quiet(tmp_path: Path) -> None:
    """Control: the same check fails on a night that looked at a repository and found nothing."""
    repo = Repo(tmp_path / "app")
    repo.commit({"README.md": "# App\n"}, at=DAY.start_at - 3600)
    with pytest.raises(AssertionError):
        claims_nothing(night_over(tmp_path, repo.path))


def test_the_night_before_the_first_commit_is_a_plain_short_night(tmp_path: Path) -> None:
    """A repository that had nothing yet was looked at, and nothing was there."""
    repo = Repo(tmp_path / "app")
    repo.commit({"README.md": "# App\n"}, at=DAY.end_at + 3600)
    told = night_over(tmp_path, repo.path)

    assert told.quiet
    assert told.findings_note.startswith("Nothing new was found")
