"""The verdict, and what needs a person.

Pure: decided from receipts and reports alone, so a table of cases tests it. Belongs here: what a night amounts to.
Does not belong here: the sections that tell it in detail.
"""

from __future__ import annotations

from collections import Counter

from forge_workers.briefing import words
from forge_workers.briefing.findings import advice, typed
from forge_workers.briefing.model import Level, Need, Proof, Verdict
from forge_workers.briefing.reading import Check, Commits, Health, OpenFinding, Pulls, Threat, read
from forge_workers.briefing.told import Told, linkable, proof
from forge_workers.plain import plain
from forge_workers.report import Finding, Severity

_REVIEW = "security_review"
#: At this severity a new finding is something a person must do, not only something to read.
_URGENT = Severity.HIGH
#: Needs of one kind that are shown one by one; the rest are counted.
_SHOWN = 8
#: Findings of earlier nights shown one by one; they were told in full before.
_OPEN_SHOWN = 3


def judge(told: Told, new: tuple[tuple[str, Finding], ...], left: tuple[OpenFinding, ...]) -> Verdict:
    """Decide the verdict.

    1. RED: the threat assessment says so, or a finding, new or still open, is critical.
    2. INCOMPLETE: a step failed, is missing or still at work, or the threat assessment did no work. Never GREEN
       without it.
    3. YELLOW: the threat assessment says so, or a finding, new or still open, is high.
    4. GREEN: everything else.
    """
    threat = read(told.reports.get("threat_assessment"), Threat) if told.done("threat_assessment") else None
    fresh, old = Counter(finding.severity for _, finding in new), Counter(one.severity for one in left)
    levels = fresh + old
    broken = _broken(told) or ("" if threat else "the threat assessment gave no level")
    if (threat and threat.level == "RED") or levels[Severity.CRITICAL]:
        level = Level.RED  # 1
    elif broken:
        level = Level.INCOMPLETE  # 2
    elif (threat and threat.level == "YELLOW") or levels[Severity.HIGH]:
        level = Level.YELLOW  # 3
    else:
        level = Level.GREEN  # 4
    sentence = _well(told, new) if level is Level.GREEN else _unwell(threat, fresh, old, broken)
    why = _why(told, threat) if threat else ()
    mark = told.mark("threat_assessment") if why else ""
    machine = Level(threat.level) if threat else None
    urgent = next((asset for asset, finding in new if finding.severity.rank >= _URGENT.rank), _REVIEW if left else None)
    decided = "threat_assessment" if urgent is None or why else urgent
    return Verdict(level=level, sentence=sentence, machine=machine, why=why, mark=mark, proof=told.receipt(decided))


def quiet(told: Told, verdict: Verdict, new: tuple[tuple[str, Finding], ...], needs: tuple[Need, ...]) -> bool:
    """Whether nothing changed and all is well, so that a short briefing tells everything."""
    pulls = read(told.reports.get("pr_digest"), Pulls) or Pulls()
    moved = (*pulls.waiting, *pulls.opened, *pulls.merged)
    return verdict.level is Level.GREEN and not new and not needs and not moved and _commits(told) == 0


def needs_you(
    told: Told, new: tuple[tuple[str, Finding], ...], left: tuple[OpenFinding, ...], night: str
) -> tuple[Need, ...]:
    """Return what needs a person, most urgent first; within one urgency in the order of the night."""
    findings = [*_from_findings(told, new), *_from_open(told, left, night)]
    needs = [*_from_steps(told, night), *findings, *_from_checks(told), *_from_pulls(told)]
    return tuple(sorted(needs, key=lambda need: -need.urgency.rank))


def _broken(told: Told) -> str:
    failed = [line.asset for line in told.lines if line.outcome == "failed"]
    missing = [line.asset for line in told.lines if line.outcome == "missing"]
    parts = (f"{words.listed(failed)} failed" if failed else "",
             f"{words.listed(missing)} left no result" if missing else "",
             f"{words.listed(told.at_work)} {'is' if len(told.at_work) == 1 else 'are'} still at work"
             if told.at_work else "")  # fmt: skip
    return "; ".join(filter(None, parts))


def _commits(told: Told) -> int | None:
    """Return how many commits the day had, None when nobody counted or no repository could be read."""
    log = read(told.reports.get("commit_log"), Commits) if told.done("commit_log") else None
    return len(log.commits) if log and log.repositories else None


def _well(told: Told, new: tuple[tuple[str, Finding], ...]) -> str:
    """Say a green night, claiming only what somebody looked at."""
    commits, looked = _commits(told), told.done("security_review") or told.done("code_review")
    said = [] if commits is None else [words.count(commits, "commit")]
    if new:
        said.append(f"{words.count(len(new), 'new finding')} (none urgent)")
    elif looked:
        said.append("nothing new found")
    said.append("the machine is well")
    unseen = sum(len(report.gaps) for report in told.reports.values())
    but = f"; {words.count(unseen, 'thing')} could not be looked at" if unseen else ""
    if commits is None and not looked and not new:
        return f"The machine is well, and nobody looked at the code{but}."
    return f"{'Nothing changed' if commits == 0 and not new else 'All is well'}: {words.listed(said)}{but}."


def _unwell(threat: Threat | None, fresh: Counter[Severity], old: Counter[Severity], broken: str) -> str:
    """Say what decided a night that is not green: urgent findings, the machine, what did not run."""
    worst = (Severity.CRITICAL, Severity.HIGH)
    urgent = words.listed([words.count(fresh[s], f"new {s} finding") for s in worst if fresh[s]])
    left = words.listed([words.count(old[s], f"{s} finding") for s in worst if old[s]])
    said = [*filter(None, (urgent, left and f"{left} still open"))]
    if threat and threat.level != "GREEN":
        fired = sorted((r for r in threat.rules if r.fired), key=lambda r: -r.points)
        because = f": {plain(fired[0].why, 160).rstrip('.')}" if fired else ""
        more = f" (and {len(fired) - 1} more)" if len(fired) > 1 else ""
        said.append(f"the machine is {threat.level}{because}{more}")
    if broken:
        said.append(f"the night is incomplete: {broken}")
    sentence = "; ".join(said)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _why(told: Told, threat: Threat) -> tuple[str, ...]:
    fired = sorted((rule for rule in threat.rules if rule.fired), key=lambda rule: -rule.points)
    lines = [f"{plain(r.why, 300)} ({plain(r.rule, 60)}, {words.count(r.points, 'point')})" for r in fired[:_SHOWN]]
    if len(fired) > _SHOWN:
        lines.append(f"and {words.count(len(fired) - _SHOWN, 'more rule')}")
    if threat.explanation and not told.mark("threat_assessment"):
        lines.append(plain(threat.explanation, 600))  # without a model it only joins the lines above
    return tuple(lines)


def _from_steps(told: Told, night: str) -> list[Need]:
    done = {"failed": "failed", "missing": "left no result"}
    return [
        Need(
            urgency=Severity.HIGH,
            text=f"{words.title(line.asset)} {done[line.outcome]}: "
            + (plain("; ".join(line.reasons), 600) or "no reason was left"),
            act=f"forge night --date {night}",
            proofs=(told.receipt(line.asset),),
        )
        for line in told.lines
        if line.outcome in done
    ]


def _from_findings(told: Told, new: tuple[tuple[str, Finding], ...]) -> list[Need]:
    urgent = [(asset, f) for asset, f in new if f.severity.rank >= _URGENT.rank]
    needs = [
        Need(
            urgency=f.severity,
            text=plain(f.title),
            advice=advice(f),
            fingerprint=typed(f.fingerprint),
            proofs=tuple(proof(e) for e in f.evidence[:1]),
        )
        for _, f in urgent[:_SHOWN]
    ]
    if urgent[_SHOWN:]:
        rest = urgent[_SHOWN:]
        text = f"{words.count(len(rest), 'more urgent finding')}, listed under findings"
        needs.append(Need(urgency=rest[0][1].severity, text=text, proofs=(told.receipt(rest[0][0]),)))
    return needs


def _from_open(told: Told, left: tuple[OpenFinding, ...], night: str) -> list[Need]:
    needs = [
        Need(
            urgency=one.severity,
            text=_still(one, night),
            fingerprint=typed(one.fingerprint),
            proofs=(_seen_last(told, one),),
        )
        for one in left[:_OPEN_SHOWN]
    ]
    if left[_OPEN_SHOWN:]:
        rest = left[_OPEN_SHOWN:]
        needs.append(
            Need(urgency=rest[0].severity, text=f"{len(rest)} more still open", proofs=(told.receipt(_REVIEW),))
        )
    return needs


def _still(one: OpenFinding, night: str) -> str:
    since = "" if one.since == night else f" since {words.short_day(one.since)}"
    return f"Still open{since}: {plain(one.title, 200)} in {plain(one.repository, 80)} {_place(one)}"


def _seen_last(told: Told, one: OpenFinding) -> Proof:
    return Proof(where=f"{plain(one.repository, 80)} {_place(one)}@{plain(one.commit, 64)[:10]}", at=told.at(_REVIEW))


def _place(one: OpenFinding) -> str:
    return plain(one.path, 160) + (f":{one.line}" if one.line else "")


def _from_checks(told: Told) -> list[Need]:
    health = read(told.reports.get("health_snapshot"), Health)
    if health is None:
        return []
    urgency = {"fail": Severity.HIGH, "warn": Severity.MEDIUM}
    advice = {f.rule.removeprefix("health:"): f.detail for f in told.reports["health_snapshot"].findings}
    return [
        Need(
            urgency=urgency[check.status],
            text=_check(check, advice.get(check.name, "")),
            proofs=(Proof(where=f"health_snapshot {plain(check.name, 60)}", at=health.observed_at),),
        )
        for check in health.checks
        if check.status in urgency
    ]


def _check(check: Check, advice: str) -> str:
    bound = f" (threshold: {plain(check.threshold, 80)})" if check.threshold else ""
    value = "" if check.value is None else f"{check.value:g} {plain(check.unit, 20)}".strip()
    return f"{plain(check.title, 80)}: {plain(advice or check.detail, 300) or value or check.status}{bound}"


def _from_pulls(told: Told) -> list[Need]:
    pulls = read(told.reports.get("pr_digest"), Pulls) or Pulls()
    oldest = sorted(pulls.waiting, key=lambda pull: -pull.age_days)
    needs = []
    for pull in oldest[:_SHOWN]:
        name = f"{plain(pull.repository, 80)}#{pull.number}"
        why = f", {plain(pull.why, 80)}" if pull.why else ""
        text = f"{name} waits for you: {plain(pull.title, 120)} ({words.age(pull.age_days)}{why})"
        where = Proof(
            where=name, at=told.at("pr_digest"), url=linkable(pull.url, f"/{pull.repository}/pull/{pull.number}")
        )
        needs.append(Need(urgency=Severity.LOW, text=text, proofs=(where,)))
    if oldest[_SHOWN:]:
        text = f"{words.count(len(oldest[_SHOWN:]), 'more pull request')} waiting for you"
        needs.append(Need(urgency=Severity.LOW, text=text, proofs=(told.receipt("pr_digest"),)))
    return needs
