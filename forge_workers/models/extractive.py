"""The stand-by that needs no model: the sentences that most of the text agrees with, word for word.

Sentences are ranked by graph reduction as sumy has it: a sentence weighs the words it shares with every other. TextRank
would link each sentence with itself too, which puts one that shares nothing into the middle; LexRank sums over sets, so
the order of near-equal sentences would change with every process's hash seed. The splitting into sentences and words is
our own, since sumy's needs data that nltk would download; in logs, diffs and lists a line is as good as a sentence.
Belongs here: choosing sentences. Does not belong here: saying that no model was asked, which the gateway does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sumy.models.dom import ObjectDocumentModel, Paragraph, Sentence
from sumy.summarizers.reduction import ReductionSummarizer
from sumy.utils import get_stop_words

from forge_workers.plain import plain

#: Sentences of a digest: what is read at a glance.
SENTENCES = 5
#: Sentences looked at. The ranking compares each pair word by word, so this bounds it to about a second.
_LOOKED_AT = 120
#: Words; a shorter line says nothing alone, a longer one is data or minified code.
_WORDS = range(4, 41)
_END = re.compile(r"(?<=[.!?])\s+|[\r\n]+")
_WORD = re.compile(r"[^\W\d_]{2,}")


class _Words:
    """The tokenizer that sumy's sentences ask for."""

    @staticmethod
    def to_words(text: str) -> tuple[str, ...]:
        return tuple(_WORD.findall(text))


def digest(texts: Iterable[str]) -> str:
    """Return the weightiest sentences of ``texts`` in their order, one a line, "" when there are none.

    The same texts give the same digest in every process.
    """
    sentences = _sentences(texts)
    rank = ReductionSummarizer()
    rank.stop_words = get_stop_words("english")
    document = ObjectDocumentModel([Paragraph(Sentence(text, _Words) for text in sentences)])
    return "\n".join(str(sentence) for sentence in rank(document, SENTENCES))


def _sentences(texts: Iterable[str]) -> list[str]:
    """Take sentences from each text in turn, so that a long one does not crowd out the others; each only once."""
    found = [[part for part in _END.split(text) if len(_WORD.findall(part)) in _WORDS] for text in texts]
    taken: dict[str, tuple[int, int]] = {}
    for place in range(max(map(len, found), default=0)):
        for number, parts in enumerate(found):
            if place < len(parts) and len(taken) < _LOOKED_AT:
                taken.setdefault(plain(parts[place], 300), (number, place))
    return sorted(taken, key=taken.__getitem__)
