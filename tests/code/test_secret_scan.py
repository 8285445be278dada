"""The secret scanner: as detect-secrets itself, only faster, and with every value masked."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

from forge_workers.code.hits import MASK
from forge_workers.code.secret_scan import SecretScanner

AWS = "AKIA" + "QYLPMN5HFIQR7B3D"
FILES = {
    "a.py": f'import os\n\nKEY = "{AWS}"\npassword = "open-sesame-7"\n[section]\n',
    "b.py": f'[section]\npassword = "open-sesame-7"\nKEY = "{AWS}"\r\nKEY = "{AWS}"\n',
    "c.js": f"const key = '{AWS}';\nconst u = 'https://me:open-sesame-7@host';\n",
    "d.yaml": f"key: {AWS}\nsecret: 0p3n-s3s4m3-7\n",
    "e.env": f"AWS={AWS}\nPASSWORD=open-sesame-7\n",
    "f.css": f"/* {AWS} */\n",
    "clean.py": "value = 1\n",
}


def plainly(path: str, text: str) -> set[tuple[int, str]]:
    """Return line and digest of the secrets that detect-secrets finds in a file by itself."""
    with tempfile.TemporaryDirectory() as folder, default_settings() as settings:
        settings.disable_plugins("IPPublicDetector")
        place = Path(folder) / path.replace(".css", ".txt")
        place.write_bytes(text.encode())
        return {(secret.line_number, secret.secret_hash) for secret in scan_file(str(place))}


def test_scanning_each_line_once_finds_what_scanning_each_file_finds() -> None:
    """All files together, twice, give the secrets that detect-secrets finds in each alone."""
    scanner = SecretScanner()
    for _ in range(2):
        results = scanner.scan(list(FILES.items()))
        for (path, text), result in zip(FILES.items(), results, strict=True):
            assert {(hit.line, hit.key) for hit in result.hits} == plainly(path, text), path


@pytest.mark.parametrize(("prefix", "length"), [("ghp_", 36), ("glpat-", 20)])
def test_a_token_that_replaces_another_is_a_new_one(prefix: str, length: int) -> None:
    """Or a dismissed example would hide every real token that is later put into its place."""
    lines = [f"use {prefix}{letter * length} to deploy\n" for letter in "AB"]
    scans = SecretScanner().scan([("a.md", line) for line in lines])
    assert [len(scan.hits) for scan in scans] == [1, 1]
    assert scans[0].hits[0].key != scans[1].hits[0].key


def test_a_value_is_masked_wherever_it_stands() -> None:
    """With the run of characters around it, on every line; a line on which it is written otherwise is hidden whole."""
    (scan,) = SecretScanner().scan([("a.py", f'KEY = "{AWS}"\n')])
    assert scan.mask(f'KEY = "{AWS}"', 1) == f'KEY = "{MASK}"'
    assert scan.mask(f"url = x/{AWS}/y?{AWS}==", 7) == f"url = {MASK}?{MASK}"
    assert scan.mask("KEY = chr(65) + ...", 1) == MASK
    assert AWS not in repr(scan)


@pytest.mark.parametrize(
    ("path", "text", "severity"),
    [
        ("a.py", f'KEY = "{AWS}"', "high"),
        ("a.py", 'password = "open-sesame-7"', "medium"),
        ("a.py", "x = 'c3VwZXIgbG9uZyBzdHJpbmcgc2hvdWxkIGNhdXNlIGVub3VnaCBlbnRyb3B5'", "low"),
        ("tests/a.py", f'KEY = "{AWS}"', "medium"),
        ("tests/a.py", 'password = "open-sesame-7"', "low"),
    ],
)
def test_the_severity_is_the_stated_one(path: str, text: str, severity: str) -> None:
    """Keys in a provider's format weigh most, random looks least, and each a step less in tests."""
    (scan,) = SecretScanner().scan([(path, text + "\n")])
    assert [hit.severity.value for hit in scan.hits] == [severity]
