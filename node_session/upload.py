"""The held body of a streamed upload, while its response waits for a save.

Tornado must not read on before the response leaves. It passes nothing to a handler that has finished, but does not know
of a `finish` that waits. Reading and dropping the body was rejected: if it is malformed or too long, Tornado would send
a 400 in place of the response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tornado.concurrent import future_set_result_unless_cancelled
from tornado.web import RequestHandler


class HeldUpload:
    """The body that a handler receives in pieces.

    Args:
        handler: Its `data_received` is replaced.
    """

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler
        self._is_held = False
        self._read_on: asyncio.Future[None] | None = None  # what Tornado waits for before it reads more of the body
        self._data_received: Callable[[bytes], Awaitable[None] | None] = handler.data_received
        handler.data_received = self.data_received  # type: ignore[method-assign]

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back if the client leaves during its upload.

        Tornado runs nothing more of the handler then.
        """

        def ended(body: asyncio.Future[None]) -> None:
            if not body.cancelled() and body.exception() is not None:
                callback()

        self._handler.request._body_future.add_done_callback(ended)

    def hold(self) -> None:
        """Pass nothing more to the handler, and stop Tornado from reading until `release`."""
        handler = self._handler
        prepared = handler._prepared_future
        if prepared is None:  # held already
            return
        self._is_held = True
        # As HTTP1Connection.finish() does. If a timer has called `finish`, Tornado is waiting for the body's end now,
        # and would then run the handler's method.
        handler.request.connection._write_finished = True
        if prepared.done():
            self._read_on = asyncio.get_running_loop().create_future()
        else:
            self._read_on = prepared
            handler._prepared_future = None  # otherwise Tornado sets its result when `prepare` is over

    def release(self) -> None:
        """Let Tornado read on."""
        if self._read_on is not None:
            future_set_result_unless_cancelled(self._read_on, None)
            self._read_on = None

    async def data_received(self, chunk: bytes) -> None:
        """The replacement of `data_received`; returns when Tornado may read on."""
        if not self._is_held:
            received = self._data_received(chunk)
            if received is not None:
                await received
        if self._read_on is not None:
            await self._read_on

    def give_back(self) -> None:
        """Restore the handler's own method."""
        if self._handler.__dict__.get("data_received") == self.data_received:
            del self._handler.__dict__["data_received"]
