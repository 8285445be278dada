"""What Dagster's pages show: plain text stays plain, pictures can be read on both themes, numbers keep their names."""

import base64
from pathlib import Path

import dagster as dg
import pytest

from forge_assets.definitions import defs
from forge_assets.shown import FINDERS, shown, unlinked, whole
from forge_workers.night import BRIEFING, STEPS
from forge_workers.nights.week import WEEKLY
from forge_workers.plain import markdown
from forge_workers.report import CheckResult, Effect, Evidence, Finding, Image, Receipt, Report, Severity, Usage

NIGHT = "2026-11-23"
URL = "https://github.com/o/n/blob/abc/run.py"
KEY = "AKIA" + "QYLPMN5HFIQR7B3D"
GRAPH = defs.resolve_asset_graph()


def finding(title: str = "A fault", url: str | None = None, severity: Severity = Severity.HIGH) -> Finding:
    """Return a finding at a line of code."""
    place = Evidence(source="git", observed_at=1.0, repository="app", commit="c" * 40, path="run.py", line=5, url=url)
    return Finding(fingerprint="f00", rule="bandit:B602", severity=severity, title=title, evidence=(place,))


def report(asset: str = "security_review", **fields: object) -> Report:
    """Return a report with a receipt that cost something."""
    usage = Usage(model="m", calls=2, prompt_tokens=30, output_tokens=12, gpu_s=1.5)
    checks = (CheckResult(name="schema", passed=True, why=""), CheckResult(name="budget_kept", passed=False, why="x"))
    receipt = Receipt(asset=asset, night=NIGHT, outcome="ran", started_at=1.0, seconds=90.0, usage=usage, checks=checks)
    return Report.model_validate({"asset": asset, "night": NIGHT, "headline": "Done.", "receipt": receipt, **fields})


def test_the_numbers_to_plot_are_there() -> None:
    """Findings, tokens, GPU seconds and minutes are numbers under names that do not change."""
    values = shown(report(findings=(finding(), finding("Old").model_copy(update={"is_new": False}))))

    assert {name: values[name].value for name in ("findings", "new findings", "tokens", "GPU seconds", "minutes")} == {
        "findings": 2,
        "new findings": 1,
        "tokens": 42,
        "GPU seconds": 1.5,
        "minutes": 1.5,
    }
    assert values["checks failed"].value == 1
    assert values["dagster/row_count"].value == 2


def test_a_briefing_shows_the_sums_of_its_night() -> None:
    """One page plots what whole nights found and cost; looks at the machine are no findings."""
    sums = whole([report(findings=(finding(),)), report("health_snapshot", findings=(finding("Disk"),))])

    assert sums["findings"].value == 1
    assert sums["night: tokens"].value == 84
    assert sums["night: GPU seconds"].value == 3.0
    assert sums["night: minutes"].value == 3.0


def test_the_table_of_findings_is_text_and_bounded() -> None:
    """Each row says where; only an address that may become a link is shown at all."""
    hostile = "<b>x</b>\n[a](http://evil.example)"
    many = (finding(hostile, url=URL), finding("Other", url="https://evil.example/?leak=1"), *[finding()] * 200)

    table = shown(report(findings=many))["table of findings"]

    assert isinstance(table, dg.TableMetadataValue)
    first, second, *others = (record.data for record in table.records)
    assert first["where"] == "app run.py:5@cccccccccc"
    assert first["finding"] == "<b>x</b> [a](http://evil.example)"
    assert (first["page"], second["page"]) == (URL, "")
    assert len(others) == 98


@pytest.mark.parametrize(
    "text",
    ["http://evil.example/a", "see HTTPS://evil.example", "www.evil.example", "WWW.evil.example", "me@evil.example"],
)
def test_an_escaped_address_is_broken_for_dagsters_reader(text: str) -> None:
    """Its reader takes an address for a link after it has read the escapes, so a joiner stands in each."""
    told = unlinked(markdown(text))

    assert "\u2060" in told
    assert told.replace("\u2060", "") == markdown(text)


def test_a_link_that_a_desk_made_stays_one() -> None:
    """Only what was escaped came from outside."""
    made = "[o/n \\#3](https://github.com/o/n/pull/3) and ![a](data:image/svg+xml;base64,AA==)"

    assert unlinked(made) == made


def test_a_report_with_secrets_is_shown_without_them() -> None:
    """When a check saw secrets that people wrote, Dagster's pages and databases do not get them."""
    failed = CheckResult(name="no_secret", passed=False, why="1 line")
    told = report(markdown=f"- Use {KEY} here")
    assert told.receipt is not None
    told = told.model_copy(update={"receipt": told.receipt.model_copy(update={"checks": (failed,)})})

    assert shown(told)["report"].value == "- Use [redacted: AWS Access Key] here"


def test_a_picture_stands_on_a_ground_of_its_own() -> None:
    """Dark ink is read on a dark page too, and the words for it are no markup."""
    image = Image(name="chart", alt="a ](x) chart", light_svg='<svg width="9"><path/></svg>', dark_svg="<svg/>")

    told = str(shown(report(images=(image,)))["chart"].value)

    drawn = base64.b64decode(told.rpartition("base64,")[2].rstrip(")")).decode()
    assert drawn == '<svg width="9"><rect width="100%" height="100%" fill="#ffffff"/><path/></svg>'
    assert told.startswith("![a \\]\\(x) chart](data:image/svg+xml;base64,")


def test_the_briefings_page_is_named_as_a_file() -> None:
    """No server shows it: the path of what was written and read back is there to copy."""
    effects = (
        Effect(name="page written", target="/home/briefings/index.html", verified=True),
        Effect(name="page written", target=f"/home/briefings/{NIGHT}.html", verified=True),
    )

    page = shown(report(BRIEFING, effects=effects))["page"]

    assert page == dg.MetadataValue.path(f"/home/briefings/{NIGHT}.html")
    assert "page" not in shown(report("commit_log", effects=effects))


@pytest.mark.parametrize("asset", [*STEPS, BRIEFING, WEEKLY])
def test_every_asset_leads_to_its_code(asset: str) -> None:
    """The desk's function is named by file and line, and the columns of a desk that finds are described."""
    node = GRAPH.get(dg.AssetKey(asset))
    reference = node.metadata["dagster/code_references"].code_references[0]

    source = Path(reference.file_path).read_text().splitlines()
    assert source[reference.line_number - 1].startswith(f"def {asset}(")
    assert node.tags["forge/desk"] == node.group_name
    assert ("dagster/column_schema" in node.metadata) == (asset in FINDERS)
