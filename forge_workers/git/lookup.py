"""One commit, looked up by the beginning of its id.

Belongs here: from what a person types to the commit. Does not belong here: the commits of a window
(``repository.py``).
"""

from __future__ import annotations

from forge_workers.errors import Permanent
from forge_workers.git.hardening import GitFailed
from forge_workers.git.log import LOG_ARGUMENTS, Commit, parse
from forge_workers.git.repository import Repository


def find_commit(repository: Repository, prefix: str) -> str | None:
    """Return the full id of the one commit whose id begins with ``prefix``, or None when there is none.

    Only objects are looked at: a branch that is called like the beginning of an id is not meant.

    Raises:
        Permanent: Several commits' ids begin like this.
        GitFailed: The repository cannot be read.
    """
    objects = repository.git("rev-parse", f"--disambiguate={prefix}")
    kinds = repository.git("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=objects)
    rows = (line.split() for line in kinds.decode("ascii", "replace").splitlines())
    found = [name for name, kind in rows if kind == "commit"]
    if len(found) > 1:
        raise Permanent(f"{len(found)} commits of {repository.name} begin with {prefix}: write more of the id")
    return found[0] if found else None


def read_commit(repository: Repository, commit: str) -> Commit:
    """Return the commit with the full id ``commit``, whether or not a branch still holds it.

    Raises:
        GitFailed: It is missing or cannot be read.
    """
    written = repository.git(*LOG_ARGUMENTS, "--no-walk=unsorted", commit, "--")
    for found in parse(iter(written.split(b"\0")), repository.name):
        return found
    raise GitFailed(f"git log shows no commit {commit[:10]}")
