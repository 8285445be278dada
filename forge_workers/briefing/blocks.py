"""What a Slack message is made of, within Slack's limits and with every text escaped.

Two layers keep data from becoming markup. Data stands in ``rich_text`` and ``plain_text`` elements, which Slack does
not parse; and every string has ``&``, ``<`` and ``>`` escaped by :func:`escape`, so that no token (``<!channel>``,
``<@U1>``, ``<http://x|y>``) can begin in it. Belongs here: single blocks, and packing them into messages. Does not
belong here: what a briefing says (``slack.py``), or sending (``deliver.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import JsonValue
from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    PlainTextObject,
    RichTextBlock,
    RichTextElement,
    RichTextElementParts,
    RichTextListElement,
    RichTextSectionElement,
)

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

Item = list[RichTextElement]


class Message(Frozen):
    """One message: its blocks, and the same in words for notifications and for when Slack refuses the blocks."""

    text: str
    blocks: tuple[dict[str, JsonValue], ...]


def escape(text: str) -> str:
    """Return ``text`` with Slack's three control characters as entities.

    Source: docs.slack.dev, "Formatting message text": ``&``, ``<`` and ``>`` must be escaped, nothing else.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def header(text: str) -> Block:
    """Return a line in large letters."""
    return HeaderBlock(text=plain_text(text, HEADER_CHARS))


def context(text: str) -> Block:
    """Return a line in small letters."""
    return ContextBlock(elements=[plain_text(text, FIELD_CHARS)])


def plain_text(text: str, limit: int) -> PlainTextObject:
    """Return text that Slack does not parse, at most ``limit`` characters long."""
    return PlainTextObject(text=cut(text, limit), emoji=False)


def cut(text: str, limit: int) -> str:
    """Return ``text`` escaped and at most ``limit`` characters long, never cut inside an entity."""
    if len(escape(text)) <= limit:
        return escape(text) or " "
    kept = ""
    for char in text[:limit]:
        if len(kept) + len(escape(char)) >= limit:
            break
        kept += escape(char)
    return f"{kept}…"


def text(text: str, *, bold: bool = False, italic: bool = False, code: bool = False) -> RichTextElement:
    """Return a piece of a line."""
    style = {name: True for name, on in (("bold", bold), ("italic", italic), ("code", code)) if on}
    return RichTextElementParts.Text(text=cut(text, _ELEMENT_CHARS), style=style or None)


def rich(items: Iterable[Item], style: str | None = None) -> Iterator[Block]:
    """Put items into as few rich text blocks as their limit allows, as a list in ``style`` or as paragraphs."""
    page: list[RichTextElement] = []
    size, done = 0, 0
    for item in items:
        section = RichTextSectionElement(elements=item if style else [*item, text("\n")])
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


def packed(groups: Iterable[tuple[Block, ...]], tail: Block | None = None) -> list[list[dict[str, Any]]]:
    """Split blocks into messages within Slack's limits; the blocks of one group stay in one message.

    Args:
        groups: In order; one is far smaller than a message.
        tail: Stands last in the first message, whatever else is in it.
    """
    last = [] if tail is None else [tail.to_dict()]
    kept = _weight(last)
    pages: list[list[dict[str, Any]]] = [[]]
    size, most = kept, MOST_BLOCKS - len(last)
    for group in groups:
        ready = [block.to_dict() for block in group]
        weight = _weight(ready)
        if pages[-1] and (len(pages[-1]) + len(ready) > most or size + weight > MESSAGE_CHARS):
            pages.append([])
            size, most = 0, MOST_BLOCKS
        pages[-1] += ready
        size += weight
    pages[0] += last
    return [page for page in pages if page]


def _weight(ready: list[dict[str, Any]]) -> int:
    return sum(len(json.dumps(block)) + 2 for block in ready)


def spoken(page: list[dict[str, Any]]) -> str:
    """Return the words of a message's blocks, a line per block or list item; they are escaped already."""
    return "\n".join(line for block in page for line in _lines(block) if line.strip())


def _lines(part: dict[str, Any]) -> Iterator[str]:
    if part["type"] in {"rich_text", "rich_text_list"}:
        for element in part["elements"]:
            yield from _lines(element)
    elif part["type"] == "rich_text_section":
        yield "".join(element.get("text", "") for element in part["elements"]).strip()
    elif part["type"] != "actions":  # what is pressed cannot be pressed in words
        texts = (part.get("text"), *part.get("fields", ()), *part.get("elements", ()))
        yield " · ".join(text["text"].replace("\n", " ") for text in texts if text)
