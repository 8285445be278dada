"""The briefing as Slack messages: the first is what fits a phone, the rest goes into its thread.

Two layers keep data from becoming markup. Data stands in ``rich_text`` and ``plain_text`` elements, which Slack does
not parse; and every string has ``&``, ``<`` and ``>`` escaped by :func:`escape`, so that no token (``<!channel>``,
``<@U1>``, ``<http://x|y>``) can begin in it. Markup comes only from the templates here. A link is an element of its own
and only ever an address that passed ``told.linkable``; there are no images from data. Belongs here: blocks and their
limits. Does not belong here: sending (``deliver.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import JsonValue
from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    DividerBlock,
    HeaderBlock,
    PlainTextObject,
    RichTextBlock,
    RichTextElement,
    RichTextElementParts,
    RichTextListElement,
    RichTextSectionElement,
    SectionBlock,
)

from forge_workers.briefing import words
from forge_workers.briefing.model import Briefing, Figure, Level, Proof
from forge_workers.report import Frozen

#: Blocks in one message. Source: docs.slack.dev, Block Kit: at most 50.
MOST_BLOCKS = 50
#: Characters of one header. Source: docs.slack.dev, header block.
HEADER_CHARS = 150
#: Fields in one section, and characters in one field. Source: docs.slack.dev, section block.
MOST_FIELDS, FIELD_CHARS = 10, 2_000
#: Characters of all blocks of one message as JSON. Source: github.com/slackapi/bolt-js/issues/2509: Slack answers
#: ``msg_blocks_too_long`` from about 13,200 on, though it documents no such limit; this leaves a margin.
MESSAGE_CHARS = 11_000
#: Characters of one rich text block as JSON; below the 3,000 that Slack allows any text object.
_RICH_CHARS = 2_800
#: Longest text of one element, in characters after escaping, which can make five of one.
_ELEMENT_CHARS = 1_000
#: Of a text of unknown length, the characters put into one element: none of it is cut whatever escaping makes of it.
_CHUNK = 200
_DOTS = {Level.GREEN: "🟢", Level.YELLOW: "🟡", Level.RED: "🔴", Level.INCOMPLETE: "⚪"}
_STEP_DOTS = {"ran": "●", "degraded": "◐", "skipped": "○", "failed": "✗", "missing": "✗"}

Item = list[RichTextElement]


class Message(Frozen):
    """One message: its blocks, and the same in words for notifications and for when Slack refuses the blocks."""

    text: str
    blocks: tuple[dict[str, JsonValue], ...]


def render(told: Briefing) -> tuple[Message, ...]:
    """Return the messages of a briefing: the first for the channel, the others for its thread, each within limits."""
    first = [*_verdict(told), *_needs(told), *_findings(told), *_shortfalls(told)]
    rest = [] if told.quiet else [*_why(told), *_code(told), *_pulls(told), *_figures(told)]
    pages = [*_packed([*first, *_more(rest)]), *_packed([*rest, *_steps(told)])]
    if told.quiet:
        pages = list(_packed([*first, *_steps(told)]))
    return tuple(Message(text=_spoken(page), blocks=tuple(page)) for page in pages)


def escape(text: str) -> str:
    """Return ``text`` with Slack's three control characters as entities.

    Source: docs.slack.dev, "Formatting message text": ``&``, ``<`` and ``>`` must be escaped, nothing else.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _verdict(told: Briefing) -> Iterator[Block]:
    level = told.verdict.level
    yield _header(f"{_DOTS[level]} {level} · {words.day(told.night)}")
    yield from _rich([[_text(told.verdict.sentence, bold=True)]])
    seen = f"{told.verdict.proof.where}, {words.moment(told.verdict.proof.at, told.zone)}"
    yield _context(f"{seen} · composed {words.moment(told.made_at, told.zone)} · {told.timezone}")
    if not told.day_over:
        yield _context(f"The day is not over: this tells it until {words.moment(told.made_at, told.zone)}.")


def _needs(told: Briefing) -> Iterator[Block]:
    items = []
    for need in told.needs_you:
        said = _text(f"{need.text}. {need.advice}" if need.advice else need.text)
        typed = [part for word in (need.act, need.fingerprint) if word for part in (_text(" "), _text(word, code=True))]
        items.append([_text(f"{need.urgency} ", bold=True), said, *typed, *_proofs(told, need.proofs)])
    if items:
        yield from _rich([[_text("Needs you", bold=True)]])
        yield from _rich(items, style="ordered")


def _findings(told: Briefing) -> Iterator[Block]:
    items = []
    for finding in told.findings:
        mark = [_text(" "), _text(finding.mark, code=True)] if finding.mark else []
        head = [
            _text(f"{finding.severity} ", bold=True),
            _text(f"{finding.title} "),
            _text(finding.fingerprint, code=True),
        ]
        items.append([*head, *mark, *_proofs(told, finding.proofs[:1])])
    if items:
        yield from _rich([[_text("New findings", bold=True)]])
        yield from _rich(items, style="bullet")
    more = words.listed([f"{number} {severity}" for severity, number in told.findings_more])
    hint = 'dismiss one with forge dismiss <fingerprint> --because "…"' if items else ""
    notes = [f"And {more} more." if more else "", "" if told.quiet else told.findings_note, hint]
    if any(notes):
        yield _context(" ".join(filter(None, notes)))


def _shortfalls(told: Briefing) -> Iterator[Block]:
    items = []
    for short in told.shortfalls:
        lead, rest = words.shortfall(short)
        seen = ", ".join(filter(None, (words.seen_in(short), words.clock(short.at, told.zone))))
        said = [_text(f"{lead} "), _text(rest), _text(f" ({seen})", italic=True)]
        items.append([_text(f"{short.kind} ", bold=True), *said])
    if items:
        yield from _rich([[_text("Gaps and degradations", bold=True)]])
        yield from _rich(items, style="bullet")


def _more(rest: list[Block]) -> Iterator[Block]:
    if rest:
        yield _context("In the thread: code, pull requests, numbers and the night's steps.")


def _why(told: Briefing) -> Iterator[Block]:
    if told.verdict.why:
        yield _header(f"The machine is {told.verdict.machine}")
        mark = [[_text(told.verdict.mark, code=True)]] if told.verdict.mark else []
        yield from _rich(mark)
        yield from _rich([[_text(line)] for line in told.verdict.why], style="bullet")


def _code(told: Briefing) -> Iterator[Block]:
    yield _header("Code")
    for change in told.code:
        yield from _rich(
            [[_text(change.repository, bold=True), _text(f": {words.work(change)}"), *_proofs(told, (change.proof,))]]
        )
        items: list[Item] = []
        for commit in change.latest:
            kind = "merge" if commit.merge else f"+{commit.added:,} -{commit.removed:,}"
            items.append([_text(f"{commit.subject}, {commit.author}, {kind}"), *_proofs(told, (commit.proof,))])
        if change.more:
            items.append([_text(f"and {words.count(change.more, 'earlier commit')}")])
        yield from _rich(items, style="bullet")
    if told.code_note:
        yield _context(told.code_note)


def _pulls(told: Briefing) -> Iterator[Block]:
    yield _header("Pull requests")
    items = []
    for pull in told.pull_requests:
        facts = [pull.author, words.age(pull.age_days), pull.why]
        said = f"{pull.title} ({', '.join(filter(None, facts))})"
        items.append([_text(f"{pull.state} ", bold=True), _text(said), *_proofs(told, (pull.proof,))])
    yield from _rich(items, style="bullet")
    if told.pull_requests_note:
        yield _context(told.pull_requests_note)


def _figures(told: Briefing) -> Iterator[Block]:
    moved = [figure for figure in told.figures if figure.moved]
    if moved:
        yield _header("Numbers")
    for asset in dict.fromkeys(figure.asset for figure in moved):
        some = [figure for figure in moved if figure.asset == asset]
        head = f"{words.title(asset)}, measured {words.clock(some[0].at, told.zone)}"
        for start in range(0, len(some), MOST_FIELDS):
            fields = [_plain(_figure(figure), FIELD_CHARS) for figure in some[start : start + MOST_FIELDS]]
            yield SectionBlock(text=_plain(head, FIELD_CHARS), fields=fields)
    if moved and len(moved) < len(told.figures):
        yield _context(f"{words.count(len(told.figures) - len(moved), 'other number')} did not move.")


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
        what = [_text(said[n : n + _CHUNK]) for n in range(0, len(said), _CHUNK)]
        mark = f"{_STEP_DOTS[line.outcome]} "
        items.append([_text(mark), _text(line.asset, code=True), _text(f" {line.outcome}{started}{took}. "), *what])
    yield from _rich(items)


def _header(text: str) -> Block:
    return HeaderBlock(text=_plain(text, HEADER_CHARS))


def _context(text: str) -> Block:
    return ContextBlock(elements=[_plain(text, FIELD_CHARS)])


def _plain(text: str, limit: int) -> PlainTextObject:
    return PlainTextObject(text=_cut(text, limit), emoji=False)


def _cut(text: str, limit: int) -> str:
    """Return ``text`` escaped and at most ``limit`` characters long, never cut inside an entity."""
    if len(escape(text)) <= limit:
        return escape(text) or " "
    kept = ""
    for char in text[:limit]:
        if len(kept) + len(escape(char)) >= limit:
            break
        kept += escape(char)
    return f"{kept}…"


def _text(text: str, *, bold: bool = False, italic: bool = False, code: bool = False) -> RichTextElement:
    style = {name: True for name, on in (("bold", bold), ("italic", italic), ("code", code)) if on}
    return RichTextElementParts.Text(text=_cut(text, _ELEMENT_CHARS), style=style or None)


def _proofs(told: Briefing, proofs: tuple[Proof, ...]) -> Item:
    found: Item = []
    for proof in proofs:
        where = _cut(proof.where, 300)
        link = RichTextElementParts.Link(url=proof.url, text=where) if proof.url else _text(proof.where, code=True)
        found += [_text(" "), link, _text(f" {words.moment(proof.at, told.zone)}", italic=True)]
    return found


def _rich(items: Iterable[Item], style: str | None = None) -> Iterator[Block]:
    """Put items into as few rich text blocks as their limit allows, as a list in ``style`` or as paragraphs."""
    page: list[RichTextElement] = []
    size, done = 0, 0
    for item in items:
        section = RichTextSectionElement(elements=item if style else [*item, _text("\n")])
        weight = len(json.dumps(section.to_dict()))
        if page and size + weight > _RICH_CHARS:
            yield _rich_block(page, style, done)
            page, size, done = [], 0, done + len(page)
        page.append(section)
        size += weight
    if page:
        yield _rich_block(page, style, done)


def _rich_block(page: list[RichTextElement], style: str | None, done: int) -> Block:
    if style is None:
        return RichTextBlock(elements=page)
    return RichTextBlock(elements=[RichTextListElement(elements=page, style=style, offset=done or None)])


def _packed(blocks: Iterable[Block]) -> Iterator[list[dict[str, Any]]]:
    """Split blocks into messages within Slack's limits."""
    page: list[dict[str, Any]] = []
    size = 0
    for block in blocks:
        ready = block.to_dict()
        weight = len(json.dumps(ready)) + 2
        if page and (len(page) == MOST_BLOCKS or size + weight > MESSAGE_CHARS):
            yield page
            page, size = [], 0
        page.append(ready)
        size += weight
    if page:
        yield page


def _spoken(page: list[dict[str, Any]]) -> str:
    """Return the words of a message's blocks, a line per block or list item; they are escaped already."""
    return "\n".join(line for block in page for line in _lines(block) if line.strip())


def _lines(part: dict[str, Any]) -> Iterator[str]:
    if part["type"] in {"rich_text", "rich_text_list"}:
        for element in part["elements"]:
            yield from _lines(element)
    elif part["type"] == "rich_text_section":
        yield "".join(element.get("text", "") for element in part["elements"]).strip()
    else:
        texts = (part.get("text"), *part.get("fields", ()), *part.get("elements", ()))
        yield " · ".join(text["text"].replace("\n", " ") for text in texts if text)
