"""supervisord, but for one thing: ``python -m forge_workers.fleet.supervising -c supervisord.conf``.

What supervisord cannot write to a log it writes to standard error, which lies on the same disk; when that is full, it
ends, and the whole fleet with it. Here standard error drops what cannot be written. Belongs here: that. Does not belong
here: what it is told (``configuration.py``), or starting it (``supervisord.py``).
"""

from __future__ import annotations

import contextlib
import io
import sys

from supervisor.supervisord import main


class Forgiving(io.TextIOBase):
    """A text stream that drops what cannot be written.

    Args:
        stream: Where the rest goes.
    """

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` at once, or not at all."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
        return len(text)

    def fileno(self) -> int:
        """Return the file's number."""
        return self._stream.fileno()


if __name__ == "__main__":
    sys.stderr = Forgiving(sys.stderr)  # type: ignore[arg-type]
    main()
