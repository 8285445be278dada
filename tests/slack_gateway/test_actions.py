"""What each button does, once, and whom it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forge_workers.briefing.buttons import Verb, action_id
from forge_workers.dismissals import Dismissals
from forge_workers.feedback import Feedback
from forge_workers.report import Severity
from forge_workers.slack_gateway.gateway import Gateway
from tests.slack_gateway.scenes import (
    ALICE,
    BOB,
    EVE,
    KEY,
    NIGHT,
    NOON,
    OPEN,
    POSTED,
    SHELL,
    Desk,
    carried,
    desk,
    furnish,
)  # fmt: skip
from tests.standins.slack import TEAM, Fault
from tests.standins.slack_socket import pressed, submitted


@pytest.mark.parametrize("verb", [Verb.UP, Verb.DOWN])
def test_a_thumb_is_an_opinion_on_the_finding(at_desk: Desk, verb: Verb) -> None:
    """It is kept with the finding's rule, repository and path, answered to the person alone, and recorded."""
    line = at_desk.press(verb, by=BOB)

    (opinion,) = Feedback(at_desk.home).views().opinions
    assert (opinion.by, opinion.up, opinion.fingerprint) == (BOB, verb is Verb.UP, SHELL)
    assert (opinion.rule, opinion.repository, opinion.path) == ("bandit:B602", "orchard", "app.py")
    assert SHELL in at_desk.said()
    assert at_desk.web.whispers[-1]["response_type"] == "ephemeral"
    assert line == {"at": NOON, "by": BOB, "what": verb, "target": SHELL, "came": "done"}


def test_a_thumb_on_the_whole_briefing_names_no_finding(at_desk: Desk) -> None:
    """It is kept, and no finding's place depends on it."""
    at_desk.press(Verb.UP, None)

    views = Feedback(at_desk.home).views()
    assert [opinion.fingerprint for opinion in views.opinions] == [None]
    assert not views.leaning(NOON + 1).fingerprints
    assert at_desk.said() == f"👍 noted for the briefing of {NIGHT}."


def test_the_same_press_delivered_twice_acts_once(at_desk: Desk) -> None:
    """Slack delivers again what it believes lost; the second is acknowledged, recorded and does nothing."""
    payload = pressed(action_id(Verb.UP), carried(Verb.UP), ts=POSTED)

    at_desk.sent(payload)
    line = at_desk.sent(payload)

    assert line["came"] == "repeated"
    assert len(at_desk.ear.acks) == 2
    assert len(Feedback(at_desk.home).views().opinions) == 1
    assert len(at_desk.web.whispers) == 1


def test_two_people_press_for_themselves(at_desk: Desk) -> None:
    """Each person's opinion counts, and the latest of one person."""
    for verb, by in ((Verb.UP, ALICE), (Verb.UP, BOB), (Verb.DOWN, BOB)):
        at_desk.now[0] += 1
        at_desk.press(verb, by=by)

    assert Feedback(at_desk.home).views().leaning(NOON + 60).fingerprints[SHELL] == 0


def test_dismissing_asks_why_and_keeps_the_reason_with_the_person(at_desk: Desk) -> None:
    """The button opens a form; the form dismisses, and its answer goes to the channel for that person alone."""
    at_desk.press(Verb.DISMISS)
    (view,) = at_desk.web.views

    line = at_desk.sent(submitted(view, "It is a test fixture"))

    dismissed = Dismissals(at_desk.home).all()[SHELL]
    assert dismissed.because == f"It is a test fixture (by {ALICE} in Slack)"
    assert (line["what"], line["target"], line["came"]) == ("dismiss", SHELL, "done")
    assert "test fixture" not in json.dumps(at_desk.record())
    assert at_desk.web.whispers[-1]["user"] == ALICE


@pytest.mark.parametrize("reason", [None, "", "  ", "\u200b\u202e"])
def test_a_form_without_a_reason_stays_open(at_desk: Desk, reason: str | None) -> None:
    """The acknowledgement names the field; when the reason follows, the same form dismisses."""
    at_desk.press(Verb.DISMISS)
    (view,) = at_desk.web.views

    ack = at_desk.send("interactive", submitted(view, reason))
    assert ack["payload"] == {"response_action": "errors", "errors": {"reason": "Say why in a few words."}}
    assert not Dismissals(at_desk.home).all()

    at_desk.send("interactive", submitted(view, "Now with one"))
    assert SHELL in Dismissals(at_desk.home).all()


def test_a_secret_in_a_reason_is_hidden_before_it_is_kept(at_desk: Desk) -> None:
    """What people paste is kept without secrets."""
    at_desk.press(Verb.DISMISS)
    key = "AKIA" + "IOSFODNN7EXAMPLF"

    at_desk.sent(submitted(at_desk.web.views[0], f"the key {key} is old"))

    assert key not in Dismissals(at_desk.home).all()[SHELL].because


def test_a_form_that_slack_does_not_open_is_said(at_desk: Desk) -> None:
    """Three seconds after the press Slack opens none; pressing again is another press."""
    at_desk.web.faults.append(Fault("expired_trigger_id", "views.open"))

    assert at_desk.press(Verb.DISMISS)["came"] == "failed"
    assert "press the button again" in at_desk.said()
    assert at_desk.press(Verb.DISMISS)["came"] == "done"


@pytest.mark.parametrize("verb", [Verb.DISMISS, Verb.SNOOZE, Verb.UP])
def test_a_button_of_a_dismissed_finding_says_so(at_desk: Desk, verb: Verb) -> None:
    """Its reason is told, and nothing changes."""
    Dismissals(at_desk.home).dismiss(SHELL, "We live with it", now=NOON - 60)

    line = at_desk.press(verb)

    assert line["came"] == "refused"
    assert at_desk.said() == f"{SHELL} is dismissed already: We live with it"
    assert at_desk.web.views == []


def test_two_forms_for_one_finding_dismiss_it_once(at_desk: Desk) -> None:
    """Who sends the form second is told that it is done, and the first reason stands."""
    at_desk.press(Verb.DISMISS)
    at_desk.press(Verb.DISMISS)
    first, second = at_desk.web.views
    at_desk.sent(submitted(first, "First"))
    at_desk.now[0] += 5

    line = at_desk.sent(submitted(second, "Second"))

    assert line["came"] == "refused"
    assert Dismissals(at_desk.home).all()[SHELL].because.startswith("First")


def test_a_snooze_lasts_a_week(at_desk: Desk) -> None:
    """It is kept until then, and the answer says until when."""
    at_desk.press(Verb.SNOOZE)

    views = Feedback(at_desk.home).views()
    assert views.snoozed_until(SHELL, Severity.HIGH, NOON + 6 * 86_400) == NOON + 7 * 86_400
    assert views.snoozed_until(SHELL, Severity.HIGH, NOON + 7 * 86_400) is None
    assert "2026-12-01 12:00" in at_desk.said()


def test_a_critical_finding_cannot_be_snoozed(at_desk: Desk) -> None:
    """It can be mended, or dismissed with a reason."""
    assert at_desk.press(Verb.SNOOZE, KEY)["came"] == "refused"
    assert Feedback(at_desk.home).views().snoozes == ()


def test_a_finding_that_is_still_open_has_buttons_too(at_desk: Desk) -> None:
    """What an earlier night left open is no finding of this one, and its report tells it."""
    assert at_desk.press(Verb.SNOOZE, OPEN)["came"] == "done"


@pytest.mark.parametrize("verb", list(Verb))
def test_a_button_from_last_month_says_that_it_is_too_old(at_desk: Desk, verb: Verb) -> None:
    """After a week nothing is done."""
    more: dict[str, Any] = {"repository": "orchard"} if verb is Verb.REVIEW else {}

    line = at_desk.press(verb, None if verb is Verb.RERUN else SHELL, ts=f"{NOON - 30 * 86_400:.6f}", **more)

    assert line["came"] == "refused"
    assert "30 days old" in at_desk.said()
    assert Feedback(at_desk.home).views().opinions == ()


@pytest.mark.parametrize("ts", ["nan", "inf", "1_795_500_000.0", "9e99", "-5.0", ""])
def test_a_message_without_a_time_makes_no_button_young(at_desk: Desk, ts: str) -> None:
    """What Slack never calls a message is no age to act on."""
    line = at_desk.press(Verb.UP, ts=ts)

    assert (line["came"], "under no message" in line["why"]) == ("refused", True)
    assert Feedback(at_desk.home).views().opinions == ()


def test_a_button_about_the_night_of_a_superseded_edition_says_so(at_desk: Desk) -> None:
    """The newer edition has buttons of its own."""
    furnish(at_desk.home, edition=2)

    assert at_desk.press(Verb.RERUN, None)["came"] == "refused"
    assert at_desk.said() == f"this is edition 1 of {NIGHT}: use the buttons of edition 2"
    assert at_desk.press(Verb.UP, None, edition=2)["came"] == "done"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"action": "forge.explode"}, "is no button of Forge"),
        ({"action": "other.up"}, "is no button of Forge"),
        ({"value": ""}, "not what Forge wrote"),
        ({"value": "[" * 1_500}, "not what Forge wrote"),
        ({"value": "x" * 1_950}, "characters"),
        ({"value": '{"night":"2026-11-23","fingerprint":"../../etc/passwd"}'}, "fingerprint"),
        ({"value": '{"night":"../../etc","fingerprint":"00000000000000aa"}'}, "night"),
        ({"value": '{"night":"2026-11-22","fingerprint":"00000000000000aa"}'}, "there is no night 2026-11-22"),
        ({"value": '{"night":"2026-11-23","fingerprint":"ffffffffffffffff"}'}, "tells of no finding"),
        ({"value": '{"night":"2026-11-23","fingerprint":"00000000000000aa","shell":"rm"}'}, "shell"),
    ],
)
def test_a_forged_button_is_refused_in_one_line(at_desk: Desk, changed: dict[str, str], why: str) -> None:
    """What Forge never drew does nothing, is answered to that person alone, and is recorded."""
    made = {"action": action_id(Verb.UP), "value": carried(Verb.UP), **changed}

    line = at_desk.sent(pressed(made["action"], made["value"], by=EVE, ts=POSTED))

    assert (line["came"], line["by"]) == ("refused", EVE)
    assert why in line["why"]
    assert "\n" not in at_desk.said()
    assert Feedback(at_desk.home).views().opinions == ()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"api_app_id": "A0OTHER"}, "another Slack app"),
        ({"user": {"id": EVE, "team_id": "T0OTHER"}}, "its own workspace only"),
        ({"container": {"message_ts": POSTED, "channel_id": "C0OTHER"}}, "the channel of its briefing only"),
        ({"message": {"user": EVE, "ts": POSTED}}, "a message that is not Forge's"),
        ({"message": None}, "a message that is not Forge's"),
    ],
)
def test_a_press_from_elsewhere_is_refused(at_desk: Desk, changed: dict[str, Any], why: str) -> None:
    """Another app, another workspace, another channel, somebody else's message: nothing is done, and it is recorded."""
    line = at_desk.sent(pressed(action_id(Verb.UP), carried(Verb.UP), ts=POSTED, **changed))

    assert (line["came"], why in line["why"]) == ("refused", True)
    assert Feedback(at_desk.home).views().opinions == ()


@pytest.mark.parametrize(
    ("verb", "right"), [(Verb.DISMISS, "hide"), (Verb.SNOOZE, "hide"), (Verb.RERUN, "work"), (Verb.REVIEW, "work")]
)
def test_who_may_not_is_told_which_setting_decides(at_desk: Desk, verb: Verb, right: str) -> None:
    """By default nobody may leave anything out or give work; the refusal is one line for that person alone."""
    more: dict[str, Any] = {"repository": "orchard"} if verb is Verb.REVIEW else {}

    line = at_desk.press(verb, by=BOB, **more)

    assert line["came"] == "refused"
    assert at_desk.said().endswith(f"add {BOB} to slack.may.{right} in forge.toml")


def test_a_form_sent_by_who_may_not_is_refused_in_the_form(at_desk: Desk) -> None:
    """The right is asked for again when the form comes back."""
    at_desk.press(Verb.DISMISS)

    ack = at_desk.send("interactive", submitted(at_desk.web.views[0], "Because", by=BOB))

    assert "slack.may.hide" in ack["payload"]["errors"]["reason"]
    assert Dismissals(at_desk.home).all() == {}


def test_a_press_that_meets_a_damaged_file_says_which(at_desk: Desk) -> None:
    """The answer names the file to mend, and the next press works again."""
    (at_desk.home / "feedback.json").write_text("{")

    assert at_desk.press(Verb.UP)["came"] == "failed"
    assert "feedback.json is damaged" in at_desk.said()


def test_an_own_secret_never_leaves_in_an_answer(at_desk: Desk) -> None:
    """A dismissal whose reason held a token would quote it to whoever presses next."""
    Dismissals(at_desk.home).dismiss(SHELL, "xoxb-1111-2222-standinstandinstandin", now=NOON)

    at_desk.press(Verb.UP)

    assert "xoxb-1111" not in json.dumps(at_desk.web.whispers)


def test_data_in_an_answer_is_no_markup(at_desk: Desk) -> None:
    """A reason that would call everybody is shown as it was typed."""
    Dismissals(at_desk.home).dismiss(SHELL, "<!channel> <https://evil.example|here>", now=NOON)

    at_desk.press(Verb.UP)

    shown = json.dumps(at_desk.web.whispers[-1])
    assert "<!channel>" not in shown
    assert "&lt;!channel&gt;" in shown
    assert at_desk.web.whispers[-1]["blocks"][0]["text"]["type"] == "plain_text"


def test_an_answer_that_slack_refuses_goes_the_other_way(at_desk: Desk) -> None:
    """Where the address for answers fails, the channel shows it to that person alone."""
    at_desk.web.faults.append(Fault("500", "response_url"))

    at_desk.press(Verb.UP)

    assert at_desk.web.whispers[-1]["user"] == ALICE


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/actions", "https://evil.example/x", "file:///etc/passwd", "//["])
def test_an_answer_is_only_posted_to_slack(at_desk: Desk, url: str) -> None:
    """An address that is not of the Slack in the settings is never asked."""
    payload = pressed(action_id(Verb.UP), carried(Verb.UP), ts=POSTED)

    at_desk.send("interactive", {**payload, "response_url": url})

    assert at_desk.web.calls()["response_url"] == 0
    assert at_desk.web.calls()["chat.postEphemeral"] == 1


class _Forgetful(Gateway):
    """The control: it asks no ledger whether a press came before."""

    def _take(self, client: Any, request: Any, ask: Any) -> None:
        self._acknowledge(client, request)
        self._submit(ask, lambda: self._work(ask.model_copy(update={"at": ask.at + len(self._seen)})))
        self._seen.append(ask)

    _seen: list[Any] = []  # noqa: RUF012 - one control, one test


def test_the_control_without_a_ledger_acts_twice(tmp_path: Path) -> None:
    """A gateway that remembers no press is caught by the same look."""
    with desk(tmp_path, make=_Forgetful) as running:
        payload = pressed(action_id(Verb.UP), carried(Verb.UP), ts=POSTED)
        running.sent(payload)
        running.sent(payload)

        assert len(Feedback(running.home).views().opinions) == 2


def test_the_stand_in_gives_the_team_it_is_asked_about() -> None:
    """A press comes from the workspace that the bot's token belongs to."""
    assert pressed("a", "b")["team"]["id"] == TEAM
