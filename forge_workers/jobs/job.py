"""A job as it travels: one JSON object, checked on the way in and on the way out.

Belongs here: the value, its bytes, and what makes bytes no job. Does not belong here: where jobs are kept
(``queue.lua``) or what becomes of them (``retry.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from forge_workers.catalog import Worker
from forge_workers.errors import BadArgs, Permanent

#: Version of the layout below. A reader buries what is newer than it knows; nothing is lost and it can be requeued.
VERSION = 1
#: Largest job in bytes: what travels is a name of the work, not the work.
MOST_BYTES = 65_536
#: Longest key in characters.
_MOST_KEY = 200
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class NoJob(Permanent):
    """These bytes are no job of this worker."""


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of work on one worker's queue.

    Attributes:
        id: 32 hexadecimal digits; names the job for ever and is the key of its effects.
        worker: Whose queue it is on.
        args: What to do; checked against the worker's row.
        key: While a job with this key waits or runs, no second one is taken. "" for none.
        by: Who asked: ``person``, ``schedule`` or a worker's name.
        attempt: Which attempt this is, from 1; a snooze does not count.
        queued_at: When it was first asked for, UTC unix seconds.
        raw: The bytes as they stand in Redis; "" before that.
    """

    id: str
    worker: str
    args: Mapping[str, Any]
    queued_at: float
    key: str = ""
    by: str = "person"
    attempt: int = 1
    raw: bytes = field(default=b"", compare=False, repr=False)


def new_job(
    row: Worker, args: Mapping[str, Any], *, now: float, key: str = "", by: str = "person", job_id: str | None = None
) -> Job:
    """Make a job for ``row``.

    Args:
        row: The worker.
        args: Its arguments.
        now: UTC unix seconds.
        key: Keeps a second one from being taken while this one waits or runs.
        by: Who asks.
        job_id: Its name when the caller has one; a random one otherwise.

    Raises:
        BadArgs: The arguments do not fit, or the job is too large.
    """
    row.check(args)
    if len(key) > _MOST_KEY or any("\ud800" <= char <= "\udfff" for char in key):
        raise BadArgs(f"{row.name}: the key must be a text of at most {_MOST_KEY} characters")
    job = Job(id=job_id or os.urandom(16).hex(), worker=row.name, args=args, queued_at=now, key=key, by=by)
    return replace(job, raw=encode(job))


def encode(job: Job) -> bytes:
    """Return the bytes of ``job``.

    Raises:
        BadArgs: They are more than :data:`MOST_BYTES`, or hold what JSON cannot.
    """
    try:
        raw = _encode(
            {
                "v": VERSION,
                "id": job.id,
                "worker": job.worker,
                "args": job.args,
                "key": job.key,
                "by": job.by,
                "attempt": job.attempt,
                "queued_at": job.queued_at,
            }
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadArgs(f"{job.worker}: the arguments cannot be written as JSON: {error}") from None
    if len(raw) > MOST_BYTES:
        raise BadArgs(
            f"{job.worker}: the job has {len(raw)} bytes, at most {MOST_BYTES} are taken: pass a path instead"
        )
    return raw


def again(job: Job, *, attempt: int) -> Job:
    """Return ``job`` as it is put back with another attempt number."""
    job = replace(job, attempt=attempt)
    return replace(job, raw=encode(job))


def decode(raw: bytes, row: Worker) -> Job:
    """Return the job that ``raw`` holds.

    Raises:
        NoJob: It holds none that this worker can do; one line says why.
    """
    if len(raw) > MOST_BYTES:
        raise NoJob(f"it has {len(raw)} bytes, at most {MOST_BYTES} are taken")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise NoJob("it is not JSON") from None
    if type(found) is not dict:
        raise NoJob("it is not a JSON object")
    version = found.pop("v", None)
    if version != VERSION:
        raise NoJob(f"its layout is version {version!r:.20}, this worker knows {VERSION}: update Forge and requeue it")
    try:
        job = Job(raw=raw, **found)
    except TypeError:
        raise NoJob("its fields are not those of a job") from None
    _check_fields(job, row)
    return job


def _check_fields(job: Job, row: Worker) -> None:
    texts = type(job.id) is type(job.worker) is type(job.key) is type(job.by) is str
    numbers = type(job.attempt) is int and job.attempt >= 1 and isinstance(job.queued_at, int | float)
    if not (texts and type(job.args) is dict and numbers):
        raise NoJob("its fields are not of the right kind")
    if job.worker != row.name:
        raise NoJob(f"it is for the worker {job.worker!r:.60}")
    try:
        row.check(job.args)
    except BadArgs as error:
        raise NoJob(str(error)) from None


def identity_of(raw: bytes) -> str:
    """Return the id of the job in ``raw``, or a digest of the bytes when it holds none; as ``queue.lua`` does."""
    try:
        found = json.loads(raw)["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    return found if isinstance(found, str) else hashlib.sha1(raw, usedforsecurity=False).hexdigest()
