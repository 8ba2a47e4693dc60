"""Mistakes that a type checker must find: mypy --strict complains of each line that has not the error it expects.

`make lint` checks this file; nothing runs it.
"""

from __future__ import annotations

from tornado.web import RequestHandler

from node_session import Config, Driver, NodeSession, Session, SessionMixin


class OneWay:
    """No encrypter: it cannot decrypt."""

    def encrypt(self, text: str) -> str:
        return text


def nothing() -> None: ...


def one_text(text: str) -> None: ...


sessions = NodeSession({"secret": "…"})
NodeSession()  # type: ignore[call-arg]
NodeSession("secret")  # type: ignore[arg-type]
NodeSession({"secret": "…"}, OneWay())  # type: ignore[arg-type]
NodeSession({"secret": "…"}, on_event=nothing)  # type: ignore[arg-type]
sessions.set_encrypter(OneWay())  # type: ignore[arg-type]
sessions.on_event = one_text  # type: ignore[assignment]
NodeSession.register_handler("mine")  # type: ignore[call-arg]
NodeSession.register_handler("mine", nothing)  # type: ignore[arg-type]
NodeSession.register_handler(7, lambda config: None)  # type: ignore[arg-type]
sessions.config.lifetime = 5  # type: ignore[misc]
Config.from_dict("secret")  # type: ignore[arg-type]
Config(secret=("…",), lifetme=5)  # type: ignore[call-arg]


async def start(handler: RequestHandler) -> None:
    """The arguments, and what comes back."""
    await sessions.start_session(1, 2, 3, "x", nothing=True)  # type: ignore[call-arg, arg-type]
    await sessions.start_session(handler)  # type: ignore[call-arg, arg-type]
    await sessions.start_session(handler, handler.request)  # type: ignore[arg-type]
    await sessions.start_session(handler.request, handler, one_text)  # type: ignore[arg-type]
    sessions.start_session(handler.request, handler).get("name")  # type: ignore[attr-defined]
    await sessions.get_session()  # type: ignore[call-arg]
    await sessions.get_session(handler.request, nothing)  # type: ignore[arg-type]
    sessions.get_session(handler.request).start()  # type: ignore[attr-defined]
    await sessions.get_sesion(handler.request)  # type: ignore[attr-defined]


async def use(session: Session) -> None:
    """The methods of a session."""
    await session.start(one_text)  # type: ignore[arg-type]
    await session.save(nothing)  # type: ignore[arg-type]
    await session.save(callbak=nothing)  # type: ignore[call-arg]
    token: int = session.get_token()  # type: ignore[assignment]
    session.put()  # type: ignore[call-arg]
    session.get(7)  # type: ignore[call-overload]
    session.flash("status")  # type: ignore[call-arg]
    session.userId = token  # type: ignore[attr-defined]
    session.is_started = True  # type: ignore[misc]


class Page(SessionMixin, RequestHandler):
    """A handler's session."""

    def get(self) -> None:
        """The session is no dict of one's own, and has no other names."""
        self.session.regenrate()  # type: ignore[attr-defined]
        self.session = {}  # type: ignore[assignment]
        self.node_session = sessions  # type: ignore[misc]


class Half(Driver):
    """A driver without a way to remove records."""


Half()  # type: ignore[abstract]
