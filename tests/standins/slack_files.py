"""Files of the stand-in for Slack: room is asked for, bytes are sent, and a third call shows them, some time later.

Source: docs.slack.dev, files.getUploadURLExternal, files.completeUploadExternal, files.delete and the file object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Sent = dict[str, Any]


@dataclass
class Shelf:
    """The files of one workspace, for a test to read and to spoil.

    Attributes:
        allowed: Whether the token has the scope ``files:write``.
        delay: How often a thread is read before it shows a file that was shared.
        drops_described: Whether a file with ``alt_txt`` is never shown, though Slack says it was shared.
        files: Every file, by id.
        content: What was sent to each file's address.
        waiting: Messages that show a file, with how many reads of the thread they still wait.
        shared: How often each file's name was shared, whether or not it was ever shown.
    """

    allowed: bool = True
    delay: int = 0
    drops_described: bool = False
    files: dict[str, Sent] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    waiting: list[list[Any]] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)

    def room(self, sent: Sent, url: str) -> Sent:
        """Give a file an id and an address: ``files.getUploadURLExternal``."""
        if not self.allowed:
            return {"ok": False, "error": "missing_scope", "needed": "files:write", "provided": "chat:write"}
        if not sent.get("filename") or int(sent.get("length") or 0) < 1:
            return {"ok": False, "error": "invalid_arguments"}
        if len(sent.get("alt_txt") or "") > 1_000:
            return {"ok": False, "error": "alt_txt_too_large"}
        file_id = f"F{len(self.files):010d}"
        self.files[file_id] = {
            "id": file_id, "name": sent["filename"], "size": int(sent["length"]), "mode": "hosted",
            "alt_txt": sent.get("alt_txt") or "",
        }  # fmt: skip
        return {"ok": True, "file_id": file_id, "upload_url": f"{url}/upload/v1/{file_id}"}

    def take(self, file_id: str, body: bytes) -> bool:
        """Keep what is sent to a file's address; it takes no token, and exactly the bytes that were announced."""
        file = self.files.get(file_id)
        if file is None or len(body) != file["size"]:
            return False
        self.content[file_id] = body
        return True

    def complete(self, sent: Sent, message: Sent) -> Sent:
        """Share files, which shows later: ``files.completeUploadExternal``. The answer names no share yet."""
        asked = json.loads(sent["files"])
        files = [self.files.get(one["id"]) for one in asked]
        if not all(file and file["id"] in self.content for file in files):
            return {"ok": False, "error": "file_not_found"}
        for one, file in zip(asked, files, strict=True):
            assert file is not None
            file |= {"title": one.get("title", file["name"])}
            self.shared.append(file["name"])
            if not (self.drops_described and file["alt_txt"]):
                self.waiting.append([self.delay, {**message, "upload": True, "files": [file]}])
        return {"ok": True, "files": [{**file, "shares": {}, "channels": []} for file in files if file]}

    def delete(self, sent: Sent, messages: list[Sent]) -> Sent:
        """Delete a file: ``files.delete``. A message that showed it keeps a tombstone."""
        file_id = sent.get("file", "")
        if self.files.pop(file_id, None) is None:
            return {"ok": False, "error": "file_not_found"}
        self.waiting = [one for one in self.waiting if one[1]["files"][0]["id"] != file_id]
        for message in messages:
            shown = message.get("files", [])
            if any(file["id"] == file_id for file in shown):
                message["files"] = [{"id": file_id, "mode": "tombstone"}]
        return {"ok": True}

    def shows(self) -> list[Sent]:
        """Return the messages whose time has come, and let the others wait one read less."""
        due = [message for left, message in self.waiting if left <= 0]
        self.waiting = [[left - 1, message] for left, message in self.waiting if left > 0]
        return due
