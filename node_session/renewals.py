"""Keeps sessions alive under requests that take longer than their lifetime, such as an upload of six minutes.

A session is idle from one request to the next. While a request is under way it is in use, so its record is renewed in
time: a store that expires records by itself would have none left to save to. One timer for each event loop looks
after all of them, and runs only while there are requests.

A response whose headers were sent renews nothing. An open event stream would otherwise keep its session for ever; so
would a WebSocket.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from tornado.httputil import HTTPServerRequest

from .store import Store

# Parts of the lifetime. A session that has been idle for half of it is renewed at the timer's next tick, so that a
# tick may be late by a quarter. One that is found with less than that left is renewed immediately.
_TICK = 1 / 8
_DUE = 1 / 2
_URGENT = 3 / 4


class Renewals:
    """The sessions of requests whose headers are not sent yet.

    Args:
        lifetime: Milliseconds; 0: sessions do not expire, and nothing is done.
        renew: Renews a session's record, in the background.
    """

    def __init__(self, lifetime: float, renew: Callable[[Store], None]) -> None:
        self._seconds = lifetime / 1000
        self._renew = renew
        self._requests: dict[asyncio.AbstractEventLoop, dict[HTTPServerRequest, Store]] = {}

    def add(self, request: HTTPServerRequest, session: Store) -> None:
        """A request has begun."""
        if not self._seconds:
            return
        loop = asyncio.get_running_loop()
        requests = self._requests.get(loop)
        if requests is None:
            requests = self._begin(loop)
        requests[request] = session
        if self._seconds * _URGENT < session.idle_before < math.inf:
            self._renew(session)

    def discard(self, request: HTTPServerRequest) -> None:
        """A request has ended."""
        requests = self._requests.get(asyncio.get_running_loop())
        if requests is not None:
            requests.pop(request, None)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> dict[HTTPServerRequest, Store]:
        for ended in [each for each in self._requests if each.is_closed()]:
            del self._requests[ended]
        requests = self._requests[loop] = {}
        loop.call_later(self._seconds * _TICK, self._tick, loop)
        return requests

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        requests = self._requests[loop]
        for request, session in list(requests.items()):
            if session.headers_sent or _has_left(request):
                del requests[request]
            elif session.idle > self._seconds * _DUE:
                self._renew(session)
        if requests:
            loop.call_later(self._seconds * _TICK, self._tick, loop)
        else:
            del self._requests[loop]


def _has_left(request: HTTPServerRequest) -> bool:
    """Whether the client is gone. Of a streamed upload that it broke off, Tornado tells no handler's `finish`."""
    stream = getattr(request.connection, "stream", None)
    return stream is not None and stream.closed()
