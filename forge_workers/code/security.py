"""The security review: what the night's commits brought in, new things first.

Looked at is the committed content of every file the window touched, each branch as it stands at the window's end. A
finding is known, and only counted, when the same file held it before the window or an earlier night told it; dismissed
ones are counted too. Belongs here: which files, what is new, and the report. Does not belong here: the rules
(``inspection.py`` and what it joins), or the page (``security_page.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from forge_workers.code.commits import CommitLog, WatchedRepository, log_of, unseen
from forge_workers.code.committed import Source, read_bases, read_sources
from forge_workers.code.hits import fingerprints
from forge_workers.code.inspection import Inspected, findings_of, inspect
from forge_workers.code.manifests import Change, Manifest, compare, is_unread, loosened_hits
from forge_workers.code.open_findings import OpenFinding, carried, still_open, unmended
from forge_workers.code.secret_scan import SecretScanner
from forge_workers.code.security_page import Dependencies, Silenced, headline, page
from forge_workers.code.versions import versions
from forge_workers.dismissals import Dismissals, Sifted, sift
from forge_workers.errors import ForgeError
from forge_workers.git import Repository
from forge_workers.plain import plain
from forge_workers.plural import count
from forge_workers.redact import Redactor
from forge_workers.report import Finding, Gap, Outcome, Report, by_weight
from forge_workers.tools import Request, Tools

ASSET = "security_review"
#: Nights back to the newest report that is not damaged; it says what was open.
_NIGHTS_BACK = 28
#: Paths named in a gap; the rest are counted.
_NAMED = 3


class _Read(NamedTuple):
    """What was read of all repositories; each open one with where its branch stood before the window.

    ``aside`` are repository and path of what was touched and not fit to be scanned.
    """

    sources: tuple[Source, ...]
    repositories: Mapping[str, tuple[Repository, str | None]]
    gaps: tuple[Gap, ...]
    aside: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class _Judged:
    """What the rules say, before it is sifted."""

    findings: tuple[Finding, ...]
    before: frozenset[str]
    dropped: int
    silenced: tuple[Silenced, ...]
    dependencies: tuple[Dependencies, ...]
    gaps: tuple[Gap, ...]
    unread: frozenset[tuple[str, str]]


def security_review(request: Request, tools: Tools) -> Report:
    """Review the files of the window with bandit, detect-secrets and the rules over manifests.

    Returns:
        New findings only; known, dismissed and silenced ones are counted, and urgent ones of earlier nights that are
        still open are in the data. Skipped without a commit log or a readable repository; all stays open then.
    """
    dismissed = Dismissals(tools.settings.home).all()
    earlier = carried(next(tools.history.reports(ASSET, before=request.night, limit=_NIGHTS_BACK), None))
    log = log_of(request)
    if log is None or not log.repositories:
        why = f"{unseen(log)}, so no file could be reviewed."
        return _skipped(request, why, still_open((), earlier, night=request.night, leaving=dismissed))
    read = _read(log)
    judged = _judge(read, Redactor(tools.settings.secrets))
    known = judged.before | tools.history.fingerprints(ASSET, before=request.night)
    sifted = sift(judged.findings, known, dismissed)
    left = unmended(earlier, log, read.aside | judged.unread)
    left = still_open(judged.findings, left, night=request.night, leaving=dismissed)
    return _report(request, read, judged, sifted, left)


def _skipped(request: Request, why: str, left: Sequence[OpenFinding]) -> Report:
    return Report(
        asset=ASSET,
        night=request.night,
        outcome=Outcome.SKIPPED,
        reasons=(why,),
        headline=why,
        markdown=page(why, left=left),
        data={"open": [one.model_dump(mode="json") for one in left]},
    )


def _read(log: CommitLog) -> _Read:
    """Read the touched files of every repository; one that fails is a gap and the others go on."""
    sources: list[Source] = []
    opened: dict[str, tuple[Repository, str | None]] = {}
    gaps: list[Gap] = []
    aside: set[tuple[str, str]] = set()
    for watched in log.repositories:
        wanted = versions([c for c in log.commits if c.repository == watched.name], watched.tip)
        if not wanted:
            continue
        try:
            repository = Repository.open(Path(watched.path), watched.name)
            reading = read_sources(repository, wanted)
        except ForgeError as error:
            gaps.append(Gap(what=watched.name, why=f"its files were not reviewed: {error}"))
            aside.update((watched.name, version.path) for version in wanted)
            continue
        opened[watched.name] = repository, watched.base
        sources += reading.sources
        if reading.left_aside:
            gaps.append(_left_aside(watched, reading.left_aside))
            aside.update((watched.name, path) for path, _ in reading.left_aside)
    return _Read(tuple(sources), opened, tuple(gaps), frozenset(aside))


def _left_aside(watched: WatchedRepository, left: Sequence[tuple[str, str]]) -> Gap:
    reasons: dict[str, list[str]] = {}
    for path, reason in left:
        reasons.setdefault(reason, []).append(path)
    told = []
    for reason, paths in sorted(reasons.items()):
        named = ", ".join(plain(path, 80) for path in paths[:_NAMED])
        told.append(f"{len(paths)} {reason} ({named}{', …' if len(paths) > _NAMED else ''})")
    return Gap(what=f"{count(len(left), 'touched file')} of {watched.name}", why=f"not scanned: {'; '.join(told)}")


def _judge(read: _Read, redactor: Redactor) -> _Judged:
    scanner = SecretScanner()
    inspected = inspect([(source.version.path, source.content) for source in read.sources], scanner)
    pairs = list(zip(read.sources, inspected, strict=True))
    suspects = [source for source, seen in pairs if seen.hits or seen.silenced or seen.manifest]
    bases, gaps = _inspect_bases(read, suspects, scanner)
    findings: list[Finding] = []
    dependencies: dict[tuple[str, str], Dependencies] = {}
    dropped = 0
    for source, seen in pairs:
        place = source.repository, source.version.path
        change = _changed(seen, bases.get(place))
        held = findings_of(source, seen, list(loosened_hits(change, source.text)), redactor)
        findings += held.findings
        dropped += held.dropped
        dependencies.setdefault(place, Dependencies(*place, change))
        gaps += _problems(source, seen)
    return _Judged(
        findings=tuple(findings),
        before=frozenset(f for place, seen in bases.items() for f in fingerprints(*place, seen.hits)),
        dropped=dropped,
        silenced=_silenced(pairs, bases),
        dependencies=tuple(d for d in dependencies.values() if any(d.change)),
        gaps=tuple(gaps),
        unread=frozenset((source.repository, source.version.path) for source, seen in pairs if seen.problems),
    )


def _inspect_bases(
    read: _Read, suspects: Iterable[Source], scanner: SecretScanner
) -> tuple[dict[tuple[str, str], Inspected], list[Gap]]:
    """Inspect what the suspects held before the window. Files without a hit now need no look at their past."""
    places: list[tuple[str, str]] = []
    files: list[tuple[str, bytes]] = []
    gaps: list[Gap] = []
    wanted = list(suspects)
    for name, (repository, base) in read.repositories.items():
        if base is None:
            continue
        try:
            contents = read_bases(repository, base, [source for source in wanted if source.repository == name])
        except ForgeError as error:
            why = f"what was there before the window cannot be read, so all of it counts as new: {error}"
            gaps.append(Gap(what=name, why=why))
            continue
        places += [(name, path) for path in contents]
        files += contents.items()
    return dict(zip(places, inspect(files, scanner), strict=True)), gaps


def _changed(now: Inspected, before: Inspected | None) -> Change:
    if now.manifest is None:
        return Change((), (), ())
    earlier = before.manifest if before else None
    return compare(earlier or Manifest({}), now.manifest)


def _problems(source: Source, seen: Inspected) -> list[Gap]:
    where = plain(f"{source.repository}: {source.version.path}")
    unread = ("its dependencies are in a form that is not read yet",) if is_unread(source.version.path) else ()
    return [Gap(what=where, why=why) for why in (*seen.problems, *unread)]


def _silenced(
    pairs: Sequence[tuple[Source, Inspected]], bases: Mapping[tuple[str, str], Inspected]
) -> tuple[Silenced, ...]:
    told: list[Silenced] = []
    for source, seen in pairs:
        if seen.silenced:
            place = source.repository, source.version.path
            before = bases[place].silenced if place in bases else 0
            told.append(Silenced(*place, seen.silenced, max(0, seen.silenced - before)))
    return tuple(told)


def _report(request: Request, read: _Read, judged: _Judged, sifted: Sifted, left: Sequence[OpenFinding]) -> Report:
    findings = by_weight(sifted.new)
    files = len(read.sources)
    numbers = {
        "scanned_files": files,
        "new_findings": len(findings),
        "known_findings": sifted.known,
        "dismissed_findings": sifted.dismissed,
        "open_findings": len(left),
        "silenced_places": sum(s.places for s in judged.silenced),
        "newly_silenced_places": sum(s.newly for s in judged.silenced),
        "dropped_findings": judged.dropped,
        "added_dependencies": sum(len(d.change.added) for d in judged.dependencies),
        "removed_dependencies": sum(len(d.change.removed) for d in judged.dependencies),
    }
    gaps = (*read.gaps, *judged.gaps)
    said = headline(findings, files=files, known=sifted.known, dismissed=sifted.dismissed, gaps=len(gaps))
    return Report(
        asset=ASSET,
        night=request.night,
        headline=said,
        markdown=page(said, findings, judged.silenced, judged.dependencies, gaps, dropped=judged.dropped, left=left),
        numbers={name: float(number) for name, number in numbers.items()},
        findings=findings,
        known=sifted.known,
        dismissed=sifted.dismissed,
        gaps=gaps,
        data={
            "dependencies": [d.named() for d in judged.dependencies],
            "open": [one.model_dump(mode="json") for one in left],
        },
    )
