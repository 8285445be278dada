"""What Dagster's pages show of a night's asset: its report, its findings as a table, its charts, numbers to plot.

Dagster renders Markdown, so only a report's own Markdown is handed over as such: its desk has escaped whatever came
from outside. All else is plain text. The names of numbers stay the same from night to night, or Dagster could not plot
them. Belongs here: metadata. Does not belong here: what checks found (``checks.py``), or where reports are kept.
"""

import base64
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from forge_workers.briefing.told import linkable, proof
from forge_workers.night import BRIEFING
from forge_workers.plain import markdown, plain
from forge_workers.redact import Redactor
from forge_workers.report import Finding, Image, Report, Usage

#: Rows of the table of findings; the report and the store hold all.
_ROWS = 100
#: Characters of the words for a picture.
_ALT = 600
#: Word joiner: takes no room, and is no character of an address.
_JOINER = "\u2060"
#: Where ``plain.markdown`` has escaped part of an address: before its second slash, after its "www", before its "@".
_ADDRESS = re.compile(r":(?=/\\/)|www(?=\\\.)|\\@", re.IGNORECASE)
#: Desks that make findings; of the others no table is shown.
FINDERS = frozenset({"health_snapshot", "security_review", "code_review"})
_COLUMNS = (
    ("severity", "string", "How much it matters, from info to critical."),
    ("new", "bool", "Whether neither an earlier night nor the code before the window had it."),
    ("finding", "string", "One plain sentence."),
    ("where", "string", "Repository, path, line and commit, or what was asked."),
    ("rule", "string", "What noticed it."),
    ("fingerprint", "string", "What `forge dismiss` takes."),
)
_SCHEMA = dg.TableSchema(columns=[dg.TableColumn(name, kind, says) for name, kind, says in _COLUMNS])


def about(asset: str, desk: Callable[..., Any]) -> dict[str, Any]:
    """Return the metadata of an asset that holds for every night: where its code is, and the columns it fills."""
    code = dg.LocalFileCodeReference(
        file_path=str(Path(inspect.getsourcefile(desk) or "").resolve()),
        line_number=inspect.getsourcelines(desk)[1],
        label=desk.__name__,
    )
    columns = {"dagster/column_schema": _SCHEMA} if asset in FINDERS else {}
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[code]), **columns}


def shown(report: Report) -> dict[str, dg.MetadataValue]:
    """Return what Dagster's pages show beside a materialisation, what a reader wants first at the top."""
    values: dict[str, dg.MetadataValue] = {
        "headline": dg.MetadataValue.text(plain(report.headline, 400)),
        "outcome": dg.MetadataValue.text(report.outcome.value),
    }
    if report.reasons:
        values["reasons"] = dg.MetadataValue.text(plain("; ".join(report.reasons), 1_000))
    page = _page(report)
    if page is not None:
        values["page"] = dg.MetadataValue.path(page)
    values["report"] = dg.MetadataValue.md(unlinked(_hidden(report)))
    values |= {image.name: dg.MetadataValue.md(_picture(image)) for image in report.images}
    if report.findings:
        values["table of findings"] = _table(report.findings)
    if report.asset in FINDERS:
        values["dagster/row_count"] = dg.MetadataValue.int(len(report.findings))
    values |= {
        "findings": dg.MetadataValue.int(len(report.findings)),
        "new findings": dg.MetadataValue.int(sum(f.is_new for f in report.findings)),
        "gaps": dg.MetadataValue.int(len(report.gaps)),
    }
    values |= _cost(report)
    return values | {name: dg.MetadataValue.float(float(number)) for name, number in report.numbers.items()}


def whole(night: Sequence[Report]) -> dict[str, dg.MetadataValue]:
    """Return the sums over the reports of a whole night, shown with its briefing so that one page plots them."""
    receipts = [report.receipt for report in night if report.receipt is not None]
    usage = Usage.total(receipt.usage for receipt in receipts)
    found = [finding for report in night if report.asset != "health_snapshot" for finding in report.findings]
    return {
        "findings": dg.MetadataValue.int(len(found)),
        "new findings": dg.MetadataValue.int(sum(finding.is_new for finding in found)),
        "gaps": dg.MetadataValue.int(sum(len(report.gaps) for report in night)),
        "night: minutes": dg.MetadataValue.float(round(sum(r.seconds for r in receipts) / 60, 3)),
        "night: tokens": dg.MetadataValue.int(usage.prompt_tokens + usage.output_tokens),
        "night: model calls": dg.MetadataValue.int(usage.calls),
        "night: GPU seconds": dg.MetadataValue.float(round(usage.gpu_s, 3)),
        "night: checks failed": dg.MetadataValue.int(sum(not c.passed for r in receipts for c in r.checks)),
    }


def unlinked(text: str) -> str:
    """Return Markdown in which no bare address becomes a link on Dagster's pages.

    Its reader looks for addresses after it has read the escapes (remark-gfm's "autolink literals"), so what
    ``plain.markdown`` escaped would become a link after all. An unseen character that joins words, put where an
    escape stands, breaks the address; a link that a desk made has no escape there and stays one.
    """
    return _ADDRESS.sub(lambda match: f"{match[0]}{_JOINER}", text)


def _hidden(report: Report) -> str:
    """Return the report's Markdown; where a check saw secrets in it, without them."""
    checks = report.receipt.checks if report.receipt is not None else ()
    seen = any(check.name == "no_secret" and not check.passed for check in checks)
    return Redactor(()).text(report.markdown) if seen else report.markdown


def _cost(report: Report) -> dict[str, dg.MetadataValue]:
    if report.receipt is None:
        return {}
    usage, seconds = report.receipt.usage, report.receipt.seconds
    tried = {"tries": dg.MetadataValue.int(report.receipt.tries)} if report.receipt.tries > 1 else {}
    return tried | {
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "minutes": dg.MetadataValue.float(round(seconds / 60, 3)),
        "tokens": dg.MetadataValue.int(usage.prompt_tokens + usage.output_tokens),
        "model calls": dg.MetadataValue.int(usage.calls),
        "GPU seconds": dg.MetadataValue.float(round(usage.gpu_s, 3)),
        "checks failed": dg.MetadataValue.int(sum(not check.passed for check in report.receipt.checks)),
    }


def _picture(image: Image) -> str:
    """Return a picture that can be read on a light and on a dark page: Dagster shows one and says nothing of which.

    The drawing is transparent, so the light one gets a white ground of its own.
    """
    head, closed, rest = image.light_svg.partition(">")
    grounded = f'{head}{closed}<rect width="100%" height="100%" fill="#ffffff"/>{rest}'
    data = base64.b64encode(grounded.encode()).decode()
    return f"![{markdown(image.alt, _ALT)}](data:image/svg+xml;base64,{data})"


def _table(findings: tuple[Finding, ...]) -> dg.MetadataValue:
    linked = [finding for finding in findings[:_ROWS] if linkable(finding.evidence[0].url)]
    columns = [*_SCHEMA.columns, *([dg.TableColumn("page", "string")] if linked else [])]
    rows = [dg.TableRecord(_row(finding, linked=bool(linked))) for finding in findings[:_ROWS]]
    return dg.MetadataValue.table(records=rows, schema=dg.TableSchema(columns=columns))


def _row(finding: Finding, *, linked: bool) -> dict[str, str | bool]:
    place = proof(finding.evidence[0])
    row: dict[str, str | bool] = {
        "severity": finding.severity.value,
        "new": finding.is_new,
        "finding": plain(finding.title, 300),
        "where": place.where,
        "rule": plain(finding.rule, 80),
        "fingerprint": plain(finding.fingerprint, 64),
    }
    return row | {"page": place.url or ""} if linked else row


def _page(report: Report) -> str | None:
    """Return where the briefing's page lies, as its receipt tells it: a file to open, since no server shows it."""
    written = (effect for effect in report.effects if effect.verified and report.asset == BRIEFING)
    return next((effect.target for effect in written if effect.target.endswith(f"{report.night}.html")), None)
