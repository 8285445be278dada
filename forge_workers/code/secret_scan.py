"""detect-secrets over files that somebody else wrote, and hiding what it finds.

The files lie under fixed names in a private directory. A comment ``pragma: allowlist secret`` is honoured and counted.
Belongs here: everything that knows detect-secrets' scanner, and the masks. Does not belong here: redacting prompts
(``redact.py``), or what is new.

Severities: a key in a provider's own format, and a private key, is high; a password next to its name or in an address
is medium; a string that merely looks random is low. In a test file each is one step lower, but never below low.
"""

from __future__ import annotations

import contextlib
import re
import string
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.core.scan import scan_file
from detect_secrets.filters.allowlist import is_line_allowlisted
from detect_secrets.filters.heuristic import IGNORED_FILE_EXTENSIONS
from detect_secrets.plugins.keyword import DENYLIST
from detect_secrets.settings import default_settings
from detect_secrets.util.code_snippet import get_code_snippet

from forge_workers.code.hits import MASK, Hit
from forge_workers.code.paths import is_test
from forge_workers.report import Severity

#: Characters of a line that the keyword detector may look at, each counted once per keyword in it: its patterns take
#: quadratic time, measured at 1 s per million. A file of mere keywords would otherwise hold up the night.
MOST_STEPS = 5_000_000
#: Detectors that name only the kind of a token (``ghp``), the same for every token of that kind.
_KIND_ONLY = frozenset({"GitHub Token", "GitLab Token"})
_MEDIUM = frozenset({"Secret Keyword", "Basic Auth Credentials"})
_LOW = frozenset({"Base64 High Entropy String", "Hex High Entropy String"})
_TITLES = {
    "Secret Keyword": "A password or key is written next to its name",
    "Basic Auth Credentials": "A password is written into an address",
    "Base64 High Entropy String": "A string looks random enough to be a secret",
    "Hex High Entropy String": "A string looks random enough to be a secret",
}
#: An address is no secret.
_LEFT_OUT = "IPPublicDetector"
_ALLOWLIST = "detect_secrets.filters.allowlist.is_line_allowlisted"
#: A value this short is masked on its own line only: elsewhere it may be any word.
_SHORT = 5
_KEYWORD = re.compile("|".join(DENYLIST), re.IGNORECASE)
#: Endings of source code, which detect-secrets reads line by line; other files it may first read as YAML or settings.
_BY_LINE = (".py", ".js", ".go", ".java", ".swift", ".c", ".cpp", ".cs", ".m", ".php", ".tf")
#: Endings it does not know but whose lines follow the same rules.
_SAME_RULES = dict.fromkeys((".ts", ".tsx", ".jsx", ".mjs", ".cjs", ".rs", ".kt", ".scala", ".rb"), ".js") | {
    ".pyi": ".py",
    ".pyw": ".py",
    ".h": ".c",
    ".hpp": ".cpp",
    ".cc": ".cpp",
}
_SUFFIX = re.compile(r"\.[a-z0-9]{1,10}")
#: Characters of tokens: a detector may name only a part of the secret, so the mask covers the whole run around it.
_RUN = string.ascii_letters + string.digits + "+/_.\\-"


@dataclass(frozen=True)
class SecretScan:
    """What detect-secrets says of one file.

    Attributes:
        hits: In order of line, one for each secret on a line.
        allowed: Secrets that a comment in the file keeps from being listed.
        problem: Why the file could not be scanned, or None.
        values: The secrets by line, for :func:`mask` alone; never shown, stored or logged.
    """

    hits: tuple[Hit, ...] = ()
    allowed: int = 0
    problem: str | None = None
    values: tuple[tuple[int, str], ...] = field(default=(), repr=False)

    def mask(self, text: str, line: int) -> str:
        """Return ``text``, which stands on ``line`` of the file, without secrets; nothing of it if none were sought."""
        if self.problem is not None:
            return MASK
        own = {value for at, value in self.values if at == line}
        if any(value not in text for value in own):
            return MASK
        everywhere = {value for _, value in self.values if len(value) >= _SHORT}
        for value in sorted(own | everywhere, key=len, reverse=True):
            text = _hidden(text, value)
        return text


class SecretScanner:
    """Scans files; of source code each different line once, since versions of a file share nearly all of them."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], list[PotentialSecret]] = {}

    def scan(self, files: Sequence[tuple[str, str]]) -> list[SecretScan]:
        """Scan files in one go.

        Args:
            files: Path in its repository, whose ending chooses the detectors' rules, and text.

        Returns:
            One result for each file, in the same order.
        """
        split = [(path, _suffix(path), text.split("\n")) for path, text in files]
        too_long = [stalls(lines) for _, _, lines in split]
        with tempfile.TemporaryDirectory(prefix="forge-") as folder, _settings():
            place = Path(folder)
            fit = [file for file, long in zip(split, too_long, strict=True) if not long]
            self._read_lines(place, fit)
            return [
                SecretScan(problem="scanning it for secrets would take too long")
                if long
                else _scan(path, lines, self._found(place, suffix, lines))
                for (path, suffix, lines), long in zip(split, too_long, strict=True)
            ]

    def _read_lines(self, folder: Path, files: Sequence[tuple[str, str, list[str]]]) -> None:
        """Scan each line of source code that was not seen before, all lines of one language as one file."""
        for wanted in _BY_LINE:
            texts = {line.strip("\r\n") for _, suffix, lines in files if suffix == wanted for line in lines}
            fresh = sorted(t for t in texts if t.strip() and (wanted, t) not in self._seen)
            for text in fresh:
                self._seen[wanted, text] = []
            for secret in _scan_lines(folder, wanted, ["", *fresh]) if fresh else ():
                self._seen[wanted, fresh[secret.line_number - 2]].append(secret)

    def _found(self, folder: Path, suffix: str, lines: list[str]) -> list[tuple[int, PotentialSecret]]:
        """Return the secrets of one file with their line numbers."""
        if suffix in _BY_LINE:
            each = enumerate((self._seen.get((suffix, line.strip("\r\n")), []) for line in lines), start=1)
            return [(number, secret) for number, secrets in each for secret in secrets]
        found = _scan_lines(folder, suffix, lines)
        return [(secret.line_number, secret) for secret in found if secret.line_number <= len(lines)]


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    with default_settings() as settings:
        settings.disable_plugins(_LEFT_OUT)
        settings.disable_filters(_ALLOWLIST)
        yield


def _suffix(path: str) -> str:
    """Return the ending that chooses the scanner's rules, out of a fixed alphabet and never one it passes over."""
    suffix = PurePosixPath(path).suffix.lower()
    suffix = _SAME_RULES.get(suffix, suffix)
    return suffix if _SUFFIX.fullmatch(suffix) and suffix not in IGNORED_FILE_EXTENSIONS else ".txt"


def stalls(lines: Iterable[str]) -> bool:
    """Whether looking for secrets in ``lines`` would hold up the night."""
    return sum(len(line) * len(_KEYWORD.findall(line)) for line in lines) > MOST_STEPS


def _scan_lines(folder: Path, suffix: str, lines: Sequence[str]) -> list[PotentialSecret]:
    place = folder / f"scanned{suffix}"
    # A lone carriage return would end a line for the scanner, but not for Git.
    text = "\n".join(line.rstrip("\r").replace("\r", " ") for line in lines)
    place.write_bytes(text.encode("utf-8", "replace"))
    return [secret for secret in scan_file(str(place)) if secret.secret_value]


def _scan(path: str, lines: list[str], found: Sequence[tuple[int, PotentialSecret]]) -> SecretScan:
    hits: dict[tuple[int, str], Hit] = {}
    allowed: set[tuple[int, str]] = set()
    for number, secret in sorted(found, key=lambda pair: (pair[0], pair[1].secret_hash, pair[1].type)):
        if is_line_allowlisted(secret.filename, lines[number - 1].rstrip(), get_code_snippet(lines, number)):
            allowed.add((number, secret.secret_hash))
            continue
        hit = _hit(secret, path, number, lines[number - 1])
        held = hits.get((number, hit.key))
        if held is None or held.severity.rank < hit.severity.rank:
            hits[number, hit.key] = hit
    values = tuple((number, secret.secret_value or "") for number, secret in found)
    return SecretScan(tuple(hits.values()), len(allowed), None, values)


def _hit(secret: PotentialSecret, path: str, number: int, line: str) -> Hit:
    severity = Severity.MEDIUM if secret.type in _MEDIUM else Severity.LOW if secret.type in _LOW else Severity.HIGH
    advice = "If it is real, revoke it where it was issued: removing the line leaves it in Git's history."
    if is_test(path):
        severity = Severity.MEDIUM if severity is Severity.HIGH else Severity.LOW
        advice = f"It is in a test, so it may be made up. {advice}"
    return Hit(
        rule=f"secret:{secret.type}",
        severity=severity,
        title=_TITLES.get(secret.type, f"A committed secret: {secret.type}"),
        detail=advice,
        line=number,
        quote=line,
        key=_key(secret, line),
    )


def _key(secret: PotentialSecret, line: str) -> str:
    """Return what tells this secret from others: a token that replaces a known or dismissed one is a new one."""
    value = secret.secret_value or ""
    if secret.type not in _KIND_ONLY or value not in line:
        return secret.secret_hash
    after = line.partition(value)[2]
    return PotentialSecret.hash_secret(value + after[: len(after) - len(after.lstrip(_RUN))])


def _hidden(text: str, value: str) -> str:
    """Return ``text`` with every run of token characters around ``value`` masked."""
    kept: list[str] = []
    while value in text:
        before, _, after = text.partition(value)
        kept += [before.rstrip(_RUN), MASK]
        text = after.lstrip(_RUN + "=")
    return "".join((*kept, text))
