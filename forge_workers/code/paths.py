"""What a path alone says about a file: a test, not written here, or a place where a mistake costs more.

Belongs here: rules over paths. Does not belong here: anything that opens the file.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_TEST_PARTS = frozenset({"test", "tests", "testing", "spec", "specs", "__tests__", "testdata", "fixtures"})
_TEST_NAME = re.compile(r"^(test_.*|.*[_.-](test|tests|spec)\.[a-z0-9]+|conftest\.py|.*Tests?\.(java|kt|swift|cs))$")
_VENDORED_PARTS = frozenset(
    {"node_modules", "vendor", "third_party", "thirdparty", "site-packages", "bower_components", "pods", "carthage"}
)
_GENERATED_PARTS = frozenset({"dist", "generated", "__generated__", ".next", "__snapshots__"})
_GENERATED_NAME = re.compile(
    r"(\.min\.(js|css)|\.bundle\.js|\.map|_pb2(_grpc)?\.pyi?|\.pb\.go|\.g\.dart|\.designer\.cs|\.snap)$", re.IGNORECASE
)
_LOCK_NAME = re.compile(
    r"^(.*\.lock|.*[-.]lock\.(json|ya?ml)|pnpm-lock\.yaml|npm-shrinkwrap\.json|go\.sum|Package\.resolved|Cartfile\.resolved"
    r"|packages\.lock\.json)$"
)
_PROSE = frozenset({".md", ".rst", ".txt", ".adoc"})

#: Kinds of places by path; the second holds what tools obey as soon as somebody opens or clones the repository.
_PLACES = {
    "continuous integration": re.compile(
        r"^(\.github/(workflows|actions)/|\.gitlab-ci\.yml|\.circleci/|\.buildkite/|\.ci/|\.drone\.yml|\.travis\.yml"
        r"|Jenkinsfile|azure-pipelines\.yml)"
    ),
    "settings that tools obey": re.compile(
        r"(^|/)(\.claude/|\.cursor/|\.mcp\.json$|CLAUDE\.md$|AGENTS\.md$|\.vscode/|\.devcontainer/|\.husky/|\.githooks/"
        r"|\.pre-commit-config\.yaml$|\.gitattributes$|\.gitmodules$|\.npmrc$|\.envrc$)"
    ),
    "deployment": re.compile(
        r"(^|/)(Dockerfile[^/]*|(docker-)?compose[^/]*\.ya?ml|[^/]*\.tf|helm/.*|k8s/.*|launchd/.*)$"
    ),
    "dependencies": re.compile(
        r"(^|/)(requirements[^/]*\.(txt|in)|pyproject\.toml|setup\.(py|cfg)|Pipfile|package\.json|Cargo\.toml|go\.mod"
        r"|Gemfile|[^/]*\.lock|(package|pnpm)-lock\.(json|yaml)|go\.sum)$"
    ),
}
_WORDS = {
    "authentication": re.compile(
        r"auth|authenticat(e|ion)|authoriz(e|ation)|log(in|on)|sessions?|passwords?|passwd|permissions?|oauth2?|tokens?|acl"
        r"|rbac|sso|saml|credentials?"
    ),
    "cryptography or secrets": re.compile(
        r"crypto|cryptography|cipher|(en|de)crypt(ion)?|tls|ssl|certs?|certificates?|hmac|sign(ing|ature)|secrets?"
    ),
}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+2?")


def is_test(path: str) -> bool:
    """Whether the file is a test or belongs to one."""
    pure = PurePosixPath(path)
    return bool(_TEST_PARTS.intersection(p.lower() for p in pure.parts[:-1])) or bool(_TEST_NAME.match(pure.name))


def is_prose(path: str) -> bool:
    """Whether the file is documentation, not code."""
    return PurePosixPath(path).suffix.lower() in _PROSE and not _PLACES["dependencies"].search(path)


def is_lock(path: str) -> bool:
    """Whether the file is a lock file: written by a package manager, hashes throughout."""
    return bool(_LOCK_NAME.match(PurePosixPath(path).name))


def not_ours(path: str) -> str | None:
    """Say why the file is not written by hand here: ``vendored``, ``generated``, ``a lock file``; None when it is."""
    parts = {part.lower() for part in PurePosixPath(path).parts[:-1]}
    if parts & _VENDORED_PARTS:
        return "vendored"
    if is_lock(path):
        return "a lock file"
    if parts & _GENERATED_PARTS or _GENERATED_NAME.search(path):
        return "generated"
    return None


def sensitive(path: str) -> str | None:
    """Name the kind of place where a mistake costs more than elsewhere, or None.

    By place: what runs on every push, what tools obey on opening the repository, what is deployed, what is installed.
    By the words of its name, unless it is prose: who may do what, cryptography and secrets.
    """
    for kind, pattern in _PLACES.items():
        if pattern.search(path):
            return kind
    words = [] if is_prose(path) else [word.lower() for word in _WORD.findall(path)]
    return next((kind for kind, pattern in _WORDS.items() if any(map(pattern.fullmatch, words))), None)
