"""One notice, or several that were merged, as a Slack message.

Data stands in ``rich_text`` and ``plain_text`` elements, which Slack does not parse, with every control character
escaped; a notice's texts are so short that whatever escaping makes of them is within Slack's limits. Belongs here:
blocks. Does not belong here: how often a notice came (``letter.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from forge_workers.briefing import words
from forge_workers.briefing.slack import Message, escape
from forge_workers.notices.letter import Letter, Told
from forge_workers.plain import plain
from forge_workers.plural import count

#: Characters of a title and of a worker's name where several share a message. In JSON a character can become twelve.
_SHORT_TITLE, _SHORT_WORKER = 60, 24
_DOTS = {"done": "🟢", "failed": "🔴", "contention": "🟡", "buried": "⚫", "alarm": "🚨"}


def render(letter: Letter, zone: ZoneInfo) -> Message:
    """Return the message of a letter, with times in ``zone``."""
    alone = len(letter.told) == 1 and not letter.others
    blocks = tuple(_whole(letter.told[0], zone) if alone else _merged(letter, zone))
    return Message(text="\n".join(_words(block) for block in blocks), blocks=blocks)


def _whole(told: Told, zone: ZoneInfo) -> Iterator[dict[str, Any]]:
    notice = told.notice
    yield _rich(_text(f"{_DOTS[notice.kind]} "), _text(notice.title, bold=True), *_times(told))
    if notice.detail:
        yield _rich(_text(notice.detail))
    if notice.link:
        yield _rich({"type": "link", "url": notice.link, "text": escape(plain(notice.link))})
    yield _context(f"{notice.worker} · {notice.kind} · {_when(told, zone)}")


def _merged(letter: Letter, zone: ZoneInfo) -> Iterator[dict[str, Any]]:
    yield _rich(_text(f"{count(letter.count, 'notice')} in one message", bold=True))
    for told in letter.told:
        notice = told.notice
        said = _text(plain(notice.title, _SHORT_TITLE))
        where = _text(f" ({plain(notice.worker, _SHORT_WORKER)}, {_when(told, zone)})", italic=True)
        yield _rich(_text(f"{_DOTS[notice.kind]} "), said, *_times(told), where)
    more = f"And {letter.others:,} more. " if letter.others else ""
    yield _context(f"{more}Merged, because more came at once than anybody reads.")


def _times(told: Told) -> list[dict[str, Any]]:
    return [_text(f" ×{told.count}", bold=True)] if told.count > 1 else []


def _when(told: Told, zone: ZoneInfo) -> str:
    """Return when it happened; with the day where first and last are not on the same one."""
    if told.count == 1 or told.first_at == told.last_at:
        return words.moment(told.last_at, zone)
    first, last = (words.moment(at, zone) for at in (told.first_at, told.last_at))
    if first[:-5] == last[:-5]:
        first, last = (words.clock(at, zone) for at in (told.first_at, told.last_at))
    return f"first {first}, last {last}"


def _rich(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def _text(text: str, *, bold: bool = False, italic: bool = False) -> dict[str, Any]:
    style = {name: True for name, on in (("bold", bold), ("italic", italic)) if on}
    return {"type": "text", "text": escape(text), **({"style": style} if style else {})}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "plain_text", "text": escape(text), "emoji": False}]}


def _words(block: dict[str, Any]) -> str:
    """Return a block's words; they are escaped already."""
    if block["type"] == "context":
        return str(block["elements"][0]["text"])
    return "".join(element["text"] for element in block["elements"][0]["elements"])
