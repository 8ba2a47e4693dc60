"""Sessions for every handler of an application, by inheriting from one class.

class Page(SessionMixin, tornado.web.RequestHandler):
    def get(self):
        self.write(self.session.get("name", "Nobody"))

tornado.web.Application([("/", Page)], node_session=NodeSession({"secret": "…"}))
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from tornado.escape import xhtml_escape
from tornado.web import Finish, HTTPError, RequestHandler

from .drivers import MemoryDriver
from .errors import ConfigError, SessionError
from .immediate import run
from .origin import SAFE_METHODS, is_cross_site
from .report import Watch
from .response import HeldResponse
from .session import NodeSession
from .store import Store

if TYPE_CHECKING:
    _Base = RequestHandler
else:
    _Base = object


_TOKEN_FIELDS = ("_token", "_xsrf")
_TOKEN_HEADERS = ("X-CSRF-Token", "X-XSRF-Token", "X-Csrftoken", "X-Xsrftoken")


class SessionMixin(_Base):
    """A `RequestHandler` with a session: loaded before `prepare` and the method run, saved before the response leaves.

    Name it before the handler it is mixed into: ``class Page(SessionMixin, RequestHandler)``. A `prepare` of your
    own, async or not, finds the session loaded, whether or not it calls ``super().prepare()``.

    The application's setting ``node_session`` is a `NodeSession`, or a config dict, of which one is made.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if RequestHandler in order and order.index(RequestHandler) < order.index(SessionMixin):
            raise TypeError(f"class {cls.__name__}: name SessionMixin before the RequestHandler, or it has no effect")
        # Its own, or one of a class named before this one, which may know nothing of sessions and call no super().
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
    def session(self) -> Store:
        """The session of this request; the same as ``self.request.session``.

        In the page of an error that came before the session was loaded, it is an empty one, which is never stored.

        Raises:
            SessionError: It is not loaded yet.
        """
        session = getattr(self.request, "session", None)
        if not isinstance(session, Store) or not session.is_started:
            raise SessionError("there is no session yet: it is loaded right before prepare() runs")
        return session

    @session.setter
    def session(self, session: Store) -> None:
        if session is not self.session:  # ``self.session |= {…}`` sets what it was
            raise AttributeError("a handler's session cannot be replaced; change it: self.session.put({…})")

    @property
    def node_session(self) -> NodeSession:
        """The application's `NodeSession`."""
        configured = self.settings.get("node_session")
        if isinstance(configured, NodeSession):
            return configured
        if isinstance(configured, Mapping):
            made = self.settings["node_session"] = NodeSession(configured)
            return made
        raise ConfigError(
            "SessionMixin needs Application(..., node_session=…) with a NodeSession or a config dict, "
            f"not {type(configured).__name__}"
        )

    # Not whether the request has a session: whoever started that one has not checked the token.
    _is_prepared = False

    csrf_exempt = False
    """Whether requests to this handler need no CSRF token, although the option `csrf` is on; for webhooks."""

    def prepare(self) -> Awaitable[None]:
        """Start the session, then go on with the next class's `prepare`.

        Returns:
            Something to await, whether or not that `prepare` is async. An `async def prepare` awaits it; a plain one
            need not.
        """
        if self._is_prepared:
            return _awaitable(super().prepare())
        return self._start_then(super().prepare)

    # ---------------------------------------------------------------- CSRF

    def check_csrf(self) -> None:
        """Refuse a request that changes something and does not bring the session's token.

        With the option `csrf` this is called right after the session is loaded. The token is looked for in the form
        field ``_token`` (or Tornado's ``_xsrf``) and in the headers X-CSRF-Token and X-XSRF-Token (or Tornado's
        X-Csrftoken and X-Xsrftoken). A request that the browser says another site has made is refused with any token.

        Raises:
            tornado.web.HTTPError: 403.
        """
        if self.request.method in SAFE_METHODS or self.csrf_exempt:
            return
        headers = self.request.headers
        if is_cross_site(headers):
            raise HTTPError(403, reason="Refused: another site made this request (Sec-Fetch-Site)")
        sent = [
            *(self.get_body_argument(name, "") for name in _TOKEN_FIELDS),
            *(headers.get(name, "") for name in _TOKEN_HEADERS),
        ]
        given = [token for token in sent if token]
        if not given:
            raise HTTPError(403, reason="CSRF token missing: send it as the form field _token or as X-CSRF-Token")
        if not any(self.session.verify_token(token) for token in given):
            raise HTTPError(403, reason="CSRF token wrong: it is not this session's, or the session has expired")

    def csrf_field(self) -> str:
        """The hidden form field with the token. In a template: ``{% raw … %}`` with a call of this."""
        return f'<input type="hidden" name="_token" value="{xhtml_escape(self._csrf_token())}">'

    @property
    def xsrf_token(self) -> bytes:
        """The session's token, with the option `csrf`: what Tornado's own ``xsrf_form_html`` puts into forms."""
        if not self.node_session.config.csrf:
            return super().xsrf_token
        return self._csrf_token().encode()

    def _csrf_token(self) -> str:
        """The session's token, for a form; after a log-out there is none before this makes one."""
        if not self.session.get_token():
            self.session.regenerate_token()
        return str(self.session.get_token())

    def check_xsrf_cookie(self) -> None:
        """Tornado's own check, before the session is loaded. With the option `csrf`, `check_csrf` takes its place."""
        if not self.node_session.config.csrf:
            super().check_xsrf_cookie()

    def get_template_namespace(self) -> dict[str, Any]:
        """Adds `csrf_field` to what templates can use."""
        namespace: dict[str, Any] = super().get_template_namespace()
        namespace["csrf_field"] = self.csrf_field
        return namespace

    # ---------------------------------------------------------------- hooks

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Send an error page, whose `write_error` has a session in any case."""
        self._have_session()
        super().send_error(status_code, **kwargs)

    def _handle_request_exception(self, e: BaseException) -> None:
        if not isinstance(e, Finish):
            self._have_session()  # for log_exception, which comes before the error page
        super()._handle_request_exception(e)

    def _have_session(self) -> None:
        """An empty session for an error that came first: Tornado's own 403, a 405, a store that is down."""
        session = getattr(self.request, "session", None)
        if isinstance(session, Store) and session.is_started:
            return
        sessions = self.settings.get("node_session")
        name = sessions.config.cookie if isinstance(sessions, NodeSession) else "node_session"
        # In a store of its own, so that not even a save() by the error page stores it.
        session = Store(name, MemoryDriver(0), watch=Watch("memory"))
        run(session.start())  # type: ignore[arg-type]
        session.trace.cookie = "not sent: the session was never loaded"
        self.request.session = session  # type: ignore[attr-defined]

    def on_finish(self) -> None:
        """The response has left: renew the session, and now and then remove expired ones."""
        response: HeldResponse | None = getattr(self, "_held_response", None)
        if response is not None:
            response.close()
        super().on_finish()

    async def _start_then(self, prepare: Any) -> None:
        sessions = self.node_session
        await sessions.start_session(self.request, self)
        if sessions.config.csrf:
            self.check_csrf()
        self._is_prepared = True
        going_on = prepare()
        if going_on is not None and going_on is not _DONE:
            await _awaitable(going_on)


SessionMixin.prepare.starts_session = SessionMixin.prepare  # type: ignore[attr-defined]


def _after_start(prepare: Any) -> Any:
    """A `prepare` that runs when the session is there."""

    @functools.wraps(prepare)
    def wrapper(self: SessionMixin) -> Any:
        if self._is_prepared:  # a subclass's prepare has called super().prepare()
            return _awaitable(prepare(self))
        return self._start_then(functools.partial(prepare, self))

    wrapper.starts_session = wrapper  # type: ignore[attr-defined]
    return wrapper


class _Done:
    """What a plain `prepare` has done, to await: unlike a coroutine, nobody is warned if it is not awaited."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


_DONE = _Done()


def _awaitable(result: Any) -> Awaitable[Any]:
    """What a `prepare` has returned, so that it can be awaited in any case."""
    return result if inspect.isawaitable(result) else _DONE
