"""Holds a response until its session is saved, and puts the cookie into it.

Tornado ends a response in `RequestHandler.finish`, which it calls without waiting for it, and sends the headers in
`flush`. Both are replaced on the one handler whose session was started, as Tornado itself does for WebSockets, so
that every way a handler can end comes by here: a return, `finish`, `redirect`, `send_error`, an exception.

- `finish` saves first. Where nothing needs saving, the response leaves at once, without a detour; only after a long
  request the store is asked whether the session is still there, as the cookie of one that was destroyed is not sent.
- `flush`, before it sends the headers, adds the cookie. If the session is not stored under that id, as it is new or
  regenerated, it is saved first: the client may ask again before the response ends. For HEAD they wait for `finish`: no
  body is streamed, so a client that has the headers has the whole answer, and may ask again.
- If saving fails, the client gets an error instead of what the handler wrote: 503 for a store that is down, 500 for
  anything else. Where headers have gone out already, the connection is closed, so that a cut-off body does not pass
  for a whole one.
- Where no response is to come, since the handler detaches the connection or its client has left during a streamed
  upload, nothing is saved, and a warning tells what is lost.
- Where a streamed body is still arriving, Tornado reads on only when the response leaves. It hands nothing to a handler
  that has finished, but does not know of a `finish` that waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tornado.concurrent import chain_future, future_set_result_unless_cancelled
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import HTTPError, RequestHandler

from .errors import UnavailableError
from .late import find_place, warn_of_loss
from .report import Watch
from .serializer import TakesLong
from .store import Store

logger = logging.getLogger("node_session")

# A handler's response is left to Tornado while the session is being loaded, and again once it is saved or has failed.
_LOADING, _OPEN, _SAVING, _CLOSED = range(4)


class HeldResponse:
    """The response of one handler; see the module.

    Args:
        handler: Its `finish`, `flush` and `detach` are replaced, and its `data_received`, if its body is streamed.
        set_cookie: Gives the Set-Cookie line; None for no cookie.
        after: Called once, when the response has been handed to Tornado and the session was saved; its last argument
            tells whether the record was left as it is.
    """

    def __init__(
        self,
        handler: RequestHandler,
        session: Store,
        set_cookie: Callable[[Store], str | None],
        after: Callable[[HTTPServerRequest, Store, bool], None],
    ) -> None:
        self._handler = handler
        self._session = session
        self._set_cookie = set_cookie
        self._after: Callable[[HTTPServerRequest, Store, bool], None] | None = after
        self._untouched = True
        self._sent_cookie = False
        self._held_headers: HTTPHeaders | None = None  # that flush() has left for finish() to send
        self._held_chunk: list[bytes] = []
        self._state = _LOADING
        self._flushing: asyncio.Task[None] | None = None  # a first flush() that waits for a save
        self._task: asyncio.Task[None] | None = None  # the loop itself keeps no strong reference
        self._read_on: asyncio.Future[None] | None = None  # what Tornado waits for before it reads more of the body
        self._finish = handler.finish
        self._flush = handler.flush
        self._detach = handler.detach
        handler.finish = self.finish  # type: ignore[method-assign]
        handler.flush = self.flush  # type: ignore[method-assign]
        handler.detach = self.detach  # type: ignore[method-assign]
        if handler._prepared_future is not None:  # the body is streamed
            self._data_received: Callable[[bytes], Awaitable[None] | None] = handler.data_received
            handler.data_received = self.data_received
        handler._held_response = self  # type: ignore[attr-defined]

    def open(self) -> None:
        """The session is loaded: from now on it is saved with the response, unless that has left already."""
        handler = self._handler
        if handler._finished:
            self._session.is_late = handler.get_status() != 101  # in a WebSocket no response is waited for
            self.close()
            return
        self._state = _OPEN
        if handler._prepared_future is not None:  # its body is streamed
            handler.request._body_future.add_done_callback(self._upload_ended)

    def abandon(self) -> None:
        """The session cannot be loaded: what the response says of that is for Tornado alone."""
        self.close()
        self._state = _CLOSED

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> asyncio.Future[None]:
        """In place of the handler's `finish`."""
        handler = self._handler
        if self._state != _OPEN or handler._finished:
            if self._state == _LOADING and not handler._finished:
                warn_of_early_end(handler, self._session.watch)
            future = self._finish(chunk)
            if self._state == _CLOSED:  # the page of an error, of which no `on_finish` but the mixin's tells
                self.close()
            return future
        if handler.get_status() == 101:  # a WebSocket; Tornado sets it up when this returns, so there is no waiting
            return self._finish_now(chunk)
        if chunk is not None and type(handler).finish is RequestHandler.finish:
            handler.write(chunk)  # raises to the caller, as ever; a finish of the handler's own gets its chunk later
            chunk = None
        if self._flushing is not None:
            self._untouched, self._session.is_late = False, True
            return self._finish_later(self._save_after(self._flushing), chunk)
        try:
            if self._is_in_vain():
                self._session.is_late = True
                return self._finish_now(chunk)
            if self._session.open_transaction is not None and self._session.waits_for_transaction:
                self._untouched = False
                self._session.is_late = True
                return self._finish_later(self._session.save_in_turn(), chunk)
            text = self._session.stage()
            at_once = text is not None and self._session.commit_at_once(text)
            takes_long = False
        except TakesLong:
            takes_long = True  # outside of this clause, where _is_broken_off() sees what Tornado is handling
        except BaseException:
            self._state = _CLOSED  # the error page that follows is sent without a session
            raise
        self._session.is_late = True
        if takes_long:
            return self._finish_later(self._save(), chunk)
        self._untouched = text is None
        if at_once:
            return self._finish_now(chunk)
        if text is not None:
            return self._finish_later(self._session.commit(text), chunk)
        if not handler._headers_written and self._session.needs_confirmation and self._session.wants_cookie:
            return self._finish_later(self._session.confirm(), chunk)
        return self._finish_now(chunk)

    def _finish_later(self, saving: Coroutine[Any, Any, None], chunk: Any) -> asyncio.Future[None]:
        """Finish the response when the session is saved."""
        if _is_broken_off():
            saving.close()
            self._state, self._after = _CLOSED, None
            self._session.trace.cookie = "not sent: the request was broken off"
            return self._finish(chunk)
        self._state = _SAVING
        self._session.headers_sent = True  # as good as: what is saved now is saved under the id it has
        self._handler._finished = True  # to Tornado: whatever is written from now on comes too late
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._save_and_finish(saving, chunk, done))
        if self._handler._prepared_future is not None:  # the body is streamed
            self._hold_body(self._handler._prepared_future)
        return done

    def _hold_body(self, prepared: asyncio.Future[None]) -> None:
        """Let nothing more of a streamed body reach the handler, and Tornado read none until the response leaves.

        To read and drop it is not enough: for a body that is malformed or too long, Tornado would send a 400 in place
        of the response.
        """
        # As HTTP1Connection.finish() does. Where a timer has called `finish`, Tornado is waiting for the body's end
        # now, and would run the handler's method.
        self._handler.request.connection._write_finished = True  # type: ignore[union-attr]
        if prepared.done():
            self._read_on = asyncio.get_running_loop().create_future()
        else:
            self._read_on = prepared
            self._handler._prepared_future = None  # Tornado would set it when `prepare` is over

    def _release_body(self) -> None:
        if self._read_on is not None:
            future_set_result_unless_cancelled(self._read_on, None)
            self._read_on = None

    async def data_received(self, chunk: bytes) -> None:
        """In place of the handler's `data_received`; returns when Tornado may read on."""
        if self._state != _SAVING:
            received = self._data_received(chunk)
            if received is not None:
                await received
        if self._read_on is not None:
            await self._read_on

    async def save_before_handshake(self) -> None:
        """Save what a WebSocket's `prepare` has changed: the handshake sends the cookie, and cannot wait.

        Raises:
            tornado.web.HTTPError: 503, the store is down.
        """
        session = self._session
        if session.is_untouched and not session.is_ended:
            session.get_token()  # so that there is something to store: no later response can send the cookie
        try:
            await self._save()
        except UnavailableError as error:
            raise unavailable(error) from error

    async def _save(self) -> None:
        session = self._session
        text = await session.stage_in_time()
        self._untouched = text is None
        if text is not None:
            await session.commit(text)
        elif session.needs_confirmation and session.wants_cookie:
            await session.confirm()

    def flush(self, include_footers: bool = False) -> asyncio.Future[None]:
        """In place of the handler's `flush`."""
        if self._state in (_OPEN, _SAVING) and not self._handler._headers_written:
            if not include_footers and self._state == _OPEN:
                if self._handler.request.method == "HEAD":
                    return self._hold_headers()
                if self._must_save_first():
                    return self._flushing  # type: ignore[return-value]
            state, self._state = self._state, _CLOSED  # if this raises, the error page goes without a cookie
            line = self._set_cookie(self._session) if self._wants_cookie() else None
            self._state = state
            if line is not None:
                self._add_header("Set-Cookie", line)
                self._sent_cookie = True
            self._session.headers_sent = True
        return self._flush(include_footers)

    def _must_save_first(self) -> bool:
        """Whether `flush` is to wait until the session is stored, which is begun if need be."""
        session = self._session
        if self._flushing is None and session.has_no_record_yet and not self._is_in_vain():
            self._state = _CLOSED  # if this raises, the error page goes without a cookie
            try:
                text = None if session.waits_for_transaction else session.stage()
                at_once = text is not None and session.commit_at_once(text)
            except TakesLong:
                at_once = False
            self._state, self._untouched = _OPEN, False
            if not at_once:
                session.headers_sent = True  # as good as: its id is on the way
                self._flushing = asyncio.ensure_future(self._save_and_flush())
                self._flushing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._flushing is not None

    async def _save_and_flush(self) -> None:
        try:
            await self._session.save_in_turn()
        except BaseException as error:
            self._session.headers_sent = False
            if isinstance(error, UnavailableError):
                raise unavailable(error) from error
            raise
        finally:
            self._flushing = None  # if it failed, `finish` tries once more
        await self.flush()

    async def _save_after(self, flushing: asyncio.Task[None]) -> None:
        with contextlib.suppress(Exception):
            await flushing
        await self._session.save_in_turn()

    def detach(self) -> IOStream:
        """In place of the handler's `detach`: from now on there is no response."""
        if self._state == _OPEN:
            self._give_up(find_place(), "before detach()", "await session.save() first")
        return self._detach()

    def _upload_ended(self, body: asyncio.Future[None]) -> None:
        """If the client has left, Tornado runs nothing more of the handler, neither `finish` nor `on_finish`."""
        if self._state == _OPEN and not body.cancelled() and body.exception() is not None:
            kind = type(self._handler)
            place = f"{kind.__module__}.{kind.__qualname__}"
            self._give_up(place, "before its client left during an upload", "await session.save() in prepare()")

    def _give_up(self, place: str, when: str, cure: str) -> None:
        """No response is to come: say what is lost by that."""
        session = self._session
        lost = session.unsaved()
        if lost:
            warn_of_loss(session.watch, place, lost, when, cure)
        session.is_late = session.headers_sent = True
        session.trace.cookie = "not sent: there was no response"
        self.close()
        self._state = _CLOSED

    def _hold_headers(self) -> asyncio.Future[None]:
        """`flush` of a HEAD request: nothing leaves, and as in Tornado's the body is dropped."""
        handler = self._handler
        if self._held_headers is not handler._headers:
            self._held_headers, self._held_chunk = handler._headers, handler._write_buffer
        handler._write_buffer = []
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _send_held_headers(self) -> None:
        """Send what `flush` would have sent, so that `finish` adds no Etag or length of the little that is left."""
        held, self._held_headers = self._held_headers, None
        if held is self._handler._headers:  # otherwise the handler has begun again, as for an error page
            self._handler._write_buffer = self._held_chunk
            self._state = _SAVING
            self.flush()

    def cookie_line(self) -> str | None:
        """The Set-Cookie line that the response is to carry, as things are; None for no cookie."""
        return self._set_cookie(self._session)

    def _wants_cookie(self) -> bool:
        """Whether to send the cookie. A long request that changed nothing need not, and asks nobody whether it may."""
        session = self._session
        if self._untouched and session.needs_confirmation and not session.wants_cookie:
            session.trace.cookie = "not sent: the browser has it"
            return False
        return True

    def _is_in_vain(self) -> bool:
        """Whether nobody could ask for the session if it were stored: it is new, and its cookie is not sent."""
        if not self._session.is_new:
            return False
        if not self._handler._headers_written:
            return self._set_cookie(self._session) is None
        if not self._sent_cookie and not self._session.is_untouched:
            logger.warning(
                "a session is not stored, as it was first used after the headers had been sent, and with them the time "
                "for its cookie: use it before flush(), or set saveUninitialized"
            )
        return not self._sent_cookie

    def close(self) -> None:
        """The response has left: do what could wait. Called by `SessionMixin.on_finish`, or else by `finish`."""
        after, self._after = self._after, None
        if after is None:
            return
        # The handler is given back, so that it goes without waiting for Python's collector of cycles.
        attributes = self._handler.__dict__
        if attributes.pop("_held_response", None) is self:
            if attributes.get("finish") == self.finish:
                del attributes["finish"]
            if attributes.get("flush") == self.flush:
                del attributes["flush"]
            if attributes.get("detach") == self.detach:
                del attributes["detach"]
            if attributes.get("data_received") == self.data_received:
                del attributes["data_received"]
        if self._state != _LOADING:
            after(self._handler.request, self._session, self._untouched)

    async def _save_and_finish(self, saving: Coroutine[Any, Any, None], chunk: Any, done: asyncio.Future[None]) -> None:
        is_chained = False
        try:
            try:
                await saving
            except Exception as error:
                self._handler._finished = False
                self._fail(error)
            else:
                self._handler._finished = False
                sent = self._finish_now(chunk)
                self._release_body()  # before all is sent: a client may read nothing until it has sent its body
                if asyncio.isfuture(sent) and not sent.done():
                    # No task waits for it: if the client leaves meanwhile, Tornado may never settle it.
                    chain_future(sent, done)
                    done.add_done_callback(lambda done: done.cancelled() or done.exception())
                    is_chained = True
                else:
                    await sent
        except Exception as error:
            # Whoever awaits finish() learns of it, as from Tornado's own; but mostly nobody does.
            if not isinstance(error, StreamClosedError):  # a client that went away
                self._handler._handle_request_exception(error)
            if not done.done():
                done.set_exception(error)
                done.exception()
        finally:
            self._release_body()
            if not done.done() and not is_chained:
                done.set_result(None)
            self._task = None

    def _add_header(self, name: str, line: str) -> None:
        handler = self._handler
        if name in handler._headers or type(handler).add_header is not RequestHandler.add_header:
            handler.add_header(name, line)
        else:
            # add_header() would look through the line for forbidden characters twice, and Tornado does once more when
            # it is sent. What could be in it was checked with the config.
            handler._headers[name] = line

    def _finish_now(self, chunk: Any) -> asyncio.Future[None]:
        if self._held_headers is not None:
            self._send_held_headers()
        future = self._finish(chunk)
        self._state = _CLOSED
        self.close()
        return future

    def _fail(self, error: Exception) -> None:
        handler, session = self._handler, self._session
        session.is_late = False  # what an error page changes is lost with all the rest, as the log says
        # If its new record is stored, the old id may be worth nothing any more. Not so for a log-out: it is tried
        # again with the old cookie, or the old record would stay logged in.
        if session.has_moved and not session.is_logging_out:
            self._state = _SAVING
        else:
            self._state = _CLOSED
            session.trace.cookie = "not sent: the session was not saved"
        if isinstance(error, UnavailableError):
            error = unavailable(error)
        status = error.status_code if isinstance(error, HTTPError) else 500
        try:
            raise error
        except Exception:
            exc_info = sys.exc_info()
            handler.log_exception(*exc_info)
            if not handler._headers_written:
                handler.send_error(status, exc_info=exc_info)
                self._state = _CLOSED
                self.close()
                return
        handler._finished = True
        handler.request.connection.close()  # type: ignore[union-attr]
        handler._log()
        handler.on_finish()
        self.close()


def _is_broken_off() -> bool:
    """Whether this is Tornado's answer to a handler whose task was cancelled, as all are when the loop is about to end.

    A save that is begun now would not be waited for, nor be cancelled: it would run into a loop that is closed.
    """
    task = asyncio.current_task()
    if task is None or not isinstance(sys.exc_info()[1], asyncio.CancelledError):
        return False
    return sys.version_info >= (3, 11) and task.cancelling() > 0  # before 3.11 Tornado does not answer


def warn_of_early_end(handler: RequestHandler, watch: Watch) -> None:
    """The handler did not wait for its session."""
    name = f"{type(handler).__module__}.{type(handler).__qualname__}"
    watch.warn_once(
        name,
        "%s finished before its session was loaded, so it had none, and nothing is saved: return (or await) what "
        "start_session() gives, in prepare()",
        name,
    )


def unavailable(error: UnavailableError) -> HTTPError:
    """The answer to a request whose session cannot be loaded or saved now."""
    answer = HTTPError(503, "%s", error)
    answer.__cause__ = error
    return answer
