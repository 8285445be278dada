"""Untrusted text as one safe line."""

from __future__ import annotations

import unicodedata
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from forge_workers.plain import code, markdown, plain

ANY = st.text(max_size=300)
HOSTILE = [
    "\x1b[31mred",
    "a\u202egpj.exe",
    "[x](javascript:alert(1))",
    "<script>",
    "![i](http://x)",
    "`` ` ``",
    "\n# h",
]


@given(ANY, st.integers(1, 80))
def test_plain_text_is_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    """No control, bidi or line-breaking character reaches a terminal."""
    line = plain(text, limit)

    assert len(line) <= limit
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in line)


#: Where text stands in what Forge writes: in a line, at the start of one, in a list, below a line of a list.
PLACES = ("x ", "", "- ", "- x\\\n  ", "1. **high** ")
#: Addresses are read by markdown-it's linkifier where it is installed.
LINKIFY = find_spec("linkify_it") is not None
PARSERS = (MarkdownIt("commonmark"), MarkdownIt("gfm-like", {"linkify": LINKIFY}))
MARKS = st.text("\\\\`*_{}[]<>()#+-=.!|~&:@/ 1aw", max_size=40)
ADDRESSES = st.sampled_from(
    ["http://x.org/a", "www.x.org", "x.org", "a@x.org", "mailto:a@x.org", "//x.org", "ftp://x", "WWW.X.ORG", "src/a.py",
     "http:////x.org", "www.1.2", "https://localhost", "//localhost/a", "xmpp:a@x.org", "x.1.org", "пример.рф"]
)  # fmt: skip


@pytest.mark.parametrize("text", ["\x1b # h", "\x1b \x1b", "a \x1b b"])
def test_what_is_unseen_leaves_no_blanks_behind(text: str) -> None:
    """No blank stands at an end or beside another once the characters between them are gone."""
    line = plain(text)

    assert line == " ".join(line.split())


def shape(source: str) -> list[tuple[str, ...]]:
    """Return what each parser makes of ``source``, apart from the words themselves."""
    words = {"text", "text_special"}
    return [
        tuple(
            kind for token in parser.parse(source) for kind in (token.type, *(c.type for c in token.children or ()))
            if kind not in words
        )
        for parser in PARSERS
    ]  # fmt: skip


def words_only(source: str) -> bool:
    """Whether Markdown sees nothing but words in ``source`` wherever it stands: no link, HTML, heading or list."""
    return not source or all(shape(place + source) == shape(place + "word") for place in PLACES)


@given(ANY | MARKS | ADDRESSES | st.sampled_from(HOSTILE))
def test_escaped_markdown_holds_nothing_but_words(text: str) -> None:
    """Whatever a title says, Markdown shows it as words."""
    assert words_only(markdown(text))


@pytest.mark.parametrize("text", ["===", "---", ":-", "1. x", "2) x", "# x", "+ x", "- x", "!", "| a |", "=", "````"])
def test_the_start_of_a_line_is_no_markup(text: str) -> None:
    """No heading, rule, list or table begins with somebody else's text."""
    assert words_only(markdown(text))


@given(ANY | MARKS | ADDRESSES)
def test_escaped_markdown_reads_as_the_text_itself(text: str) -> None:
    """Escaping adds nothing that a reader would see."""
    (inline,) = MarkdownIt("commonmark").parse("x " + markdown(text, 300))[1:2]

    assert "".join(child.content for child in inline.children or ()) == f"x {plain(text, 300)}".rstrip()


def test_ordinary_prose_is_hardly_escaped() -> None:
    """Markdown stays readable as it is: what cannot become markup stands as it was."""
    prose = "5 commits (2 merges), +12 -3 lines: httpx 0.28 is gone! Is it? 127.0.0.1:11434; a-b."

    assert markdown(prose) == prose


def test_control_unescaped_text_is_caught() -> None:
    """The same check sees what a renderer without escaping would let through."""
    assert not any(words_only(plain(text)) for text in ("[x](y)", "<b>", "# h", "===", "1. x", "*a*"))


@given(ANY)
def test_a_code_span_cannot_be_left(text: str) -> None:
    """Backticks in the text do not end the span around it."""
    tokens = MarkdownIt().parse("a " + code(text) + " b")
    inner = [child.type for token in tokens for child in token.children or ()]

    assert inner.count("code_inline") == 1
    assert set(inner) <= {"text", "code_inline"}
