"""Where reports are kept between steps: Dagster's IO manager over the night store.

Belongs here: what Dagster shows of a report. Does not belong here: bytes on disk, which are
``forge_workers/store.py``.
"""

from __future__ import annotations

import base64

import dagster as dg

from forge_assets.steps import Steps
from forge_workers.errors import ForgeError
from forge_workers.night import BRIEFING
from forge_workers.plain import plain
from forge_workers.report import Image, Outcome, Report


class ReportStore(dg.IOManager):
    """Saves what an asset returns under (asset, night) and hands it to the assets below."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def handle_output(self, context: dg.OutputContext, obj: Report) -> None:
        """Store the report, then show it.

        Raises:
            dagster.Failure: It could not be stored; the reason is in the message, the older report is untouched.
        """
        try:
            self._steps.store.save(obj)
        except (OSError, ForgeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            reason = f"the report could not be stored: {plain(str(why), 200)}"
            if obj.receipt is not None:
                failed = {"outcome": Outcome.FAILED, "reasons": (reason,)}
                unsaved = obj if obj.asset == BRIEFING else None
                self._steps.failed(obj.receipt.model_copy(update=failed), unsaved)
            raise dg.Failure(reason, allow_retries=False) from error
        context.add_output_metadata(shown(obj))
        self._steps.kept(obj)

    def load_input(self, context: dg.InputContext) -> Report:
        """Return the upstream asset's report of the same night.

        Raises:
            dagster.Failure: There is none, or its files are damaged.
        """
        asset, night = context.asset_key.path[-1], context.partition_key
        report = self._steps.store.load(asset, night)
        if report is None:
            raise dg.Failure(f"{asset} has no report for {night}: materialise it first", allow_retries=False)
        return report


def shown(report: Report) -> dict[str, dg.MetadataValue]:
    """Return what Dagster's pages show beside a materialisation."""
    values: dict[str, dg.MetadataValue] = {
        "report": dg.MetadataValue.md(report.markdown),
        "outcome": dg.MetadataValue.text(report.outcome.value),
        "findings": dg.MetadataValue.int(len(report.findings)),
        "new findings": dg.MetadataValue.int(sum(f.is_new for f in report.findings)),
        "gaps": dg.MetadataValue.int(len(report.gaps)),
    }
    if report.reasons:
        values["reasons"] = dg.MetadataValue.text("; ".join(report.reasons))
    if report.receipt is not None:
        usage = report.receipt.usage
        values["seconds"] = dg.MetadataValue.float(round(report.receipt.seconds, 3))
        values["tokens"] = dg.MetadataValue.int(usage.prompt_tokens + usage.output_tokens)
        values["model calls"] = dg.MetadataValue.int(usage.calls)
        values["GPU seconds"] = dg.MetadataValue.float(round(usage.gpu_s, 3))
    values |= {name: dg.MetadataValue.float(float(number)) for name, number in report.numbers.items()}
    values |= {image.name: dg.MetadataValue.md(_picture(image)) for image in report.images}
    return values


def _picture(image: Image) -> str:
    data = base64.b64encode(image.light_svg.encode()).decode()
    return f"![{image.alt}](data:image/svg+xml;base64,{data})"
