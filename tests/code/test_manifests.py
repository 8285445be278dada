"""Manifests: what is installed, from where, and how firmly its version is held."""

from __future__ import annotations

import pytest

from forge_workers.code.manifests import Hold, Manifest, compare, is_unread, manifest_hits, read_manifest


def read(path: str, text: str) -> Manifest:
    """Return a manifest that must be one."""
    manifest = read_manifest(path, text)
    assert manifest is not None
    return manifest


def holds(path: str, text: str) -> dict[str, str]:
    """Return how each dependency is held, or its address."""
    found = read(path, text).dependencies.values()
    return {d.name: d.hold.name if d.address is None else d.address or "here" for d in found}


REQUIREMENTS = """\
# tools
A_b==1.0 \\
  --hash=sha256:00
c>=2,<3; python_version<'4'
d~=1.0
e>=1
f
g==1.*
-r other.txt
h[x] @ https://e.org/h
-e ssh://e.org/i#egg=i
./local
"""
PYPROJECT = """\
[project]
dependencies = ["a==1"]
[project.optional-dependencies]
x = ["b"]
[dependency-groups]
dev = ["c>=1", {include-group = "x"}]
[build-system]
requires = ["d>=75"]
[tool.poetry.dependencies]
python = "^3.11"
e = "^1.2"
f = {git = "https://e.org/f"}
[tool.poetry.group.dev.dependencies]
g = "*"
"""
PACKAGE = """\
{"dependencies": {"a": "1.2.3", "b": "^1.0", "c": "*", "d": "user/repo", "e": "file:../e", "f": ">=1 <2"},
 "devDependencies": {"g": "git+http://e.org/g", "h": "latest"}}
"""
CARGO = """\
[dependencies]
a = "1"
b = { version = "=1.2.3" }
c = { path = "../c" }
d = { workspace = true }
[dev-dependencies]
e = { git = "https://e.org/e" }
"""
GO = """\
module e.org/m

go 1.24

require (
\te.org/a v1.0.0
\te.org/b v0.1.0 // indirect
)
replace e.org/a => ../a
replace e.org/c v1.0.0 => f.org/c v1.0.1
"""


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "requirements-dev.txt",
            REQUIREMENTS,
            "a-b=EXACT c=BOUNDED d=BOUNDED e=FROM f=ANY g=BOUNDED h=https://e.org/h i=ssh://e.org/i#egg=i ./local=here",
        ),
        ("pyproject.toml", PYPROJECT, "a=EXACT b=ANY c=FROM d=FROM e=BOUNDED f=https://e.org/f g=ANY"),
        (
            "web/package.json",
            PACKAGE,
            "a=EXACT b=BOUNDED c=ANY d=user/repo e=here f=BOUNDED g=git+http://e.org/g h=ANY",
        ),
        ("Cargo.toml", CARGO, "a=BOUNDED b=EXACT c=here e=https://e.org/e"),
        ("Pipfile", '[packages]\na = "*"\n[dev-packages]\nb = "==1.0"\n', "a=ANY b=EXACT"),
        ("go.mod", GO, "e.org/a=here e.org/b=EXACT e.org/c=f.org/c"),
    ],
)
def test_every_form_is_read(path: str, text: str, expected: str) -> None:
    """Each kind of manifest gives its dependencies by name; of two entries the looser one counts."""
    assert " ".join(f"{name}={held}" for name, held in holds(path, text).items()) == expected


def test_what_is_no_manifest_is_left_alone() -> None:
    """Other files are not read, and those in a form not read yet are known by name."""
    assert read_manifest("src/app.py", "import x") is None
    assert is_unread("ios/Package.swift")
    assert not is_unread("package.json")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", "[project"),
        ("pyproject.toml", "project = 3"),
        ("package.json", "{"),
        ("package.json", "[]"),
        ("package.json", '{"dependencies": ["a"]}'),
        ("package.json", "[" * 100_000),
    ],
)
def test_a_damaged_manifest_is_refused_without_repeating_it(path: str, text: str) -> None:
    """The reason says what is wrong in our own words."""
    with pytest.raises(ValueError, match=r"^it (is no valid (JSON|TOML)|has another shape than its tool reads)$"):
        read_manifest(path, text)


def test_what_came_went_and_loosened_is_told_apart() -> None:
    """A pin that became a range is loosened; one that became tighter or moved is not."""
    change = compare(
        read("requirements.txt", "gone==1\nloose==1\ntight>=1\nsame==1\n"),
        read("requirements.txt", "new==1\nloose>=1\ntight==1\nsame==2\n"),
    )
    assert [d.name for d in change.added] == ["new"]
    assert [d.name for d in change.removed] == ["gone"]
    assert [(before.hold, after.hold) for before, after in change.loosened] == [(Hold.EXACT, Hold.FROM)]


def test_each_hit_points_at_its_line() -> None:
    """Rule, severity and line of what a manifest should not hold."""
    text = "a==1\nfree\n--trusted-host e.org\nb @ http://e.org/b.zip\nc @ https://e.org/c.zip\n"
    hits = manifest_hits(read("requirements.txt", text), text)
    assert [(h.rule, h.severity.value, h.line, h.quote) for h in hits] == [
        ("dependency:index", "high", 3, "--trusted-host e.org"),
        ("dependency:unpinned", "low", 2, "free"),
        ("dependency:url", "high", 4, "b @ http://e.org/b.zip"),
        ("dependency:url", "medium", 5, "c @ https://e.org/c.zip"),
    ]
