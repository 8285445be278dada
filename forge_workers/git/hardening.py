"""The environment in which a repository can be read and can do nothing.

A repository's own ``.git/config``, attributes and refs are written by others. Each setting by which they could start a
program, reach the network, ask for a password or bend what is read is overridden here, in an environment made from
nothing. Belongs here: what git is told before it is asked. Does not belong here: the process (``process.py``).

Source: git-config(1), git(1) "Environment Variables".
"""

from __future__ import annotations

import functools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from forge_workers.errors import ForgeError

#: Settings that win over the repository's own. The first block could start a program, the second bends what is read.
_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "core.editor": "false",
    "core.askPass": "false",
    "core.sshCommand": "false",
    "core.gitProxy": "false",
    "core.alternateRefsCommand": "false",
    "credential.helper": "",
    "diff.external": "",
    "gc.auto": "0",
    "gpg.program": "false",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "submodule.recurse": "false",
    "core.attributesFile": "/dev/null",
    "core.bigFileThreshold": "64m",
    "core.quotePath": "true",
    "color.ui": "false",
    "diff.algorithm": "default",
    "diff.context": "3",
    "diff.interHunkContext": "0",
    "diff.indentHeuristic": "true",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.orderFile": "/dev/null",
    "diff.relative": "false",
    "diff.renames": "true",
    "diff.renameLimit": "1000",
    "diff.submodule": "short",
    "diff.ignoreSubmodules": "none",
    "diff.suppressBlankEmpty": "false",
    "log.diffMerges": "off",
    "log.follow": "false",
    "log.mailmap": "false",
    "log.showRoot": "true",
}


class GitFailed(ForgeError):
    """Git could not answer."""


@dataclass(frozen=True)
class Place:
    """Where git runs.

    Attributes:
        directory: The directory git runs in and takes for the work tree. Reading attributes from it is git's habit, so
            for all but the first look it is the git directory, where no checked-out file lies.
        git_dir: The git directory, or None to let git find the one of ``directory`` itself, never of a parent.
    """

    directory: Path
    git_dir: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return the whole environment of git; nothing of the caller's own gets in."""
        made = {
            "PATH": os.pathsep.join((str(Path(executable()).parent), os.defpath)),
            "HOME": "/dev/null",
            "LC_ALL": "C",
            "TZ": "UTC",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_ASKPASS": "false",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(self.directory.parent),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_EDITOR": "false",
            "GIT_GRAFT_FILE": "/dev/null",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_PAGER": "cat",
            "GIT_SSH_COMMAND": "false",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_WORK_TREE": str(self.directory),
            "SSH_ASKPASS": "false",
            "GIT_CONFIG_COUNT": str(len(_CONFIG)),
        }
        for number, (key, value) in enumerate(_CONFIG.items()):
            made |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return made if self.git_dir is None else made | {"GIT_DIR": str(self.git_dir)}


@functools.cache
def executable() -> str:
    """Return where git is.

    Raises:
        GitFailed: It is not installed.
    """
    found = shutil.which("git")
    if found is None:
        raise GitFailed("git is not installed: install git 2.37 or newer")
    return found
