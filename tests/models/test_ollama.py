"""The wire to Ollama: whole answers about whole prompts, or one plain sentence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forge_workers.errors import LeaseLost
from forge_workers.models.engine import ModelFault, ModelMissing, NoServer, Unread
from forge_workers.models.ollama import OllamaModel, unread
from forge_workers.settings_sections import Models
from tests.standins.ollama import Fault, OllamaStandIn

WINDOW = 2_048


@pytest.fixture
def server() -> Iterator[OllamaStandIn]:
    """A stand-in with one model."""
    with OllamaStandIn() as stand_in:
        stand_in.delay_s = 0.02
        yield stand_in


@pytest.fixture
def model(server: OllamaStandIn, tmp_path: Path) -> Iterator[OllamaModel]:
    """The real client's wrapper, with short times."""
    chosen = server.settings(tmp_path, timeout_s=0.3, load_timeout_s=0.3, context_tokens=WINDOW)
    wrapped = OllamaModel(chosen.models, pause=lambda _: None)
    yield wrapped
    wrapped.close()


def ask(model: OllamaModel, text: str = "What is it?", meanwhile: Callable[[], None] = lambda: None) -> str:
    """Ask a small question."""
    return model.ask(text, schema=None, output_tokens=100, meanwhile=meanwhile).text


def test_an_answer_comes_whole_with_its_counts(server: OllamaStandIn, model: OllamaModel) -> None:
    """Text, tokens read and written, and the time of writing are the server's own."""
    server.answer = lambda _: "A wise answer of forty characters, it is"
    reply = model.ask("four" * 30, schema=None, output_tokens=100, meanwhile=lambda: None)
    assert (reply.text, reply.prompt_tokens, reply.output_tokens) == (server.answer({}), 30, 10)
    assert reply.write_s == pytest.approx(0.25)
    assert not reply.cut


def test_every_request_sets_the_same_window_a_limit_and_how_long_to_keep_the_model(
    server: OllamaStandIn, model: OllamaModel
) -> None:
    """Another window makes the server load the model anew; none makes it take 4,096."""
    model.load()
    ask(model)
    model.ask("more", schema={"type": "object"}, output_tokens=7, meanwhile=lambda: None)
    load, first, second = (r.body for r in server.requests if r.path == "/api/generate")
    assert {r["options"]["num_ctx"] for r in (load, first, second)} == {WINDOW}
    assert {r["keep_alive"] for r in (load, first, second)} == {300.0}
    assert [r["options"]["num_predict"] for r in (first, second)] == [100, 7]
    assert first["think"] is False
    assert "format" not in first
    assert second["format"] == {"type": "object"}


FAULTS = {
    Fault.TRICKLE: "did not finish within 0.3 s",
    Fault.HANG: "did not finish within 0.3 s",
    Fault.MISSING: "does not have the model qwen3:8b: run ollama pull qwen3:8b",
    Fault.BUSY: "is too busy: its queue is full",
    Fault.BROKEN: "refused with status 500: llama runner process has terminated: exit status 2",
    Fault.GARBAGE: "does not speak Ollama's protocol",
    Fault.NOT_OBJECTS: "does not speak Ollama's protocol",
    Fault.HALF: "broke off in the middle of an answer",
    Fault.CUT: "broke off in the middle of an answer",
    Fault.ERROR_LINE: "gave up in the middle of an answer: an error was encountered",
    Fault.EMPTY: "qwen3:8b wrote nothing",
    Fault.NO_COUNT: "did not say how much of the prompt it read",
    Fault.REDIRECT: "refused with status 307",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_the_server_is_one_plain_sentence(
    server: OllamaStandIn, model: OllamaModel, fault: Fault
) -> None:
    """Nothing but a model's fault comes out, it says what happened, and in bounded time."""
    server.fault = fault
    started = time.monotonic()
    with pytest.raises(ModelFault) as caught:
        ask(model)
    assert FAULTS[fault] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 2
    server.fault = None
    assert ask(model).startswith("The answer is")


def test_no_fault_is_missing_from_the_table() -> None:
    """Control: whatever the stand-in can do wrong is either expected to fail or to be borne."""
    assert set(Fault) - set(FAULTS) == {Fault.SLOW, Fault.NO_THINK}


def test_a_slow_answer_is_still_an_answer(server: OllamaStandIn, model: OllamaModel) -> None:
    """Slow is no fault within the time allowed."""
    server.fault, server.delay_s = Fault.SLOW, 0.1
    assert ask(model).startswith("The answer is")


def test_a_server_that_refuses_think_is_asked_without_it(server: OllamaStandIn, model: OllamaModel) -> None:
    """An old server or model without thinking answers all the same, and is not asked twice again."""
    server.fault = Fault.NO_THINK
    assert ask(model).startswith("The answer is")
    assert ask(model).startswith("The answer is")
    assert ["think" in body for body in server.asked] == [True, False, False]


@pytest.mark.parametrize("place", ["http://127.0.0.1:9", "http://127.0.0.1:9/ollama"])
def test_a_server_that_is_not_there_is_said_with_its_place(place: str) -> None:
    """The reader learns where nobody answered."""
    model = OllamaModel(Models(ollama_url=place))
    for look in (model.digest, model.load, model.resident, lambda: ask(model)):
        with pytest.raises(NoServer, match=r"^Ollama does not answer at 127\.0\.0\.1:9$"):
            look()


def test_a_password_in_the_address_is_not_repeated() -> None:
    """Messages go to the briefing."""
    with pytest.raises(NoServer) as caught:
        OllamaModel(Models(ollama_url="http://me:hunter2@127.0.0.1:9")).digest()
    assert "hunter2" not in str(caught.value)


def test_a_proxy_of_the_environment_is_not_used(
    server: OllamaStandIn, model: OllamaModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A prompt goes where the settings say and nowhere else."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(OllamaModel(server.settings(tmp_path).models)).startswith("The answer is")


def test_the_lease_is_looked_at_between_the_pieces_of_an_answer(server: OllamaStandIn, model: OllamaModel) -> None:
    """A lease lost in the middle of a long answer stops it there, and the error is the lease's own."""
    server.answer = lambda _: "word " * 50
    seen = []

    def meanwhile() -> None:
        seen.append(1)
        if len(seen) == 3:
            raise LeaseLost

    with pytest.raises(LeaseLost):
        ask(model, meanwhile=meanwhile)
    assert len(seen) == 3


def test_an_answer_at_its_limit_is_marked_as_cut(server: OllamaStandIn, model: OllamaModel) -> None:
    """Half an answer is not passed off as a whole one."""
    server.answer = lambda _: "word " * 500
    assert model.ask("Go on", schema=None, output_tokens=10, meanwhile=lambda: None).cut


@pytest.mark.parametrize(
    ("own", "asked"), [("qwen3:8b", "Qwen3:8B"), ("llama3", "llama3:latest"), ("llama3:latest", "llama3")]
)
def test_a_model_is_found_as_the_server_finds_it(tmp_path: Path, own: str, asked: str) -> None:
    """Case does not matter and the tag ``latest`` goes without saying."""
    with OllamaStandIn({own: "abc", "other:1b": "def"}) as server:
        assert OllamaModel(server.settings(tmp_path, generate=asked).models).digest() == "abc"


def test_a_missing_model_is_named_with_the_command_that_gets_it(tmp_path: Path) -> None:
    """The command is quoted, so that no name makes two commands of it."""
    with OllamaStandIn({}) as server, pytest.raises(ModelMissing) as caught:
        OllamaModel(server.settings(tmp_path, generate="m; rm -rf ~").models).digest()
    assert str(caught.value).endswith("does not have the model m; rm -rf ~: run ollama pull 'm; rm -rf ~'")


def test_loading_is_read_back(server: OllamaStandIn, model: OllamaModel) -> None:
    """What the server holds is what counts, not that it said yes."""
    server.window = 1_024
    own = model.load()
    assert own is not None
    assert (own.name, own.context_tokens) == ("qwen3:8b", 1_024)
    assert own.size_bytes == own.gpu_bytes == 5_200_000_000
    server.lists_resident = False
    assert model.load() is None


def test_unloading_waits_until_the_model_is_gone(server: OllamaStandIn, tmp_path: Path) -> None:
    """Ollama answers first and unloads afterwards."""
    waits: list[float] = []
    model = OllamaModel(server.settings(tmp_path).models, pause=waits.append)
    model.load()
    server.unload_looks = 3
    model.unload()
    assert model.resident() == ()
    assert len(waits) == 3
    model.close()


def test_a_model_that_stays_in_memory_is_a_fault(server: OllamaStandIn, model: OllamaModel) -> None:
    """Control: an unload that is only believed would not notice."""
    model.load()
    server.unload_looks = 10_000
    with pytest.raises(ModelFault, match="still holds qwen3:8b in memory"):
        model.unload()


@pytest.mark.parametrize("old_cut", [False, True])
@pytest.mark.parametrize("with_context", [False, True])
def test_a_prompt_that_the_server_cut_is_no_answer(
    server: OllamaStandIn, model: OllamaModel, old_cut: bool, with_context: bool
) -> None:
    """Both ways in which Ollama cuts are noticed, with and without its own count of the whole."""
    server.old_cut, server.with_context = old_cut, with_context
    for length in (WINDOW + 1, WINDOW + 50, 2 * WINDOW, 20 * WINDOW):
        with pytest.raises(Unread):
            ask(model, "word" * length)
    assert ask(model, "word" * (WINDOW - 1)).startswith("The answer is")


def test_a_window_smaller_than_asked_is_noticed(server: OllamaStandIn, model: OllamaModel) -> None:
    """A server that allots less than it was asked for cuts prompts that should have fitted."""
    server.window = 512
    with pytest.raises(Unread, match=r"read only \d+ of the prompt's"):
        ask(model, "word" * 1_500)
    assert ask(model, "word" * 400).startswith("The answer is")


TRUNCATION = [
    # sent, read, written, encoded, window, refused: why the case is here
    ("x" * 400, 100, 10, 110, 4096, False),  # plain
    ("x" * 400, None, 10, 110, 4096, True),  # 1: missing
    ("x" * 400, 0, 10, None, 4096, True),  # 1: zero
    ("x" * 99_999, 4096, 10, None, 4096, True),  # 2: at the window
    ("x y z " * 9_999, 2050, 10, 20_010, 4096, True),  # 3: far less than the whole
    ("x y z " * 999, 1_950, 10, 2_010, 4096, False),  # 3: the template's own tokens differ a little
    ("a b c d " * 9_999, 2_050, 10, None, 8_192, True),  # 4: fewer tokens than any vocabulary makes of it
    (" " * 90_000 + "word", 300, 10, None, 4096, False),  # 4: runs count once
    ("=" * 60_000 + "word", 900, 10, None, 4096, False),  # 4: runs of signs, too
    ("ab " * 2_000, 2_050, 10, None, 4096, True),  # 5: exactly what is left by cutting, and long enough
    ("ab " * 1_300, 2_050, 10, None, 4096, False),  # 5: too short to have been cut
    ("ab " * 2_000, 2_051, 10, None, 4096, False),  # 5: not exactly
    ("ab " * 2_000, 2_050, 10, 2_060, 4096, False),  # 5: the server's own count shows that it is whole
]


@pytest.mark.parametrize(("sent", "read", "written", "encoded", "window", "refused"), TRUNCATION)
def test_the_rules_of_truncation_hold(
    *, sent: str, read: int | None, written: int, encoded: int | None, window: int, refused: bool
) -> None:
    """Each rule refuses what it is for and nothing beside it."""
    assert (unread(sent, read=read, written=written, encoded=encoded, window=window) is not None) is refused
