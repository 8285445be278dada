"""The night store: a report is there whole, or the older one is, or it is refused by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from forge_workers.errors import BadArgs, Damaged, LeaseLost
from forge_workers.report import Evidence, Finding, Outcome, Receipt, Report, Severity
from forge_workers.store import NightStore

NIGHT = "2026-11-23"


def report(asset: str = "security_review", night: str = NIGHT, headline: str = "One new finding.") -> Report:
    """Return a report with one finding."""
    evidence = Evidence(source="bandit", observed_at=1.0, repository="app", path="a.py", line=3, quote="eval(x)")
    finding = Finding(fingerprint="ab12", rule="bandit:B307", severity=Severity.HIGH, title="t", evidence=(evidence,))
    return Report(asset=asset, night=night, headline=headline, markdown="## Security\n", findings=(finding,))


def receipt(asset: str) -> Receipt:
    """Return the receipt of a failed step."""
    return Receipt(asset=asset, night=NIGHT, outcome=Outcome.FAILED, reasons=("why",), started_at=1.0, seconds=2.0)


def test_a_report_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """JSON, the findings' table and the Markdown hold the same report."""
    store = NightStore(tmp_path)
    here = store.save(report())

    assert store.load("security_review", NIGHT) == report()
    assert (here / "report.md").read_text() == "## Security\n"
    assert store.findings("security_review", NIGHT).to_dict("records")[0]["line"] == 3
    assert store.fingerprints("security_review", before="2026-11-24") == {"ab12"}
    assert store.fingerprints("security_review", before=NIGHT) == frozenset()


def test_saving_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The newest report counts; the generation before it is gone."""
    store = NightStore(tmp_path)
    store.save(report(headline="old"))
    store.save(report(headline="new"))

    loaded = store.load("security_review", NIGHT)
    assert loaded is not None
    assert loaded.headline == "new"
    assert len([d for d in (tmp_path / NIGHT / "security_review").iterdir() if d.is_dir()]) == 1


@pytest.mark.parametrize("name", ["report.json", "findings.parquet", "report.md"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path, name: str, harm: str) -> None:
    """One changed, missing or cut byte in any file of a report is noticed before anything of it is used."""
    store = NightStore(tmp_path)
    path = store.save(report()) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes(content if harm == "flip" else content[:-1])

    with pytest.raises(Damaged, match=name.replace(".", r"\.")):
        store.load("security_review", NIGHT)
    with pytest.raises(Damaged, match=name.replace(".", r"\.")):
        store.findings("security_review", NIGHT)


def test_a_damaged_manifest_is_refused_with_its_name(tmp_path: Path) -> None:
    """Half a manifest is no manifest."""
    store = NightStore(tmp_path)
    store.save(report())
    (tmp_path / NIGHT / "security_review" / "manifest.json").write_text('{"generation": "x"')

    with pytest.raises(Damaged, match=r"manifest\.json"):
        store.load("security_review", NIGHT)


def test_a_damaged_night_does_not_spoil_the_nights_after_it(tmp_path: Path) -> None:
    """What the whole nights knew still counts; without this one bad file fails every review from then on."""
    store = NightStore(tmp_path)
    store.save(report())
    store.save(report(night="2026-11-22"))
    (tmp_path / "2026-11-22" / "security_review" / "manifest.json").write_text("{")

    assert store.fingerprints("security_review", before="2026-11-24") == {"ab12"}


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"receipt": 1, "attempt": "a"}', "{"])
def test_a_failure_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    """Whatever stands in that file, nobody who asks for it crashes."""
    store = NightStore(tmp_path, "a")
    store.save_failure(receipt("commit_log"))
    (tmp_path / NIGHT / "commit_log" / "failure.json").write_text(text)

    assert store.failure("commit_log", NIGHT) is None


@pytest.mark.slow
def test_whoever_reads_while_another_writes_gets_one_whole_report(tmp_path: Path) -> None:
    """A report that is replaced and swept away while it is read is no damage: the newer one is read instead."""
    store = NightStore(tmp_path)
    store.save(report(headline="0"))
    refused: list[Damaged] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                assert NightStore(tmp_path).load("security_review", NIGHT) is not None
            except Damaged as error:
                refused.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(100):
        store.save(report(headline=str(n)))
    done.set()
    for reader in readers:
        reader.join()

    assert refused == []


def test_a_failure_counts_for_its_own_attempt_until_a_report_replaces_it(tmp_path: Path) -> None:
    """A failed step is remembered by the attempt it failed in, and forgotten when it succeeds."""
    first, second, any_attempt = NightStore(tmp_path, "a"), NightStore(tmp_path, "b"), NightStore(tmp_path)
    first.save_failure(receipt("commit_log"))

    assert first.failure("commit_log", NIGHT) == receipt("commit_log")
    assert second.failure("commit_log", NIGHT) is None
    assert any_attempt.failure("commit_log", NIGHT) == receipt("commit_log")

    first.save(report("commit_log"))
    assert any_attempt.failure("commit_log", NIGHT) is None
    assert first.attempt_of("commit_log", NIGHT) == "a"


def test_what_is_no_night_is_not_listed_as_one(tmp_path: Path) -> None:
    """A stray folder beside the nights disturbs nobody."""
    NightStore(tmp_path).save(report())
    (tmp_path / "abcd-ef-gh").mkdir()
    (tmp_path / "2026-11-20").write_text("no folder")

    assert NightStore(tmp_path).all_nights() == (NIGHT,)
    assert NightStore(tmp_path / "nowhere").all_nights() == ()


@pytest.mark.parametrize("asset", ["../evil", "a b", "", "x/y", ".hidden"])
def test_a_name_that_is_no_name_never_becomes_a_path(tmp_path: Path, asset: str) -> None:
    """An asset or a night that an attacker named cannot leave the store."""
    with pytest.raises(BadArgs):
        NightStore(tmp_path).load(asset, NIGHT)
    with pytest.raises(BadArgs):
        NightStore(tmp_path).load("commit_log", "../../etc")


SAVE_FOR_EVER = """
import sys
from pathlib import Path
from tests.test_store import report
from forge_workers.store import NightStore
store = NightStore(Path(sys.argv[1]))
n = 0
while True:
    store.save(report(headline=f"generation {n}" + "x" * 20_000))
    print(n, flush=True)
    n += 1
"""


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_a_whole_report(tmp_path: Path) -> None:
    """After SIGKILL the report on disk is complete, and at least as new as the last one that was acknowledged."""
    root = Path(__file__).parents[1]
    for turn in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
        )
        assert writer.stdout is not None
        for _ in range(3 + turn):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        loaded = NightStore(tmp_path).load("security_review", NIGHT)

        assert loaded is not None
        written = int(loaded.headline.split()[1].rstrip("x"))
        assert written >= max([acknowledged, *map(int, rest)])


def test_control_a_writer_that_overwrites_in_place_is_caught(tmp_path: Path) -> None:
    """Half of a newer file under the older manifest is refused by the same load."""
    store = NightStore(tmp_path)
    path = store.save(report(headline="old")) / "report.json"
    path.write_text(report(headline="new").model_dump_json(indent=1)[:100])

    with pytest.raises(Damaged):
        store.load("security_review", NIGHT)


def test_a_report_of_an_older_gpu_lease_never_replaces_a_newer_one(tmp_path: Path) -> None:
    """A step that was paused past its lease cannot store what it made; without a term the same write is the control."""
    store = NightStore(tmp_path)

    def made(headline: str, term: int | None) -> Report:
        ran = receipt("security_review").model_copy(update={"outcome": Outcome.RAN, "term": term})
        return report(headline=headline).model_copy(update={"receipt": ran})

    store.save(made("new", 8))
    with pytest.raises(LeaseLost, match="term 7"):
        store.save(made("old", 7))
    loaded = store.load("security_review", NIGHT)
    assert loaded is not None
    assert (loaded.headline, loaded.receipt and loaded.receipt.term) == ("new", 8)
    assert len([d for d in (tmp_path / NIGHT / "security_review").iterdir() if d.is_dir()]) == 1
    store.save(report(asset="code_review").model_copy(update={"receipt": made("other", 7).receipt}))

    store.save(made("control", None))
    assert (store.load("security_review", NIGHT) or report()).headline == "control"


def test_a_receipt_without_a_term_still_loads() -> None:
    """Reports of an earlier version have none."""
    kept = receipt("commit_log").model_dump(mode="json")
    del kept["term"]

    assert Receipt.model_validate(kept).term is None
