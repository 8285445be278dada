"""What a project installs, read from the files that say so, and what a change of them means.

Python (requirements files, ``pyproject.toml`` of PEP 621 and Poetry, ``Pipfile``), npm, Cargo and Go. Belongs here:
reading text, pure. Does not belong here: asking a registry, or lock files, which only record what this decides.

Severities: another index or trusting one without TLS is high, since whoever runs it chooses what is installed; a
dependency taken from an address instead of the index is medium, over an unencrypted one high; one without any version,
or one that was pinned and no longer is, is low.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from forge_workers.code.hits import Hit
from forge_workers.report import Severity


class Hold(IntEnum):
    """How firmly a version is held, from one exact version to whatever is newest."""

    EXACT = 0
    BOUNDED = 1
    FROM = 2
    ANY = 3


class Dependency(NamedTuple):
    """One thing that is installed.

    Attributes:
        name: Its name, in the form its index compares.
        wanted: What the manifest asks for, as written there.
        hold: How firmly the version is held.
        address: Where it comes from when that is not the index; empty for a place on the same disk.
    """

    name: str
    wanted: str
    hold: Hold
    address: str | None = None


class Manifest(NamedTuple):
    """What one manifest asks for.

    Attributes:
        dependencies: By name; of several entries for one name the loosest.
        indexes: Lines that choose another index or loosen how it is checked.
    """

    dependencies: Mapping[str, Dependency]
    indexes: tuple[str, ...] = ()


class Change(NamedTuple):
    """How a manifest changed. Each is sorted by name."""

    added: tuple[Dependency, ...]
    removed: tuple[Dependency, ...]
    loosened: tuple[tuple[Dependency, Dependency], ...]


#: Files that say it in a form which only running or emulating their tool would read.
_UNREAD = frozenset({
    "setup.py", "setup.cfg", "Gemfile", "composer.json", "pom.xml", "build.gradle", "build.gradle.kts",
    "Package.swift", "mix.exs",
})  # fmt: skip
_REQUIREMENTS = re.compile(r"^(requirements|constraints)[^/]*\.(txt|in)$")
_INDEX_OPTION = re.compile(r"^(-i|--index-url|--extra-index-url|--trusted-host|-f|--find-links|--no-index)\b")
_EDITABLE = re.compile(r"^(-e|--editable)[ =]+")
_ADDRESS = re.compile(r"^(git\+|hg\+|svn\+|bzr\+)?(https?|git|ssh|ftp)(\+\w+)?://|^(git@|github:|gitlab:|bitbucket:)")
_UNENCRYPTED = re.compile(r"^(git\+)?(http|git|ftp)://")
_EXACT_VERSION = re.compile(r"^=?=?\s*v?\d+(\.\d+)*([-+.][\w.+-]+)?$")
_GO = re.compile(r"^\s*(?:require\s+)?([\w.~/-]+\.[\w.~/-]+)\s+(v[\w.+-]+)")
_GO_REPLACED = re.compile(r"^\s*(?:replace\s+)?([\w.~/-]+)(?:\s+v\S+)?\s+=>\s+(\S+)")


def is_unread(path: str) -> bool:
    """Whether the file says what is installed in a way that is not read here."""
    return PurePosixPath(path).name in _UNREAD


def is_manifest(path: str) -> bool:
    """Whether the file says what is installed in a way that is read here."""
    name = PurePosixPath(path).name
    return name in _READERS or bool(_REQUIREMENTS.match(name))


def read_manifest(path: str, text: str) -> Manifest | None:
    """Read what a manifest asks for.

    Args:
        path: Its path, whose last part says what it is.
        text: Its content.

    Returns:
        None when the file is no manifest read here.

    Raises:
        ValueError: It is one, but its content is damaged; the message does not repeat it.
    """
    name = PurePosixPath(path).name
    reader = _READERS.get(name) or (_requirements if _REQUIREMENTS.match(name) else None)
    if reader is None:
        return None
    try:
        found = list(reader(text))
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("it is no valid " + ("JSON" if name.endswith(".json") else "TOML")) from None
    except (AttributeError, TypeError):
        raise ValueError("it has another shape than its tool reads") from None
    loosest: dict[str, Dependency] = {}
    for dependency in found:
        held = loosest.get(dependency.name)
        if held is None or _looseness(held) < _looseness(dependency):
            loosest[dependency.name] = dependency
    return Manifest(loosest, tuple(_indexes(text)) if reader is _requirements else ())


def compare(before: Manifest, after: Manifest) -> Change:
    """Say what was added, removed and loosened from ``before`` to ``after``."""
    old, new = before.dependencies, after.dependencies
    kept = [(old[name], new[name]) for name in sorted(old.keys() & new.keys())]
    return Change(
        added=tuple(new[name] for name in sorted(new.keys() - old.keys())),
        removed=tuple(old[name] for name in sorted(old.keys() - new.keys())),
        loosened=tuple((a, b) for a, b in kept if a.address is None and b.address is None and a.hold < b.hold),
    )


def manifest_hits(manifest: Manifest, text: str) -> Iterator[Hit]:
    """Yield what to look at in a manifest, whether it changed or not."""
    for option in manifest.indexes:
        title = "Packages are also taken from another index, or without checking who serves them"
        yield _hit("dependency:index", Severity.HIGH, title, text, wanted=option, key=option)
    for dependency in manifest.dependencies.values():
        key = f"{dependency.name} {dependency.wanted}"
        if dependency.address:
            severity = Severity.HIGH if _UNENCRYPTED.match(dependency.address) else Severity.MEDIUM
            title = "A dependency is taken from an address instead of the index"
            yield _hit("dependency:url", severity, title, text, wanted=dependency.wanted, key=key)
        elif dependency.address is None and dependency.hold is Hold.ANY:
            title = "A dependency has no version: each installation takes whatever is newest"
            yield _hit("dependency:unpinned", Severity.LOW, title, text, wanted=dependency.wanted, key=key)


def loosened_hits(change: Change, text: str) -> Iterator[Hit]:
    """Yield each dependency whose version is held less firmly than before."""
    for _, dependency in change.loosened:
        if dependency.hold is not Hold.ANY:  # which manifest_hits says already
            title = "The version of a dependency is held less firmly than before"
            key = f"{dependency.name} {dependency.wanted}"
            yield _hit("dependency:loosened", Severity.LOW, title, text, wanted=dependency.wanted, key=key)


def _hit(rule: str, severity: Severity, title: str, text: str, *, wanted: str, key: str) -> Hit:
    lines = text.split("\n")
    name = key.split(" ", 1)[0]
    number = next((n for sought in (wanted, name) for n, line in enumerate(lines, 1) if sought and sought in line), 1)
    return Hit(rule, severity, title, "Check that this is meant.", number, lines[number - 1], key)


def _looseness(dependency: Dependency) -> tuple[bool, int]:
    return bool(dependency.address), dependency.hold


def _logical_lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\r?\n", " ", text).split("\n"):
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        if bare:
            yield bare


def _indexes(text: str) -> Iterator[str]:
    return (line for line in _logical_lines(text) if _INDEX_OPTION.match(line))


def _requirements(text: str) -> Iterator[Dependency]:
    for line in _logical_lines(text):
        bare = _EDITABLE.sub("", line)
        if not bare.startswith("-"):
            yield from _python(re.sub(r"\s+--\w.*$", "", bare))


def _python(written: Any) -> Iterator[Dependency]:
    try:
        wanted = Requirement(written)
    except InvalidRequirement:
        if _ADDRESS.match(written):
            yield Dependency(written.rpartition("egg=")[2] or written, written, Hold.ANY, written)
        elif written.startswith((".", "/", "file:")):
            yield Dependency(written, written, Hold.ANY, "")
        return
    name = canonicalize_name(wanted.name)
    if wanted.url:
        yield Dependency(name, written, Hold.ANY, "" if wanted.url.startswith("file:") else wanted.url)
        return
    operators = {(s.operator, s.version.endswith("*")) for s in wanted.specifier}
    exact = {("==", False), ("===", False)} & operators
    bounded = any(operator in {"<", "<=", "~="} or star for operator, star in operators)
    hold = Hold.EXACT if exact else Hold.BOUNDED if bounded else Hold.FROM if operators else Hold.ANY
    yield Dependency(name, written, hold)


def _pyproject(text: str) -> Iterator[Dependency]:
    table = tomllib.loads(text)
    project = table.get("project", {})
    groups = (
        project.get("dependencies", []),
        *project.get("optional-dependencies", {}).values(),
        *table.get("dependency-groups", {}).values(),
        table.get("build-system", {}).get("requires", []),
    )
    for written in (item for group in groups for item in group if isinstance(item, str)):
        yield from _python(written)
    poetry = table.get("tool", {}).get("poetry", {})
    yield from _ranges(poetry.get("dependencies", {}))
    for group in poetry.get("group", {}).values():
        yield from _ranges(group.get("dependencies", {}))


def _pipfile(text: str) -> Iterator[Dependency]:
    table = tomllib.loads(text)
    for section in ("packages", "dev-packages"):
        yield from _ranges(table.get(section, {}))


def _cargo(text: str) -> Iterator[Dependency]:
    """Read Cargo's form, in which a bare version stands for every compatible one."""
    table = tomllib.loads(text)
    for section in ("dependencies", "dev-dependencies", "build-dependencies"):
        for dependency in _ranges(table.get(section, {})):
            bare = dependency.hold is Hold.EXACT and not dependency.wanted.startswith("=")
            yield dependency._replace(hold=Hold.BOUNDED) if bare else dependency


def _npm(text: str) -> Iterator[Dependency]:
    table = json.loads(text)
    for section in ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies"):
        yield from _ranges(table.get(section, {}))


def _ranges(table: Mapping[str, Any]) -> Iterator[Dependency]:
    """Read ``name = range`` as Poetry, Pipfile, npm and Cargo write it."""
    for name, value in table.items():
        if name == "python":
            continue
        fields = value if isinstance(value, dict) else {}
        wanted = str(fields.get("version", "")) if fields else str(value)
        address = str(fields.get("git") or fields.get("url") or fields.get("file") or "")
        if fields.get("workspace"):
            continue
        if address or _ADDRESS.match(wanted) or re.fullmatch(r"[\w.-]+/[\w.-]+(#.*)?", wanted):
            yield Dependency(name, address or wanted, Hold.ANY, address or wanted)
        elif fields.get("path") or wanted.startswith(("file:", "link:", "workspace:", "./", "../")):
            yield Dependency(name, wanted or name, Hold.ANY, "")
        else:
            yield Dependency(name, wanted, _hold(wanted.strip()))


def _hold(wanted: str) -> Hold:
    if _EXACT_VERSION.match(wanted):
        return Hold.EXACT
    if wanted in {"", "*", "x", "latest", "next"}:
        return Hold.ANY
    return Hold.FROM if wanted.startswith(">") and "<" not in wanted else Hold.BOUNDED


def _go(text: str) -> Iterator[Dependency]:
    for line in text.split("\n"):
        bare = line.partition("//")[0]
        if replaced := _GO_REPLACED.match(bare):
            name, target = replaced.groups()
            yield Dependency(name, target, Hold.ANY, "" if target.startswith((".", "/")) else target)
        elif required := _GO.match(bare):
            yield Dependency(required[1], required[2], Hold.EXACT)


_READERS: Mapping[str, Callable[[str], Iterator[Dependency]]] = {
    "pyproject.toml": _pyproject,
    "Pipfile": _pipfile,
    "Cargo.toml": _cargo,
    "package.json": _npm,
    "go.mod": _go,
}
