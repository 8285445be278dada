"""The outbox: notices on disk from the moment they are accepted until Slack holds them.

One file per notice, ``spool/notices/<place>-<digest of the id>.json``, and one for the rest, ``state.json``. Every
change of more than one notice is one replacement of the state, which names what is done with; files it names are
removed afterwards, or by whoever looks next. So a process may die at any point and each notice still is exactly one of
waiting, under way and done. The outbox is bounded: when it is full, the oldest that are not urgent become one notice
that says how many were dropped. Belongs here: that, under a lock of its own. Does not belong here: what goes out next
(``rules.py``) or sending it (``send.py``).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from forge_workers import files
from forge_workers.errors import Transient
from forge_workers.log import event
from forge_workers.notices.letter import Sent
from forge_workers.notices.notice import Notice
from forge_workers.notices.rules import COLLAPSE_S, Decision, Post, Update, letter_of
from forge_workers.notices.state import Dropped, State, UnderWay
from forge_workers.plural import count

_LOG = logging.getLogger(__name__)
#: Notices that may wait, and how many are dropped at once when there is no more room: days of a night shift's own.
MOST, DROPPED_AT_ONCE = 500, 50
#: Ids remembered after their notice is done, against a job that comes a second time; more than can wait at once.
_REMEMBERED = 2_000
#: Messages remembered for collapsing and for the rate; more than an hour's rate allows.
_MOST_SENT = 200
#: Refused notices kept for a person to look at; the oldest go first.
_MOST_ASIDE = 200
#: Seconds to wait for another process that changes the outbox, which takes milliseconds.
_LOCK_S = 10.0
_NAME = re.compile(r"(\d{9})-([0-9a-f]{16})\.json")


class Outbox:
    """The notices of one Forge that are not in Slack yet.

    Args:
        home: ``$FORGE_HOME``.

    Every method raises ``Transient`` while another process holds the outbox, and ``OSError`` when the disk refuses.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "spool" / "notices"

    def accept(self, notice: Notice) -> bool:
        """Keep a notice, durable when this returns; False when its id was accepted before."""
        digest = _digest(notice.id)
        with self._locked():
            state, waiting = self._state(), self._names()
            if digest in waiting or digest in state.done:
                return False
            if len(waiting) >= MOST:
                self._make_room(state, waiting)
            place = 1 + max((int(path.name[:9]) for path in waiting.values()), default=0)
            files.replace(self._folder / f"{place:09d}-{digest}.json", notice.model_dump_json())
        return True

    def waiting(self) -> int:
        """Return how many notices wait or are under way, those that were dropped counted too."""
        with self._locked():
            return sum(notice.count for notice in self._pending(self._state()))

    def state(self) -> State:
        """Return everything but the notices."""
        with self._locked():
            return self._state()

    def begin(self, decide: Callable[[Sequence[Notice], Sequence[Sent]], Decision], now: float) -> Decision:
        """Decide over what is there, and note what is under way before anything is sent."""
        with self._locked():
            state = self._state()
            decision = decide(self._pending(state), state.sent)
            if isinstance(decision, (Post, Update)):
                self._keep(state.model_copy(update={"under_way": _under_way(decision, state, now)}))
            return decision

    def settle(self, ts: str, now: float) -> None:
        """Note that Slack holds what was under way, as the message ``ts``."""
        with self._locked():
            state = self._state()
            under = state.under_way
            if under is None:
                return
            old = next((one for one in state.sent if one.ts == under.ts), None)
            posted_at = old.posted_at if old else now
            sent = Sent(ts=ts, id=under.id, key=under.key, letter=under.letter, posted_at=posted_at, touched_at=now)
            others = [one for one in state.sent if one.ts != under.ts and abs(now - one.posted_at) < COLLAPSE_S]
            self._finish(state.model_copy(update={"sent": (*others, sent)[-_MOST_SENT:]}))

    def cancel(self, closed: str | None = None) -> None:
        """Note that nothing is under way: Slack does not hold it. ``closed`` is a message that takes no more."""
        with self._locked():
            state = self._state()
            sent = tuple(one.model_copy(update={"closed": True}) if one.ts == closed else one for one in state.sent)
            self._keep(state.model_copy(update={"under_way": None, "sent": sent}))

    def put_aside(self, reason: str, hidden: Callable[[Notice], Notice]) -> int:
        """Keep what was under way out of the way, with the reason, and return how many notices that is.

        Args:
            reason: Why, one line.
            hidden: What of each notice may be kept.
        """
        with self._locked():
            state = self._state()
            under = state.under_way
            if under is None:
                return 0
            notices = [hidden(n) for n in self._pending(state) if _digest(n.id) in under.ids]
            texts = [notice.model_dump_json() for notice in notices]
            folder = self._folder / "aside"
            files.replace(folder / f"{under.began_at:015.3f}-{_digest(under.id)}.txt", "\n".join([reason, *texts]))
            for old in sorted(folder.glob("*.txt"))[:-_MOST_ASIDE]:
                old.unlink(missing_ok=True)
            self._finish(state)
            return sum(notice.count for notice in notices)

    def rest(self, *, until: float, asked: bool = False) -> None:
        """Note that nothing can go out before ``until``, because of our rules or because Slack ``asked`` to wait."""
        with self._locked():
            held = {"asked_until": until} if asked else {}
            self._keep(self._state().model_copy(update={"rests_until": until, **held}))

    def drain(self, write: Callable[[Sequence[Notice]], None]) -> int:
        """Have every notice written where none can wait for long, and return how many there were."""
        with self._locked():
            state = self._state()
            pending = self._pending(state)
            if pending:
                write(pending)
                ids, dropped = tuple(_digest(notice.id) for notice in pending), state.dropped
                under = UnderWay(id="", key="", ids=ids, dropped=dropped.count if dropped else 0, began_at=0.0)
                self._finish(state.model_copy(update={"under_way": under}))
            return sum(notice.count for notice in pending)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with FileLock(self._folder / "lock", timeout=_LOCK_S, mode=0o600):
                yield
        except Timeout:
            raise Transient("another process holds the outbox of notices") from None

    def _names(self) -> dict[str, Path]:
        """Return the file of each waiting notice by the digest of its id, in order."""
        found = ((_NAME.fullmatch(path.name), path) for path in sorted(self._folder.iterdir()))
        return {match[2]: path for match, path in found if match}

    def _pending(self, state: State) -> tuple[Notice, ...]:
        """Return what waits in its order, the dropped ones first, and remove the files of what is done with."""
        done, notices = frozenset(state.done), [_dropped(state.dropped)] if state.dropped else []
        for digest, path in self._names().items():
            if digest in done:
                path.unlink(missing_ok=True)
                continue
            try:
                notices.append(Notice.model_validate_json(path.read_bytes()))
            except ValidationError:
                _put_away(path)
        return tuple(notices)

    def _make_room(self, state: State, waiting: dict[str, Path]) -> None:
        """Merge the oldest that are not urgent, or where all are, the oldest, into the notice of what was dropped."""
        under = state.under_way.ids if state.under_way else ()
        pending = [n for n in self._pending(state) if _digest(n.id) in waiting]
        free = [n for n in pending if _digest(n.id) not in under]
        if len(pending) < MOST or not free:
            return
        oldest = ([n for n in free if not n.urgent] or free)[:DROPPED_AT_ONCE]
        old = state.dropped
        # One that is under way is frozen: its count is subtracted when it has arrived.
        kept = old or Dropped(id=uuid.uuid4().hex, count=0, urgent=False, at=oldest[0].at)
        urgent = kept.urgent or any(notice.urgent for notice in oldest)
        dropped = kept.model_copy(update={"count": kept.count + len(oldest), "urgent": urgent})
        done = tuple(_digest(notice.id) for notice in oldest)
        event(_LOG, "notice.dropped", logging.WARNING, notices=len(oldest), together=dropped.count)
        self._keep(state.model_copy(update={"dropped": dropped, "done": (*state.done, *done)[-_REMEMBERED:]}))
        for digest in done:
            waiting[digest].unlink(missing_ok=True)

    def _finish(self, state: State) -> None:
        """Take what is under way as done with, then remove its files."""
        under, left = state.under_way, state.dropped
        if under is None:
            return
        if left and under.dropped:
            rest = left.count - under.dropped
            left = left.model_copy(update={"id": uuid.uuid4().hex, "count": rest}) if rest else None
        done = (*state.done, *under.ids)[-_REMEMBERED:]
        self._keep(state.model_copy(update={"under_way": None, "dropped": left, "done": done}))
        names = self._names()
        for path in (names[digest] for digest in under.ids if digest in names):
            path.unlink(missing_ok=True)

    def _state(self) -> State:
        path = self._folder / "state.json"
        try:
            return State.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return State()
        except ValidationError:
            _put_away(path)
            return State()

    def _keep(self, state: State) -> None:
        files.replace(self._folder / "state.json", state.model_dump_json())


def _under_way(decision: Post | Update, state: State, now: float) -> UnderWay:
    sent = decision.sent if isinstance(decision, Update) else None
    whole = {notice.id: notice.count for notice in decision.notices}
    return UnderWay(
        id=sent.id if sent else decision.notices[0].id,
        key=decision.sent.key if isinstance(decision, Update) else decision.key,
        letter=letter_of(decision),
        ts=sent.ts if sent else None,
        ids=tuple(_digest(notice.id) for notice in decision.notices),
        fresh=sum(whole.values()),
        dropped=whole.get(state.dropped.id, 0) if state.dropped else 0,
        began_at=now,
    )


def _dropped(dropped: Dropped) -> Notice:
    return Notice(
        id=dropped.id,
        kind="failed",
        worker="slack_notifier",
        title=f"{count(dropped.count, 'older notice')} {'was' if dropped.count == 1 else 'were'} dropped",
        detail=f"More than {MOST} waited to be posted.",
        key="dropped",
        urgent=dropped.urgent,
        at=dropped.at,
        count=dropped.count,
    )


def _put_away(path: Path) -> None:
    """Put a damaged file aside, since nothing in it can be trusted."""
    event(_LOG, "notice.file_damaged", logging.ERROR, file=path.name)
    path.replace(path.with_suffix(".damaged"))


def _digest(notice_id: str) -> str:
    return hashlib.sha256(notice_id.encode("utf-8", "surrogateescape")).hexdigest()[:16]
