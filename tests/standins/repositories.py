"""Real git repositories with explicit dates: everyday ones, broken ones and hostile ones.

Commits are made through the index, so any bytes can be a file name on any file system; the work tree stays empty unless
:meth:`Repo.checkout` fills it.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

#: 2026-03-02 00:00 UTC, a Monday: the default time of the examples.
MONDAY = 1_772_409_600.0
HOUR = 3600.0
DAY = 24 * HOUR

Content = bytes | str | None


class Repo:
    """One repository that a test fills.

    Args:
        path: Where; made if needed.
        branch: Name of the first branch.
    """

    def __init__(self, path: Path, branch: str = "main") -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if not (path / ".git").exists():
            self.git("init", "--quiet", f"--initial-branch={branch}")

    def git(self, *args: str | bytes, stdin: bytes = b"", at: float = MONDAY, author: str = "Ada") -> bytes:
        """Run plain git here, as a person would, with a clock that says ``at``."""
        names = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
                 (("NAME", author), ("EMAIL", "ada@example.org"), ("DATE", f"@{int(at)} +0000"))}  # fmt: skip
        environment = {"PATH": "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin", "HOME": str(self.path), **names}
        environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "TZ": "UTC"}
        done = subprocess.run(
            ["git", *args], cwd=self.path, env=environment, input=stdin, capture_output=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"git {args!r:.200}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def commit(
        self,
        files: Mapping[str | bytes, Content] | None = None,
        message: str | bytes = "Change something",
        *,
        at: float = MONDAY,
        author: str = "Ada",
        encoding: str = "UTF-8",
        merge: str | None = None,
    ) -> str:
        """Commit ``files`` (None deletes) on top of HEAD, with both dates ``at``; return the commit's id."""
        rows = b"".join(self._row(name, content) for name, content in (files or {}).items())
        self.git("update-index", "-z", "--index-info", stdin=rows)
        tree = self.git("write-tree").strip()
        heads = self.git("for-each-ref", "--format=%(objectname)", self._branch())
        parents = [*heads.split(), *([self.git("rev-parse", merge).strip()] if merge else [])]
        raw = message.encode() if isinstance(message, str) else message
        flags = [flag for parent in parents for flag in (b"-p", parent)]
        setting = f"i18n.commitEncoding={encoding}"
        made = self.git("-c", setting, "commit-tree", tree, *flags, stdin=raw, at=at, author=author).strip().decode()
        self.git("update-ref", "HEAD", made)
        return made

    def amend(self, old: bytes, new: bytes) -> str:
        """Write the last commit anew with ``new`` for ``old``, which commit-tree would have put right."""
        raw = self.git("cat-file", "commit", "HEAD").replace(old, new)
        made = self.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw).decode().strip()
        self.git("update-ref", "HEAD", made)
        return made

    def switch(self, branch: str, *, create: bool = False) -> None:
        """Make ``branch`` the current one, from HEAD when it is new."""
        if create:
            self.git("branch", branch)
        self.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        self.git("read-tree", "HEAD")

    def merge(self, branch: str, *, at: float, message: str | None = None) -> str:
        """Merge ``branch`` into the current one; the files of ``branch`` win."""
        listed = self.git("ls-tree", "-r", "-z", "--full-tree", branch)
        self.git("update-index", "-z", "--index-info", stdin=listed)
        return self.commit({}, message or f"Merge {branch}", at=at, merge=branch)

    def checkout(self) -> None:
        """Fill the work tree from the last commit."""
        self.git("reset", "--quiet", "--hard", "HEAD")

    def head(self) -> str:
        """Return the id of the last commit of the current branch."""
        return self.git("rev-parse", "HEAD").decode().strip()

    def _branch(self) -> str:
        return self.git("symbolic-ref", "HEAD").decode().strip()

    def _row(self, name: str | bytes, content: Content) -> bytes:
        path = name if isinstance(name, bytes) else name.encode()
        if content is None:
            return b"0 " + b"0" * 40 + b"\t" + path + b"\0"
        raw = content.encode() if isinstance(content, str) else content
        return b"100644 " + self.git("hash-object", "-w", "--stdin", stdin=raw).strip() + b"\t" + path + b"\0"


def empty(path: Path) -> Repo:
    """Make a repository without a commit."""
    return Repo(path)


def bare(path: Path) -> Path:
    """Make a bare repository with one commit."""
    seed = Repo(path.with_name(path.name + "-seed"))
    seed.commit({"a.py": "1\n"})
    seed.git("clone", "--quiet", "--bare", "--no-local", ".", str(path))
    return path


def shallow(path: Path, *, at: float = MONDAY) -> Repo:
    """Make a clone of depth 2 out of five daily commits, the last one at ``at``."""
    seed = Repo(path.with_name(path.name + "-seed"))
    for day in range(5):
        seed.commit({"a.py": f"{day}\n"}, f"Day {day}", at=at - (4 - day) * DAY)
    seed.git("clone", "--quiet", "--depth=2", f"file://{seed.path}", str(path))
    return Repo(path)


def locked(path: Path, *, at: float = MONDAY) -> Repo:
    """Make a repository in which another git died and left its lock."""
    repo = Repo(path)
    repo.commit({"a.py": "1\n"}, at=at)
    (path / ".git" / "index.lock").touch()
    return repo


#: File names that are meant to be mistaken for something else.
HOSTILE_NAMES: tuple[bytes, ...] = (
    b"new\nline.py",
    b"tab\there.py",
    b'quote".py',
    b"--upload-pack=touch pwned",
    b"caf\xe9.py",
    b"\x01" + b"0" * 40,
    b":100644 100644 M",
    b"1\t2\tc.py",
    b"back\\slash.py",
    b"$(touch pwned).py",
    b":(exclude)glob*",
    "naïve—文.py".encode(),
)


def hostile(path: Path, *, at: float = MONDAY) -> Repo:
    """Make a repository of six commits, an hour apart from ``at``, that try to break a parser.

    In turn: every name of :data:`HOSTILE_NAMES`; a message of 1 MB on one line; a message that is not UTF-8; one in
    Latin-1 that says so; a binary file; a diff of 100,000 lines.
    """
    repo = Repo(path)
    repo.commit(dict.fromkeys(HOSTILE_NAMES, b"value = 1\n"), "Add odd names", at=at)
    repo.commit({"a.py": "1\n"}, "x" * 1_000_000, at=at + HOUR)
    repo.commit({"a.py": "2\n"}, "MESSAGE", at=at + 2 * HOUR, author="Zo\u00eb \u202e")
    repo.amend(b"MESSAGE", b"caf\xe9 \xff\xfe \x1b[31mred")
    repo.commit({"a.py": "3\n"}, b"caf\xe9 in Latin-1", at=at + 3 * HOUR, encoding="ISO-8859-1")
    repo.commit({"logo.png": bytes(range(256)) * 8}, "Add a picture", at=at + 4 * HOUR)
    repo.commit({"big.txt": "".join(f"line {n}\n" for n in range(100_000))}, "Add much", at=at + 5 * HOUR)
    return repo


def synthetic(path: Path, commits: int = 1000, seed: int = 7, *, until: float = MONDAY, days: int = 90) -> Repo:
    """Make a believable history by one ``git fast-import``: modules, tests, fixes, a side branch and its merges.

    Args:
        path: Where.
        commits: How many commits, merges among them.
        seed: Two calls with the same arguments make the same commit ids.
        until: When the last commit is made; the others are spread over ``days`` before it.
        days: Length of the history.
    """
    repo = Repo(path)
    history = _History(random.Random(seed), days * DAY / commits)
    stream = b"".join(history.step(n, until - (commits - 1 - n) * history.pause) for n in range(commits))
    repo.git("fast-import", "--quiet", stdin=stream)
    repo.git("read-tree", "HEAD")
    return repo


class _History:
    """The state of :func:`synthetic`: file contents on ``main`` and ``topic``, and the stream for fast-import."""

    def __init__(self, rng: random.Random, pause: float) -> None:
        self.rng = rng
        self.pause = pause
        self.files: dict[str, list[str]] = {}
        self.pending: dict[str, bytes] = {}

    def step(self, number: int, at: float) -> bytes:
        """Write one commit: on ``main``, or on ``topic``, or the merge of ``topic`` into ``main``."""
        if number == 0:
            first = {"README.md": "# Synthetic\n", "pyproject.toml": '[project]\nname = "s"\ndependencies = ["rich"]\n'}
            return self._commit("main", "Begin", at, {k: v.encode() for k, v in first.items()})
        place = number % 25
        if place == 20 and self.pending:
            files, self.pending = self.pending, {}
            return self._commit("main", "Merge topic", at, files, parents=("main", "topic"))
        if place in {16, 17, 18, 19}:
            opens = place == 16
            files = self._edits("topics")
            self.pending |= files
            return self._commit("topic", f"Try idea {number}", at, files, parents=("main" if opens else "topic",))
        words = self.rng.choice(
            ("Add a case", "Make it plain", "Fix the edge case", "Speed up parsing", "fix: wrong sum")
        )
        return self._commit("main", f"{words} ({number})", at, self._edits("src"), parents=("main",))

    def _edits(self, folder: str) -> dict[str, bytes]:
        number = self.rng.randrange(40)
        names = [f"{folder}/part{number % 6}/module_{number}.py"]
        if self.rng.random() < 0.4:
            names.append(f"tests/{folder}_{number}/test_module_{number}.py")
        return {name: self._edit(name) for name in names}

    def _edit(self, name: str) -> bytes:
        lines = self.files.setdefault(name, [f'"""Part of {name}."""\n'])
        for _ in range(self.rng.randint(1, 12)):
            line = f"value_{self.rng.randrange(10_000)} = {self.rng.randrange(100)}\n"
            if len(lines) > 3 and self.rng.random() < 0.3:
                lines[self.rng.randrange(1, len(lines))] = line
            else:
                lines.insert(self.rng.randint(1, len(lines)), line)
        return "".join(lines).encode()

    def _commit(
        self, branch: str, message: str, at: float, files: dict[str, bytes], parents: tuple[str, ...] = ()
    ) -> bytes:
        author = self.rng.choice(("Ada", "Grace", "Linus"))
        who = f"{author} <{author.lower()}@example.org> {int(at)} +0000\n"
        text = message.encode()
        head = f"commit refs/heads/{branch}\nauthor {who}committer {who}data {len(text)}\n".encode() + text + b"\n"
        joins = [
            f"{'merge' if number else 'from'} refs/heads/{parent}\n".encode()
            for number, parent in enumerate(parents)
            if parent != branch  # its own tip is a commit's first parent unasked
        ]
        body = (f"M 100644 inline {p}\ndata {len(c)}\n".encode() + c + b"\n" for p, c in files.items())
        return head + b"".join(joins) + b"".join(body) + b"\n"
