"""The briefing as Markdown: for the report, for Dagster, for reading in any editor.

All text of the briefing goes through :func:`plain.markdown` or :func:`plain.code`; only this module writes markup, and
only an address that code produced becomes a link. Belongs here: layout. Does not belong here: what is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from forge_workers.briefing import findings, words
from forge_workers.briefing.model import Briefing, Level, NewFinding, Proof, StepLine
from forge_workers.plain import code
from forge_workers.plain import markdown as safe

_DOTS = {Level.GREEN: "🟢", Level.YELLOW: "🟡", Level.RED: "🔴", Level.INCOMPLETE: "⚪"}
_DISMISS = 'forge dismiss <fingerprint> --because "…"'
#: Longest line of the briefing, in characters.
_LONG = 700


def render(told: Briefing) -> str:
    """Return the briefing as one Markdown document that starts with its title."""
    sections: tuple[Callable[[Briefing], Iterable[str]], ...] = (
        _verdict, _needs, _findings, _code, _pulls, _figures, _shortfalls, _earlier, _steps)  # fmt: skip
    if told.quiet:
        sections = (_verdict, _shortfalls, _earlier, _steps)
    blocks = ["\n".join(lines) for section in sections if (lines := list(section(told)))]
    return "\n\n".join(blocks) + "\n"


def _verdict(told: Briefing) -> Iterable[str]:
    verdict = told.verdict
    yield f"## Morning briefing: {words.day(told.night)}"
    yield ""
    said = safe(verdict.sentence, _LONG)
    yield f"**{_DOTS[verdict.level]} {verdict.level}.** {said} {_proofs(told, (verdict.proof,))}"
    for said in filter(None, (words.edition(told), words.late(told), words.at_work(told))):
        yield ""
        yield f"> {safe(said, _LONG)}"
    if not told.day_over:
        yield ""
        yield f"> The day is not over: this tells it until {words.moment(told.made_at, told.zone)}."
    if verdict.why:
        yield ""
        yield f"The machine is {verdict.machine}{_mark(verdict.mark)}:"
        yield ""
        for line in verdict.why:
            yield f"- {safe(line, _LONG)}"


def _needs(told: Briefing) -> Iterable[str]:
    if told.needs_you:
        yield "### Needs you"
        yield ""
    for number, need in enumerate(told.needs_you, 1):
        act = f": {code(need.act)}" if need.act else ""
        advice = f" {safe(need.advice, _LONG)}" if need.advice else ""
        dismiss = f" {code(need.fingerprint)}" if need.fingerprint else ""
        said = f"{safe(need.text, _LONG)}{'.' * bool(advice)}{advice}{act}"
        yield f"{number}. **{need.urgency}** {said} {_proofs(told, need.proofs)}{dismiss}"


def _findings(told: Briefing) -> Iterable[str]:
    yield "### New findings"
    for severity, some in groupby(findings.details(told.findings), key=lambda pair: pair[0].severity):
        yield ""
        yield f"**{severity.capitalize()}**"
        yield ""
        for finding, detail in some:
            yield from _finding(told, finding, detail)
    if told.findings_more:
        more = words.listed([f"{number} {severity}" for severity, number in told.findings_more])
        yield f"- And {more} more, in the reports themselves."
    if told.findings_note:
        yield ""
        yield safe(told.findings_note, _LONG)
    if told.findings:
        yield ""
        yield f"To dismiss one: {code(_DISMISS)}"


def _finding(told: Briefing, finding: NewFinding, detail: str) -> Iterable[str]:
    lines = [f"{safe(finding.title, _LONG)}{_mark(finding.mark)} · {safe(finding.rule)} · {code(finding.fingerprint)}"]
    if detail:
        lines.append(safe(detail, _LONG))
    for proof in finding.proofs:
        quote = f" {code(proof.quote, 300)}" if proof.quote else ""
        lines.append(f"{_proofs(told, (proof,))}{quote}")
    yield "- " + "\\\n  ".join(lines)


def _code(told: Briefing) -> Iterable[str]:
    yield "### Code"
    for change in told.code:
        yield ""
        yield f"**{safe(change.repository)}**: {safe(words.work(change), _LONG)} {_proofs(told, (change.proof,))}"
        yield ""
        for commit in change.latest:
            kind = " (merge)" if commit.merge else f" (+{commit.added:,} -{commit.removed:,})"
            yield f"- {safe(commit.subject)}, {safe(commit.author)}{kind} {_proofs(told, (commit.proof,))}"
        if change.more:
            yield f"- and {words.count(change.more, 'earlier commit')}"
    if told.code_note:
        yield ""
        yield safe(told.code_note, _LONG)


def _pulls(told: Briefing) -> Iterable[str]:
    yield "### Pull requests"
    for state, pulls in groupby(told.pull_requests, key=lambda pull: pull.state):
        yield ""
        yield f"**{'Waiting for you' if state == 'waiting' else state.capitalize()}**"
        yield ""
        for pull in pulls:
            why = f", {safe(pull.why)}" if pull.why else ""
            age = words.age(pull.age_days)
            yield f"- {safe(pull.title)}, {safe(pull.author)}, {age}{why} {_proofs(told, (pull.proof,))}"
    if told.pull_requests_note:
        yield ""
        yield safe(told.pull_requests_note, _LONG)


def _figures(told: Briefing) -> Iterable[str]:
    if not told.figures:
        return
    yield "### Numbers"
    yield ""
    yield "| | tonight | last night | change | measured |"
    yield "|---|---:|---:|---:|---|"
    for figure in told.figures:
        then = ""
        if figure.last_night is not None and figure.last_is is not None:
            then = f"{words.amount(figure.name, figure.last_night)} ({figure.last_is})"
        measured = f"{safe(figure.asset)} {words.clock(figure.at, told.zone)}"
        tonight = words.amount(figure.name, figure.tonight)
        yield f"| {safe(figure.label)} | {tonight} | {then} | {words.change(figure)} | {measured} |"


def _shortfalls(told: Briefing) -> Iterable[str]:
    if told.shortfalls:
        yield "### Gaps and degradations"
        yield ""
    for short in told.shortfalls:
        lead, rest = words.shortfall(short)
        seen = " ".join(filter(None, (safe(words.seen_in(short)), words.clock(short.at, told.zone))))
        yield f"- **{short.kind}** {safe(lead, _LONG)} {safe(rest, 2 * _LONG)} ({seen})"


def _earlier(told: Briefing) -> Iterable[str]:
    if told.caught_up:
        yield "### Earlier nights"
        yield ""
    for line in told.caught_up:
        yield f"- {safe(line, _LONG)}"


def _steps(told: Briefing) -> Iterable[str]:
    yield "### The night's steps"
    yield ""
    yield "| step | outcome | started | took | what |"
    yield "|---|---|---|---:|---|"
    for line in told.steps:
        started = "" if line.started_at is None else words.clock(line.started_at, told.zone)
        took = "" if line.seconds is None else words.duration(line.seconds)
        what = "; ".join(part.rstrip(".") for part in (*words.step(line), *_cost(line)))
        yield f"| {safe(line.asset)} | {line.outcome} | {started} | {took} | {safe(what, 4 * _LONG)} |"
    yield ""
    yield f"Composed on {words.moment(told.made_at, told.zone)} ({safe(told.timezone)}) from the receipts of the steps."


def _cost(line: StepLine) -> Iterable[str]:
    if line.calls:
        yield f"{line.model or 'a model'}: {words.count(line.calls, 'call')}, {line.tokens:,} tokens"
    for effect in line.effects:
        yield f"{effect.name} {effect.target}{'' if effect.verified else ' (not verified)'}"


def _mark(mark: str) -> str:
    return f" ({code(mark)})" if mark else ""


def _proofs(told: Briefing, proofs: tuple[Proof, ...]) -> str:
    """Return where lines can be checked and when that held, in small type."""
    shown = [
        f"{f'[{safe(p.where, 300)}](<{p.url}>)' if p.url else code(p.where, 300)} {words.moment(p.at, told.zone)}"
        for p in proofs
    ]
    return f"({'; '.join(shown)})" if shown else ""
