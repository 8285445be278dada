"""The security review: committed content only, new things first, and never a secret's value."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from forge_workers.code import security
from forge_workers.code.commits import CommitLog
from forge_workers.code.committed import Source
from forge_workers.code.hits import MASK
from forge_workers.code.inspection import findings_of, inspect
from forge_workers.code.secret_scan import MOST_STEPS, SecretScanner
from forge_workers.code.security import security_review
from forge_workers.code.versions import Version
from forge_workers.dismissals import Dismissals
from forge_workers.redact import Redactor
from forge_workers.report import Evidence, Finding, Gap, Outcome, Report, Severity
from forge_workers.tools import Request
from forge_workers.windows import Window
from tests.code.desk import NIGHT, request_for, stored, tools_for
from tests.standins.repositories import DAY, HOUR, MONDAY, Repo, hostile

SHELL = "import subprocess\nsubprocess.call(command, shell=True)\n"
AWS = "AKIA" + "QYLPMN5HFIQR7B3D"
GITHUB = "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx"
PASSWORD = "correct-horse-9-battery"
KEY_BODY = "MIIEowIBAAKCAQEAr7bT0qkZ" + "Zr9uN3cV5xQ2wE8yT1uI6oP4aS7dF0gH"


def reviewed(tmp_path: Path, *repos: Repo | Path, night: str = NIGHT) -> Report:
    """Review one night of ``repos``."""
    tools = tools_for(tmp_path / "home", *repos)
    return security_review(request_for(tools, night), tools)


def rules(report: Report) -> list[tuple[str, str | None, int | None]]:
    """Return rule, path and line of every finding but bandit's remark that subprocess is imported."""
    found = [(f.rule, f.evidence[0].path, f.evidence[0].line) for f in report.findings]
    return sorted((row for row in found if row[0] != "bandit:B404"), key=str)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with one old fault, committed the day before."""
    made = Repo(tmp_path / "app")
    made.commit({"old.py": SHELL, "README.md": "# App\n"}, at=MONDAY - DAY)
    return made


def new_ones(report: Report) -> None:
    """Check that only what the night brought in is told."""
    assert rules(report) == [("bandit:B602", "new.py", 2), ("bandit:B602", "old.py", 4)]


def two_new_faults(repo: Repo) -> None:
    """Move the old fault, copy it, and write it in a new file."""
    repo.commit({"old.py": "# moved\n" + SHELL + SHELL[18:], "new.py": SHELL}, at=MONDAY + HOUR)


def test_what_was_there_before_the_window_is_only_counted(tmp_path: Path, repo: Repo) -> None:
    """A moved line is known, a copy of it and a new file are new."""
    two_new_faults(repo)
    report = reviewed(tmp_path, repo)

    new_ones(report)
    assert report.known == 2  # the call and the import
    assert report.outcome is Outcome.RAN
    assert report.headline.startswith("3 new security findings (2 high, 1 info) in 2 touched files; 2 known.")
    assert all(f.evidence[0].commit == repo.head() for f in report.findings)
    assert all(f.evidence[0].observed_at == MONDAY + HOUR for f in report.findings)


def test_the_check_for_new_catches_a_review_that_forgets_the_past(tmp_path: Path, repo: Repo) -> None:
    """Control: the same review with the content before the window left out fails the same check."""
    two_new_faults(repo)
    tools = tools_for(tmp_path / "home", repo)
    request = request_for(tools)
    log = CommitLog.model_validate(request.upstream["commit_log"].data)
    blind = log.model_copy(
        update={"repositories": tuple(r.model_copy(update={"base": None}) for r in log.repositories)}
    )
    upstream = {"commit_log": request.upstream["commit_log"].model_copy(update={"data": blind.model_dump(mode="json")})}

    with pytest.raises(AssertionError):
        new_ones(security_review(replace(request, upstream=upstream), tools))


def test_what_an_earlier_night_told_is_known_and_a_repeat_tells_the_same(tmp_path: Path, repo: Repo) -> None:
    """The second night counts what the first one told; running the first one again tells it again."""
    repo.switch("topic", create=True)
    repo.commit({"new.py": SHELL}, at=MONDAY + HOUR)
    repo.commit({"new.py": SHELL + "pass\n"}, at=MONDAY + DAY + HOUR)
    repo.switch("main")
    tools = tools_for(tmp_path / "home", repo)
    second = Window(MONDAY + DAY, MONDAY + 2 * DAY)

    first = security_review(request_for(tools), tools)
    tools.history.save(first)
    later = security_review(request_for(tools, "2026-03-03", second), tools)
    tools.history.save(later)

    assert rules(first) == [("bandit:B602", "new.py", 2)]
    assert (later.findings, later.known) == ((), 2)
    assert later.headline == "No new security finding in 1 touched file; 2 known."
    assert security_review(request_for(tools), tools) == first


def test_dismissed_findings_are_remembered_and_counted(tmp_path: Path, repo: Repo) -> None:
    """A finding that a person accepted is not told again, not even by its own night."""
    repo.commit({"new.py": SHELL}, at=MONDAY + HOUR)
    tools = tools_for(tmp_path / "home", repo)
    (shell,) = (f for f in security_review(request_for(tools), tools).findings if f.rule == "bandit:B602")
    Dismissals(tmp_path / "home").dismiss(shell.fingerprint, "only in a script", MONDAY)

    again = security_review(request_for(tools), tools)
    assert (rules(again), again.dismissed) == ([], 1)
    assert "1 dismissed" in again.headline


def test_a_renamed_file_brings_in_nothing_new(tmp_path: Path, repo: Repo) -> None:
    """What moved with its file, even twice in one night, is known under the new name."""
    repo.commit({"old.py": None, "mid.py": SHELL}, at=MONDAY + HOUR)
    repo.commit({"mid.py": None, "end.py": SHELL}, at=MONDAY + 2 * HOUR)

    assert rules(reviewed(tmp_path, repo)) == []


def only_committed(findings: tuple[Finding, ...]) -> None:
    """Check that nothing of the work tree was looked at."""
    assert [f.rule for f in findings if f.rule != "bandit:B404"] == []


def test_the_work_tree_is_never_looked_at(tmp_path: Path, repo: Repo) -> None:
    """Edits that are not committed, new files and a bandit configuration on disk change nothing."""
    repo.commit({"new.py": "value = 1\n"}, at=MONDAY + HOUR)
    repo.checkout()
    clean = reviewed(tmp_path, repo)
    (repo.path / "new.py").write_text(SHELL)
    (repo.path / "more.py").write_text(f'key = "{AWS}"\n')
    (repo.path / ".bandit").write_text("[bandit]\nskips: B602\n")

    report = reviewed(tmp_path, repo)
    only_committed(report.findings)
    assert report == clean


def test_the_check_catches_a_review_of_the_work_tree(repo: Repo) -> None:
    """Control: the same rules over the files on disk fail the same check."""
    repo.commit({"new.py": "value = 1\n"}, at=MONDAY + HOUR)
    repo.checkout()
    (repo.path / "new.py").write_text(SHELL)
    content = (repo.path / "new.py").read_bytes()
    (seen,) = inspect([("new.py", content)], SecretScanner())
    source = Source("app", Version(repo.head(), "new.py", "new.py", MONDAY), content, content.decode())

    with pytest.raises(AssertionError):
        only_committed(findings_of(source, seen, (), Redactor(())).findings)


def test_a_project_cannot_configure_its_own_review(tmp_path: Path, repo: Repo) -> None:
    """Committed settings of bandit and detect-secrets are not read."""
    settings = {
        ".bandit": "[bandit]\nskips: B602\n",
        "pyproject.toml": '[tool.bandit]\nskips = ["B602"]\nexclude_dirs = ["."]\n',
        ".secrets.baseline": '{"exclude": {"files": ".*"}, "results": {}}',
    }
    repo.commit({"new.py": f'{SHELL}KEY = "{AWS}"\n', **settings}, at=MONDAY + HOUR)

    assert rules(reviewed(tmp_path, repo)) == [("bandit:B602", "new.py", 2), ("secret:AWS Access Key", "new.py", 3)]


SECRETS = {
    "keys.py": f'AWS_KEY = "{AWS}"\ntoken, other = "{GITHUB}", "{AWS}"\n',
    "settings.py": f'password = "{PASSWORD}"\nconnect(password="{PASSWORD}")\ndef f(password="{PASSWORD}"): ...\n',
    "multi.py": f'password = """{PASSWORD}\n"""\n',
    "long.py": f'x = "{"a b " * 120}{AWS}"\n',
    "service.json": f'{{"key": "-----BEGIN RSA PRIVATE KEY-----\\n{KEY_BODY}\\n-----END RSA PRIVATE KEY-----\\n"}}\n',
    "id_rsa": f"-----BEGIN RSA PRIVATE KEY-----\n{KEY_BODY}\n-----END RSA PRIVATE KEY-----\n",
    "config.yaml": f"db: postgres://app:{PASSWORD}@db/app\napi_key: {GITHUB}\n",
    ".env": f"AWS_SECRET={GITHUB}\n",
    "requirements.txt": f"--extra-index-url https://me:{PASSWORD}@pypi.example.org/simple\ntool @ git+https://me:{GITHUB}@git.example.org/tool\n",
    "shell.py": f'import subprocess\nsubprocess.call("curl -u me:{PASSWORD} https://me:{PASSWORD}@host", shell=True)\n',
}
PLANTED = (AWS, GITHUB, PASSWORD, KEY_BODY)


def no_secret(text: str) -> None:
    """Check that no eight characters in a row of any planted secret are in ``text``."""
    pieces = {value[n : n + 8] for value in PLANTED for n in range(len(value) - 7)}
    assert sorted(piece for piece in pieces if piece in text) == []


def test_a_secrets_value_is_nowhere(tmp_path: Path, repo: Repo, caplog: pytest.LogCaptureFixture) -> None:
    """No file of the stored report and no log line holds eight characters of a planted secret."""
    caplog.set_level(logging.DEBUG)
    repo.commit(SECRETS, at=MONDAY + HOUR)
    tools = tools_for(tmp_path / "home", repo)
    report = security_review(request_for(tools), tools)

    no_secret(stored(tools, report))
    no_secret(caplog.text)
    found = {f.evidence[0].path for f in report.findings if f.rule.startswith("secret:")}
    assert found == set(SECRETS) - {"multi.py"}
    assert {f.severity for f in report.findings if f.rule == "secret:AWS Access Key"} == {Severity.HIGH}


def test_the_check_catches_a_review_that_quotes_the_line(tmp_path: Path, repo: Repo) -> None:
    """Control: a report with the line as it stands in the file fails the same check."""
    repo.commit(SECRETS, at=MONDAY + HOUR)
    tools = tools_for(tmp_path / "home", repo)
    report = security_review(request_for(tools), tools)
    line = SECRETS["keys.py"].split("\n")[0]
    bare = report.findings[0].model_copy(update={"evidence": (Evidence(source="x", observed_at=1.0, quote=line),)})

    with pytest.raises(AssertionError):
        no_secret(stored(tools, report.model_copy(update={"findings": (bare,)})))


def test_a_forge_secret_that_no_detector_knows_is_hidden_too(tmp_path: Path, repo: Repo) -> None:
    """Forge's own secret values never leave, whatever line they stand on."""
    own = "plain words that are a secret"
    repo.commit({"new.py": f"import subprocess\nsubprocess.call('{own}', shell=True)\n"}, at=MONDAY + HOUR)
    tools = tools_for(tmp_path / "home", repo)
    github = tools.settings.github.model_copy(update={"token": SecretStr(own)})
    tools = replace(tools, settings=tools.settings.model_copy(update={"github": github}))

    report = security_review(request_for(tools), tools)
    assert ("bandit:B602", "new.py", 2) in rules(report)
    assert own not in stored(tools, report)


def test_comments_that_silence_a_rule_are_honoured_and_counted(tmp_path: Path, repo: Repo) -> None:
    """What nosec and allowlist comments hide is not told, but its number is, and how many are new."""
    silent = "subprocess.call(command, shell=True)  # nosec\n"
    repo.commit({"old.py": SHELL + silent}, at=MONDAY - HOUR)
    allowed = f'key = "{AWS}"  # pragma: allowlist secret\n'
    repo.commit({"old.py": SHELL + silent + silent + allowed}, at=MONDAY + HOUR)
    report = reviewed(tmp_path, repo)

    assert rules(report) == []
    assert (report.numbers["silenced_places"], report.numbers["newly_silenced_places"]) == (3, 2)
    assert "3 places in the touched files, 2 of them since the night before." in report.markdown


def test_asserts_are_told_in_programs_but_not_in_tests(tmp_path: Path, repo: Repo) -> None:
    """B101 is how a test speaks."""
    repo.commit(dict.fromkeys(("app.py", "tests/test_app.py", "conftest.py"), "assert 1\n"), at=MONDAY + HOUR)
    assert rules(reviewed(tmp_path, repo)) == [("bandit:B101", "app.py", 1)]


def test_what_cannot_be_scanned_is_a_gap(tmp_path: Path, repo: Repo) -> None:
    """Large, binary, minified, vendored, unparsable and unread files are named with the reason."""
    files = {
        "big.py": b"#" * 1_000_001,
        "huge.bin": b"a" * 2_100_000,
        "logo.png": b"\x89PNG\0",
        "app.js": b"var a=1;" * 100,
        "line.json": b'"' + b"x" * 30_000 + b'"',
        "vendor/lib.py": SHELL.encode(),
        "package-lock.json": b"{}",
        "broken.py": b"def (:\n",
        "deep.py": b"x = " + b"(" * 5000 + b")" * 5000 + b"\n",
        "chain.py": b"x = " + b"-" * 15_000 + b"1\n",
        "nul.py": b"x = 1\n\0",
        "Gemfile": b'gem "rails"\n',
        "pyproject.toml": b"[project\n",
        "package.json": b'{"dependencies": ["a"]}',
    }
    repo.commit(files, at=MONDAY + HOUR)
    report = reviewed(tmp_path, repo)

    assert rules(report) == []
    told = {gap.what: gap.why for gap in report.gaps}
    assert told.pop("8 touched files of app") == (
        "not scanned: 1 a lock file (package-lock.json); 2 binary (logo.png, nul.py); "
        "2 larger than 1 MB (big.py, huge.bin); 2 minified (app.js, line.json); 1 vendored (vendor/lib.py)"
    )
    assert sorted(told) == [
        f"app: {name}" for name in ("Gemfile", "broken.py", "chain.py", "deep.py", "package.json", "pyproject.toml")
    ]
    assert "bandit cannot scan it" in told["app: broken.py"]
    assert "no valid TOML" in told["app: pyproject.toml"]
    assert all("broken.py" not in gap.why or "tmp" not in gap.why for gap in report.gaps)


def test_a_file_made_to_stall_the_scanner_is_a_gap_at_once(tmp_path: Path, repo: Repo) -> None:
    """Keywords by the thousand on long lines would take minutes; the file is named and no line of it quoted."""
    bomb = ("password" * 2_000 + "\n") * 50
    assert len(bomb) * 2_000 > MOST_STEPS
    hidden = f'import subprocess\nsubprocess.call("{PASSWORD} {"password" * 2_000}", shell=True)\n'
    repo.commit({"bomb.txt": bomb, "bomb.py": hidden, "new.py": SHELL}, at=MONDAY + HOUR)
    started = time.monotonic()
    report = reviewed(tmp_path, repo)

    assert time.monotonic() - started < 20
    assert {f.evidence[0].quote for f in report.findings if f.evidence[0].path == "bomb.py"} == {MASK}
    assert ("bandit:B602", "new.py", 2) in rules(report)
    why = "scanning it for secrets would take too long"
    assert report.gaps == (Gap(what="app: bomb.py", why=why), Gap(what="app: bomb.txt", why=why))


def test_each_branch_is_reviewed_as_it_stands_at_its_end(tmp_path: Path, repo: Repo) -> None:
    """A fault on a side branch is told at its commit; one that the same branch mended by then is not."""
    repo.switch("topic", create=True)
    repo.commit({"side.py": SHELL, "mended.py": SHELL}, at=MONDAY + HOUR)
    last = repo.commit({"mended.py": "value = 1\n", "side.py": "\n" + SHELL}, at=MONDAY + 2 * HOUR)
    repo.switch("main")
    repo.commit({"main.py": SHELL}, at=MONDAY + 3 * HOUR)
    report = reviewed(tmp_path, repo)

    assert rules(report) == [("bandit:B602", "main.py", 2), ("bandit:B602", "side.py", 3)]
    assert {f.evidence[0].commit for f in report.findings if f.evidence[0].path == "side.py"} == {last}


def test_a_link_in_the_tree_is_not_followed(tmp_path: Path, repo: Repo) -> None:
    """A committed symbolic link, even to a file with a secret, is no file."""
    (tmp_path / "outside.py").write_text(f'key = "{AWS}"\n')
    target = repo.git("hash-object", "-w", "--stdin", stdin=str(tmp_path / "outside.py").encode()).strip().decode()
    repo.git("update-index", "--add", "--cacheinfo", f"120000,{target},link.py")
    repo.commit({}, at=MONDAY + HOUR)
    assert rules(reviewed(tmp_path, repo)) == []


def test_a_deleted_file_is_nothing_to_review(tmp_path: Path, repo: Repo) -> None:
    """What the night removed is neither a finding nor a gap."""
    repo.commit({"old.py": None}, at=MONDAY + HOUR)
    report = reviewed(tmp_path, repo)
    assert (report.findings, report.gaps, report.headline) == ((), (), "No new security finding in 0 touched files.")


def test_a_repository_that_vanished_is_a_gap_and_the_others_go_on(tmp_path: Path, repo: Repo) -> None:
    """One source down, the rest is reviewed."""
    other = Repo(tmp_path / "other")
    other.commit({"new.py": SHELL}, at=MONDAY + HOUR)
    repo.commit({"new.py": SHELL}, at=MONDAY + HOUR)
    tools = tools_for(tmp_path / "home", repo, other)
    request = request_for(tools)
    (other.path / ".git").rename(tmp_path / "gone")
    report = security_review(request, tools)

    assert rules(report) == [("bandit:B602", "new.py", 2)]
    assert [gap.what for gap in report.gaps] == ["other"]


@pytest.mark.parametrize("upstream", [{}, {"commit_log": Report(asset="commit_log", night=NIGHT, headline="h")}])
def test_without_a_commit_log_the_step_is_skipped(tmp_path: Path, upstream: dict[str, Report]) -> None:
    """Nothing is claimed about files nobody listed."""
    tools = tools_for(tmp_path / "home")
    report = security_review(Request(night=NIGHT, window=Window(MONDAY, MONDAY + DAY), upstream=upstream), tools)
    assert (report.outcome, report.findings) == (Outcome.SKIPPED, ())
    assert report.reasons == ("There is no commit log of this night, so no file could be reviewed.",)


def test_without_a_readable_repository_the_step_is_skipped(tmp_path: Path) -> None:
    """Nobody looked is not the same as nothing found: there is no number to read as none."""
    report = reviewed(tmp_path, tmp_path / "missing")
    assert (report.outcome, report.numbers) == (Outcome.SKIPPED, {})
    assert report.reasons == ("No repository could be read, so no file could be reviewed.",)


def test_the_night_before_the_first_commit_is_a_short_review(tmp_path: Path, repo: Repo) -> None:
    """A repository that had nothing yet was looked at."""
    tools = tools_for(tmp_path / "home", repo)
    early = Window(MONDAY - 3 * DAY, MONDAY - 2 * DAY)
    report = security_review(request_for(tools, "2026-02-27", early), tools)
    assert (report.outcome, report.numbers["scanned_files"]) == (Outcome.RAN, 0.0)


def test_names_and_contents_meant_to_break_a_parser_break_nothing(tmp_path: Path) -> None:
    """File names with newlines, options and bytes that are no text are read like others, and run nothing."""
    repo = hostile(tmp_path / "hostile")
    odd = [name for name in repo.git("ls-files", "-z").split(b"\0") if name.endswith(b".py")]
    repo.commit(dict.fromkeys(odd, SHELL.encode()), at=MONDAY + 6 * HOUR)
    report = reviewed(tmp_path, repo)

    assert len([f for f in report.findings if f.rule == "bandit:B602"]) == len(odd)
    assert "new\nline.py" not in report.markdown
    assert not list(tmp_path.rglob("pwned"))


def test_changed_manifests_say_what_came_went_and_loosened(tmp_path: Path, repo: Repo) -> None:
    """Dependencies from addresses, other indexes, without a version or held less firmly are told, the rest listed."""
    before = "requests==2.0\nold==1.0\nloose\n"
    after = "requests>=2.0\nloose\nnew==1.0\nfree\ntool @ http://example.org/tool.zip\n--index-url http://pypi.example.org\n"
    repo.commit({"requirements.txt": before}, at=MONDAY - HOUR)
    repo.commit({"requirements.txt": after}, at=MONDAY + HOUR)
    report = reviewed(tmp_path, repo)

    assert rules(report) == [
        ("dependency:index", "requirements.txt", 6),
        ("dependency:loosened", "requirements.txt", 1),
        ("dependency:unpinned", "requirements.txt", 4),
        ("dependency:url", "requirements.txt", 5),
    ]
    assert report.known == 1
    listed: Any = report.data["dependencies"]
    assert listed[0] == {
        "repository": "app",
        "path": "requirements.txt",
        "added": ["free", "new", "tool"],
        "removed": ["old"],
        "loosened": ["requests"],
    }


@pytest.mark.slow
def test_a_night_of_200_files_takes_seconds(tmp_path: Path) -> None:
    """200 modules of this very package's kind are reviewed in less than a minute on a busy machine."""
    modules = sorted(Path(security.__file__).parents[1].rglob("*.py"))
    texts = {f"src/m{n}.py": modules[n % len(modules)].read_text() + f"\nnumber = {n}\n" for n in range(200)}
    repo = Repo(tmp_path / "big")
    repo.commit(texts, at=MONDAY - DAY)
    repo.commit({path: text + "more = 1\n" for path, text in texts.items()}, at=MONDAY + HOUR)
    started = time.monotonic()
    report = reviewed(tmp_path, repo)

    assert time.monotonic() - started < 60
    assert report.numbers["scanned_files"] == 200
