"""Sessions for every handler of an application, by inheriting from one class.

class Page(SessionMixin, tornado.web.RequestHandler):
    def get(self):
        self.write(self.session.get("name", "Nobody"))

tornado.web.Application([("/", Page)], node_session=NodeSession({"secret": "…"}))
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from tornado.web import RequestHandler

from .errors import ConfigError, SessionError
from .response import HeldResponse
from .session import NodeSession
from .store import Store

if TYPE_CHECKING:
    _Base = RequestHandler
else:
    _Base = object


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
        if "prepare" in cls.__dict__:
            cls.prepare = _after_start(cls.__dict__["prepare"])  # type: ignore[method-assign]

    @property
    def session(self) -> Store:
        """The session of this request; the same as ``self.request.session``."""
        session = getattr(self.request, "session", None)
        if not isinstance(session, Store) or not session.is_started:
            raise SessionError("there is no session yet: it is loaded right before prepare() runs")
        return session

    @property
    def node_session(self) -> NodeSession:
        """The application's `NodeSession`."""
        configured = self.settings.get("node_session")
        if isinstance(configured, Mapping):
            configured = self.settings["node_session"] = NodeSession(configured)
        if not isinstance(configured, NodeSession):
            raise ConfigError(
                "SessionMixin needs Application(..., node_session=…) with a NodeSession or a config dict, "
                f"not {type(configured).__name__}"
            )
        return configured

    def prepare(self) -> Awaitable[None] | None:
        """Start the session, then go on with the next class's `prepare`."""
        if self._has_session():
            return super().prepare()
        return self._start_then(super().prepare)

    def on_finish(self) -> None:
        """The response has left: renew the session, and now and then remove expired ones."""
        response: HeldResponse | None = getattr(self, "_held_response", None)
        if response is not None:
            response.close()
        super().on_finish()

    def _has_session(self) -> bool:
        return isinstance(getattr(self.request, "session", None), Store)

    async def _start_then(self, prepare: Any) -> None:
        await self.node_session.start_session(self.request, self)
        going_on = prepare()
        if inspect.isawaitable(going_on):
            await going_on


def _after_start(prepare: Any) -> Any:
    """A `prepare` that runs when the session is there."""

    @functools.wraps(prepare)
    def wrapper(self: SessionMixin) -> Any:
        if self._has_session():  # a subclass's prepare has called super().prepare()
            return prepare(self)
        return self._start_then(functools.partial(prepare, self))

    return wrapper
