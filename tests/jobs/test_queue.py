"""The queue: at every moment a job is in one place, and only who holds the claim may say what became of it."""

from __future__ import annotations

import json
import threading

import pytest

from forge_workers.errors import BadArgs
from forge_workers.jobs import outcome
from forge_workers.jobs.job import again, decode, new_job
from forge_workers.jobs.queue import EVENTS, MOST_DEAD, MOST_DONE, Pace, Queue, prefix_of
from forge_workers.wire import Refused
from tests.jobs.queues import CLAIM, OTHER, Clock, counts, expire, fetched, places, toy_queue, wire_to
from tests.jobs.toy_daemon import toy_row
from tests.standins.redis import PrivateRedis


def test_jobs_are_reserved_first_come_first_served(redis_server: PrivateRedis) -> None:
    """Whoever was put in line first is taken first."""
    queue = toy_queue(redis_server)
    for n in range(3):
        queue.enqueue({"n": n})

    job = fetched(queue)
    assert job.args == {"n": 0}
    following = queue.done(CLAIM, job, "{}", more=True)

    assert following.raw is not None
    assert decode(following.raw, queue.row).args == {"n": 1}
    assert set(places(queue)) == {"waiting", f"inflight:{CLAIM}"}


def test_an_urgent_job_goes_first(redis_server: PrivateRedis) -> None:
    """It passes everybody who waits."""
    queue = toy_queue(redis_server)
    queue.enqueue({"n": 1})
    queue.enqueue({"n": 2}, urgent=True)

    assert fetched(queue).args == {"n": 2}


def test_a_waiting_process_is_woken_by_the_job(redis_server: PrivateRedis) -> None:
    """An idle worker polls nothing: the job's arrival hands it over."""
    queue, got = toy_queue(redis_server), []
    waiter = threading.Thread(target=lambda: got.append(queue.wait(CLAIM, 5.0)))
    waiter.start()
    ticket = queue.enqueue({"n": 7})
    waiter.join(5)

    assert decode(got[0], queue.row).id == ticket.id
    assert set(places(queue)) == {f"inflight:{CLAIM}"}


def test_a_key_keeps_a_second_job_out_while_the_first_waits_or_runs(redis_server: PrivateRedis) -> None:
    """And lets one in again when it is done, buried, and not before."""
    queue = toy_queue(redis_server)
    first = queue.enqueue({"n": 1}, key="k")

    assert queue.enqueue({"n": 2}, key="k").placed == "duplicate"
    assert queue.enqueue({"n": 2}, key="k").id == first.id
    job = fetched(queue)
    assert queue.enqueue({"n": 2}, key="k").placed == "duplicate"
    queue.put_back(CLAIM, job, again(job, attempt=2), 0.0, snoozed=False, more=False)
    assert queue.enqueue({"n": 2}, key="k").placed == "duplicate"
    job = fetched(queue)
    queue.done(CLAIM, job, "{}", more=False)
    assert queue.enqueue({"n": 2}, key="k").placed == "queued"


@pytest.mark.slow
def test_ten_thousand_jobs_due_at_the_same_moment_are_all_taken_once_even_when_the_clock_jumps(
    redis_server: PrivateRedis,
) -> None:
    """Equal times lose nobody, and a clock set back only delays."""
    clock = Clock()
    queue = toy_queue(redis_server, clock)
    due = clock.now + 60
    sent = {queue.enqueue({"n": n}, at=due).id for n in range(10_000)}
    assert queue.fetch(CLAIM).due_at == due
    clock.now -= 3_600
    assert queue.fetch(CLAIM).raw is None

    clock.now = due
    got = []
    found = queue.fetch(CLAIM)
    while found.raw is not None:
        job = decode(found.raw, queue.row)
        got.append(job.id)
        found = queue.done(CLAIM, job, "{}", more=True)

    assert len(got) == 10_000
    assert set(got) == sent


@pytest.mark.parametrize("when", [{"at": 1_800_000_050.0}, {"delay_s": 50.0}])
def test_a_job_for_later_is_not_taken_before_its_time(redis_server: PrivateRedis, when: dict[str, float]) -> None:
    """It is scheduled, and the one who waits is told for when."""
    clock = Clock()
    queue = toy_queue(redis_server, clock)

    assert queue.enqueue({"n": 1}, **when).placed == "scheduled"  # type: ignore[arg-type]
    assert (queue.fetch(CLAIM).raw, queue.fetch(CLAIM).due_at) == (None, clock.now + 50)
    clock.now += 50
    assert fetched(queue).args == {"n": 1}


def test_what_a_lost_reply_had_reserved_is_looked_for_first(redis_server: PrivateRedis) -> None:
    """Otherwise the job would lie in flight until the process dies."""
    queue = toy_queue(redis_server)
    lost = queue.enqueue({"n": 1})
    queue.enqueue({"n": 2})
    queue.fetch(CLAIM)  # the reply is lost

    assert fetched(queue).id == lost.id


def test_an_outcome_counts_only_while_the_claim_holds_the_job(redis_server: PrivateRedis) -> None:
    """A process that was paused past its heartbeat and goes on is refused, whatever it says."""
    queue = toy_queue(redis_server)
    queue.enqueue({"n": 1})
    job = fetched(queue)
    expire(queue)
    assert [taken.id for taken in queue.reclaim()] == [job.id]
    queue.register(OTHER, {})
    assert fetched(queue, OTHER).id == job.id

    assert not queue.beat(CLAIM, {})
    assert not queue.done(CLAIM, job, "{}", more=True).kept
    assert not queue.put_back(CLAIM, job, again(job, attempt=2), 0.0, snoozed=False, more=False).kept
    assert not queue.bury(CLAIM, job, "{}", more=False).kept
    assert places(queue) == {f"inflight:{OTHER}": [job.raw]}
    assert queue.done(OTHER, job, "{}", more=False).kept


def test_age_alone_never_takes_a_job_back(redis_server: PrivateRedis) -> None:
    """An eight-hour training runs once, as long as its process beats."""
    clock = Clock()
    queue = toy_queue(redis_server, clock)
    queue.enqueue({"n": 1})
    job = fetched(queue)
    for _ in range(8):
        clock.now += 3_600
        assert queue.beat(CLAIM, {})
        assert queue.reclaim() == ()

    assert places(queue) == {f"inflight:{CLAIM}": [job.raw]}


def test_nothing_is_taken_back_right_after_redis_has_started(redis_server: PrivateRedis) -> None:
    """Heartbeats expire while the server is down; their owners get time to beat again."""
    queue = toy_queue(redis_server)
    careful = Queue(queue.wire, queue.row, Clock(), Pace(settle_s=3_600))
    queue.enqueue({"n": 1})
    job = fetched(queue)
    expire(queue)

    assert careful.reclaim() == ()
    assert careful.beat(CLAIM, {})
    assert queue.reclaim() == ()
    assert queue.done(CLAIM, job, "{}", more=False).kept


def test_a_job_that_kills_its_process_is_buried_after_so_many_deaths(redis_server: PrivateRedis) -> None:
    """The count stands in Redis before the next run; other jobs are not held up for longer."""
    queue = toy_queue(redis_server, max_deaths=3)
    poison = queue.enqueue({"n": 1}, key="k")
    queue.enqueue({"n": 2})
    for death in range(1, 4):
        claim = f"{death:032d}"
        queue.register(claim, {})
        assert fetched(queue, claim).id == poison.id
        expire(queue, claim)
        assert [(t.id, t.buried) for t in queue.reclaim()] == [(poison.id, death == 3)]

    letter = json.loads(queue.wire.call("LINDEX", f"{prefix_of('toy')}:dead", 0))
    assert (letter["id"], letter["reason"]) == (poison.id, "its process died 3 times while doing it")
    assert fetched(queue).args == {"n": 2}
    assert queue.enqueue({"n": 1}, key="k").placed == "queued"


def test_with_proof_from_the_kernel_a_job_is_taken_back_at_once(redis_server: PrivateRedis) -> None:
    """Its heartbeat has not expired yet, but its process is known to be gone."""
    queue = toy_queue(redis_server)
    ticket = queue.enqueue({"n": 1})
    fetched(queue)

    assert [taken.id for taken in queue.retire(CLAIM)] == [ticket.id]
    queue.register(OTHER, {})
    assert fetched(queue, OTHER).id == ticket.id


def test_a_job_handed_back_is_first_in_line_and_no_death_is_counted(redis_server: PrivateRedis) -> None:
    """A worker that is told to stop leaves no trace on its job."""
    queue = toy_queue(redis_server, max_deaths=1)
    first = queue.enqueue({"n": 1})
    queue.enqueue({"n": 2})
    fetched(queue)

    assert queue.hand_back(CLAIM) == 1
    queue.register(OTHER, {})
    assert fetched(queue, OTHER).id == first.id
    assert counts(queue) == {}


def test_an_outcome_may_be_said_twice(redis_server: PrivateRedis) -> None:
    """A repeat after a lost reply changes nothing."""
    queue = toy_queue(redis_server)
    queue.enqueue({"n": 1})
    job = fetched(queue)
    letter = outcome.letter(job.raw, job.id, now=0.0, reason="why", traceback="")

    assert queue.bury(CLAIM, job, letter, more=False).kept
    assert not queue.bury(CLAIM, job, letter, more=False).kept
    assert places(queue) == {"dead": [job.raw]}
    assert counts(queue) == {"buried": 1}


def test_an_uncertain_job_is_looked_for_everywhere_before_it_is_put_in_line_again(redis_server: PrivateRedis) -> None:
    """Waiting, scheduled, in flight, buried or just done: in none of these is it taken twice."""
    queue = toy_queue(redis_server)
    job = new_job(queue.row, {"n": 1}, now=0.0)

    def again_is() -> str:
        return queue.place(job, sure=True).placed

    assert again_is() == "queued"
    assert again_is() == "duplicate"
    taken = fetched(queue)
    assert again_is() == "duplicate"
    queue.put_back(CLAIM, taken, job, 2_000_000_000.0, snoozed=True, more=False)
    assert again_is() == "duplicate"
    queue.wire.call("DEL", f"{prefix_of('toy')}:scheduled", f"{prefix_of('toy')}:deaths")
    assert again_is() == "queued"
    taken = fetched(queue)
    queue.done(CLAIM, taken, outcome.record(taken, now=0.0, seconds=0.0, summary={}), more=False)
    assert again_is() == "duplicate"


def test_what_is_kept_of_jobs_is_bounded(redis_server: PrivateRedis) -> None:
    """A million jobs leave no more behind than two hundred; dead letters over the bound are counted."""
    queue = toy_queue(redis_server)
    for n in range(MOST_DONE + 80):
        queue.enqueue({"n": n})
        queue.done(CLAIM, fetched(queue), "{}", more=False)
    for n in range(MOST_DEAD + 7):
        queue.enqueue({"n": n}, key=f"k{n}")
        job = fetched(queue)
        queue.bury(CLAIM, job, outcome.letter(job.raw, job.id, now=0.0, reason="", traceback=""), more=False)

    prefix = prefix_of("toy")
    assert queue.wire.call("LLEN", f"{prefix}:done") == MOST_DONE
    assert queue.wire.call("LLEN", f"{prefix}:dead") == MOST_DEAD
    assert counts(queue) == {"done": MOST_DONE + 80, "buried": MOST_DEAD + 7, "forgotten": 7}
    for gone in ("keys", "deaths", "scheduled", "waiting"):
        assert queue.wire.call("EXISTS", f"{prefix}:{gone}") == 0


def test_a_dead_letter_is_requeued_or_dropped_once(redis_server: PrivateRedis) -> None:
    """And not while another job has its key."""
    queue = toy_queue(redis_server)
    queue.enqueue({"n": 1}, key="k")
    job = fetched(queue)
    queue.bury(CLAIM, job, outcome.letter(job.raw, job.id, now=0.0, reason="", traceback=""), more=False)
    letter = queue.wire.call("LINDEX", f"{prefix_of('toy')}:dead", 0)
    other = queue.enqueue({"n": 2}, key="k")

    assert queue.requeue(letter, job) == "duplicate"
    assert fetched(queue).id == other.id
    queue.done(CLAIM, decode(places(queue)[f"inflight:{CLAIM}"][0], queue.row), "{}", more=False)
    assert queue.requeue(letter, job) == "queued"
    assert queue.requeue(letter, job) == "gone"
    assert not queue.drop(letter)
    assert places(queue) == {"waiting": [job.raw]}


def test_the_outcome_its_event_and_its_notice_are_one_step(redis_server: PrivateRedis) -> None:
    """Nobody can die between them; a refused outcome tells nobody anything."""
    queue = toy_queue(redis_server)
    queue.enqueue({"n": 1})
    job = fetched(queue)
    queue.done(CLAIM, job, "{}", event='{"id":1}', notice=b"N", more=False)
    queue.done(CLAIM, job, "{}", event='{"id":1}', notice=b"N", more=False)

    assert [fields for _, fields in queue.wire.call("XRANGE", EVENTS, "-", "+")] == [[b"event", b'{"id":1}']]
    assert queue.wire.call("LRANGE", "forge:{slack_notifier}:waiting", 0, -1) == [b"N"]


def test_bad_arguments_are_refused_at_the_caller_and_nothing_is_sent(redis_server: PrivateRedis) -> None:
    """One line names the argument."""
    queue = toy_queue(redis_server)

    for args, said in (
        ({"m": 1}, "toy knows no argument 'm'"),
        ({"n": "1"}, "n must be a whole number"),
        ({"n": True}, "n must be a whole number"),
        ({"what": "x" * 1_001}, "what has 1001 characters"),
    ):
        with pytest.raises(BadArgs, match=said):
            queue.enqueue(args)
    with pytest.raises(BadArgs, match="JSON"):
        queue.enqueue({"seconds": float("nan")})
    assert places(queue) == {}


def test_a_full_redis_refuses_new_jobs_loudly_and_still_takes_outcomes_and_beats(redis_server: PrivateRedis) -> None:
    """Nothing in flight is lost, and a queue that is worked off makes room by itself."""
    queue = toy_queue(redis_server)
    for n in range(50):
        queue.enqueue({"n": n})
    job = fetched(queue)
    queue.wire.call("CONFIG", "SET", "maxmemory", 1_000_000)

    with pytest.raises(Refused, match="OOM"):
        queue.enqueue({"n": 1})
    with pytest.raises(Refused, match="OOM"):
        queue.enqueue({"n": 1}, key="k")
    assert queue.beat(CLAIM, {})
    done = 0
    while True:
        following = queue.done(CLAIM, job, "{}", more=True)
        assert following.kept
        done += 1
        if following.raw is None:
            break
        job = decode(following.raw, queue.row)

    assert done == 50
    queue.wire.call("CONFIG", "SET", "maxmemory", 0)
    assert queue.enqueue({"n": 1}).placed == "queued"


def test_a_full_redis_lets_an_idle_process_fetch(redis_server: PrivateRedis) -> None:
    """Or nobody could ever make room."""
    queue = toy_queue(redis_server)
    queue.enqueue({"n": 1})
    queue.wire.call("CONFIG", "SET", "maxmemory", 1_000_000)

    assert fetched(queue).args == {"n": 1}
    queue.wire.call("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.slow
def test_four_reapers_at_once_take_a_job_back_once(redis_server: PrivateRedis) -> None:
    """Taking back is one atomic step."""
    queue = toy_queue(redis_server)
    for n in range(200):
        claim = f"{n:032d}"
        queue.register(claim, {})
        queue.enqueue({"n": n})
        fetched(queue, claim)
        expire(queue, claim)
    taken: list[str] = []

    def reap() -> None:
        mine = Queue(wire_to(redis_server), toy_row(), Clock(), Pace(settle_s=0))
        taken.extend(found.id for found in mine.reclaim())

    reapers = [threading.Thread(target=reap) for _ in range(4)]
    for reaper in reapers:
        reaper.start()
    for reaper in reapers:
        reaper.join()

    assert len(taken) == len(set(taken)) == 200
    assert len(places(queue)["waiting"]) == 200


def test_a_flood_of_one_queue_does_not_slow_another(redis_server: PrivateRedis) -> None:
    """Each worker has its own list: nothing is shared that one could starve the other of."""
    flooded, quiet = toy_queue(redis_server, name="flooded"), toy_queue(redis_server, name="quiet")
    for n in range(5_000):
        flooded.enqueue({"n": n})
    quiet.enqueue({"n": 1})

    assert fetched(quiet).args == {"n": 1}
