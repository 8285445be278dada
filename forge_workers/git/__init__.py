"""Reading git repositories that others wrote: hardened, committed content only, byte-exact.

Belongs here: git. Does not belong here: what a commit means to a desk.
"""

from forge_workers.git.hardening import GitFailed
from forge_workers.git.languages import language
from forge_workers.git.log import Commit, FileChange
from forge_workers.git.repository import Repository, RepositoryUnavailable
from forge_workers.git.watch import watched

__all__ = ["Commit", "FileChange", "GitFailed", "Repository", "RepositoryUnavailable", "language", "watched"]
