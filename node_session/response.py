"""The held response, which leaves when the session is saved, with its cookie.

Tornado ends a response in `RequestHandler.finish`, which it calls without waiting for it, and sends the headers in
`flush`. Both are replaced on the one handler whose session was started, as Tornado itself does for WebSockets. So every
way in which a handler can end leads here: a return, `finish`, `redirect`, `send_error`, an exception.

- `finish` saves first. If nothing needs saving, the response leaves immediately. Only after a long request, the store
  is asked whether the session still exists: the cookie of a destroyed one is not sent.
- `flush` adds the cookie; see `node_session.headers`.
- If saving fails, the client gets an error page instead of the handler's: 503 for a store that is down, 500 for
  anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tornado.concurrent import chain_future
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from .background import Background
from .cookies import Found
from .headers import CLOSED, LOADING, OPEN, SAVING, HeldHeaders
from .immediate import begin, is_immediate
from .refusals import is_interrupted, refuse, warn_of_early_end
from .saving import commit, confirm, needs_confirmation, save_or_confirm, stage
from .serializer import TakesLong
from .session import Session
from .state import MOVED
from .transaction import save_in_turn, waits_for_transaction
from .transport import Transport
from .upload import HeldUpload
from .work import UnitOfWork

_Saving = Coroutine[Any, Any, None]

# The methods of a handler that are replaced, apart from that of a streamed upload.
_REPLACED = ("finish", "flush", "detach")


class HeldResponse(HeldHeaders):
    """The response of one handler; see the module.

    Args:
        handler: Its `finish`, `flush` and `detach` are replaced, and its `data_received`, if its body is streamed.
        session: The request's.
        work: The session's.
        transport: Writes the cookie.
        found: The request's cookie.
        background: Receives the end of the request, once the session is saved and the response has left.
    """

    def __init__(
        self,
        handler: RequestHandler,
        session: Session,
        work: UnitOfWork,
        transport: Transport,
        found: Found,
        background: Background,
    ) -> None:
        super().__init__(handler, session, work, transport, found)
        self._background: Background | None = background
        self._task: asyncio.Task[None] | None = None  # the loop itself keeps no strong reference
        self._finish = handler.finish
        handler.finish = self.finish  # type: ignore[method-assign]
        self._upload = HeldUpload(handler) if handler._prepared_future is not None else None
        handler._held_response = self  # type: ignore[attr-defined]

    def open(self) -> None:
        """Save the loaded session with the response, unless that has left already."""
        handler = self._handler
        if handler._finished:
            if handler.get_status() != 101:  # a WebSocket has no response that could save later changes
                self._work.content.is_late = True
            self.close()
            return
        self._state = OPEN
        if self._upload is not None:
            self._upload.on_end(self._upload_ended)

    def abandon(self) -> None:
        """Leave the response to Tornado, since the session cannot be loaded."""
        self.close()
        self._state = CLOSED

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> asyncio.Future[None]:
        """The replacement of the handler's `finish`."""
        handler = self._handler
        if self._state != OPEN or handler._finished:
            return self._finish_once_more(chunk)
        if handler._status_code == 101:  # a WebSocket; Tornado sets it up when this returns, so there is no waiting
            return self._finish_now(chunk)
        if chunk is not None and type(handler).finish is RequestHandler.finish:
            handler.write(chunk)  # errors go to the caller, as in Tornado; an overridden finish() gets its chunk later
            chunk = None
        try:
            saving = self._save_first()
        except BaseException:
            self._state = CLOSED  # the error page that follows has no session
            raise
        self._work.content.is_late = True
        return self._finish_now(chunk) if saving is None else self._finish_later(saving, chunk)

    def _save_first(self) -> _Saving | None:
        """Begin to save; return the rest to await, or None if nothing needs awaiting."""
        work = self._work
        if self._flushing is not None:
            work.is_left_alone = False
            return self._save_after(self._flushing)
        if work.version is None and self._is_in_vain():
            return None
        if work.open_transaction is not None and waits_for_transaction(work):
            work.is_left_alone = False
            return save_in_turn(work)
        try:
            text = stage(work)
        except TakesLong:
            return save_or_confirm(work)
        work.is_left_alone = text is None
        if text is None:
            if not self._handler._headers_written and needs_confirmation(work) and work.wants_cookie:
                return confirm(work)
            return None
        saving = commit(work, text)
        return begin(saving) if is_immediate(work.records.driver.write) else saving

    def _finish_once_more(self, chunk: Any) -> asyncio.Future[None]:
        """Finish a response that is left to Tornado."""
        if self._state == LOADING and not self._handler._finished:
            warn_of_early_end(self._handler, self._work.records.events)
        future = self._finish(chunk)
        if self._state == CLOSED:  # an error page; without the mixin, no on_finish() reports its end
            self.close()
        return future

    def _finish_now(self, chunk: Any) -> asyncio.Future[None]:
        if self._held is not None:
            self._send_held()
        future = self._finish(chunk)
        self._state = CLOSED
        if self._background is not None:
            self.close()
        return future

    def _finish_later(self, saving: _Saving, chunk: Any) -> asyncio.Future[None]:
        """Finish the response after the save."""
        if is_interrupted():
            saving.close()
            self._state, self._background = CLOSED, None
            self._work.trace.cookie = "not sent: the request was broken off"
            return self._finish(chunk)
        self._state = SAVING
        self._work.headers_sent = True  # nearly: the save uses the present id, so that must not change any more
        self._handler._finished = True  # for Tornado: the handler can write nothing more
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._save_and_finish(saving, chunk, done))
        if self._upload is not None:
            self._upload.hold()
        return done

    async def _save_and_finish(self, saving: _Saving, chunk: Any, done: asyncio.Future[None]) -> None:
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
                self._release_upload()  # before all is sent: a client may not read until it has sent its body
                if asyncio.isfuture(sent) and not sent.done():
                    # No task awaits it: if the client leaves meanwhile, Tornado may never settle it.
                    chain_future(sent, done)
                    done.add_done_callback(lambda done: done.cancelled() or done.exception())
                    is_chained = True
                else:
                    await sent
        except Exception as error:
            # A caller that awaits finish() gets the error, as from Tornado's own; but few callers await it.
            if not isinstance(error, StreamClosedError):  # the client has left
                self._handler._handle_request_exception(error)
            if not done.done():
                done.set_exception(error)
                done.exception()
        finally:
            self._release_upload()
            if not done.done() and not is_chained:
                done.set_result(None)
            self._task = None

    def _release_upload(self) -> None:
        if self._upload is not None:
            self._upload.release()

    def _fail(self, error: Exception) -> None:
        work = self._work
        work.content.is_late = False  # changes by the error page are lost with all others, as the log says
        # If the new record is stored, the old id may be useless, so the new cookie is sent. But not at a log-out: the
        # browser must retry it with the old cookie, or the old record would stay logged in. Nor if the owner may have
        # logged out meanwhile; then the old record is still as it was.
        if work.state is MOVED and not work.is_logging_out and not work.content.is_unverified:
            self._state = SAVING
        else:
            self._state = CLOSED
            work.trace.cookie = "not sent: the session was not saved"
        if refuse(self._handler, error):
            self._state = CLOSED
        self.close()

    def close(self) -> None:
        """Do the work that could wait until the response has left."""
        background, self._background = self._background, None
        if background is None:
            return
        # Break the reference cycle with the handler, so that Python frees it without the garbage collector.
        attributes = self._handler.__dict__
        if attributes.pop("_held_response", None) is self:
            for name in _REPLACED:
                if attributes.get(name) == getattr(self, name):
                    del attributes[name]
            if self._upload is not None:
                self._upload.give_back()
        if self._state != LOADING:
            background.request_ended(self._handler.request, self._session, self._work)
