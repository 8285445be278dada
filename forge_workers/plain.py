"""Making untrusted text safe to show: one line, no control characters, no markup.

Belongs here: escaping for a terminal line and for Markdown. Does not belong here: hiding secrets (``redact.py``), or
escaping for HTML and Slack, which their renderers do.
"""

from __future__ import annotations

import re
import unicodedata

_BLANKS = re.compile(r"\s+")
#: What could become markup at its place. Source: spec.commonmark.org 0.31.2 and github.github.com/gfm, "Autolinks".
_MARKUP = re.compile(
    r"([\\`*_\[\]<>|~&@]"  # code, emphasis, links, HTML, tables, strikethrough, entities, addresses: anywhere
    r"|^[-+#=:]|!$|(?<=\])\("  # headings, lists, rules; an image or a link where one follows
    r"|\.(?=[^\W\d])|(?<=[wW])\.|(?<=/)/)"  # what a reader of bare addresses would take for one
)
#: Digits at the start and what makes a list of them.
_NUMBERED = re.compile(r"^(\d+)([.)])")
#: Unicode categories that never reach a screen: controls, bidi overrides and other formats, surrogates, private use.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def plain(text: str, limit: int = 200) -> str:
    """Return ``text`` as one line without control, bidi or unassigned characters, at most ``limit`` characters long."""
    line = "".join(c for c in _BLANKS.sub(" ", text[: limit * 8]) if unicodedata.category(c) not in _UNSEEN)
    line = " ".join(line.split())  # again: what was unseen may have stood between blanks
    return line if len(line) <= limit and len(text) <= limit * 8 else line[: limit - 1].rstrip() + "…"


def markdown(text: str, limit: int = 200) -> str:
    """Return :func:`plain` text in which no character is Markdown, HTML or a link."""
    return _NUMBERED.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", plain(text, limit)))


def code(text: str, limit: int = 200) -> str:
    """Return :func:`plain` text as a Markdown code span that no backtick in it can end."""
    line = plain(text, limit)
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"
