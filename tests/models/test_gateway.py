"""The one way to a model: cache, lease, checks, repair, degradation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from forge_workers.errors import ForgeError, LeaseLost, Snooze, Transient
from forge_workers.models.cache import AnswerCache
from forge_workers.models.engine import ModelMissing, NoServer
from forge_workers.models.gateway import Answer, Block, Budget, Gateway, Prompt, open_gateway, tokens
from forge_workers.models.ollama import OllamaModel
from forge_workers.settings_sections import Slack
from tests.standins.lease import LeaseStandIn
from tests.standins.ollama import Body, Fault, OllamaStandIn

BUDGET = Budget(prompt_tokens=2_000, output_tokens=200)
TEXT = "The worker was killed by the memory limit. The memory limit of the worker is too low."
OWN_SECRET = "xoxb-the-own-secret-of-forge"


class Verdict(BaseModel):
    """What a test asks a model for."""

    model_config = ConfigDict(extra="forbid")

    level: Literal["low", "high"]
    why: str


@pytest.fixture
def server() -> Iterator[OllamaStandIn]:
    """A stand-in with one model, which answers the schema when one is asked for."""

    def answer(body: Body) -> str:
        return '{"level": "low", "why": "calm"}' if "format" in body else f"Answer {len(body['prompt'])}."

    with OllamaStandIn(answer=answer) as stand_in:
        yield stand_in


def gateway(server: OllamaStandIn, home: Path, lease: LeaseStandIn | None = None, **models: object) -> Gateway:
    """Open a gateway as a step does."""
    settings = server.settings(home, **models)
    return open_gateway(
        settings.model_copy(update={"slack": Slack(token=SecretStr(OWN_SECRET), channel="C0123456789")}), lease=lease
    )


def assembled(
    server: OllamaStandIn, home: Path, lease: LeaseStandIn | None = None, clock: Callable[[], float] = time.monotonic
) -> Gateway:
    """Put a gateway together by hand: with a clock of the test's own, and nothing that hides secrets."""
    settings = server.settings(home)
    return Gateway(
        engine=OllamaModel(settings.models),
        context_tokens=settings.models.context_tokens,
        redact=str,
        cache=AnswerCache(home / "cache", time.time),
        stand_by="\n".join,
        lease=lease,
        clock=clock,
    )


def prompt(text: str = TEXT, instructions: str = "Explain.") -> Prompt:
    """Make a question over one block."""
    return Prompt(purpose="test", instructions=instructions, blocks=(Block(label="log", text=text),))


def test_a_question_is_answered_and_counted(server: OllamaStandIn, tmp_path: Path) -> None:
    """Text, engine, model and cost are what the server gave."""
    models = gateway(server, tmp_path)
    answer = models.generate(prompt(), budget=BUDGET)
    assert answer == Answer(text=f"Answer {len(server.asked[0]['prompt'])}.", engine="ollama", model="qwen3:8b")
    usage = models.usage
    assert (usage.model, usage.calls, usage.saved_by_cache) == ("qwen3:8b", 1, 0)
    assert usage.prompt_tokens == -(-len(server.asked[0]["prompt"]) // 4)
    assert usage.output_tokens == 3


def test_an_answer_to_a_schema_is_validated(server: OllamaStandIn, tmp_path: Path) -> None:
    """The value is an instance, and the schema went along both ways."""
    answer = gateway(server, tmp_path).generate(prompt(), schema=Verdict, budget=BUDGET)
    assert answer.value == Verdict(level="low", why="calm")
    assert server.asked[0]["format"] == Verdict.model_json_schema()
    assert json.dumps(Verdict.model_json_schema(), sort_keys=True, separators=(",", ":")) in server.asked[0]["prompt"]


def test_the_same_question_is_never_asked_twice(server: OllamaStandIn, tmp_path: Path) -> None:
    """Another gateway, as another process opens it, finds the answer, takes no lease and asks nothing."""
    first = gateway(server, tmp_path).generate(prompt(), schema=Verdict, budget=BUDGET)
    lease = LeaseStandIn()
    again = gateway(server, tmp_path, lease)
    server.requests.clear()
    answer = again.generate(prompt(), schema=Verdict, budget=BUDGET)
    assert answer == first.model_copy(update={"cached": True})
    assert [r.path for r in server.requests] == ["/api/tags"]
    assert lease.taken == 0
    assert (again.usage.calls, again.usage.saved_by_cache) == (0, 1)


@pytest.mark.parametrize("change", ["digest", "window", "output", "prompt", "label", "schema"])
def test_whatever_shapes_an_answer_makes_it_another_question(
    server: OllamaStandIn, tmp_path: Path, change: str
) -> None:
    """Control for the cache: nothing else than the very same question is answered from it."""
    gateway(server, tmp_path).generate(prompt(), budget=BUDGET)
    if change == "digest":
        server.models["qwen3:8b"] = "another"
    blocks = (Block(label="other", text=TEXT),) if change == "label" else prompt().blocks
    asked = prompt().model_copy(
        update={"blocks": blocks, "instructions": "Do explain." if change == "prompt" else "Explain."}
    )
    again = gateway(server, tmp_path, context_tokens=8_192 if change == "window" else 16_384)
    budget = Budget(prompt_tokens=2_000, output_tokens=100) if change == "output" else BUDGET
    answer = again.generate(asked, schema=Verdict if change == "schema" else None, budget=budget)
    assert not answer.cached
    assert len(server.asked) == 2


def test_the_lease_is_taken_once_and_late_and_given_back_once(server: OllamaStandIn, tmp_path: Path) -> None:
    """Looking needs no lease; the first question that misses the cache takes it for the whole step."""
    lease = LeaseStandIn()
    models = gateway(server, tmp_path, lease)
    assert models.probe() is None
    assert lease.taken == 0
    for n in range(3):
        models.generate(prompt(instructions=f"Question {n}."), budget=BUDGET)
    assert (lease.taken, lease.released) == (1, 0)
    assert lease.checks >= 9
    models.close()
    models.close()
    assert (lease.taken, lease.released) == (1, 1)


@pytest.mark.parametrize("error", [Snooze(30.0, "another holds it"), Transient("Redis does not answer")])
def test_a_lease_that_cannot_be_had_degrades_the_answer_and_is_waited_for_once(
    server: OllamaStandIn, tmp_path: Path, error: ForgeError
) -> None:
    """No step fails for want of the GPU, and forty questions do not wait forty times; the model is not asked."""
    lease = LeaseStandIn(refusal=error)
    models = gateway(server, tmp_path, lease)
    answers = [models.generate(prompt(instructions=f"Q{n}"), budget=BUDGET) for n in range(3)]
    models.close()
    assert {a.degraded for a in answers} == {f"no model: the GPU lease cannot be had: {error}"}
    assert all(a.engine == "extractive" and a.text for a in answers)
    assert (lease.taken, lease.released, server.asked, models.usage.gpu_s) == (1, 0, [], 0.0)


def test_the_time_the_lease_is_held_is_counted(server: OllamaStandIn, tmp_path: Path) -> None:
    """From the first question to closing, also while it is still held."""
    now = [100.0]
    models = assembled(server, tmp_path, LeaseStandIn(), lambda: now[0])
    now[0] = 150.0
    assert models.usage.gpu_s == 0
    models.generate(prompt(), budget=BUDGET)
    now[0] = 157.0
    assert models.usage.gpu_s == 7
    models.close()
    now[0] = 999.0
    assert models.usage.gpu_s == 7


@pytest.mark.parametrize("lost_at", [1, 2, 3, 4])
def test_a_lost_lease_stops_the_step_and_keeps_nothing(server: OllamaStandIn, tmp_path: Path, lost_at: int) -> None:
    """Before the question, in the middle of the answer or after it: the error is the caller's, the answer nobody's."""
    server.answer = lambda _: "one two three four five"
    lease = LeaseStandIn(lost_at=lost_at)
    models = gateway(server, tmp_path, lease)
    with pytest.raises(LeaseLost):
        models.generate(prompt(), budget=BUDGET)
    with pytest.raises(LeaseLost):
        models.generate(prompt(), budget=BUDGET)
    models.close()
    assert lease.released == 1
    assert not gateway(server, tmp_path).generate(prompt(), budget=BUDGET).cached


@pytest.mark.parametrize(("lost_at", "asked"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1)])
def test_the_lease_is_checked_before_asking_at_each_piece_and_before_keeping(
    server: OllamaStandIn, tmp_path: Path, lost_at: int, asked: int
) -> None:
    """Of an answer in two pieces: on taking the lease, after loading, twice while it comes, and once at the end."""
    server.answer = lambda _: "word"
    lease = LeaseStandIn()
    gateway(server, tmp_path / "good", lease).generate(prompt(), budget=BUDGET)
    assert lease.checks == 5
    server.requests.clear()
    with pytest.raises(LeaseLost):
        gateway(server, tmp_path, LeaseStandIn(lost_at=lost_at)).generate(prompt(), budget=BUDGET)
    assert len(server.asked) == asked
    assert not gateway(server, tmp_path).generate(prompt(), budget=BUDGET).cached


def test_an_invalid_answer_is_repaired_once(server: OllamaStandIn, tmp_path: Path) -> None:
    """The second question shows the answer and says what was wrong with it."""
    server.bad_answers = 1
    models = gateway(server, tmp_path)
    answer = models.generate(prompt(), schema=Verdict, budget=BUDGET)
    assert answer.value == Verdict(level="low", why="calm")
    assert answer.degraded is None
    assert models.usage.calls == 2
    assert '{"unwanted": true}' in server.asked[1]["prompt"]
    assert "level: Field required" in server.asked[1]["prompt"]


def test_an_answer_that_stays_invalid_is_dropped_and_not_asked_for_again(server: OllamaStandIn, tmp_path: Path) -> None:
    """Two requests, no value, the reason; and the next run knows it without asking."""
    server.bad_answers = 99
    answer = gateway(server, tmp_path).generate(prompt(), schema=Verdict, budget=BUDGET)
    assert (answer.text, answer.value, answer.engine, len(server.asked)) == ("", None, "none", 2)
    assert answer.degraded is not None
    assert answer.degraded.startswith("the answer of qwen3:8b was dropped")
    assert "level: Field required" in answer.degraded
    again = gateway(server, tmp_path).generate(prompt(), schema=Verdict, budget=BUDGET)
    assert again == answer.model_copy(update={"cached": True})
    assert len(server.asked) == 2


def test_a_thinking_model_s_thoughts_and_fences_are_removed(server: OllamaStandIn, tmp_path: Path) -> None:
    """Some engines ignore ``think`` and ``format``; the answer inside is still good."""
    server.answer = lambda _: '<think>Hm, {"level"?}</think>\n```json\n{"level": "high", "why": "x"}\n```'
    answer = gateway(server, tmp_path).generate(prompt(), schema=Verdict, budget=BUDGET)
    assert answer.value == Verdict(level="high", why="x")
    assert len(server.asked) == 1


@pytest.mark.parametrize("fault", [f for f in Fault if f not in {Fault.SLOW, Fault.NO_THINK}])
def test_a_fault_never_raises_and_is_labelled(server: OllamaStandIn, tmp_path: Path, fault: Fault) -> None:
    """With a schema there is no value, without one the stand-by's sentences; both say that no model was asked."""
    server.fault, server.delay_s = fault, 0.02
    models = gateway(server, tmp_path, timeout_s=0.2, load_timeout_s=0.5)
    plain = models.generate(prompt(), budget=BUDGET)
    shaped = models.generate(prompt(), schema=Verdict, budget=BUDGET)
    assert (plain.engine, shaped.engine, shaped.value) == ("extractive", "none", None)
    assert "memory limit" in plain.text
    for answer in (plain, shaped):
        assert answer.degraded is not None
        assert answer.degraded.startswith("no model: ")
        assert "\n" not in answer.degraded
    server.fault = None
    assert not gateway(server, tmp_path).generate(prompt(), budget=BUDGET).cached


def test_without_a_server_every_answer_is_labelled_and_the_server_is_looked_for_once(tmp_path: Path) -> None:
    """The default machine has no model server, and the night goes on."""
    with OllamaStandIn() as server:
        settings = server.settings(tmp_path)
    models = open_gateway(settings, lease=LeaseStandIn())
    why = models.probe()
    assert why is not None
    assert why.startswith("Ollama does not answer at 127.0.0.1:")
    answer = models.generate(prompt(), budget=BUDGET)
    assert (answer.engine, answer.degraded) == ("extractive", f"no model: {why}")
    assert answer.text
    assert models.usage.calls == 0
    models.close()


def test_the_extractive_engine_asks_nobody(server: OllamaStandIn, tmp_path: Path) -> None:
    """A user who wants no model gets none."""
    lease = LeaseStandIn()
    models = gateway(server, tmp_path, lease, engine="extractive")
    assert models.probe() == "the settings choose to ask no model"
    answer = models.generate(prompt(), budget=BUDGET)
    assert answer.degraded == "no model: the settings choose to ask no model"
    assert (answer.engine, lease.taken, server.requests) == ("extractive", 0, [])


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.BUSY])
def test_a_server_that_fails_twice_in_a_row_is_asked_no_more(
    server: OllamaStandIn, tmp_path: Path, fault: Fault
) -> None:
    """Forty questions to a hanging server would cost the night forty timeouts."""
    server.fault = fault
    models = gateway(server, tmp_path, timeout_s=0.2)
    answers = [models.generate(prompt(instructions=f"Q{n}"), budget=BUDGET) for n in range(6)]
    assert len(server.asked) == 2
    assert len({a.degraded for a in answers}) == 1
    assert models.probe() is not None


def test_a_model_that_cannot_be_loaded_is_asked_no_more(server: OllamaStandIn, tmp_path: Path) -> None:
    """Loading may take ten minutes, so it is tried once."""
    server.load_fault = Fault.BROKEN
    models = gateway(server, tmp_path)
    for n in range(3):
        assert models.generate(prompt(instructions=f"Q{n}"), budget=BUDGET).engine == "extractive"
    assert [r.path for r in server.requests].count("/api/generate") == 1


def test_a_single_fault_does_not_end_the_step(server: OllamaStandIn, tmp_path: Path) -> None:
    """One fault between good answers is borne."""
    models = gateway(server, tmp_path)
    for n in range(4):
        server.fault = Fault.HALF if n % 2 else None
        answer = models.generate(prompt(instructions=f"Q{n}"), budget=BUDGET)
        assert answer.engine == ("extractive" if n % 2 else "ollama")


def test_a_truncated_prompt_is_no_answer_and_no_reason_to_stop(server: OllamaStandIn, tmp_path: Path) -> None:
    """What the model saw only in part is not used; a shorter question still is."""
    server.window = 100
    models = gateway(server, tmp_path)
    for n in range(3):
        answer = models.generate(prompt(f"line {n}\n" * 200), budget=BUDGET)
        assert answer.degraded is not None
        assert "read only" in answer.degraded
    server.window = None
    models = gateway(server, tmp_path)
    assert models.generate(prompt("line 0\n" * 200), budget=BUDGET).engine == "ollama"


def test_a_prompt_over_its_budget_is_cut_and_the_answer_says_so(server: OllamaStandIn, tmp_path: Path) -> None:
    """The server never sees more than the budget, and the reader learns what was left out."""
    long = "\n".join(f"line {n} of a long log" for n in range(2_000))
    answer = gateway(server, tmp_path).generate(prompt(long), budget=Budget(prompt_tokens=500))
    assert tokens(server.asked[0]["prompt"]) <= 500
    assert answer.engine == "ollama"
    assert answer.degraded is not None
    assert answer.degraded.startswith("the prompt was cut to 500 tokens, without the last ")


def test_the_window_bounds_every_question_whatever_its_budget(server: OllamaStandIn, tmp_path: Path) -> None:
    """Question and answer fit the window together, the repair included."""
    server.bad_answers = 1
    models = gateway(server, tmp_path, context_tokens=1_024)
    models.generate(prompt("word\n" * 9_000), schema=Verdict, budget=Budget(prompt_tokens=99_999, output_tokens=9_999))
    assert len(server.asked) == 2
    for body in server.asked:
        assert tokens(body["prompt"]) + body["options"]["num_predict"] <= 1_024


def test_instructions_over_the_budget_are_no_crash(server: OllamaStandIn, tmp_path: Path) -> None:
    """A question that cannot be asked degrades like one that was not answered."""
    answer = gateway(server, tmp_path).generate(prompt(instructions="word " * 9_999), budget=BUDGET)
    assert answer.degraded is not None
    assert answer.degraded.startswith("no model: the instructions leave no room")
    assert server.asked == []


def test_an_unfinished_answer_is_labelled(server: OllamaStandIn, tmp_path: Path) -> None:
    """Half a sentence is shown with a note."""
    server.answer = lambda _: "word " * 2_000
    answer = gateway(server, tmp_path).generate(prompt(), budget=BUDGET)
    assert answer.degraded == "the answer reached its length limit and is not finished"


PLANTED = {
    "own": OWN_SECRET,
    "own, reversed": OWN_SECRET[::-1],
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "password": "correct horse battery",
}


def test_no_secret_reaches_the_server(server: OllamaStandIn, tmp_path: Path) -> None:
    """Neither in instructions, labels, blocks nor in the repair of an answer that repeats one."""
    server.answer = lambda _: f"I saw {OWN_SECRET}"
    text = f'{PLANTED["own"]} {PLANTED["own, reversed"]}\nkey = {PLANTED["aws"]}\npassword = "{PLANTED["password"]}"\n'
    asked = Prompt(
        purpose=OWN_SECRET,
        instructions=f"Explain {OWN_SECRET}.",
        blocks=(Block(label=f"log of {OWN_SECRET}", text=text), Block(label="b", text="\ud800 a lone surrogate")),
    )
    answer = gateway(server, tmp_path).generate(asked, schema=Verdict, budget=BUDGET)
    assert answer.engine == "none"
    assert len(server.asked) == 2
    assert [name for name, value in PLANTED.items() if value in server.heard] == []


def test_without_redaction_the_secrets_would_reach_the_server(server: OllamaStandIn, tmp_path: Path) -> None:
    """Control: the same check sees every planted value when nothing is hidden."""
    models = assembled(server, tmp_path)
    models.generate(prompt(" ".join(PLANTED.values())), budget=BUDGET)
    assert [name for name, value in PLANTED.items() if value in server.heard] == list(PLANTED)


def test_no_secret_reaches_the_cache_or_an_extract(server: OllamaStandIn, tmp_path: Path) -> None:
    """The stand-by reads redacted text, too, and prompts are not kept on disk."""
    text = f"The token {OWN_SECRET} was seen in the log."
    gateway(server, tmp_path).generate(prompt(text), budget=BUDGET)
    extract = gateway(server, tmp_path, engine="extractive").generate(prompt(text), budget=BUDGET)
    kept = "".join(p.read_text() for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert kept
    assert OWN_SECRET not in kept
    assert TEXT not in kept
    assert "[redacted: Forge's own secret]" in extract.text


def test_requests_that_rules_spared_are_counted(server: OllamaStandIn, tmp_path: Path) -> None:
    """The receipt shows what arithmetic settled."""
    models = gateway(server, tmp_path)
    models.spare(3)
    models.spare(2)
    assert models.usage.saved_by_rules == 5


def test_warming_up_loads_measures_and_reads_back_under_the_lease(server: OllamaStandIn, tmp_path: Path) -> None:
    """The speed is the server's, the memory what it lists, and the question counts."""
    lease = LeaseStandIn()
    models = gateway(server, tmp_path, lease)
    warm = models.warm_up()
    assert warm.tokens_per_s == pytest.approx(40)
    assert warm.own is not None
    assert warm.own in warm.resident
    assert warm.load_s >= 0
    assert (lease.taken, models.usage.calls) == (1, 1)
    models.close()


def test_warming_up_raises_what_is_in_the_way(tmp_path: Path) -> None:
    """No server and no model are told apart; a lost lease is the caller's."""
    with OllamaStandIn({}) as server:
        with pytest.raises(ModelMissing):
            gateway(server, tmp_path).warm_up()
        with pytest.raises(NoServer):
            gateway(server, tmp_path, engine="extractive").warm_up()
    with OllamaStandIn() as server, pytest.raises(LeaseLost):
        gateway(server, tmp_path, LeaseStandIn(lost_at=2)).warm_up()
