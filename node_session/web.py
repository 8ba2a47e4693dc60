"""Sessions for every handler of an application, by inheriting from one class.

class Page(SessionMixin, tornado.web.RequestHandler):
    def get(self):
        self.write(self.session.get("name", "Nobody"))

tornado.web.Application([("/", Page)], node_session=NodeSession({"secret": "…"}))
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

from tornado.escape import xhtml_escape
from tornado.web import Finish, HTTPError, RequestHandler

from . import csrf_check
from .drivers import MemoryDriver
from .errors import UnavailableError
from .events import Events
from .formats import NODE_SESSION
from .immediate import begin
from .loading import start
from .manager import NodeSession, sessions_of
from .origin import SAFE_METHODS
from .records import Records
from .refusals import unavailable
from .response import HeldResponse
from .session import Session, work_of
from .starting import session_of

if TYPE_CHECKING:
    _Base = RequestHandler
else:
    _Base = object


class SessionMixin(_Base):
    """A session for handlers: loaded before `prepare`, saved with the response.

    Name it before the handler it is mixed into: ``class Page(SessionMixin, RequestHandler)``. A `prepare` of your
    own, async or not, finds the session loaded, whether or not it calls ``super().prepare()``.

    The application's setting ``node_session`` is a `NodeSession` or a config dict.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if RequestHandler in order and order.index(RequestHandler) < order.index(SessionMixin):
            raise TypeError(f"class {cls.__name__}: name SessionMixin before the RequestHandler, or it has no effect")
        # The class's own, or that of a class named before this one, which may call no super().
        cls._start_before_prepare()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        prepare = type(self).prepare
        if getattr(prepare, "starts_session", None) is not prepare:
            self._start_before_prepare()  # a class decorator has replaced it
        super().__init__(*args, **kwargs)

    @classmethod
    def _start_before_prepare(cls) -> None:
        prepare = cls.prepare
        # The mark names the function that it was made for: functools.wraps copies it to others.
        if getattr(prepare, "starts_session", None) is not prepare:
            cls.prepare = _after_start(prepare)  # type: ignore[method-assign]

    @property
    def session(self) -> Session:
        """The session of this request; the same as ``self.request.session``.

        In an error page for a failure before the session was loaded, it is an empty one, which is never stored.

        Raises:
            SessionError: It is not loaded yet.
        """
        return session_of(self.request)

    @session.setter
    def session(self, session: Session) -> None:
        if session is not self.session:  # ``self.session |= {…}`` sets the same object again
            raise AttributeError("a handler's session cannot be replaced; change it: self.session.put({…})")

    @property
    def node_session(self) -> NodeSession:
        """The application's `NodeSession`."""
        return sessions_of(self.application)

    # A session of the request is not enough: `start_session` may have loaded it without a check of the token.
    _is_prepared = False

    csrf_exempt = False
    """Whether requests need no CSRF token although `csrf` is on; for webhooks."""

    close_with_session = False
    """Whether a WebSocket is closed, with code 4401, soon after its session was destroyed or has expired, also by
    another process; how soon says the option `closeSocketsWithin`."""

    passive_session = False
    """Whether requests are no activity of the user; for polls. See `Session.passive`."""

    def prepare(self) -> Awaitable[None]:
        """Start the session, then go on with the next class's `prepare`.

        Returns:
            An awaitable, whether or not that `prepare` is async. An `async def prepare` awaits it; a plain one need
            not.
        """
        if self._is_prepared:
            return _awaitable(super().prepare())
        return self._start_then(super().prepare)

    # ---------------------------------------------------------------- CSRF

    def check_csrf(self) -> None:
        """Refuse a request that changes something and lacks the session's token.

        With the option `csrf`, this is called right after the session is loaded. The token may be in the form field
        ``_token`` (or Tornado's ``_xsrf``) or in the headers X-CSRF-Token or X-XSRF-Token (or Tornado's X-Csrftoken or
        X-Xsrftoken); in the format express-session, also where csurf looks for it. If the browser says that another
        site made the request, no token helps.

        Raises:
            tornado.web.HTTPError: 403.
        """
        if self.request.method not in SAFE_METHODS and not self.csrf_exempt:
            csrf_check.check(self, self.session)

    def csrf_field(self) -> str:
        """The hidden form field with the token, for ``{% raw … %}`` in a template."""
        name = csrf_check.format_of(self.session).token_field
        return f'<input type="hidden" name="{name}" value="{xhtml_escape(self.session.get_token())}">'

    @property
    def xsrf_token(self) -> bytes:
        """The token in Tornado's ``xsrf_form_html``: the session's, with `csrf` on."""
        if not self.node_session.config.csrf:
            return super().xsrf_token
        return self.session.get_token().encode()

    def check_xsrf_cookie(self) -> None:
        """Run Tornado's own check; with the option `csrf`, `check_csrf` takes its place."""
        if not self.node_session.config.csrf:
            super().check_xsrf_cookie()

    def get_template_namespace(self) -> dict[str, Any]:
        """Add `csrf_field` to the names that templates can use."""
        namespace: dict[str, Any] = super().get_template_namespace()
        namespace["csrf_field"] = self.csrf_field
        return namespace

    # ---------------------------------------------------------------- hooks

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Send an error page; its `write_error` always has a session."""
        self._have_session()
        super().send_error(status_code, **kwargs)

    def _handle_request_exception(self, e: BaseException) -> None:
        if not isinstance(e, Finish):
            self._have_session()  # for log_exception, which comes before the error page
        if not isinstance(e, UnavailableError):
            super()._handle_request_exception(e)
            return
        try:
            raise unavailable(e)
        except HTTPError as answer:
            super()._handle_request_exception(answer)

    def _have_session(self) -> None:
        """Make an empty session for an error before loading: a 403, a 405, a store down."""
        session = getattr(self.request, "session", None)
        if isinstance(session, Session) and session.is_started:
            return
        sessions = self.settings.get("node_session")
        name, format = (
            (sessions.config.cookie, sessions.format)
            if isinstance(sessions, NodeSession)
            else ("node_session", NODE_SESSION)
        )
        # It has a store of its own, so that even a save() by the error page does not keep it.
        session = Session(name, Records(MemoryDriver(0), events=Events("memory"), format=format))
        begin(start(work_of(session)))  # which never waits, since the id is fresh
        work_of(session).trace.cookie = "not sent: the session was never loaded"
        self.request.session = session  # type: ignore[attr-defined]

    def on_finish(self) -> None:
        """Renew the session after the response, and sometimes remove expired ones."""
        response: HeldResponse | None = getattr(self, "_held_response", None)
        if response is not None:
            response.close()
        super().on_finish()

    async def _start_then(self, prepare: Any) -> None:
        sessions = self.application.settings.get("node_session")
        if not isinstance(sessions, NodeSession):  # a config dict, for example
            sessions = sessions_of(self.application)
        await sessions.start_session(self.request, self)
        if sessions.config.csrf:
            self.check_csrf()
        self._is_prepared = True
        going_on = prepare()
        if going_on is not None and going_on is not _DONE:
            await _awaitable(going_on)


SessionMixin.prepare.starts_session = SessionMixin.prepare  # type: ignore[attr-defined]


def _after_start(prepare: Any) -> Any:
    """Wrap a `prepare`, so that it runs when the session is loaded."""

    @functools.wraps(prepare)
    def wrapper(self: SessionMixin) -> Any:
        if self._is_prepared:  # a subclass's prepare has called super().prepare()
            return _awaitable(prepare(self))
        return self._start_then(functools.partial(prepare, self))

    wrapper.starts_session = wrapper  # type: ignore[attr-defined]
    return wrapper


class _Done:
    """An awaitable for a plain `prepare`; unlike a coroutine, it need not be awaited."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


_DONE = _Done()


def _awaitable(result: Any) -> Awaitable[Any]:
    """Return the result of a `prepare` as an awaitable."""
    return result if inspect.isawaitable(result) else _DONE
