"""A repository in which everything that git can be made to start leaves a file as proof.

Source: git-config(1), every key whose value is a command; gitattributes(5), "diff", "filter"; githooks(5).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.standins.repositories import DAY, MONDAY, Repo

#: What plain git does here, by the proof it leaves: shows that each trap works.
SPRINGS: dict[str, Callable[[Repo], object]] = {
    "fsmonitor": lambda repo: repo.git("status"),
    "hook": lambda repo: repo.git("update-ref", "refs/heads/other", "HEAD"),
    "textconv": lambda repo: repo.git("log", "-p", "-1", "HEAD~1"),
    "diff-command": lambda repo: repo.git("diff", "HEAD~2", "HEAD~1"),
    "external-diff": lambda repo: repo.git("diff", "HEAD~2", "HEAD~1"),
    "gpg": lambda repo: repo.git("log", "-1", "HEAD"),
    "smudge": lambda repo: repo.git("cat-file", "--filters", "HEAD:a.py"),
    "clean": lambda repo: repo.git("hash-object", "--path=a.py", "--stdin", stdin=b"1\n"),
    "lazy-fetch": lambda repo: _quietly(repo, "cat-file", "-p", "HEAD:lost.txt"),
    "ssh": lambda repo: _quietly(repo, "fetch", "shell"),
    "upload-pack": lambda repo: _quietly(repo, "fetch", "disk"),
    "pager": lambda repo: _on_a_terminal(repo, "log", "-1", "HEAD~1"),
    "editor": lambda repo: _quietly(repo, "commit", "--allow-empty", "--no-verify"),
}


def trapped(path: Path, proof: Path, *, at: float = MONDAY) -> Repo:
    """Make a repository of three commits, the last one signed, whose configuration springs a trap wherever it can.

    Args:
        path: Where.
        proof: Directory in which each trap leaves a file of its name.
        at: When the last commit is made; the others a day earlier each.
    """
    repo = Repo(path)
    proof.mkdir()
    attributes = "*.py diff=trap filter=trap\n*.txt diff=other\n"
    first = {"a.py": "1\n", "b.txt": "1\n", "lost.txt": "lost\n", ".gitattributes": attributes}
    repo.commit(dict(first), "Begin", at=at - 2 * DAY)
    repo.commit({"a.py": "2\n", "b.txt": "2\n"}, "Change", at=at - DAY)
    repo.commit({"a.py": "3\n"}, "Sign", at=at)
    repo.amend(b"\n\n", b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----\n\n")
    repo.checkout()
    lost = repo.git("rev-parse", "HEAD:lost.txt").decode().strip()
    (path / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    (path / ".git" / "info" / "attributes").write_text(attributes)
    _set_traps(repo, {name: _trap(path / ".git" / "traps", name, proof) for name in SPRINGS})
    return repo


def sprung(proof: Path) -> set[str]:
    """Return the names of the traps that were sprung."""
    return {entry.name for entry in proof.iterdir()}


def _set_traps(repo: Repo, traps: dict[str, Path]) -> None:
    hooks = repo.path / ".git" / "trap-hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-index-change", "post-checkout", "pre-auto-gc"):
        (hooks / name).symlink_to(traps["hook"])
    more = repo.path / ".git" / "more"
    more.write_text(f"[core]\n\tpager = {traps['pager']}\n")
    settings = {
        "core.fsmonitor": traps["fsmonitor"],
        "core.hooksPath": hooks,
        "core.sshCommand": traps["ssh"],
        "core.askPass": traps["ssh"],
        "core.editor": traps["editor"],
        "core.alternateRefsCommand": traps["ssh"],
        "core.gitProxy": traps["ssh"],
        "core.repositoryFormatVersion": "1",
        "credential.helper": f"!{traps['ssh']}",
        "diff.external": traps["external-diff"],
        "diff.trap.command": traps["diff-command"],
        "diff.trap.textconv": traps["textconv"],
        "diff.other.textconv": traps["textconv"],
        "diff.submodule": "diff",
        "extensions.partialClone": "ext",
        "filter.trap.clean": traps["clean"],
        "filter.trap.smudge": traps["smudge"],
        "gpg.program": traps["gpg"],
        "gpg.ssh.program": traps["gpg"],
        "log.showSignature": "true",
        "log.diffMerges": "remerge",
        "alias.log": f"!{traps['editor']}",
        "include.path": more,
        "pager.log": "true",
        "protocol.allow": "always",
        "protocol.ext.allow": "always",
        "protocol.file.allow": "always",
        "remote.ext.url": f"ext::{traps['lazy-fetch']}",
        "remote.ext.promisor": "true",
        "remote.shell.url": "ssh://example.invalid/x",
        "remote.disk.url": repo.path,
        "remote.disk.uploadpack": traps["upload-pack"],
    }
    for key, value in settings.items():
        repo.git("config", key, str(value))


def _trap(folder: Path, name: str, proof: Path) -> Path:
    folder.mkdir(exist_ok=True)
    script = folder / name
    script.write_text(f"#!/bin/sh\ntouch '{proof / name}'\ncat /dev/null\n")
    script.chmod(0o755)
    return script


def _quietly(repo: Repo, *args: str) -> None:
    """Run git for its effect, as a person with a name at a terminal would; what it asks fails in the end."""
    names = {f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(repo.path), "TERM": "xterm", **names}
    subprocess.run(["git", *args], cwd=repo.path, env=environment, capture_output=True, check=False, timeout=20)


def _on_a_terminal(repo: Repo, *args: str) -> None:
    """Run git where its output is a terminal, the only place where it starts a pager."""
    master, terminal = os.openpty()
    try:
        environment = {"PATH": os.environ["PATH"], "TERM": "dumb"}
        subprocess.run(["git", *args], cwd=repo.path, stdout=terminal, stderr=terminal, env=environment, check=False)
    finally:
        os.close(master)
        os.close(terminal)
