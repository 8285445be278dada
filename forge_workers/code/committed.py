"""Reading what was committed, never what lies in the work tree, and leaving aside what nobody can judge.

Belongs here: the caps. Does not belong here: which versions to read (``versions.py``) or what is looked for in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from forge_workers.code.paths import not_ours
from forge_workers.code.versions import Version
from forge_workers.git import Repository

#: Largest file that is scanned, in bytes.
SCANNED_BYTES = 1_000_000
#: Most that is scanned of one repository in one night, in bytes; bandit and detect-secrets take a second per 200 kB.
NIGHT_BYTES = 64_000_000
#: Longest line of a file that people write, in characters; a service account's key on one line takes 2,500.
_LONGEST_LINE = 20_000
#: Mean line length from which a script or style sheet counts as minified, in characters.
_MINIFIED_MEAN = 300
#: Bytes looked at for a NUL, as Git does to tell binary files.
_HEAD_BYTES = 8_000


@dataclass(frozen=True)
class Source:
    """One version of one file with its content.

    Attributes:
        repository: Name of the watched repository.
        version: Which version it is.
        content: The committed bytes.
        text: The same as text; bytes that are not UTF-8 are replaced.
    """

    repository: str
    version: Version
    content: bytes
    text: str


class Reading(NamedTuple):
    """What was read, and what was left aside by reason."""

    sources: tuple[Source, ...]
    left_aside: tuple[tuple[str, str], ...]


def read_sources(repository: Repository, wanted: Sequence[Version]) -> Reading:
    """Read every version that is fit to be scanned; the same content of the same file is read once.

    Returns:
        The sources in the order of ``wanted``, and pairs of path and reason for the rest. A file that is gone from its
        commit, a link and a submodule are neither.

    Raises:
        GitFailed: The repository cannot be read.
    """
    sources: list[Source] = []
    left: list[tuple[str, str]] = []
    seen: set[tuple[str, bytes]] = set()
    room = NIGHT_BYTES
    for commit, group in groupby(wanted, key=lambda version: version.commit):
        there = repository.tree(commit)
        present = [version for version in group if version.path in there]
        contents = repository.read_many(commit, [version.path for version in present])
        for version, (path, content) in zip(present, contents, strict=True):
            reason = not_ours(path) or _unfit(path, content)
            if reason is None and content is not None and len(content) > room:
                reason = f"beyond the {NIGHT_BYTES // 10**6} MB of one night"
            if reason is not None or content is None:
                left.append((path, reason or "unreadable"))
            elif (path, content) not in seen:
                seen.add((path, content))
                room -= len(content)
                sources.append(Source(repository.name, version, content, content.decode("utf-8", "replace")))
    return Reading(tuple(sources), tuple(left))


def read_bases(repository: Repository, base: str, sources: Iterable[Source]) -> dict[str, bytes]:
    """Return what the files of ``sources`` held before the window, by the path they have now.

    Raises:
        GitFailed: The repository cannot be read.
    """
    now = {source.version.path: source.version.base_path for source in sources}
    contents = repository.read_many(base, now.values())
    return {
        path: content
        for path, (_, content) in zip(now, contents, strict=True)
        if content is not None and _unfit(path, content) is None
    }


def _unfit(path: str, content: bytes | None) -> str | None:
    """Say why a file cannot be judged, or None: 1. too large, 2. binary, 3. minified."""
    if content is None or len(content) > SCANNED_BYTES:
        return f"larger than {SCANNED_BYTES // 10**6} MB"  # 1
    if b"\0" in content[:_HEAD_BYTES]:
        return "binary"  # 2
    lines = content.split(b"\n")
    script = path.endswith((".js", ".mjs", ".cjs", ".css"))
    if max(map(len, lines)) > _LONGEST_LINE or (script and len(content) / len(lines) > _MINIFIED_MEAN):
        return "minified"  # 3
    return None
