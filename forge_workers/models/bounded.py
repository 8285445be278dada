"""An HTTP transport that ends answers which take too long or grow too large as a whole.

Belongs here: the two bounds, for any httpx client of a model server. Does not belong here: what is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx

#: Bytes of one answer: a token of a stream takes some 150, so this is a long way past any window in use.
MAX_ANSWER_BYTES = 64 * 2**20


class Bounded(httpx.BaseTransport):
    """Ends an answer that trickles or swells.

    httpx starts its own timeout anew with each byte. With this, one request takes at most twice its time: the whole of
    it, and one last wait for a byte.
    """

    def __init__(self, timeout_s: float, *, verify: bool) -> None:
        self._timeout_s = timeout_s
        self._inner = httpx.HTTPTransport(verify=verify)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request``; its answer ends with ``httpx.ReadTimeout`` or ``httpx.ReadError`` at a bound."""
        ends_at = time.monotonic() + self._timeout_s
        response = self._inner.handle_request(request)
        stream = _BoundedStream(response.stream, ends_at)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    def close(self) -> None:
        """Let the connections go."""
        self._inner.close()


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, inner: Any, ends_at: float) -> None:
        self._inner = inner
        self._ends_at = ends_at

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._inner:
            size += len(part)
            if time.monotonic() > self._ends_at:
                raise httpx.ReadTimeout("the answer took too long as a whole")
            if size > MAX_ANSWER_BYTES:
                raise httpx.ReadError("the answer is too large")
            yield part

    def close(self) -> None:
        self._inner.close()
