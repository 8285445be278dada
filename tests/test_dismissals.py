"""Dismissals: a person's decision is remembered with its reason, and nothing is ever lost silently."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from forge_workers.dismissals import Dismissal, Dismissals, resolve, sift
from forge_workers.errors import BadArgs, Damaged
from forge_workers.report import Evidence, Finding, Report, Severity
from forge_workers.store import NightStore

ONE, TWO, THREE = "ab12" + "0" * 12, "ab13" + "0" * 12, "cd14" + "0" * 12


def finding(fingerprint: str, title: str = "Something") -> Finding:
    """Return a finding of that name."""
    evidence = Evidence(source="bandit", observed_at=1.0)
    return Finding(fingerprint=fingerprint, rule="r", severity=Severity.LOW, title=title, evidence=(evidence,))


def store_with(root: Path, **nights: tuple[Finding, ...]) -> NightStore:
    """Return a store that holds findings by ``asset__day``."""
    store = NightStore(root)
    for name, findings in nights.items():
        asset, _, day = name.partition("__")
        store.save(Report(asset=asset, night=f"2026-03-{day}", headline="h", findings=findings))
    return store


def test_a_dismissal_is_there_for_the_next_process(tmp_path: Path) -> None:
    """Fingerprint, reason and time come back from the file, which only its owner may read."""
    Dismissals(tmp_path / "home").dismiss(ONE, "  a test\nkey ", 5.0)

    kept = Dismissals(tmp_path / "home").all()
    assert [(d.fingerprint, d.because, d.at) for d in kept.values()] == [(ONE, "a test key", 5.0)]
    assert (tmp_path / "home" / "dismissals.json").stat().st_mode & 0o077 == 0


def test_a_second_reason_replaces_the_first(tmp_path: Path) -> None:
    """A finding is dismissed once, for the reason given last."""
    dismissals = Dismissals(tmp_path)
    dismissals.dismiss(ONE, "first", 1.0)
    dismissals.dismiss(TWO, "other", 2.0)
    dismissals.dismiss(ONE, "second", 3.0)

    assert {name: d.because for name, d in dismissals.all().items()} == {ONE: "second", TWO: "other"}


@pytest.mark.parametrize(("fingerprint", "because"), [(ONE, ""), (ONE, " \n\t"), ("ab12", "why"), ("../../x", "why")])
def test_without_a_reason_or_a_fingerprint_nothing_is_dismissed(tmp_path: Path, fingerprint: str, because: str) -> None:
    """A blank reason and anything but a whole fingerprint are refused, and no file is made."""
    with pytest.raises(BadArgs):
        Dismissals(tmp_path).dismiss(fingerprint, because, 1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "[]", "{", '{"dismissals": [{"fingerprint": "x", "because": "y", "at": 1}]}'])
def test_a_damaged_file_is_refused_by_name_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    """Neither reading nor dismissing empties a file that Forge did not write."""
    path = tmp_path / "dismissals.json"
    path.write_text(content)

    with pytest.raises(Damaged, match=r"dismissals\.json"):
        Dismissals(tmp_path).all()
    with pytest.raises(Damaged, match=r"dismissals\.json"):
        Dismissals(tmp_path).dismiss(ONE, "why", 1.0)
    assert path.read_text() == content


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    """Writers that start together each find their dismissal afterwards."""
    names = [f"{number:016x}" for number in range(12)]
    start = threading.Barrier(len(names))

    def write(name: str) -> None:
        start.wait()
        Dismissals(tmp_path).dismiss(name, "why", 1.0)

    writers = [threading.Thread(target=write, args=(name,)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert sorted(Dismissals(tmp_path).all()) == names
    assert not list(tmp_path.glob(".dismissals*"))


def test_findings_are_parted_into_new_known_and_dismissed() -> None:
    """Each fingerprint counts once, and what is both known and dismissed counts as dismissed."""
    dismissed = {TWO: Dismissal(fingerprint=TWO, because="why", at=1.0)}
    found = [finding(name) for name in (ONE, TWO, THREE, THREE)]
    sifted = sift(found, frozenset({TWO, THREE}), dismissed)

    assert [f.fingerprint for f in sifted.new] == [ONE]
    assert (sifted.known, sifted.dismissed) == (1, 1)


@pytest.mark.parametrize("prefix", ["cd14", "CD14", " cd1400 ", THREE])
def test_four_characters_name_a_finding_of_any_night(tmp_path: Path, prefix: str) -> None:
    """A prefix of at least four characters finds the finding, as it was seen last."""
    old, new = finding(THREE, "Old words"), finding(THREE, "New words")
    store = store_with(
        tmp_path, security_review__01=(old,), code_review__01=(finding(ONE),), security_review__02=(new,)
    )

    assert resolve(prefix, store) == new


def test_a_prefix_that_fits_none_or_several_is_explained(tmp_path: Path) -> None:
    """The person sees that there is none, or which findings a short prefix could mean, the first five by name."""
    many = tuple(finding(f"ee{n:02}" + "1" * 12, "A race") for n in range(9))
    store = store_with(tmp_path, security_review__01=(finding(ONE, "A key"), *many), code_review__02=(finding(TWO),))

    with pytest.raises(BadArgs, match="no stored night has a finding that starts with ab12ffff"):
        resolve("ab12ffff", store)
    store.save(Report(asset="code_review", night="2026-03-03", headline="h", findings=(finding("ab12" + "1" * 12),)))
    with pytest.raises(BadArgs, match=rf"^ab12 fits 2 findings: {ONE} \(A key\), ab12{'1' * 12} \(Something\)$"):
        resolve("ab12", store)


@pytest.mark.parametrize("prefix", ["", "ab1", "not hex!", "ab12" * 5, "../ab12", "*"])
def test_what_is_no_fingerprint_is_refused_at_once(tmp_path: Path, prefix: str) -> None:
    """Too short, too long or no hexadecimal digits: one line says what to write."""
    with pytest.raises(BadArgs, match="4 to 16 characters"):
        resolve(prefix, store_with(tmp_path, security_review__01=(finding(ONE),)))


def test_a_damaged_night_does_not_hide_the_others(tmp_path: Path) -> None:
    """A finding of a good night is found though another night cannot be read."""
    store = store_with(tmp_path, security_review__01=(finding(ONE),), security_review__02=(finding(TWO),))
    (tmp_path / "2026-03-02" / "security_review" / "manifest.json").write_text("{")

    assert resolve("ab12", store).fingerprint == ONE
