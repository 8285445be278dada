"""The briefing as Slack messages: the first is what fits a phone, the rest goes into its thread.

Markup comes only from the templates here; every text goes through ``blocks.py``, which escapes it. A link is an element
of its own and only ever an address that passed ``told.linkable``; there are no images from data. Belongs here: what
stands in which message. Does not belong here: single blocks and their limits (``blocks.py``), buttons
(``button_blocks.py``), charts (``uploads.py``), or sending (``deliver.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slack_sdk.models.blocks import Block, DividerBlock, RichTextElementParts, SectionBlock

from forge_workers.briefing import button_blocks, words
from forge_workers.briefing.blocks import (
    FIELD_CHARS,
    MESSAGE_CHARS,
    MOST_FIELDS,
    Item,
    Message,
    context,
    cut,
    escape,
    header,
    packed,
    plain_text,
    rich,
    spoken,
    text,
)
from forge_workers.briefing.model import Briefing, Figure, Level, Proof

#: What every sender of Slack messages shares with this one.
__all__ = ["MESSAGE_CHARS", "Message", "escape", "render"]

#: Of a text of unknown length, the characters put into one element: none of it is cut whatever escaping makes of it.
_CHUNK = 200
_DOTS = {Level.GREEN: "🟢", Level.YELLOW: "🟡", Level.RED: "🔴", Level.INCOMPLETE: "⚪"}
_STEP_DOTS = {"ran": "●", "degraded": "◐", "skipped": "○", "failed": "✗", "missing": "✗"}


def render(told: Briefing, *, buttons: bool = True) -> tuple[Message, ...]:
    """Return the messages of a briefing: the first for the channel, the others for its thread, each within limits.

    Args:
        told: The briefing.
        buttons: Whether somebody answers when one is pressed; Slack shows an error under a button nobody listens to.
    """
    first = [*_verdict(told), *_needs(told), *_findings(told), *_shortfalls(told), *_caught_up(told)]
    rest = [] if told.quiet else [*_why(told), *_code(told), *_pulls(told), *_figures(told)]
    answers = list(button_blocks.of_findings(told)) if buttons else []
    tail = button_blocks.of_night(told) if buttons else None
    if told.quiet:
        pages = packed(_alone([*first, *_steps(told)]), tail)
    else:
        pages = packed(_alone([*first, *_more(answers=bool(answers))]), tail)
        pages += packed(answers) + packed(_alone([*rest, *_steps(told)]))
    return tuple(Message(text=spoken(page), blocks=tuple(page)) for page in pages)


def _alone(blocks: Iterable[Block]) -> Iterator[tuple[Block, ...]]:
    return ((block,) for block in blocks)


def _verdict(told: Briefing) -> Iterator[Block]:
    level = told.verdict.level
    if told.edition > 1:
        yield from rich([[text(words.edition(told), bold=True)]])
    yield header(f"{_DOTS[level]} {level} · {words.day(told.night)}")
    yield from rich([[text(told.verdict.sentence, bold=True)]])
    seen = f"{told.verdict.proof.where}, {words.moment(told.verdict.proof.at, told.zone)}"
    yield context(f"{seen} · composed {words.moment(told.made_at, told.zone)} · {told.timezone}")
    for said in filter(None, (words.late(told), words.at_work(told))):
        yield context(said)
    if not told.day_over:
        yield context(f"The day is not over: this tells it until {words.moment(told.made_at, told.zone)}.")


def _needs(told: Briefing) -> Iterator[Block]:
    items = []
    for need in told.needs_you:
        said = text(f"{need.text}. {need.advice}" if need.advice else need.text)
        typed = [part for word in (need.act, need.fingerprint) if word for part in (text(" "), text(word, code=True))]
        items.append([text(f"{need.urgency} ", bold=True), said, *typed, *_proofs(told, need.proofs)])
    if items:
        yield from rich([[text("Needs you", bold=True)]])
        yield from rich(items, style="ordered")


def _findings(told: Briefing) -> Iterator[Block]:
    items = []
    for finding in told.findings:
        mark = [text(" "), text(finding.mark, code=True)] if finding.mark else []
        head = [
            text(f"{finding.severity} ", bold=True),
            text(f"{finding.title} "),
            text(finding.fingerprint, code=True),
        ]
        items.append([*head, *mark, *_proofs(told, finding.proofs[:1])])
    if items:
        yield from rich([[text("New findings", bold=True)]])
        yield from rich(items, style="bullet")
    more = words.listed([f"{number} {severity}" for severity, number in told.findings_more])
    hint = 'dismiss one with forge dismiss <fingerprint> --because "…"' if items else ""
    notes = [f"And {more} more." if more else "", "" if told.quiet else told.findings_note, hint]
    if any(notes):
        yield context(" ".join(filter(None, notes)))


def _shortfalls(told: Briefing) -> Iterator[Block]:
    items = []
    for short in told.shortfalls:
        lead, rest = words.shortfall(short)
        seen = ", ".join(filter(None, (words.seen_in(short), words.clock(short.at, told.zone))))
        said = [text(f"{lead} "), text(rest), text(f" ({seen})", italic=True)]
        items.append([text(f"{short.kind} ", bold=True), *said])
    if items:
        yield from rich([[text("Gaps and degradations", bold=True)]])
        yield from rich(items, style="bullet")


def _caught_up(told: Briefing) -> Iterator[Block]:
    if told.caught_up:
        yield from rich([[text("Earlier nights", bold=True)]])
        yield from rich([[text(line)] for line in told.caught_up], style="bullet")


def _more(*, answers: bool) -> Iterator[Block]:
    buttons = "buttons for each finding, " if answers else ""
    yield context(f"In the thread: {buttons}code, pull requests, numbers, charts and the night's steps.")


def _why(told: Briefing) -> Iterator[Block]:
    if told.verdict.why:
        yield header(f"The machine is {told.verdict.machine}")
        mark = [[text(told.verdict.mark, code=True)]] if told.verdict.mark else []
        yield from rich(mark)
        yield from rich([[text(line)] for line in told.verdict.why], style="bullet")


def _code(told: Briefing) -> Iterator[Block]:
    yield header("Code")
    for change in told.code:
        yield from rich(
            [[text(change.repository, bold=True), text(f": {words.work(change)}"), *_proofs(told, (change.proof,))]]
        )
        items: list[Item] = []
        for commit in change.latest:
            kind = "merge" if commit.merge else f"+{commit.added:,} -{commit.removed:,}"
            items.append([text(f"{commit.subject}, {commit.author}, {kind}"), *_proofs(told, (commit.proof,))])
        if change.more:
            items.append([text(f"and {words.count(change.more, 'earlier commit')}")])
        yield from rich(items, style="bullet")
    if told.code_note:
        yield context(told.code_note)


def _pulls(told: Briefing) -> Iterator[Block]:
    yield header("Pull requests")
    items = []
    for pull in told.pull_requests:
        facts = [pull.author, words.age(pull.age_days), pull.why]
        said = f"{pull.title} ({', '.join(filter(None, facts))})"
        items.append([text(f"{pull.state} ", bold=True), text(said), *_proofs(told, (pull.proof,))])
    yield from rich(items, style="bullet")
    if told.pull_requests_note:
        yield context(told.pull_requests_note)


def _figures(told: Briefing) -> Iterator[Block]:
    moved = [figure for figure in told.figures if figure.moved]
    if moved:
        yield header("Numbers")
    for asset in dict.fromkeys(figure.asset for figure in moved):
        some = [figure for figure in moved if figure.asset == asset]
        head = f"{words.title(asset)}, measured {words.clock(some[0].at, told.zone)}"
        for start in range(0, len(some), MOST_FIELDS):
            fields = [plain_text(_figure(figure), FIELD_CHARS) for figure in some[start : start + MOST_FIELDS]]
            yield SectionBlock(text=plain_text(head, FIELD_CHARS), fields=fields)
    if moved and len(moved) < len(told.figures):
        yield context(f"{words.count(len(told.figures) - len(moved), 'other number')} did not move.")


def _figure(figure: Figure) -> str:
    said = f"{figure.label}\n{words.amount(figure.name, figure.tonight)}"
    if figure.last_night is None:
        return said
    return f"{said} ({words.change(figure)} since {figure.last_is})"


def _steps(told: Briefing) -> Iterator[Block]:
    yield DividerBlock()
    items = []
    for line in told.steps:
        started = "" if line.started_at is None else f", {words.clock(line.started_at, told.zone)}"
        took = "" if line.seconds is None else f", {words.duration(line.seconds)}"
        said = "; ".join(words.step(line))
        what = [text(said[n : n + _CHUNK]) for n in range(0, len(said), _CHUNK)]
        mark = f"{_STEP_DOTS[line.outcome]} "
        items.append([text(mark), text(line.asset, code=True), text(f" {line.outcome}{started}{took}. "), *what])
    yield from rich(items)


def _proofs(told: Briefing, proofs: tuple[Proof, ...]) -> Item:
    found: Item = []
    for proof in proofs:
        where = cut(proof.where, 300)
        link = RichTextElementParts.Link(url=proof.url, text=where) if proof.url else text(proof.where, code=True)
        found += [text(" "), link, text(f" {words.moment(proof.at, told.zone)}", italic=True)]
    return found
