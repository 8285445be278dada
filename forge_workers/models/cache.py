"""Answers already paid for: one small file each, named by everything that shaped the answer.

The name is the SHA-256 of the canonical JSON of engine, model, the model's digest, parameters, schema and the whole
redacted prompt, so a new model or a changed word asks anew and nothing else does. The prompt itself is not kept. An
answer that stayed invalid is kept as such: it was asked with a fixed seed, and asking again would end the same way.
A file carries its own checksum; one that does not check out is as good as absent.
Belongs here: the kept files. Does not belong here: what makes an answer worth keeping.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from forge_workers import files, log
from forge_workers.report import Frozen

#: Bytes that all kept answers may take: some 20,000 answers of 3 kB, a season of nights.
MAX_BYTES = 64 * 2**20
#: Seconds an answer is kept after it was last used: 35 nights, so that a look back over 28 finds its answers.
MAX_AGE_S = 35 * 86_400.0

_LOG = logging.getLogger(__name__)


class Kept(Frozen):
    """One answer.

    Attributes:
        text: What the model wrote, cleaned.
        cut: It reached its token limit.
        dropped: Why it does not fit its schema, or None when it does.
    """

    text: str
    cut: bool = False
    dropped: str | None = None


class _File(Frozen):
    sha256: str
    answer: Kept


def key_of(**parts: JsonValue | Mapping[str, JsonValue]) -> str:
    """Name an answer by everything that shaped it: SHA-256 in hexadecimal of the canonical JSON of ``parts``."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


class AnswerCache:
    """Answers by key, bounded by :data:`MAX_BYTES` and :data:`MAX_AGE_S`.

    Args:
        root: The directory; made with the first answer, for its owner only.
        now: The wall clock in UTC unix seconds, compared with the files' times.
        max_bytes: Bytes that all kept answers may take.
    """

    def __init__(self, root: Path, now: Callable[[], float], *, max_bytes: int = MAX_BYTES) -> None:
        self._root = root
        self._now = now
        self._max_bytes = max_bytes
        self._swept = False

    def get(self, key: str) -> Kept | None:
        """Return the answer kept under ``key``, or None when there is none or it is damaged or too old."""
        path = self._path(key)
        try:
            if path.stat().st_mtime < self._now() - MAX_AGE_S:
                return None
            file = _File.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            file = None
        if file is None or file.sha256 != _checksum(key, file.answer):
            log.event(_LOG, "cache.damaged", logging.WARNING, key=key[:12])
            return None
        with contextlib.suppress(OSError):
            os.utime(path, (self._now(), self._now()))
        return file.answer

    def put(self, key: str, answer: Kept) -> None:
        """Keep ``answer`` under ``key``; a disk that refuses costs a later night a question."""
        path = self._path(key)
        try:
            files.replace(path, _File(sha256=_checksum(key, answer), answer=answer).model_dump_json())
            os.utime(path, (self._now(), self._now()))
            if not self._swept:
                self._swept = True
                self._sweep()
        except OSError as error:
            log.event(_LOG, "cache.refused", logging.WARNING, key=key[:12], error=error.strerror)

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / key

    def _sweep(self) -> None:
        """Remove what is too old, then the longest unused until the rest fits; files left by a crash age out too."""
        found = [(p.stat(), p) for p in self._root.glob("??/*") if p.is_file()]
        room = self._max_bytes
        for stat, path in sorted(found, key=lambda f: (-f[0].st_mtime, f[1].name)):
            room -= stat.st_size
            if room < 0 or stat.st_mtime < self._now() - MAX_AGE_S:
                path.unlink(missing_ok=True)


def _checksum(key: str, answer: Kept) -> str:
    return hashlib.sha256(f"{key}\n{answer.model_dump_json()}".encode()).hexdigest()
