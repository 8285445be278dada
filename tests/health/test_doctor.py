"""The doctor: one check per fact, nothing mended, nothing that stops it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from forge_workers.health import doctor as doctors
from forge_workers.health.checks import GAUGES, Check, Status
from forge_workers.health.doctor import FACTS, about_ollama, doctor
from forge_workers.health.probe import Scene
from forge_workers.settings_sections import Models
from tests.health.scenes import NIGHT, tools
from tests.standins.redis import PrivateRedis
from tests.standins.serving import StandInServer

NOON = 1_772_449_200.0


def examined(home: Path, **chosen: object) -> dict[str, Check]:
    """Return the doctor's checks by name."""
    here = tools(home, **chosen)
    return {c.name: c for c in doctor(here.settings, models=here.models, history=here.history, now=NOON)}


def scene(home: Path, **chosen: object) -> Scene:
    """Return a scene in ``home``."""
    return Scene(tools=tools(home, **chosen), night=NIGHT, now=NOON)


@pytest.mark.slow
def test_every_fact_and_every_check_of_a_night_is_there_once(redis_server: PrivateRedis) -> None:
    """On this installation the versions, modes and the bundled server are fine."""
    redis_server.home.chmod(0o700)

    found = examined(redis_server.home)

    assert list(found) == [p.gauge.name for p in FACTS] + [g.name for g in GAUGES]
    for name in ("python", "packages", "git", "home_modes", "settings_file", "redis_server", "redis_socket"):
        assert found[name].status is Status.OK, found[name]
    assert found["redis_server"].detail.startswith("valkey 9.")
    assert "appendfsync everysec" in found["redis_server"].detail
    assert "2026-03-02 12:00" in found["time_zone"].detail


@pytest.mark.slow
def test_a_redis_with_drifted_settings_is_warned_about(redis_server: PrivateRedis) -> None:
    """What the server itself is found to have is passed on in the check's detail."""
    redis_server.client().config_set("maxmemory-policy", "allkeys-lru")

    reading = doctors.redis_facts(scene(redis_server.home))

    assert reading.status is Status.WARN
    assert "full memory may drop the lease" in reading.detail


def test_a_redis_that_is_not_there_fails_with_the_remedy(tmp_path: Path) -> None:
    """The reason names the setting; the socket of the bundled one is then of no interest."""
    here = scene(tmp_path, redis_url="redis://127.0.0.1:1/0")

    assert doctors.redis_facts(here).status is Status.FAIL
    assert "FORGE_REDIS_URL" in doctors.redis_facts(here).detail
    assert doctors.redis_socket(here).detail == "not used: redis_url is set"


def test_a_deep_home_still_has_a_socket_short_enough(tmp_path: Path) -> None:
    """The path that will really be used is measured."""
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 8)

    reading = doctors.redis_socket(scene(deep))

    assert (reading.status, (reading.value or 999) <= 103) == (Status.OK, True)


@pytest.mark.parametrize(("mode", "status"), [(0o700, Status.OK), (0o750, Status.WARN), (0o755, Status.WARN)])
def test_a_home_that_others_may_enter_is_a_warning(tmp_path: Path, mode: int, status: Status) -> None:
    """The command that mends it is named, and nothing is mended."""
    home = tmp_path / "forge"
    (home / "nights").mkdir(parents=True)
    home.chmod(mode)
    (home / "nights").chmod(0o755)

    reading = doctors.home_modes(scene(home))

    assert reading.status is status
    assert (f"chmod 700 {home} (open as well: nights)" in reading.detail) is (status is Status.WARN)
    assert home.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("mode", "status"), [(0o600, Status.OK), (0o644, Status.WARN), (0o660, Status.FAIL), (0o606, Status.FAIL)]
)
def test_a_settings_file_that_others_may_change_fails(tmp_path: Path, mode: int, status: Status) -> None:
    """To read it is a warning, to change it is a failure, and none at all is fine."""
    assert doctors.settings_file(scene(tmp_path)).status is Status.OK
    (tmp_path / "forge.toml").touch()
    (tmp_path / "forge.toml").chmod(mode)

    assert doctors.settings_file(scene(tmp_path)).status is status


@pytest.mark.parametrize(
    ("version", "host", "listening", "said"),
    [
        ("0.35.0", "127.0.0.1", ("127.0.0.1",), ()),
        ("0.35.0", "localhost", None, ()),
        ("0.35.0", "::1", ("::1",), ()),
        ("0.34.2", "127.0.0.1", (), ("a crafted model can run code in the server before 0.35.0",)),
        ("0.34.1", "127.0.0.1", (), ("a pull can be made to reach other servers before 0.34.2",)),
        ("0.35.0", "127.0.0.1", ("0.0.0.0",), ("it also listens on 0.0.0.0, where anybody may use it",)),  # noqa: S104
        ("0.35.0", "10.0.0.7", (), ("prompts leave this machine for 10.0.0.7",)),
        ("new", "127.0.0.1", (), ("its version cannot be read",)),
    ],
)
def test_an_old_or_open_ollama_is_named(
    version: str, host: str, listening: tuple[str, ...] | None, said: tuple[str, ...]
) -> None:
    """Each known hole is open in exactly the versions that have it, and each open door is seen."""
    found = about_ollama(version, host, listening)

    assert len(found) == len(said)
    assert all(warning.startswith(start) for warning, start in zip(found, said, strict=True))


def test_the_oldest_ollama_has_every_hole_but_the_newest() -> None:
    """Holes add up; one that a later version brought in is not in an earlier one."""
    assert len(about_ollama("0.1.33", "127.0.0.1", ())) == 4


@contextmanager
def answering(status: int, body: bytes, address: str = "127.0.0.1") -> Iterator[int]:
    """Run an HTTP server that gives one answer to everything; yield its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = StandInServer((address, 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b'{"version": "0.35.1"}', "Ollama 0.35.1 at 127.0.0.1:"),
        (200, b'{"version": "0.35.1\\u001b[2J"}', "Ollama 0.35.1[2J at"),
        (503, b"", "no version from"),
        (200, b"<html>", "no version from"),
        (200, b"[]", "no version from"),
        (200, b"{}", "no version from"),
    ],
)
def test_the_model_server_tells_its_version_or_a_reason(tmp_path: Path, status: int, body: bytes, said: str) -> None:
    """Whatever answers at the address gives one line; garbage is no version."""
    with answering(status, body) as port:
        models = Models(ollama_url=f"http://127.0.0.1:{port}")
        reading = doctors.model_facts(scene(tmp_path, models=models))

    assert said in reading.detail.replace("\x1b", "")
    assert (reading.status is Status.OK) == (b'0.35.1"' in body)


def test_a_server_on_every_address_is_seen_in_the_socket_table(tmp_path: Path) -> None:
    """The address in the settings says loopback; what the machine listens on is looked up."""
    with answering(200, b'{"version": "0.35.1"}', "0.0.0.0") as port:  # noqa: S104
        reading = doctors.model_facts(scene(tmp_path, models=Models(ollama_url=f"http://127.0.0.1:{port}")))

    assert reading.status is Status.WARN
    assert "set OLLAMA_HOST=127.0.0.1" in reading.detail


def test_a_package_that_does_not_fit_is_named() -> None:
    """Missing and of another version are told apart; a fitting one is silent."""
    assert doctors._mismatch(Requirement("no-such-package-here>=1")) == "no-such-package-here is missing"
    assert (doctors._mismatch(Requirement("redis<1")) or "").startswith("redis is ")
    assert doctors._mismatch(Requirement("redis>=1")) is None
