"""From Slack's envelope to an act and an answer, each ask once.

1. An envelope is read and written into the ledger, which takes milliseconds, and acknowledged. Nothing slow comes
   before: Slack waits three seconds, and asks again where no acknowledgement came.
2. The act is done by one of a few threads, then recorded, then answered; while all are busy a bounded number waits.
3. At the start what a kill left behind is taken up: see ``ledger.py``.

Belongs here: that order. Does not belong here: the connection (``service.py``), or any act.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Protocol

from slack_sdk.errors import SlackClientError
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from forge_workers.briefing.slack import escape
from forge_workers.errors import BadArgs, ForgeError, Transient
from forge_workers.log import event
from forge_workers.plain import plain
from forge_workers.settings import Settings
from forge_workers.slack_gateway import actions, commands, modal
from forge_workers.slack_gateway.actions import Acted, Means
from forge_workers.slack_gateway.answers import Answers
from forge_workers.slack_gateway.envelope import Ask, read
from forge_workers.slack_gateway.ledger import Ledger
from forge_workers.slack_gateway.people import Here, foreign
from forge_workers.slack_gateway.record import Came, Record
from forge_workers.wire import Wire

_LOG = logging.getLogger(__name__)
#: Threads that act, and asks that may wait for one: beyond that a person is asked to press again.
_THREADS, _MOST_WAITING = 4, 100

#: How old an ask may be that a kill left behind, seconds, as ``worker_events.py`` has it: later nobody expects it.
_LATE_S = 86_400.0
_LATE = "Forge was stopped when you asked for this, more than a day ago, and did nothing: ask again"


class Client(Protocol):
    """The part of slack_sdk's client that takes acknowledgements."""

    def send_socket_mode_response(self, response: SocketModeResponse) -> None:
        """Send one."""


class Gateway:
    """Hears envelopes and acts on them.

    Args:
        settings: The user's settings, with Slack's token and channel.
        here: Where this gateway listens.
        wire: The way to Redis.
        clock: UTC unix seconds.
    """

    def __init__(self, settings: Settings, here: Here, wire: Wire, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._here = here
        self._clock = clock
        self._ledger = Ledger(settings.home)
        self._record = Record(settings.home)
        self._answers = Answers(settings)
        self._means = Means(settings, self._ledger, wire, self._answers.open_form)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="act")
        self._at_work: set[Future[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether an ask is being acted on or waits for that."""
        return bool(self._at_work)

    def hear(self, client: Client, request: SocketModeRequest) -> None:
        """Take one envelope and acknowledge it; the act follows in another thread.

        1. It is none of Slack's shapes: refused.
        2. It asks for nothing: acknowledged.
        3. It comes from elsewhere: refused.
        4. A form that may not be sent, or without a reason: the acknowledgement says so in it, and it stays open.
        5. Otherwise it is acted on, unless it came before.
        """
        try:
            ask = read(request.type, request.payload, self._clock())
        except BadArgs as error:
            self._unread(client, request, str(error))  # 1
            return
        if ask is None:
            self._acknowledge(client, request)  # 2
        elif strange := foreign(ask, self._here):
            self._acknowledge(client, request)
            self._submit(ask, lambda: self._end(ask, "refused", strange))  # 3
        elif ask.kind == "reason" and (complaint := actions.problem(ask, self._settings)):
            self._acknowledge(client, request, modal.complaint(complaint))  # 4
            self._note(ask, "refused", complaint)
        else:
            self._take(client, request, ask)  # 5

    def resume(self) -> int:
        """Take up what a kill left behind, and return how many asks that were.

        Raises:
            Transient: The ledger cannot be read.
        """
        left = self._ledger.unfinished()
        for ask, said in left:
            if said is not None:
                self._submit(ask, partial(self._tell, ask, said))
            elif self._clock() - ask.at > _LATE_S:
                self._submit(ask, partial(self._end, ask, "failed", _LATE))
            else:
                self._submit(ask, partial(self._work, ask))
        return len(left)

    def stop(self, patience_s: float) -> None:
        """Let acts at work end; what does not in time, or has not begun, is taken up at the next start.

        Args:
            patience_s: Longest wait, seconds.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        wait(set(self._at_work), timeout=patience_s)

    def _take(self, client: Client, request: SocketModeRequest, ask: Ask) -> None:
        try:
            first = self._ledger.take(ask)
        except Transient as error:
            why = str(error)
            self._acknowledge(client, request)
            self._submit(ask, lambda: self._end(ask, "failed", why))
            return
        self._acknowledge(client, request)
        if first:
            self._submit(ask, partial(self._work, ask))
        else:
            self._note(ask, "repeated")

    def _acknowledge(self, client: Client, request: SocketModeRequest, payload: dict[str, Any] | None = None) -> None:
        """Send the acknowledgement; when the connection is gone, Slack delivers again and the ask is found taken."""
        try:
            client.send_socket_mode_response(SocketModeResponse(request.envelope_id, payload))
        except (SlackClientError, OSError) as error:
            event(_LOG, "slack.unacknowledged", logging.WARNING, error=type(error).__name__)

    def _unread(self, client: Client, request: SocketModeRequest, why: str) -> None:
        """Refuse what cannot be read; a command's acknowledgement may carry the answer, a button's may not."""
        is_command = request.type == "slash_commands"
        why = self._answers.safe(why)
        said = {"response_type": "ephemeral", "text": escape(why)}
        self._acknowledge(client, request, said if is_command and request.accepts_response_payload else None)
        who = request.payload.get("user_id") if is_command else request.payload.get("user")
        by = who.get("id") if isinstance(who, dict) else who
        self._record.write(at=self._clock(), by=str(by), what=request.type, target="", came="refused", why=why)

    def _submit(self, ask: Ask, task: Callable[[], None]) -> None:
        """Let a thread do it; with too much at once the person is told to press again, here and now."""
        if len(self._at_work) >= _MOST_WAITING:
            self._end(ask, "failed", "too much was asked at once: try again in a minute")
            return
        try:
            future = self._threads.submit(task)
        except RuntimeError:  # it is stopping: the next start takes it up
            return
        self._at_work.add(future)
        future.add_done_callback(self._at_work.discard)

    def _work(self, ask: Ask) -> None:
        """Act, and end in any case: an ask that stays unfinished would be acted on at every start."""
        try:
            acted = self._act(ask)
        except BadArgs as error:
            self._end(ask, "refused", str(error))
        except ForgeError as error:
            self._end(ask, "failed", str(error))
        except OSError as error:
            self._end(ask, "failed", f"{plain(str(error.filename or 'a file'))} cannot be used: {error.strerror}")
        except Exception:  # noqa: BLE001  whatever it is, the person gets an answer and the next ask its turn
            event(_LOG, "slack.broken", logging.ERROR, ask=ask.key, traceback=traceback.format_exc())
            self._end(ask, "failed", "that did not work, and the reason is in the log of slack_gateway")
        else:
            self._end(ask, "done", acted.said, acted)

    def _act(self, ask: Ask) -> Acted:
        if ask.kind == "command":
            return commands.run(ask, self._means)
        return actions.press(ask, self._means) if ask.kind == "button" else actions.dismiss(ask, self._means)

    def _end(self, ask: Ask, came: Came, said: str, acted: Acted | None = None) -> None:
        """Write down what came of it, then answer. A refusal or fault is an answer of one line."""
        why = "" if acted else said
        self._note(ask, came, why, acted)
        try:
            self._ledger.done(ask, said)
        except Transient as error:
            event(_LOG, "slack.unwritten", logging.ERROR, why=error)
        self._tell(ask, said)

    def _tell(self, ask: Ask, said: str) -> None:
        if said and not self._answers.say(ask, said):
            return
        try:
            self._ledger.told(ask)
        except Transient as error:
            event(_LOG, "slack.unwritten", logging.ERROR, why=error)

    def _note(self, ask: Ask, came: Came, why: str = "", acted: Acted | None = None) -> None:
        """Record it; of what was refused, a button's value shows what was tried, a command only what is quoted."""
        what, target = (acted.what, acted.target) if acted else (ask.name, "" if ask.kind == "command" else ask.value)
        self._record.write(
            at=self._clock(),
            by=ask.by,
            what=what,
            target=self._answers.safe(target),
            came=came,
            why=self._answers.safe(why),
        )
