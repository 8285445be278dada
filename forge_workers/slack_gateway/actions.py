"""What a press of a button does.

A button is stale, and says so, when its message is older than a week; of those that hide or rate a finding, when it was
dismissed meanwhile; of those about the whole night, when a newer edition of the briefing stands there. Of a finding the
store decides: it must be told by a report of the button's night. Belongs here: those checks and the acts. Does not
belong here: who may (``people.py``), or doing each once (``ledger.py``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from slack_sdk.models.views import View

from forge_workers.briefing.buttons import Pressed, Verb, action_id, read
from forge_workers.catalog import worker
from forge_workers.dismissals import Dismissals, of_night
from forge_workers.errors import BadArgs, Damaged, Transient
from forge_workers.feedback import Feedback, Opinion, Snooze
from forge_workers.log import event
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights.grid import State, states
from forge_workers.plain import plain
from forge_workers.redact import Redactor
from forge_workers.report import Finding, Severity
from forge_workers.settings import Settings
from forge_workers.slack_gateway import modal, work
from forge_workers.slack_gateway.envelope import Ask
from forge_workers.slack_gateway.ledger import Ledger
from forge_workers.slack_gateway.people import RIGHTS, refusal
from forge_workers.store import NightStore
from forge_workers.wire import Refused, Unanswered, Wire

_LOG = logging.getLogger(__name__)
#: Age in seconds from which a button is stale: after a week the code under most findings has moved on.
STALE_S = 7 * 86_400.0
#: How long a finding is snoozed, seconds.
SNOOZE_S = 7 * 86_400.0
#: Seconds in which the same night is not run again twice: Dagster hears of an ask within half a minute.
_AGAIN_S = 600.0
_REVIEWERS = ("security_review", "code_review")


@dataclass(frozen=True)
class Means:
    """What acting takes.

    Attributes:
        settings: The user's settings.
        ledger: Of the asks.
        wire: The way to Redis.
        open_form: Opens a form by a trigger, and says whether Slack did.
    """

    settings: Settings
    ledger: Ledger
    wire: Wire
    open_form: Callable[[str, View], bool]

    @property
    def store(self) -> NightStore:
        """The reports of the nights."""
        return NightStore(self.settings.home / "nights")


class Acted(NamedTuple):
    """What an ask did.

    Attributes:
        what: The verb or subcommand, for the record.
        target: What it was about, for the record.
        said: The answer, plain lines; "" when something else answers.
    """

    what: str
    target: str
    said: str


def press(ask: Ask, means: Means) -> Acted:
    """Do what a button says.

    Raises:
        BadArgs: It is unknown, forged or stale, or the person may not; nothing was done.
        Transient, OSError: It cannot be done now; the message says what is in the way.
    """
    pressed = read(ask.name, ask.value)
    _may(ask, pressed.verb, means)
    if _age(ask) > STALE_S:
        raise BadArgs(f"this button is {_age(ask) / 86_400:.0f} days old, which is too old to act on: use a newer one")
    if pressed.night not in means.store.all_nights():
        raise BadArgs(f"there is no night {pressed.night} in the store")
    if pressed.verb is Verb.RERUN:
        return _rerun(ask, pressed, means)
    if pressed.verb is Verb.REVIEW:
        return review(ask, means, pressed.repository or "", pressed.commit)
    if pressed.fingerprint is None:
        _newest_edition(pressed, means.store)
        return _opine(ask, pressed, "", None, means)
    asset, finding = _finding(pressed.fingerprint, pressed, means)
    if pressed.verb is Verb.DISMISS:
        return _ask_why(ask, finding, means)
    return _snooze(ask, finding, means) if pressed.verb is Verb.SNOOZE else _opine(ask, pressed, asset, finding, means)


def dismiss(ask: Ask, means: Means) -> Acted:
    """Dismiss a finding for the reason that the form brought; raises as :func:`press` does."""
    if complaint := problem(ask, means.settings):
        raise BadArgs(complaint)
    pressed = read(action_id(Verb.DISMISS), ask.value)
    known = Dismissals(means.settings.home).all().get(pressed.fingerprint or "")
    if known is None or known.at != ask.at:  # else it was done before a kill
        _, finding = _finding(pressed.fingerprint or "", pressed, means)
        reason = plain(Redactor(means.settings.secrets).text(ask.reason), modal.MOST_REASON)
        because = f"{reason} (by {plain(ask.by, 40)} in Slack)"
        known = Dismissals(means.settings.home).dismiss(finding.fingerprint, because, now=ask.at)
    said = f"Dismissed {known.fingerprint}: later nights count it and show it no more."
    return Acted("dismiss", known.fingerprint, said)


def problem(ask: Ask, settings: Settings) -> str | None:
    """Say what is wrong with a form that was sent, to be shown in it, or None."""
    if ask.name != modal.FORM:
        return "Forge has no such form"
    if denied := refusal(ask.by, RIGHTS[Verb.DISMISS], settings.slack.may):
        return denied
    return None if plain(ask.reason).strip() else "Say why in a few words."


def review(ask: Ask, means: Means, repository: str, commit: str | None) -> Acted:
    """Have a watched repository reviewed now, the whole day or one commit; raises as :func:`press` does."""
    place = work.place_of(repository, means.settings)
    args = {"repository": place} if commit is None else {"repository": place, "commit": commit}
    key = work.key_of(place, commit or "today")
    for name in _REVIEWERS:
        worker(name).check(args)
    tickets = {
        name: work.enqueue(worker(name), args, ask, wire=means.wire, home=means.settings.home, key=key)
        for name in _REVIEWERS
    }
    told = f"{plain(repository, 80)}{f'@{commit[:10]}' if commit else ', today'}"
    return Acted("review", told, f"Review of {told}: {work.in_words(tickets)}. The findings follow as a notice.")


def _may(ask: Ask, verb: Verb, means: Means) -> None:
    if denied := refusal(ask.by, RIGHTS[verb], means.settings.slack.may):
        raise BadArgs(denied)


def _age(ask: Ask) -> float:
    """Return how old the button's message is, seconds.

    Raises:
        BadArgs: Slack's name for it holds no time.
    """
    if not re.fullmatch(r"\d{1,12}\.\d{1,6}", ask.message_ts, re.ASCII):
        raise BadArgs("this button stands under no message")
    return ask.at - float(ask.message_ts)


def _finding(fingerprint: str, pressed: Pressed, means: Means) -> tuple[str, Finding]:
    """Return the finding that a button stands under, and whose it is.

    Raises:
        BadArgs: Its night tells of none, or it is dismissed.
    """
    known = Dismissals(means.settings.home).all().get(fingerprint)
    if known is not None:
        raise BadArgs(f"{fingerprint} is dismissed already: {plain(known.because, 120)}")
    found = of_night(fingerprint, pressed.night, means.store)
    if found is None:
        raise BadArgs(f"the night {pressed.night} tells of no finding {fingerprint}")
    return found


def _newest_edition(pressed: Pressed, store: NightStore) -> None:
    """Refuse what is about a whole briefing that a newer edition has replaced."""
    try:
        report = store.load(BRIEFING, pressed.night)
    except Damaged:
        return
    newest = report.data.get("edition", 1) if report else 1
    if isinstance(newest, int) and newest > pressed.edition:
        raise BadArgs(f"this is edition {pressed.edition} of {pressed.night}: use the buttons of edition {newest}")


def _opine(ask: Ask, pressed: Pressed, asset: str, finding: Finding | None, means: Means) -> Acted:
    first = finding.evidence[0] if finding else None
    opinion = Opinion(
        by=ask.by,
        at=ask.at,
        up=pressed.verb is Verb.UP,
        night=pressed.night,
        fingerprint=pressed.fingerprint,
        asset=asset,
        rule=plain(finding.rule, 1_000) if finding else "",
        repository=plain((first.repository if first else None) or "", 1_000),
        path=((first.path if first else None) or "")[:1_000],
    )
    Feedback(means.settings.home).opine(opinion)
    thumb = "👍" if opinion.up else "👎"
    if finding is None:
        return Acted(pressed.verb, pressed.night, f"{thumb} noted for the briefing of {pressed.night}.")
    said = f"{thumb} noted for {finding.fingerprint}: it counts when findings of one severity are put in order."
    return Acted(pressed.verb, finding.fingerprint, said)


def _ask_why(ask: Ask, finding: Finding, means: Means) -> Acted:
    title = Redactor(means.settings.secrets).text(finding.title)
    if not means.open_form(ask.trigger, modal.form(ask.value, title)):
        raise Transient("Slack did not open the form that asks for the reason: press the button again")
    return Acted(Verb.DISMISS, finding.fingerprint, "")


def _snooze(ask: Ask, finding: Finding, means: Means) -> Acted:
    if finding.severity is Severity.CRITICAL:
        raise BadArgs("a critical finding cannot be snoozed: mend it, or dismiss it with a reason")
    until = ask.at + SNOOZE_S
    Feedback(means.settings.home).snooze(Snooze(fingerprint=finding.fingerprint, until=until, by=ask.by, at=ask.at))
    told = moment(until, means.settings)
    said = f"{finding.fingerprint} is left out of briefings until {told}; it is counted there."
    return Acted(Verb.SNOOZE, finding.fingerprint, said)


def _rerun(ask: Ask, pressed: Pressed, means: Means) -> Acted:
    night, asset = pressed.night, pressed.asset
    if asset is not None and asset not in STEPS:
        raise BadArgs(f"a night has no step {asset}")
    _newest_edition(pressed, means.store)
    if State.RUNNING in states(means.store, (night,))[night].values():
        raise BadArgs(f"the night {night} is being run just now")
    target = " ".join(filter(None, ("rerun", night, asset)))
    before = means.ledger.claim(ask, target, ask.at - _AGAIN_S)
    if before is not None:
        raise BadArgs(f"{plain(before[0], 40)} asked for that at {moment(before[1], means.settings)}: once is enough")
    try:
        work.ask_for_night(night, asset, ask, means.wire)
    except (Unanswered, Refused) as error:
        means.ledger.release(ask)
        event(_LOG, "slack.not_asked", logging.WARNING, night=night, error=type(error).__name__)
        raise Transient("Redis is away, so Dagster could not be asked: start it (`forge up`) and press again") from None
    what = f"{asset} of {night}" if asset else f"the night {night}"
    return Acted(
        Verb.RERUN, target.removeprefix("rerun "), f"Dagster is asked to run {what} again; its briefing follows."
    )


def moment(at: float, settings: Settings) -> str:
    """Return a time (UTC unix seconds) as people here write it."""
    return datetime.fromtimestamp(at, settings.zone).strftime("%Y-%m-%d %H:%M")
