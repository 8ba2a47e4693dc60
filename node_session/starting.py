"""The start of a request's session: from its cookie to the held response."""

from __future__ import annotations

import contextlib
import weakref

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from . import loading
from .background import Background
from .checks import FlashOn
from .cookies import Found
from .errors import SessionError, UnavailableError
from .events import Events
from .handshake import save_before_handshake
from .navigation import shows_page
from .once import Once
from .passive import become_passive
from .records import Records
from .refusals import unavailable, warn_of_early_end
from .response import HeldResponse
from .session import Session, work_of
from .transport import Transport
from .work import UnitOfWork


class Starter:
    """Starter of a program's sessions.

    Args:
        name: The cookie's name.
        records: All records; made for the first session.
        transport: Finds the cookies.
        background: Receives each request.
        events: Receives warnings of handlers that do not wait for their session.
        flash_on: The option `flashOn`.
    """

    def __init__(
        self,
        name: str,
        records: Once[Records],
        transport: Transport,
        background: Background,
        events: Events,
        flash_on: FlashOn,
    ) -> None:
        self._name = name
        self._records = records
        self._transport = transport
        self._background = background
        self._events = events
        self._ages_on_pages_only = flash_on == "navigation"

    async def start(self, request: HTTPServerRequest, handler: RequestHandler) -> Session:
        """Start a request's session; see `NodeSession.start_session`."""
        started = getattr(request, "session", None)
        if started is not None and isinstance(started, Session):
            if not started.is_started:
                raise SessionError("start_session() is already at work for this request: await it before you go on")
            return started
        if handler._finished:
            warn_of_early_end(handler, self._events)
        found = self._transport.find(request)
        response: HeldResponse | None = None
        try:
            records = self._records.made or await self._records.get()
            session = Session(self._name, records, found.id, others=found.others)
            work = work_of(session)
            work.content.find_client = weakref.ref(request)
            work.has_cookie = found.value is not None  # until it takes another id
            self._judge(request, handler, work)
            response = HeldResponse(handler, session, work, self._transport, found, self._background)
            request.session = session  # type: ignore[attr-defined]
            await loading.start(work)
            if not work.has_cookie:
                self._look_for_doubt(request, found, work)
            if isinstance(handler, WebSocketHandler):
                work.content.ages_flash = False
                save_before_handshake(handler, session, self._background.sockets)
        except BaseException as error:
            if response is not None:
                response.abandon()
            if isinstance(error, UnavailableError):
                raise unavailable(error) from error
            raise
        finally:
            if handler._finished:
                warn_of_early_end(handler, self._events)
        response.open()
        if not handler._finished:
            self._background.request_began(request, work)
        return session

    def _judge(self, request: HTTPServerRequest, handler: RequestHandler, work: UnitOfWork) -> None:
        """Note whether the request is activity, shows a page, and is https."""
        if work.records.format.keeps_scheme:
            self._keep_scheme(request, work)
        if getattr(handler, "passive_session", False):
            become_passive(work)
        elif self._ages_on_pages_only and not shows_page(request.method, request.headers):
            work.content.ages_flash = False

    def _keep_scheme(self, request: HTTPServerRequest, work: UnitOfWork) -> None:
        """Note whether the request is https, for the record of a new session."""
        work.new_envelope = work.envelope = work.records.format.new_envelope(self._transport.is_secure(request))

    def _look_for_doubt(self, request: HTTPServerRequest, found: Found, work: UnitOfWork) -> None:
        """Note why a request may lack the cookie that its user has."""
        if found.forged and found.id is None:
            work.trace.found = "forged"
        work.is_withheld = work.is_new and self._transport.is_withheld(request)

    async def get(self, request: HTTPServerRequest) -> Session:
        """Make a request's session without loading it; see `NodeSession.get_session`."""
        found = self._transport.find(request)
        records = await self._records.get()
        session = Session(self._name, records, found.id, others=found.others)
        if records.format.keeps_scheme:
            self._keep_scheme(request, work_of(session))
        with contextlib.suppress(TypeError):  # it may be a stand-in of a test, of a class without weak references
            work_of(session).content.find_client = weakref.ref(request)
        return session


def session_of(request: HTTPServerRequest) -> Session:
    """Find a request's session: the same as ``request.session``, for type checkers.

    Raises:
        SessionError: It is not loaded.
    """
    session = getattr(request, "session", None)
    if not isinstance(session, Session) or not session.is_started:
        raise SessionError("there is no session yet: it is loaded right before prepare() runs, or by start_session()")
    return session
