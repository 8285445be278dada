"""Charts in the thread of a briefing: each one uploaded once, whatever happens in between.

A chart is a PNG whose file name carries the night, the chart and the digest of its content, so the thread itself says
which charts it holds; one of an earlier edition is removed. Three calls put a chart there, and only the last one shows
it. That last one answers before anything is shown, and may answer well and never show it: so the thread is read back. A
chart that Slack took and does not show is deleted before it is uploaded again; its id is noted before it can show.

Sources: docs.slack.dev, files.getUploadURLExternal and files.completeUploadExternal. Sharing is asynchronous:
github.com/slackapi/bolt-js/issues/2115. A file with ``alt_txt`` may never be shared, so the second try leaves it out,
and what the chart shows also stands in words beside it: github.com/slackapi/python-slack-sdk/issues/1818.

Belongs here: charts of one thread. Does not belong here: drawing them (``charts.py``), or messages (``deliver.py``).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import NamedTuple

from forge_workers.briefing.blocks import rich, text
from forge_workers.briefing.channel import PAUSES_S, Busy, Channel, Refused, Unclear
from forge_workers.plain import plain
from forge_workers.plural import count
from forge_workers.report import Effect, Frozen, Image

#: Largest chart sent, in bytes, and most charts of one night. Slack takes 1 GB; a chart of ours has 60 kB.
MOST_BYTES, MOST_CHARTS = 1 << 20, 8
#: Characters of what is said to those who cannot see it. Source: docs.slack.dev, file object: 1,000.
_ALT_CHARS = 1_000
#: Characters of a title.
_TITLE_CHARS = 100
#: Slack's words for a file that is gone already.
_GONE = frozenset({"file_not_found", "file_deleted"})
#: Titles and descriptions are shown as they are; should anything ever parse them, no token can begin in them.
_NO_TOKEN = str.maketrans({"<": "(", ">": ")"})


class Picture(Frozen):
    """One chart on its way.

    Attributes:
        name: Its file name, which nothing else of the night has.
        title: What stands above it.
        alt: What it shows, in words.
        png: Its bytes in Base64.
    """

    name: str
    title: str
    alt: str
    png: str


class Shown(NamedTuple):
    """What came of it: the change made outside, what did not work, and whether nothing is left to try again."""

    effects: tuple[Effect, ...]
    reason: str
    settled: bool


def pictures(images: tuple[Image, ...], night: str) -> tuple[Picture, ...]:
    """Return what of ``images`` can be uploaded: those that have a file, within bounds, each under its own name."""
    found: dict[str, Picture] = {}
    for image in images:
        try:
            content = base64.b64decode(image.png, validate=True)
        except ValueError:
            continue
        if not 0 < len(content) <= MOST_BYTES:
            continue
        chart = re.sub(r"[^a-z0-9]+", "_", image.name.lower())[:60]
        name = f"{night}-{chart}-{hashlib.sha256(content).hexdigest()[:12]}.png"
        alt = plain(image.alt, _ALT_CHARS - 1).translate(_NO_TOKEN)
        title = plain(alt.partition(":")[0], _TITLE_CHARS)
        found.setdefault(name, Picture(name=name, title=title or chart, alt=alt or chart, png=image.png))
    return tuple(found.values())[:MOST_CHARTS]


class Gallery(Channel):
    """A channel in whose threads charts are shown."""

    def charts(self, thread_ts: str, night: str) -> dict[str, str]:
        """Return the charts of ``night`` that the thread shows: the id of each, by file name."""
        named = re.compile(rf"{re.escape(night)}-[a-z0-9_]+-[0-9a-f]{{12}}\.png")
        found: dict[str, str] = {}
        for message in self.replies(thread_ts):
            for file in message.get("files") or [] if message.get("user") == self.bot() else []:
                name = str(file.get("name") or "")
                if named.fullmatch(name) and file.get("mode") != "tombstone":
                    found.setdefault(name, str(file.get("id")))
        return found

    def place(self, picture: Picture, *, alt: bool) -> tuple[str, str]:
        """Ask for room for a chart and return its id and the address to send it to; nothing is shown by this."""
        content = base64.b64decode(picture.png)
        answer = self._read(
            self._client.files_getUploadURLExternal,
            filename=picture.name,
            length=len(content),
            alt_txt=picture.alt if alt else None,
        )
        file_id, url = answer.get("file_id"), answer.get("upload_url")
        if not isinstance(file_id, str) or not isinstance(url, str):
            raise Unclear("Slack gave no usable answer")
        return file_id, url

    def fill(self, url: str, picture: Picture) -> None:
        """Send a chart's bytes to the address that Slack gave for it."""
        safe = url.startswith("https://") or (url.startswith("http://127.0.0.1:") and self._loopback)
        if not safe:
            raise Unclear("Slack gave no address that a chart may be sent to")
        request = urllib.request.Request(url, base64.b64decode(picture.png), method="POST")  # noqa: S310 - checked above
        try:
            with urllib.request.urlopen(request, timeout=self._client.timeout) as answer:  # noqa: S310
                answer.read(1_000)
        except (OSError, HTTPException, ValueError) as error:
            raise Unclear(f"Slack did not take the chart ({type(error).__name__})") from None

    def share(self, file_id: str, picture: Picture, thread_ts: str) -> None:
        """Show a chart in the thread, with its description in words."""
        said = [block.to_dict() for block in rich([[text(picture.alt)]])]
        self._ask(
            self._client.files_completeUploadExternal,
            files=[{"id": file_id, "title": picture.title}],
            channel_id=self.id,
            thread_ts=thread_ts,
            blocks=json.dumps(said),
        )

    def remove(self, file_id: str) -> None:
        """Delete a file; one that is gone already is fine."""
        try:
            self._read(self._client.files_delete, file=file_id)
        except Refused as refused:
            if refused.code not in _GONE:
                raise


class Show:
    """Brings one thread to hold exactly the charts of its edition.

    Args:
        gallery: Where.
        thread_ts: The thread's first message.
        night: The night's key.
        noted: Ids of charts that were taken and not yet seen, by file name; changed here.
        keep: Makes ``noted`` durable.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        gallery: Gallery,
        thread_ts: str,
        night: str,
        *,
        noted: dict[str, str],
        keep: Callable[[], None],
        sleep: Callable[[float], None],
    ) -> None:
        self._gallery = gallery
        self._thread = thread_ts
        self._night = night
        self._noted = noted
        self._keep = keep
        self._sleep = sleep

    def __call__(self, wanted: tuple[Picture, ...]) -> Shown:
        """Upload what is missing and remove what an earlier edition showed.

        1. Slack refuses: nothing is tried again, with the reason.
        2. Slack is busy or gives no usable answer: the rest waits for the next delivery, with the reason.
        """
        done = 0
        try:
            held = self._gallery.charts(self._thread, self._night)
            for picture in wanted:
                if picture.name not in held:
                    self._upload(picture)
                    done += 1
            names = {picture.name for picture in wanted}
            for name in held.keys() - names:
                self._gallery.remove(held[name])
            for name in self._noted.keys() - names:  # of an earlier edition, and may show yet
                self._gallery.remove(self._noted.pop(name))
                self._keep()
        except Refused as refused:
            return Shown((), f"the charts are not in Slack: {_advice(refused)}", settled=True)  # 1
        except (Busy, Unclear) as error:
            return Shown((), f"not every chart is in Slack: {error}", settled=False)  # 2
        if not wanted:
            return Shown((), "", settled=True)
        detail = f"{done} uploaded, {len(wanted) - done} there already"
        target = f"Slack {self._gallery.id} {self._thread}"
        name = f"{count(len(wanted), 'chart')} of {self._night}"
        return Shown((Effect(name=name, target=target, verified=True, detail=detail),), "", settled=True)

    def _upload(self, picture: Picture) -> None:
        """Upload one chart and see it in the thread.

        Raises:
            Refused: Slack refuses.
            Busy, Unclear: It may show later; the next delivery looks first.
        """
        for alt in (True, False):
            if picture.name in self._noted:
                self._gallery.remove(self._noted[picture.name])
            file_id, url = self._gallery.place(picture, alt=alt)
            self._noted[picture.name] = file_id
            self._keep()
            self._gallery.fill(url, picture)
            with contextlib.suppress(Unclear):  # whether it shows is looked up
                self._gallery.share(file_id, picture, self._thread)
            if self._seen(picture):
                del self._noted[picture.name]
                self._keep()
                return
        raise Unclear("Slack took a chart and does not show it")

    def _seen(self, picture: Picture) -> bool:
        for pause in (0.0, *PAUSES_S):
            if pause:
                self._sleep(pause)
            if picture.name in self._gallery.charts(self._thread, self._night):
                return True
        return False


def _advice(refused: Refused) -> str:
    if refused.code == "missing_scope":
        return "the token lacks a permission: give the app files:write and install it again"
    return str(refused)
