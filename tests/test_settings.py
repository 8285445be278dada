"""Settings: one file, some variables, and one clear line for each mistake."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from forge_workers.errors import ConfigError
from forge_workers.settings import Settings, load

EXAMPLE = Path(__file__).parents[1] / "forge.example.toml"


def loaded(tmp_path: Path, text: str = "", mode: int = 0o600, **environ: str) -> Settings:
    """Load settings from ``text`` in a home of the test's own."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    if text:
        (home / "forge.toml").write_text(text)
        (home / "forge.toml").chmod(mode)
    return load({"FORGE_HOME": str(home), **environ}, cwd=tmp_path)


def test_with_nothing_configured_the_current_repository_is_watched(tmp_path: Path) -> None:
    """Without a file and without variables, the defaults run on the repository one stands in."""
    (tmp_path / ".git").mkdir()
    inside = tmp_path / "src" / "deep"
    inside.mkdir(parents=True)

    settings = load({"HOME": str(tmp_path)}, cwd=inside)

    assert settings.repositories == (str(tmp_path),)
    assert settings.home == tmp_path / ".forge"


def test_the_example_file_loads_and_says_the_defaults(tmp_path: Path) -> None:
    """The documented file is valid, and the values it shows are the real defaults."""
    assert loaded(tmp_path, EXAMPLE.read_text()) == loaded(tmp_path / "..", "").model_copy(
        update={"home": tmp_path / "home", "repositories": (str(tmp_path),)}
    )


def test_the_example_file_names_every_key() -> None:
    """A setting that the example does not document cannot be found by a user."""
    uncommented = re.sub(r"^# (?=\w+ = )", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    documented = tomllib.loads(uncommented)
    expected = {
        name: set(field.annotation.model_fields) if hasattr(field.annotation, "model_fields") else None
        for name, field in Settings.model_fields.items()
        if name != "home"
    }

    assert {name: set(v) if isinstance(v, dict) else None for name, v in documented.items()} == expected


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    """What is set closer to the command counts."""
    settings = loaded(tmp_path, '[models]\ngenerate = "a"\n', FORGE_MODELS_GENERATE="b")

    assert settings.models.generate == "b"


def test_a_secret_may_be_given_as_a_file_and_is_never_shown(tmp_path: Path) -> None:
    """A token comes from NAME_FILE and does not appear when settings are printed."""
    (tmp_path / "token").write_text("xoxb-planted\n")

    settings = loaded(tmp_path, FORGE_SLACK_TOKEN_FILE=str(tmp_path / "token"))

    assert settings.secrets == ("xoxb-planted",)
    assert "planted" not in repr(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("text", "environ", "said"),
    [
        ("colour = 3", {}, r"^colour is no setting of Forge \(in .*forge.toml\)"),
        ("[models]\ncolour = 3", {}, r"^models.colour is no setting of Forge"),
        ("", {"FORGE_COLOUR": "3"}, r"^FORGE_COLOUR is no setting of Forge"),
        ("", {"FORGE_MODELS_GENERATE_FILE": "x"}, r"^FORGE_MODELS_GENERATE_FILE is no setting"),
        ('[models]\ntimeout_s = "long"', {}, r"^models.timeout_s in .*forge.toml: "),
        ("", {"FORGE_MODELS_TIMEOUT_S": "long"}, r"^FORGE_MODELS_TIMEOUT_S must be a number, not 'long'"),
        ("", {"FORGE_SLACK_TOKEN_FILE": "/nowhere"}, r"^FORGE_SLACK_TOKEN_FILE: cannot read /nowhere: No such file"),
        ("", {"FORGE_TIMEZONE": "Mars/Base"}, r"^timezone in FORGE_TIMEZONE: 'Mars/Base' is no time zone"),
        ('repositories = ["code"]', {}, r"^repositories in .*forge.toml: 'code' must be an absolute path"),
        ('repositorys = ["/a"]', {}, r"^repositorys is no setting .*: did you mean repositories\?$"),
        ('generate = "m"', {}, r"^generate is no setting .*: did you mean models.generate\?$"),
        ("", {"FORGE_TIMEZON": "UTC"}, r"^FORGE_TIMEZON is no setting of Forge: did you mean timezone\?$"),
        ('repositories = "~/code"', {}, r'^repositories in .*: write a list, such as repositories = \["..."\]$'),
        ("", {"FORGE_NIGHT_STARTS_AT": "25:00"}, r"'25:00' is no time of day: write HH:MM"),
        ('models = "qwen"', {}, r"^models in .*forge.toml"),
        ("models = [", {}, r"forge.toml is not TOML: "),
        ('home = "/elsewhere"', {}, r"^home cannot be set in .*: set the variable FORGE_HOME"),
        ('[night]\nstarts_at = "1 am"', {}, r"^night.starts_at in .*forge.toml"),
        ("", {"FORGE_SLACK_CHANNEL": "#general"}, r"^slack.channel in FORGE_SLACK_CHANNEL"),
        (
            "",
            {"FORGE_SLACK_API_URL": "http://slack.example"},
            r"^slack.api_url in FORGE_SLACK_API_URL: write .* https://",
        ),
        ("", {"FORGE_REDIS_URL": "http://x"}, r"^redis_url in FORGE_REDIS_URL: write redis://"),
        ("", {"FORGE_SLACK_QUIET_FROM": "22:00"}, r"^slack in FORGE_SLACK_QUIET_FROM: .*set both slack.quiet_from and"),
        ('[slack]\nquiet_until = "07:00"', {}, r"^slack in .*forge.toml: quiet hours have two ends"),
        ('[slack]\nquiet_from = "07:00"\nquiet_until = "07:00"', {}, r"are the same time: make one later$"),
        ('[slack]\nquiet_from = "7"\nquiet_until = "8"', {}, r"^slack.quiet_from in .*: '7' is no time of day"),
        (
            '[slack]\napp_token = "xoxb-1"',
            {},
            r"^slack.app_token in .*: this is no app-level token: it begins with xapp-",
        ),
        ('[slack.may]\nwork = ["mara"]', {}, r"^slack.may.work in .*: 'mara' is no member id such as U0123456789"),
        ('[slack.may]\nwork = "everyone"', {}, r"^slack.may.work in .*: write a list"),
        ("[slack.may]\nerase = []", {}, r"^slack.may.erase is no setting of Forge"),
    ],
)
def test_each_mistake_is_one_line_that_names_its_key(
    tmp_path: Path, text: str, environ: dict[str, str], said: str
) -> None:
    """A wrong key, type or path is named with the place where it was set."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, **environ)

    assert re.search(said, str(caught.value))
    assert "\n" not in str(caught.value)


def test_an_app_level_token_is_a_secret_and_people_are_named_by_variable_too(tmp_path: Path) -> None:
    """The redactor knows it, no text shows it, and a list of people is separated as PATH is."""
    token = "xapp-1-A0FORGE-2222-standin"

    settings = loaded(tmp_path, FORGE_SLACK_APP_TOKEN=token, FORGE_SLACK_MAY_WORK="U0ALICE:U0BOB")

    assert token in settings.secrets
    assert token not in repr(settings)
    assert settings.slack.may.work == ("U0ALICE", "U0BOB")
    assert (settings.slack.may.read, settings.slack.may.hide) == (("everyone",), ())


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    """Two sources for one token would hide which one counts."""
    (tmp_path / "t").write_text("a")

    with pytest.raises(ConfigError, match="are both set: keep one"):
        loaded(tmp_path, FORGE_SLACK_TOKEN="b", FORGE_SLACK_TOKEN_FILE=str(tmp_path / "t"))


def test_a_file_with_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """A token in a file that the whole machine may read is no secret; without a token the mode is free."""
    with pytest.raises(ConfigError, match="run chmod 600"):
        loaded(tmp_path, '[slack]\ntoken = "xoxb-1"\n', mode=0o644)

    assert loaded(tmp_path, '[models]\ngenerate = "m"\n', mode=0o644).models.generate == "m"


def test_a_home_that_depends_on_where_one_stands_is_refused() -> None:
    """The nights of one machine are in one place."""
    with pytest.raises(ConfigError, match="FORGE_HOME must be an absolute path, not 'nights'"):
        load({"FORGE_HOME": "nights"})


def test_paths_in_a_variable_are_taken_from_here(tmp_path: Path) -> None:
    """A relative path typed on the command line means the directory one stands in."""
    assert loaded(tmp_path, FORGE_REPOSITORIES="code:~/x").repositories == (str(tmp_path / "code"), "~/x")
