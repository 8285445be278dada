"""The light client: every reply is the answer to its own command, and a missing one is said, never guessed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forge_workers.errors import ConfigError
from forge_workers.wire import Refused, Script, Unanswered, Wire
from tests.standins.lossy import lossy_relay
from tests.standins.redis import PrivateRedis


def wire_of(server: PrivateRedis) -> Wire:
    """Return a wire to ``server``."""
    return Wire(f"unix://{server.socket}")


def test_every_kind_of_reply_comes_back_as_it_is(redis_server: PrivateRedis) -> None:
    """Texts are bytes, numbers are numbers, nothing is None, lists are lists."""
    wire = wire_of(redis_server)

    assert wire.call("SET", "a", b"\xff\x00") == b"OK"
    assert wire.call("GET", "a") == b"\xff\x00"
    assert wire.call("INCR", "n") == 1
    assert wire.call("GET", "none") is None
    assert wire.call("MGET", "a", "none") == [b"\xff\x00", None]
    assert wire.call("RPUSH", "l", 1, 2.5, "drei") == 3
    assert wire.call("LRANGE", "l", 0, -1) == [b"1", b"2.5", b"drei"]


def test_a_value_larger_than_one_read_comes_whole(redis_server: PrivateRedis) -> None:
    """A reply may arrive in many pieces."""
    wire = wire_of(redis_server)
    wire.call("SET", "big", b"x" * 3_000_000)

    assert len(wire.call("GET", "big")) == 3_000_000


def test_a_refusal_says_why_and_the_connection_goes_on(redis_server: PrivateRedis) -> None:
    """An error reply is an answer: nothing is unknown after it."""
    wire = wire_of(redis_server)
    wire.call("SET", "a", "text")

    with pytest.raises(Refused, match="WRONGTYPE") as refused:
        wire.call("LPUSH", "a", 1)

    assert refused.value.code == "WRONGTYPE"
    assert wire.call("GET", "a") == b"text"


def test_a_script_that_the_server_forgot_is_sent_again(redis_server: PrivateRedis) -> None:
    """SCRIPT FLUSH and a restart cost one more trip, nothing else."""
    wire, script = wire_of(redis_server), Script("return {KEYS[1], ARGV[1]}")

    for _ in range(2):
        wire.call("SCRIPT", "FLUSH")
        assert wire.run(script, ["k"], "v") == [b"k", b"v"]
    redis_server.kill()
    redis_server.restart()

    assert wire.run(script, ["k"], "v") == [b"k", b"v"]


def test_a_server_that_was_restarted_is_found_without_a_lost_command(redis_server: PrivateRedis) -> None:
    """A connection whose server has gone is noticed before anything is sent over it."""
    wire = wire_of(redis_server)
    wire.call("SET", "a", 1)
    redis_server.kill()
    redis_server.restart()

    assert wire.call("INCR", "a") == 2


def test_a_lost_reply_is_said_and_the_command_is_not_repeated(redis_server: PrivateRedis, tmp_path: Path) -> None:
    """Nobody can know whether it was done, so nobody may do it twice."""
    with lossy_relay(tmp_path / "r.sock", redis_server.socket) as relay:
        relay.watch, relay.lose = b"INCR", 1
        wire = Wire(f"unix://{relay.path}")

        with pytest.raises(Unanswered):
            wire.call("INCR", "n")

        assert wire.call("GET", "n") == b"1"


def test_no_answer_within_the_time_is_said(tmp_path: Path) -> None:
    """A server that accepts and says nothing does not hang its client."""
    with _listening(tmp_path / "s.sock", b""), pytest.raises(Unanswered, match=r"no answer within 0\.1 s"):
        Wire(f"unix://{tmp_path / 's.sock'}", timeout_s=0.1).call("PING")


def test_what_is_no_redis_is_called_so(tmp_path: Path) -> None:
    """Another program's socket is no server that is away."""
    with (
        _listening(tmp_path / "s.sock", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        pytest.raises(Unanswered, match="no Redis"),
    ):
        Wire(f"unix://{tmp_path / 's.sock'}").call("PING")


def test_nobody_there_is_one_line_with_the_place(tmp_path: Path) -> None:
    """The message names where nobody answers."""
    with pytest.raises(Unanswered, match=r"no Redis answers at .*none\.sock"):
        Wire(f"unix://{tmp_path / 'none.sock'}").call("PING")


def test_a_blocking_command_may_take_longer_than_the_time_out(redis_server: PrivateRedis) -> None:
    """The wait on the server comes on top of the wait for the answer."""
    wire = Wire(f"unix://{redis_server.socket}", timeout_s=0.2)

    assert wire.call("BLPOP", "none", "0.4", wait_s=0.4) is None


def test_threads_do_not_read_each_others_replies(redis_server: PrivateRedis) -> None:
    """Each call has a connection to itself."""
    wire, wrong = wire_of(redis_server), []

    def echo(name: str) -> None:
        wrong.extend(n for n in range(500) if wire.call("ECHO", f"{name}{n}") != f"{name}{n}".encode())

    threads = [threading.Thread(target=echo, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_password_is_sent_and_a_wrong_one_names_the_setting(redis_server: PrivateRedis) -> None:
    """The person learns what to correct, and the password is not shown."""
    wire_of(redis_server).call("CONFIG", "SET", "requirepass", "right-one", "port", _free_port())
    port = wire_of_password(redis_server, "right-one").call("CONFIG", "GET", "port")[1].decode()

    assert Wire(f"redis://:right-one@127.0.0.1:{port}/3").call("PING") == b"PONG"
    for url in (f"redis://:wrong-one@127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}"):
        with pytest.raises(ConfigError, match="FORGE_REDIS_URL") as refused:
            Wire(url).call("PING")
        assert "wrong-one" not in str(refused.value)
    wire_of_password(redis_server, "right-one").call("CONFIG", "SET", "requirepass", "")


def wire_of_password(server: PrivateRedis, password: str) -> Wire:
    """Return a wire that logs in over the socket."""
    return Wire(f"unix://:{password}@{server.socket}")


@pytest.mark.parametrize("url", ["redis://host:port/0", "redis://127.0.0.1/none"])
def test_a_url_that_cannot_be_used_is_refused_before_anything_is_sent(url: str) -> None:
    """One line says how to write it."""
    with pytest.raises(ConfigError, match="redis_url"):
        Wire(url)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _listening(path: Path, answer: bytes) -> Iterator[None]:
    """Accept one client at ``path``, answer, and say nothing more."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        held: list[socket.socket] = []

        def accept() -> None:
            client, _ = listener.accept()
            held.append(client)
            client.sendall(answer)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield
        for client in held:
            client.close()
