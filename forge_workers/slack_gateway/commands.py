"""The slash command ``/forge``: what is typed is data, read into words and never run.

The subcommands are those below and one for each worker of the catalogue that takes arguments, so that a new row appears
by itself. A repository is named as Forge names it, never by its path. Belongs here: reading the words and choosing.
Does not belong here: what is told (``telling.py``), or giving work (``work.py``).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import NamedTuple

from forge_workers.catalog import WORKERS, Worker
from forge_workers.errors import BadArgs
from forge_workers.fleet.request import arguments
from forge_workers.plain import plain
from forge_workers.redact import Redactor
from forge_workers.slack_gateway import telling, work
from forge_workers.slack_gateway.actions import Acted, Means, review
from forge_workers.slack_gateway.envelope import Ask
from forge_workers.slack_gateway.people import Right, refusal

COMMAND = "/forge"
#: Most words of one command.
_MOST_WORDS = 20
#: Quotation marks that a Slack client makes of plain ones.
_QUOTES = {0x201C: '"', 0x201D: '"', 0x201E: '"', 0x2018: "'", 0x2019: "'"}
#: The argument that a person gives as a watched repository's name.
_REPOSITORY = "repository"
#: Workers that take no job from Slack: this one would post what anybody types in Forge's name.
_NOT_FROM_SLACK = frozenset({"slack_notifier"})


class Sub(NamedTuple):
    """One subcommand.

    Attributes:
        takes: What may follow it, as the help shows it.
        most: Most words that may follow.
        right: What it takes.
        purpose: What it is for, one sentence.
        run: Does it.
    """

    takes: str
    most: int
    right: Right
    purpose: str
    run: Callable[[list[str], Ask, Means], Acted]


def run(ask: Ask, means: Means) -> Acted:
    """Do what was typed.

    Raises:
        BadArgs: It is no command, its words do not fit, or the person may not; one line says what to write.
        Transient, OSError: It cannot be done now; the message says what is in the way.
    """
    if ask.name != COMMAND:
        raise BadArgs(f"Forge has no command {plain(ask.name, 40)}: write {COMMAND} help")
    words = _words(ask.value)
    name = words[0].lower() if words else "help"
    sub = SUBCOMMANDS.get(name)
    if sub is None:
        typed = Redactor(means.settings.secrets).text(words[0])  # as it was typed: a cut secret looks like none
        raise BadArgs(f"there is no {COMMAND} {plain(typed, 40)}: write {COMMAND} help")
    if denied := refusal(ask.by, sub.right, means.settings.slack.may):
        raise BadArgs(denied)
    if len(words) - 1 > sub.most:
        raise BadArgs(f"write {COMMAND} {name} {sub.takes}".rstrip() + f": {len(words) - 1} words are too many")
    return sub.run(words[1:], ask, means)


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text.translate(_QUOTES))
    except ValueError:
        raise BadArgs(f"a quotation mark is open in what follows {COMMAND}: close it") from None
    if len(words) > _MOST_WORDS:
        raise BadArgs(f"{len(words)} words follow {COMMAND}, at most {_MOST_WORDS} are taken")
    return words


def _review(words: list[str], ask: Ask, means: Means) -> Acted:
    if not words:
        raise BadArgs(f"say which: {COMMAND} review REPOSITORY [COMMIT]")
    return review(ask, means, words[0], words[1] if words[1:] else None)


def _enqueue(row: Worker, words: list[str], ask: Ask, means: Means) -> Acted:
    named = dict(word.split("=", 1) for word in words if word.startswith(f"{_REPOSITORY}="))
    place = work.place_of(named[_REPOSITORY], means.settings) if named and _REPOSITORY in row.args else None
    meant = [f"{_REPOSITORY}={place}" if place and word.startswith(f"{_REPOSITORY}=") else word for word in words]
    ticket = work.enqueue(row, arguments(row, meant), ask, wire=means.wire, home=means.settings.home)
    return Acted(row.name, ticket.id, f"{work.in_words({row.name: ticket})}.")


def _of(row: Worker) -> Sub:
    takes = " ".join(f"{name}=…" if arg.required else f"[{name}=…]" for name, arg in row.args.items())

    def enqueue(words: list[str], ask: Ask, means: Means) -> Acted:
        return _enqueue(row, words, ask, means)

    return Sub(takes, len(row.args), "work", row.purpose, enqueue)


def _help(_: list[str], ask: Ask, means: Means) -> Acted:
    may = means.settings.slack.may
    lines = [
        f"{COMMAND} {name} {sub.takes}".rstrip() + f" · {sub.purpose}"
        for name, sub in SUBCOMMANDS.items()
        if refusal(ask.by, sub.right, may) is None
    ]
    more = len(SUBCOMMANDS) - len(lines)
    note = [f"{more} more are for whom slack.may in forge.toml names."] if more else []
    return Acted("help", "", "\n".join((*lines, *note)))


def _status(_: list[str], ask: Ask, means: Means) -> Acted:
    return Acted("status", "", telling.status(means, ask.at))


def _nights(_: list[str], ask: Ask, means: Means) -> Acted:
    return Acted("nights", "", telling.nights(means, ask.at))


def _jobs(_: list[str], __: Ask, means: Means) -> Acted:
    return Acted("jobs", "", telling.jobs(means))


def _briefing(words: list[str], _: Ask, means: Means) -> Acted:
    return Acted("briefing", "".join(words), telling.briefing(means, words[0] if words else None))


_BUILT_IN: Mapping[str, Sub] = {
    "status": Sub("", 0, "read", "How the workers, Redis and the GPU stand.", _status),
    "briefing": Sub("[NIGHT]", 1, "read", "The newest briefing in short, or that of a night.", _briefing),
    "nights": Sub("", 0, "read", "The newest nights, and what became of them.", _nights),
    "jobs": Sub("", 0, "read", "Jobs at work, in line, scheduled and given up.", _jobs),
    "review": Sub("REPOSITORY [COMMIT]", 2, "work", "Has a watched repository reviewed now.", _review),
    "help": Sub("", 0, "read", "This list.", _help),
}
#: Every subcommand by name; a worker never takes the name of a built-in one.
SUBCOMMANDS: Mapping[str, Sub] = {
    **{name: _of(row) for name, row in WORKERS.items() if row.args and name not in _NOT_FROM_SLACK},
    **_BUILT_IN,
}
