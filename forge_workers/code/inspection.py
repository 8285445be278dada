"""Every rule over one set of files, and what they say as findings.

Belongs here: bringing bandit, detect-secrets and the manifest rules together, checking each quote against the file, and
hiding secrets before anything leaves. Does not belong here: git, what is new, or how it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forge_workers.code.committed import Source
from forge_workers.code.evidence import QUOTE_LENGTH, Checked, lines_of, place
from forge_workers.code.hits import Hit, fingerprints
from forge_workers.code.manifests import Manifest, manifest_hits, read_manifest
from forge_workers.code.python_scan import PASSWORD_RULES, PythonScan, is_python, scan_python, without_password
from forge_workers.code.secret_scan import SecretScan, SecretScanner
from forge_workers.redact import Redactor
from forge_workers.report import Evidence, Finding


@dataclass(frozen=True)
class Inspected:
    """What the rules say of one file.

    Attributes:
        hits: Everything that was noticed; quotes are not masked yet.
        secrets: What detect-secrets says, which also masks.
        silenced: Places that a comment in the file keeps from being listed.
        manifest: What the file asks to be installed, when it is a manifest.
        problems: Why a rule could not be applied.
    """

    hits: tuple[Hit, ...]
    secrets: SecretScan
    silenced: int
    manifest: Manifest | None
    problems: tuple[str, ...]


def inspect(files: Sequence[tuple[str, bytes]], scanner: SecretScanner) -> list[Inspected]:
    """Apply every rule to every file, each scanner in one go.

    Args:
        files: Path in the repository and committed content.
        scanner: Remembers the lines it has seen.

    Returns:
        One result for each file, in the same order.
    """
    texts = [(path, content.decode("utf-8", "replace")) for path, content in files]
    secrets = scanner.scan(texts)
    programs = [number for number, file in enumerate(files) if is_python(*file)]
    python = dict(zip(programs, scan_python([files[number] for number in programs]), strict=True))
    return [_joined(*text, secrets[number], python.get(number, PythonScan())) for number, text in enumerate(texts)]


def _joined(path: str, text: str, secrets: SecretScan, python: PythonScan) -> Inspected:
    problems = [problem for problem in (secrets.problem, python.problem) if problem]
    manifest = None
    try:
        manifest = read_manifest(path, text)
    except ValueError as error:
        problems.append(f"its dependencies cannot be read: {error}")
    asked = tuple(manifest_hits(manifest, text)) if manifest else ()
    silenced = secrets.allowed + python.silenced
    told = {hit.line for hit in secrets.hits}
    others = [hit for hit in python.hits if not (hit.rule in PASSWORD_RULES and hit.line in told)]
    return Inspected((*secrets.hits, *others, *asked), secrets, silenced, manifest, tuple(problems))


def findings_of(source: Source, inspected: Inspected, more: Sequence[Hit], redactor: Redactor) -> Checked:
    """Turn hits into findings that can be shown.

    A quote is first looked up in the file, then masked, then cut, in this order: a mask hides the text it was checked
    by, and a cut might split a secret that is no longer recognised.

    Args:
        source: The file at its commit.
        inspected: What the rules said of it; its secrets are the masks.
        more: What only a comparison with the file before the window could tell.
        redactor: Hides Forge's own secrets, and what no rule named.
    """
    lines, hits = lines_of(source.text), (*inspected.hits, *more)
    findings: list[Finding] = []
    path, version = source.version.path, source.version
    for hit, fingerprint in zip(hits, fingerprints(source.repository, path, hits), strict=True):
        line = place(hit.quote, hit.line, lines)
        if line is None:
            continue
        shown = without_password(hit.rule, inspected.secrets.mask(lines[line - 1], line))
        evidence = Evidence(
            source=hit.rule.partition(":")[0],
            observed_at=version.committed_at,
            repository=source.repository,
            commit=version.commit,
            path=path,
            line=line,
            quote=redactor.text(shown)[:QUOTE_LENGTH],
        )
        title, detail = redactor.text(hit.title), redactor.text(hit.detail)
        findings.append(
            Finding(
                fingerprint=fingerprint,
                rule=hit.rule,
                severity=hit.severity,
                title=title,
                detail=detail,
                evidence=(evidence,),
            )
        )
    return Checked(tuple(findings), len(hits) - len(findings))
