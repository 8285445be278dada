"""The threat assessment: no model on green, a model that can only raise, and words that are checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from forge_workers.health import triage as table
from forge_workers.health.assessment import _MEASURED, Opinion, _prompt, threat_assessment, weighed
from forge_workers.health.checks import Snapshot, Status
from forge_workers.health.triage import Level, Triage, replay, triage
from forge_workers.models.gateway import Answer, Budget, Prompt
from forge_workers.report import Outcome, Report, Usage
from forge_workers.settings_sections import Models
from forge_workers.tools import Request, Tools
from tests.health.scenes import look, request, settled, snapshot_report, tools
from tests.standins.forge import NOBODY
from tests.standins.ollama import Body, OllamaStandIn

WARNING = look(load=2.0)
FAILURE = look(disk_free=1.0)


def says(level: Level, explanation: str = "The load is high; look at the processes.") -> str:
    """Return the model's answer as it writes it."""
    return json.dumps({"explanation": explanation, "level": level})


def assess(home: Path, snapshot: Snapshot | None, answer: str | None) -> tuple[Report, list[Body], Usage]:
    """Run the desk with a server whose model says ``answer``, or with none; return also what was asked and the cost."""
    upstream = () if snapshot is None else (snapshot_report(snapshot),)
    with OllamaStandIn(answer=lambda _: answer or "") as server:
        models = Models(ollama_url=NOBODY) if answer is None else server.settings(home).models
        here = tools(home, models=models)
        report = threat_assessment(request(*upstream), here)
        here.models.close()
    return report, server.asked, here.models.usage


def test_green_asks_no_model_and_counts_one_as_spared(tmp_path: Path) -> None:
    """All checks pass: level GREEN, nothing asked, no explanation, not degraded even without a model."""
    for answer in (None, says(Level.RED)):
        report, asked, usage = assess(tmp_path, look(), answer)

        assert (report.data["level"], report.data["explanation"], report.outcome) == ("GREEN", None, Outcome.RAN)
        assert (asked, usage.calls, usage.saved_by_rules) == ([], 0, 1)


def silent_on_green(desk: Callable[[Request, Tools], Report], home: Path) -> None:
    """Assert that ``desk`` asks no model about a healthy machine."""
    with OllamaStandIn(answer=lambda _: says(Level.RED)) as server:
        desk(request(snapshot_report(look())), tools(home, models=server.settings(home).models))
    assert server.asked == []


def test_a_desk_that_asks_on_green_is_caught(tmp_path: Path) -> None:
    """Control: a variant that asks the model first breaks the rule."""

    def chatty(request: Request, tools: Tools) -> Report:
        prompt = Prompt(purpose="threat_assessment", instructions="Is all well?")
        tools.models.generate(prompt, budget=Budget(prompt_tokens=1_000))
        return threat_assessment(request, tools)

    silent_on_green(threat_assessment, tmp_path / "ours")
    with pytest.raises(AssertionError):
        silent_on_green(chatty, tmp_path / "chatty")


@pytest.mark.parametrize(
    ("snapshot", "proposed", "level"),
    [
        (WARNING, Level.GREEN, "YELLOW"),
        (WARNING, Level.YELLOW, "YELLOW"),
        (WARNING, Level.RED, "RED"),
        (FAILURE, Level.GREEN, "RED"),
        (None, Level.GREEN, "YELLOW"),
    ],
)
def test_the_model_may_raise_and_never_lower(
    tmp_path: Path, snapshot: Snapshot | None, proposed: Level, level: str
) -> None:
    """The higher of both levels stands, and the stored trace gives it again."""
    report, asked, _ = assess(tmp_path, snapshot, says(proposed))

    assert report.data["level"] == level
    assert len(asked) == 1
    rules = report.data["rules"]
    assert isinstance(rules, list)
    assert replay(rules) == level


def never_lowers(weigh: Callable[[Triage, Answer], tuple[Triage, str, tuple[str, ...]]]) -> None:
    """Assert over every pair of levels that ``weigh`` keeps at least the rules' level."""
    for snapshot in (look(), WARNING, FAILURE, None):
        before = triage(snapshot)
        for proposed in Level:
            answer = Answer(text="t", value=Opinion(explanation="e", level=proposed), engine="ollama", model="m")
            assert weigh(before, answer)[0].level.rank >= before.level.rank


def test_a_triage_that_lets_the_model_lower_is_caught() -> None:
    """Control: a variant that believes the model breaks the rule."""

    def believing(before: Triage, answer: Answer) -> tuple[Triage, str, tuple[str, ...]]:
        assert isinstance(answer.value, Opinion)
        return before.model_copy(update={"level": answer.value.level}), "", ()

    never_lowers(weighed)
    with pytest.raises(AssertionError):
        never_lowers(believing)


def test_the_same_faults_are_explained_once_whatever_was_measured(tmp_path: Path) -> None:
    """Another measured value of the same fault asks for no second explanation; an address stays readable."""
    prompts = [_prompt(triage(look(load=load))).blocks[0].text for load in (2.0, 3.25)]

    assert prompts[0] == prompts[1]
    assert "#" in prompts[0]
    assert _MEASURED.sub("#", "12 s from 127.0.0.1:11434 on 2026-11-24") == "# s from 127.0.0.1:11434 on 2026-11-24"


def test_without_a_model_the_rules_speak(tmp_path: Path) -> None:
    """No server: the rules' own words, and the report says that it is degraded and why."""
    report, asked, _ = assess(tmp_path, WARNING, None)

    assert report.outcome is Outcome.DEGRADED
    assert report.reasons == ("no model: Ollama does not answer at 127.0.0.1:9",)
    assert report.data["explanation"] == "Load: 2 per core"
    assert asked == []


@pytest.mark.parametrize("answer", ["not json", "{}", says(Level.RED, ""), '{"explanation": "x", "level": "BLACK"}'])
def test_an_answer_that_does_not_fit_is_dropped_and_raises_nothing(tmp_path: Path, answer: str) -> None:
    """Garbage from a model changes no level and is not shown."""
    report, _, _ = assess(tmp_path, WARNING, answer)

    assert (report.data["level"], report.outcome) == ("YELLOW", Outcome.DEGRADED)
    assert report.data["explanation"] == "Load: 2 per core"


@pytest.mark.parametrize(
    ("explanation", "kept"),
    [
        ("The load is 2 per core.", True),
        ("Only 1.5 GiB are free.", True),
        ("About 2 GiB are free.", True),
        ("Only 7 GiB are free.", False),
        ("\u202e\u0007", False),
    ],
)
def test_words_with_a_number_nobody_saw_are_dropped(tmp_path: Path, explanation: str, kept: bool) -> None:
    """Every number of an explanation is one the rules saw, or its rounding; else the rules' words are shown."""
    report, _, _ = assess(tmp_path, look(disk_free=1.53, load=2.0), says(Level.RED, explanation))

    assert (report.data["explanation"] == explanation) is kept
    assert (report.outcome is Outcome.RAN) is kept


def test_a_models_markup_is_shown_as_text(tmp_path: Path) -> None:
    """A link, a picture or a heading in an explanation is no link, picture or heading in the document."""
    report, _, _ = assess(
        tmp_path, WARNING, says(Level.RED, "# See ![x](http://evil.example) <b>now</b>\n\n## All well")
    )

    assert "](http" not in report.markdown
    assert "<b>" not in report.markdown
    assert "\n## All well" not in report.markdown


@pytest.mark.parametrize("data", [{}, {"observed_at": 1.0}, {"observed_at": 1.0, "checks": [{"name": "x"}]}])
def test_a_missing_or_broken_snapshot_is_yellow_with_the_reason(tmp_path: Path, data: dict[str, object]) -> None:
    """Without a snapshot, or with one that cannot be read, the level is YELLOW and says that nothing is known."""
    broken = Report(asset="health_snapshot", night="2026-03-02", headline="h", data=data)

    for upstream in ((), (broken,)):
        report = threat_assessment(request(*upstream), tools(tmp_path))
        assert (report.data["level"], report.outcome) == ("YELLOW", Outcome.DEGRADED)
        assert "there is no health snapshot of this night" in report.reasons[0]


def test_a_late_snapshot_makes_a_degraded_assessment(tmp_path: Path) -> None:
    """What was wrong with the snapshot is said again where its level is."""
    late = snapshot_report(look()).model_copy(update={"outcome": Outcome.DEGRADED, "reasons": ("seen too late",)})

    report = threat_assessment(request(late), tools(tmp_path))

    assert (report.outcome, report.reasons) == (Outcome.DEGRADED, ("seen too late",))


def test_the_nights_before_are_read_from_the_store(tmp_path: Path) -> None:
    """A model server that answered last night and does not now fires its rule."""
    here = tools(tmp_path)
    now = look(checks=settled("model_server", Status.WARN, "no answer"))
    here.history.save(snapshot_report(look(now.observed_at - 86_400), "2026-03-01"))

    report = threat_assessment(request(snapshot_report(now)), here)

    assert "model\\_gone | yes" in report.markdown
    assert report.headline.startswith("YELLOW: Model server")


def test_every_rule_is_in_the_document(tmp_path: Path) -> None:
    """The trace in Markdown has one row per rule, fired or not, and states both limits."""
    report, _, _ = assess(tmp_path, FAILURE, None)

    rows = [line for line in report.markdown.splitlines() if " | yes | " in line or " | no | " in line]
    assert len(rows) == len(table.RULES)
    assert "RED from 40 points" in report.markdown
