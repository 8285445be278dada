"""What the redactor hides, and what it leaves alone."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_workers.redact import Redactor

OWN = "xoxb-Gr33n/Te4+9 ünd=!"
REDACTOR = Redactor([OWN, "redis://:pa55-of-redis@cache:6379/0", "redis://localhost:6379/0", "abc"])
KEY_BODY = "\n".join("MIIEpAIBAAKCAQEA" + hashlib.sha256(b"%d" % n).hexdigest() for n in range(12))


def token(prefix: str, length: int) -> str:
    """Make a token of the right shape that no scanner of this repository takes for a real one."""
    letters = hashlib.sha512(prefix.encode()).hexdigest().upper() + hashlib.sha512(prefix.encode()).hexdigest()
    return prefix + (letters * 2)[:length]


PLANTED = {
    "AWS Access Key": token("AKIA", 16).upper(),
    "GitHub Token": token("ghp_", 36),
    "Slack Token": "xoxb-" + "123456789012-" + "123456789012-" + token("", 24),
    "GitHub Token, fine-grained": token("github_pat_", 22) + "_" + token("", 59),
    "GitLab Token": token("glpat-", 20),
    "GitLab Token of a build": token("glcbt-64_", 20),
    "Stripe Access Key": token("sk_live_", 24),
    "Basic Auth Credentials": "https://bob:" + "hunter2@db.example.com/x",
    "Secret Keyword": 'password = "correct horse"',
    "NPM tokens": "//registry.npmjs.org/:_authToken=" + "npm_" + token("", 36),
    "JSON Web Token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "Base64 High Entropy String": '"q9Kd83JmxLq0Zt7' + 'Rw2Yp5VnB1cXs4FhG"',
}


def forms(value: str) -> dict[str, str]:
    """Return ``value`` as it may travel."""
    raw = value.encode()
    return {
        "raw": value,
        "reversed": value[::-1],
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "url": quote(raw, safe=""),
        "url lower": quote(raw, safe="").lower(),
        "url plus": quote_plus(raw),
        "base64": base64.b64encode(raw).decode(),
        "base64 url-safe, no padding": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "base64 within, 1": base64.b64encode(b"u" + raw + b"tail").decode(),
        "base64 within, 2": base64.b64encode(b"us" + raw + b"tail").decode(),
    }


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_of_each_kind_is_redacted_within_its_line(kind: str) -> None:
    """The value goes, every stretch of it, its line and its neighbours stay; in code and in a sentence alike."""
    secret = PLANTED[kind].strip('"').partition("@")[0][-10:]
    for text in (f"Use {PLANTED[kind]} here", f"before = 1\n  x: {PLANTED[kind]}  # note\nafter = 2\n"):
        assert secret not in REDACTOR.text(text)
    hidden = REDACTOR.text(text)
    assert "[redacted: " in hidden
    assert PLANTED[kind].strip('"').rpartition(" ")[2].strip('"') not in hidden
    assert hidden.startswith("before = 1\n")
    assert hidden.endswith("\nafter = 2\n")


@pytest.mark.parametrize("form", forms(OWN))
def test_an_own_secret_is_found_in_every_form(form: str) -> None:
    """Forge's own secrets are hidden however they are written."""
    written = f"header {forms(OWN)[form]} trailer"
    assert REDACTOR.holds_own_secret(written)
    hidden = REDACTOR.text(written)
    assert "[redacted: Forge's own secret]" in hidden
    assert forms(OWN)[form] not in hidden


@pytest.mark.parametrize("form", forms(OWN))
def test_without_the_secret_value_the_same_check_finds_nothing(form: str) -> None:
    """Control: a redactor that was not given the secret lets every form of it through."""
    assert not Redactor(["another secret"]).holds_own_secret(forms(OWN)[form])


def test_random_own_secrets_are_found_in_every_form() -> None:
    """The forms hold for any value, not just for one example."""
    for length in range(8, 40):
        value = secrets.token_urlsafe(length)
        redactor = Redactor([value])
        assert [name for name, written in forms(value).items() if not redactor.holds_own_secret(written)] == []


def test_of_an_address_only_one_with_a_password_is_secret() -> None:
    """A password inside a Redis address is secret; the address of a Redis without one is not."""
    assert REDACTOR.holds_own_secret("the password is pa55-of-redis")
    assert REDACTOR.text("at redis://localhost:6379/0") == "at redis://localhost:6379/0"


def test_an_own_secret_of_three_letters_does_not_shred_text() -> None:
    """A value that short is not looked for."""
    assert REDACTOR.text("abc, alphabet, abcdef") == "abc, alphabet, abcdef"


@pytest.mark.parametrize("prefix", ["", "+", "    ", "- "])
@pytest.mark.parametrize("kind", ["RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", ""])
def test_a_private_key_is_redacted_whole_and_lines_stay_lines(prefix: str, kind: str) -> None:
    """Nothing of a key's body is left, in a file or in a diff, and what follows keeps its line number."""
    key = f"-----BEGIN {kind}PRIVATE KEY-----\n{KEY_BODY}\n-----END {kind}PRIVATE KEY-----"
    text = "first\n" + "\n".join(prefix + line for line in key.splitlines()) + "\nlast\n"
    hidden = REDACTOR.text(text)
    assert "[redacted: Private Key]" in hidden
    assert "MIIEpAIBAAKCAQEA" not in hidden
    assert hidden.splitlines()[-1] == "last"
    assert len(hidden.splitlines()) == len(text.splitlines())


@pytest.mark.parametrize("sign", ["", "+"])
def test_a_private_key_without_an_end_is_redacted_as_far_as_it_goes(sign: str) -> None:
    """Half a key, as a cut diff shows it, is hidden; a mention of one takes nothing but its line."""
    headers = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123\n\n"
    text = f"-----BEGIN RSA PRIVATE KEY-----\n{headers}{KEY_BODY}\nplain words after it\n".replace("\n", "\n" + sign)
    hidden = REDACTOR.text(text)
    assert "MIIEpAIBAAKCAQEA" not in hidden
    assert "plain words after it" in hidden
    assert "def after" in REDACTOR.text('START = "-----BEGIN PRIVATE KEY-----"\n\ndef after() -> None:\n    pass\n')


def test_a_putty_key_is_redacted_whole() -> None:
    """PuTTY's own format has no BEGIN and END, and is known by its first and last line."""
    key = f"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 12\n{KEY_BODY}\nPrivate-MAC: 12ab\n"
    hidden = REDACTOR.text(key + "after\n")
    assert "MIIEpAIBAAKCAQEA" not in hidden
    assert hidden.endswith("\nafter\n")


@pytest.mark.parametrize(
    "line",
    [
        "commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
        'digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
        '"integrity":"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="',
        "    --hash=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "def connect(user: str, password: str | None = None) -> Session:",
        "password = getpass.getpass('Password: ')",
        'token = os.environ["GITHUB_TOKEN"]',
        "secret: SecretStr = Field(repr=False)",
        "password=${DB_PASSWORD}",
        "from forge_workers.models.question import Block, Budget, Prompt, compose",
        "server 8.8.8.8, version 1.2.3.4, 2026-11-23T19:00:00Z",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
        "return {key: value for key, value in sorted(pairs.items())}",
    ],
)
def test_ordinary_code_and_hashes_are_left_alone(line: str) -> None:
    """A redactor that shreds code would be turned off."""
    assert REDACTOR.text(line) == line


@pytest.mark.parametrize(
    "line", ["DB_PASSWORD=hunter2", "+export API_KEY=a1b2c3d4", "  password: hunter2", "-secret: 12345x"]
)
def test_unquoted_values_of_configuration_lines_are_redacted(line: str) -> None:
    """An .env or YAML file needs no quotes, and its diff has a sign in front."""
    assert REDACTOR.text(line).endswith("[redacted: Secret Keyword]")


def test_every_secret_of_a_line_is_redacted() -> None:
    """The keyword detector stops at the first; the redactor does not."""
    hidden = REDACTOR.text('login(password="first one", secret="second one", api_key = "third one")')
    assert not any(value in hidden for value in ("first one", "second one", "third one"))


def test_a_pragma_in_untrusted_text_does_not_switch_detection_off() -> None:
    """Whoever writes the text cannot exempt a line of it."""
    assert "hunter two" not in REDACTOR.text('password = "hunter two"  # pragma: allowlist secret')


def test_a_secret_deep_in_a_minified_line_is_found_in_reasonable_time() -> None:
    """Long lines are looked at in overlapping pieces, which bounds the detectors' patterns."""
    started = time.monotonic()
    for place in (3_990, 4_000, 77_777):
        line = "x=1;" * (place // 4) + f'password = "{"s3" * 20}";' + "y=2;" * 20_000
        assert "s3s3" not in REDACTOR.text(line)
    assert time.monotonic() - started < 5


@given(st.text(alphabet="abyzAKIA019=:\"' \n+-/{}()[]passwordecret", max_size=300))
def test_a_second_pass_changes_nothing_and_lines_stay_lines(text: str) -> None:
    """Redacting is idempotent and never moves a line, whatever the text."""
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once
    assert once.count("\n") == text.count("\n")
