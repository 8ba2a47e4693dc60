"""The held headers of a response, which wait until the cookie may go with them.

`flush` adds the cookie before it sends the headers. A new or regenerated session, which is not stored under its id yet,
is saved first: the client may send its next request before the response ends. For HEAD the headers wait for `finish`:
there is no body, so a client that has the headers has the whole response.

If there will be no headers, since the handler detaches the connection or its client has left during a streamed upload,
nothing is saved, and a warning names the lost changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream
from tornado.web import RequestHandler

from .caches import keep_private
from .cookies import Found
from .errors import UnavailableError
from .immediate import begin, is_immediate
from .late import find_place, warn_of_loss
from .refusals import name_of, unavailable
from .saving import commit, needs_confirmation, stage, unsaved
from .serializer import TakesLong
from .session import Session
from .transaction import save_in_turn, waits_for_transaction
from .transport import Transport
from .work import UnitOfWork

logger = logging.getLogger("node_session")

# In LOADING and CLOSED the response is left to Tornado: before the session is loaded, and after its save or a failure.
LOADING, OPEN, SAVING, CLOSED = range(4)


class HeldHeaders:
    """The headers of one handler's response.

    Args:
        handler: Its `flush` and `detach` are replaced.
        session: The request's.
        work: The session's.
        transport: Writes the cookie.
        found: The request's cookie.
    """

    def __init__(
        self, handler: RequestHandler, session: Session, work: UnitOfWork, transport: Transport, found: Found
    ) -> None:
        self._handler = handler
        self._session = session
        self._work = work
        self._transport = transport
        self._found = found
        self._state = LOADING
        self._sent_cookie = False
        self._held: HTTPHeaders | None = None  # headers that flush() leaves to finish()
        self._held_chunk: list[bytes] = []
        self._flushing: asyncio.Task[None] | None = None  # a first flush() that waits for a save
        self._flush = handler.flush
        self._detach = handler.detach
        handler.flush = self.flush  # type: ignore[method-assign]
        handler.detach = self.detach  # type: ignore[method-assign]

    def flush(self, include_footers: bool = False) -> asyncio.Future[None]:
        """The replacement of the handler's `flush`."""
        if self._state in (OPEN, SAVING) and not self._handler._headers_written:
            if not include_footers and self._state == OPEN:
                if self._handler.request.method == "HEAD":
                    return self._hold()
                if self._must_save_first():
                    return self._flushing  # type: ignore[return-value]
            self._add_cookie()
        return self._flush(include_footers)

    def cookie_line(self) -> str | None:
        """The Set-Cookie line for a response sent now; None for no cookie."""
        return self._transport.line(self._handler.request, self._found, self._session, self._work)

    def _take_line(self) -> str | None:
        """The Set-Cookie line of this response; from here on the id cannot change."""
        work = self._work
        if work.is_left_alone and needs_confirmation(work) and not work.wants_cookie:
            work.headers_sent = True
            # A long request that changed nothing need not send it, and so need not ask the store whether it may.
            work.trace.cookie = "not sent: the browser has it"
            return None
        state, self._state = self._state, CLOSED  # if this raises, the error page has no cookie
        line = self._transport.line(self._handler.request, self._found, self._session, work)
        self._state, work.headers_sent = state, True
        return line

    def _add_cookie(self) -> None:
        handler, line = self._handler, self._take_line()
        # Without the cookie, as in a long or passive request, it may show what is in the session all the same.
        if self._transport.is_private and (line is not None or self._work.version is not None):
            keep_private(handler)
        if line is None:
            return
        self._sent_cookie = True
        if "Set-Cookie" in handler._headers or type(handler).add_header is not RequestHandler.add_header:
            handler.add_header("Set-Cookie", line)
        else:
            # add_header() would search the line for forbidden characters twice, and Tornado does so again when it sends
            # it. All its parts were checked with the config.
            handler._headers["Set-Cookie"] = line

    def _is_in_vain(self) -> bool:
        """Whether a save is useless: the session is new, and its cookie is not sent."""
        if not self._work.is_new:
            return False
        if not self._handler._headers_written:
            return self.cookie_line() is None
        if not self._sent_cookie and not self._work.is_untouched:
            logger.warning(
                "a session is not stored, as it was first used after the headers had been sent, and with them the time "
                "for its cookie: use it before flush(), or set saveUninitialized"
            )
        return not self._sent_cookie

    # ---------------------------------------------------------------- a first flush of a session without a record

    def _must_save_first(self) -> bool:
        """Whether `flush` must wait for a save, which this begins if need be."""
        work = self._work
        if self._flushing is None and work.has_no_record_yet and not self._is_in_vain():
            self._state = CLOSED  # if this raises, the error page has no cookie
            saving = self._begin_to_save()
            self._state, work.is_left_alone = OPEN, False
            if saving is not None:
                work.headers_sent = True  # as good as: its id is on the way
                self._flushing = asyncio.ensure_future(self._save_and_flush(saving))
                self._flushing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._flushing is not None

    def _begin_to_save(self) -> Coroutine[Any, Any, None] | None:
        """Begin to save; return the rest to await, or None if it is done."""
        work = self._work
        if waits_for_transaction(work):
            return save_in_turn(work)
        try:
            text = stage(work)
        except TakesLong:
            return save_in_turn(work)
        if text is not None and is_immediate(work.records.driver.write):
            return begin(commit(work, text))
        return save_in_turn(work)

    async def _save_and_flush(self, saving: Coroutine[Any, Any, None]) -> None:
        try:
            await saving
        except BaseException as error:
            self._work.headers_sent = False
            if isinstance(error, UnavailableError):
                raise unavailable(error) from error
            raise
        finally:
            self._flushing = None  # if it failed, `finish` tries once more
        await self.flush()

    async def _save_after(self, flushing: asyncio.Task[None]) -> None:
        with contextlib.suppress(Exception):
            await flushing
        await save_in_turn(self._work)

    # ---------------------------------------------------------------- HEAD

    def _hold(self) -> asyncio.Future[None]:
        """Answer a `flush` for HEAD: send nothing, and drop the body as Tornado does."""
        handler = self._handler
        if self._held is not handler._headers:
            self._held, self._held_chunk = handler._headers, handler._write_buffer
        handler._write_buffer = []
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _send_held(self) -> None:
        """Send the held headers first: `finish` must add no Etag or length of the rest."""
        held, self._held = self._held, None
        if held is self._handler._headers:  # otherwise the handler has new ones, as for an error page
            self._handler._write_buffer = self._held_chunk
            self._state = SAVING
            self.flush()

    # ---------------------------------------------------------------- no response

    def detach(self) -> IOStream:
        """The replacement of the handler's `detach`: from now on there is no response."""
        if self._state == OPEN:
            self._give_up(find_place(), "before detach()", "await session.save() first")
        return self._detach()

    def _upload_ended(self) -> None:
        if self._state == OPEN:
            place, cure = name_of(self._handler), "await session.save() in prepare()"
            self._give_up(place, "before its client left during an upload", cure)

    def _give_up(self, place: str, when: str, cure: str) -> None:
        """Warn of the changes that are lost, since no response will come."""
        work = self._work
        lost = unsaved(work)
        if lost:
            warn_of_loss(work.records.events, place, lost, when, cure)
        work.content.is_late = work.headers_sent = True
        work.trace.cookie = "not sent: there was no response"
        self.close()
        self._state = CLOSED

    def close(self) -> None:
        """Release the handler: its response has left, or never will."""
