"""Untrusted text as one safe line."""

from __future__ import annotations

import unicodedata

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


def words_only(source: str) -> bool:
    """Whether Markdown sees nothing but words in ``source``: no link, image, markup, HTML, heading or list."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse("x " + source)
    inner = [child.type for token in tokens for child in token.children or ()]
    return {t.type for t in tokens} <= {"paragraph_open", "inline", "paragraph_close"} and set(inner) <= {
        "text",
        "text_special",
    }


@given(ANY | st.sampled_from(HOSTILE))
def test_escaped_markdown_holds_nothing_but_words(text: str) -> None:
    """Whatever a title says, Markdown shows it as words."""
    assert words_only(markdown(text))


def test_control_unescaped_text_is_caught() -> None:
    """The same check sees what a renderer without escaping would let through."""
    assert not all(words_only(plain(text)) for text in HOSTILE)


@given(ANY)
def test_a_code_span_cannot_be_left(text: str) -> None:
    """Backticks in the text do not end the span around it."""
    tokens = MarkdownIt().parse("a " + code(text) + " b")
    inner = [child.type for token in tokens for child in token.children or ()]

    assert inner.count("code_inline") == 1
    assert set(inner) <= {"text", "code_inline"}
