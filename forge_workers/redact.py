"""Hiding secrets before text leaves: into a prompt, a message, a log, a file somebody else reads.

What counts as a secret:

1. Forge's own secret values, in every form they are likely to travel in.
2. Whole private keys, over as many lines as they take.
3. Whatever detect-secrets' detectors name, run on each line in memory: nothing is written, asked of the network, or
   read from a baseline. A ``pragma: allowlist`` in untrusted text does not switch a detector off.

GitHub's and GitLab's detectors give only the kind of a token (``ghp``), so their whole match is taken instead. GitHub's
newer kind (``github_pat_``) has no detector, and that of JSON Web Tokens leaves the signature: both are sought here.

Three detectors are used with care, since a redactor that shreds ordinary text is soon turned off: public addresses are
no secrets and are left; hexadecimal strings are left, being commit ids and digests far more often than keys (one that
is assigned to a name such as ``api_key`` is still taken); base64-looking strings are taken only between quotes, at
detect-secrets' own limit of 4.5 bits a character, and only when they mix cases and digits and are no lock file's
``sha512-`` digest. Belongs here: finding and replacing. Does not belong here: deciding what is sent where.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol
from urllib.parse import quote, quote_plus, urlsplit

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.filters import heuristic
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString, HexHighEntropyString
from detect_secrets.plugins.ip_public import IPPublicDetector
from detect_secrets.plugins.keyword import CONFIG_DENYLIST_REGEX_TO_GROUP, KeywordDetector

#: Characters; a shorter own secret would take ordinary words with it, so it is not looked for.
_SHORTEST_OWN = 4
#: Characters of a line looked at in one go, and how far the pieces overlap: bounds the detectors' patterns, which are
#: quadratic on minified files.
_PIECE, _OVERLAP = 4_000, 400
#: A key with its end; or without, as a cut diff shows it, then as far as its lines look like a key's.
_KEY_BLOCKS = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:(?!-----BEGIN )[\s\S]){0,20000}?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    r"|[^\n]*(?:\n[^\nA-Za-z0-9/=]{0,20}"
    r"(?:(?:Proc-Type|DEK-Info):[^\n]*(?:\n[+\- ]?(?=\n))?|[A-Za-z0-9+/=]{16,}[^\nA-Za-z0-9]{0,8}$))*)"
    r"|PuTTY-User-Key-File-\d(?:(?!-----BEGIN )[\s\S]){0,20000}?^[^\n]*Private-MAC:[^\n]*",
    re.MULTILINE,
)
#: ``NAME=value`` as in an .env file, or ``name: value`` with a digit in it as in YAML; anything looser is code.
_CONFIG_LINE = re.compile(
    r"^[+\- \t]*(?:export\s+)?(?:[A-Z][A-Z0-9_]*\s*=\s*[^\s()\[\]{}]+|[\w.-]+:[ \t]+(?=\S*\d)[^\s()\[\]{}]+)\s*$"
)
#: GitHub's fine-grained token: 22 characters, an underscore, 59 more. Source: detectors of trufflehog and gitleaks.
_GITHUB_PAT = re.compile(r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}")
_JWT = re.compile(r"\beyJ[\w=-]{8,}\.[\w=-]{8,}\.[\w=-]+")
#: How every mask begins; a value that holds it has been hidden already and is left alone.
LABEL = "[redacted: "


class _Detector(Protocol):
    secret_type: str

    def analyze_string(self, string: str) -> Iterator[str]: ...


class Redactor:
    """Replaces every secret by ``[redacted: <type>]``. Lines stay lines, and a second pass changes nothing.

    Args:
        secrets: Forge's own secret values. Of a web or Redis address only one that holds a password counts, and then
            its password too.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        values = {part for secret in secrets for part in _secret_parts(secret)}
        forms = sorted({form for value in values for form in _forms(value)}, key=lambda form: (-len(form), form))
        self._own = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE) if forms else None
        self._keyword = KeywordDetector()
        self._entropy = Base64HighEntropyString()
        kinds = (GitHubTokenDetector, GitLabTokenDetector)
        special = {KeywordDetector, Base64HighEntropyString, HexHighEntropyString, IPPublicDetector, *kinds}
        self._whole = [(kind.secret_type, pattern) for kind in kinds for pattern in kind.denylist]
        self._whole += [(GitHubTokenDetector.secret_type, _GITHUB_PAT), ("JSON Web Token", _JWT)]
        plugins: Mapping[str, type[_Detector]] = get_mapping_from_secret_type_to_class()
        self._detectors = tuple(cls() for _, cls in sorted(plugins.items()) if cls not in special)

    def text(self, text: str) -> str:
        """Return ``text`` with every secret replaced by ``[redacted: <type>]``."""
        if self._own is not None:
            text = self._own.sub(f"{LABEL}Forge's own secret]", text)
        text = _KEY_BLOCKS.sub(lambda m: f"{LABEL}Private Key]" + "\n" * m[0].count("\n"), text)
        return "".join(self._line(line) for line in re.split(r"(?<=[\n\r])", text))

    def holds_own_secret(self, text: str) -> bool:
        """Whether one of Forge's own secrets is in ``text``, in any of its forms."""
        return self._own is not None and self._own.search(text) is not None

    def _line(self, line: str) -> str:
        if line.isspace() or not line:
            return line
        found: dict[str, str] = {}
        for start in range(0, len(line), _PIECE - _OVERLAP):
            for kind, value in self._found(line[start : start + _PIECE]):
                if value.strip() and LABEL not in value:
                    found.setdefault(value, kind)
        for value in sorted(found, key=len, reverse=True):
            line = _replaced(line, value, f"{LABEL}{found[value]}]")
        return line

    def _found(self, piece: str) -> Iterator[tuple[str, str]]:
        for detector in self._detectors:
            for value in detector.analyze_string(piece):
                yield detector.secret_type, value
        for kind, pattern in self._whole:
            for match in pattern.finditer(piece):
                yield kind, match[0]
        for value in self._keyword_values(piece):
            if not heuristic.is_templated_secret(value) and not heuristic.is_prefixed_with_dollar_sign(value):
                yield KeywordDetector.secret_type, value
        for value in self._entropy.analyze_string(piece):
            if self._is_random(value):
                yield Base64HighEntropyString.secret_type, value

    def _keyword_values(self, piece: str) -> Iterator[str]:
        """Yield each assigned secret; the detector itself stops at the first of each shape on a line."""
        shapes = CONFIG_DENYLIST_REGEX_TO_GROUP if _CONFIG_LINE.match(piece) else None
        while values := [v for v in self._keyword.analyze_string(piece, shapes) if v]:
            yield from values
            piece = piece[max(piece.rindex(v) + len(v) for v in values) :]

    def _is_random(self, value: str) -> bool:
        mixed = all(re.search(kind, value) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
        digest = re.match(r"sha\d{3}-", value)
        return mixed and not digest and self._entropy.calculate_shannon_entropy(value) > self._entropy.entropy_limit


def _replaced(line: str, value: str, label: str) -> str:
    """Replace ``value`` where it stands alone; a password ``a`` must not take every ``a`` of the line."""
    alone, count = re.subn(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", lambda _: label, line)
    return alone if count else line.replace(value, label)


def _secret_parts(secret: str) -> Iterator[str]:
    parts = urlsplit(secret) if "://" in secret else None
    if parts is None:
        yield secret
    elif parts.password:
        yield from (secret, parts.password)


def _forms(secret: str) -> Iterator[str]:
    """Yield how ``secret`` may be written: raw, reversed, hexadecimal, URL-encoded, JSON-escaped, base64.

    Inside longer base64 text a value has three alignments; of each, the characters that do not depend on the
    neighbours are looked for.
    """
    if len(secret) < _SHORTEST_OWN:
        return
    raw = secret.encode("utf-8", "surrogateescape")
    yield from (secret, secret[::-1], raw.hex())
    yield from (quote(raw, safe=""), quote_plus(raw), json.dumps(secret)[1:-1])
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw).decode()
        stable = whole[(0, 2, 3)[shift] : len(whole) - (0, 3, 2)[(shift + len(raw)) % 3]]
        yield from (stable, stable.translate(str.maketrans("+/", "-_")))
