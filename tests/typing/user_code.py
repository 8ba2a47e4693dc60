"""The code of programs, as a type checker sees it. `make lint` checks this file with mypy --strict; nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler
from typing_extensions import assert_type

from node_session import (
    Config,
    Device,
    Driver,
    Encrypter,
    NodeSession,
    Record,
    Report,
    Session,
    SessionMixin,
    Store,
    session_of,
)
from node_session.drivers import Entry, PlainDriver

# ---------------------------------------------------------------- the config, and what a NodeSession is made of


class Reversing:
    """An encrypter of the program's own; its parameters may have any name."""

    def encrypt(self, plain: str) -> str:
        return plain[::-1]

    def decrypt(self, stored: str) -> str:
        return stored[::-1]


def tell(name: str, attributes: dict[str, Any]) -> None:
    print(name, attributes["node_session.driver"])


encrypter: Encrypter = Reversing()
config = Config.from_dict({"secret": "…", "lifetime": 3_600_000})
sessions = NodeSession({"secret": "…", "encrypt": True}, encrypter, on_event=tell)
NodeSession(config, encrypter=None)
sessions.set_encrypter(Reversing())
sessions.on_event = tell
sessions.on_event = None
Application([], node_session=sessions)

assert_type(config, Config)
assert_type(config.secret, tuple[str, ...])
assert_type(config.lifetime, float)
assert_type(config.lottery, tuple[int, int])
assert_type(config.domain, str | None)
assert_type(sessions.config, Config)
assert_type(sessions.stats.created, int)


class Remembering(NodeSession):
    """A method to override."""

    def ends_with_browser(self, session: Session) -> bool:
        return not session.get("remember")


# ---------------------------------------------------------------- handlers


class Page(SessionMixin, RequestHandler):
    """The mixin gives a session, and awaitable work."""

    async def prepare(self) -> None:
        await super().prepare()

    async def get(self) -> None:
        session = self.session
        assert_type(session, Session)
        assert_type(self.node_session, NodeSession)
        assert_type(session.get_id(), str)
        assert_type(session.get_token(), str)
        assert_type(session.verify_token("x"), bool)
        assert_type(session.all(), dict[str, Any])
        assert_type(session.has("user.name"), bool)
        assert_type(session.is_started, bool)
        session["user"] = {"name": "Ann"}
        session.put("user.name", "Ann")
        session.put({"a": 1, "b": 2})
        session.push("cart", 7)
        session.flash("status", "Saved.")
        session.keep("status", "warning")
        session.forget(["a", "b"])
        count: int = session.increment("visits")
        self.write(f"{count} {session.get('user.name', 'Nobody')} {self.csrf_field()}")
        assert_type(session.regenerate(destroy=True), bool)
        assert_type(await session.take("once"), Any)
        async with session.transaction() as current:
            assert_type(current, Session)
        session.set_owner("ann")
        assert_type(session.owner, str | None)
        for device in await self.node_session.devices("ann", session):
            assert_type(device, Device)
            assert_type(device.user_agent, str | None)
            assert_type(await self.node_session.end(device), bool)
        assert_type(await self.node_session.log_out("ann", except_=session), int)
        report = session.report
        assert_type(report, Report)
        assert_type(report.changed, tuple[str, ...])
        assert_type(report.as_attributes(), dict[str, Any])


class Socket(SessionMixin, WebSocketHandler):
    """A WebSocket has no response that would save its session."""

    async def on_message(self, message: str | bytes) -> None:
        self.session.push("messages", message)
        await self.session.save()


class WithoutMixin(RequestHandler):
    """The calls of the original, awaited."""

    async def prepare(self) -> None:
        session = await sessions.start_session(self.request, self)
        assert_type(session, Session)
        await sessions.start_session(request=self.request, handler=self, callback=None)


class WithCallbacks(RequestHandler):
    """The calls of the original, with its callbacks."""

    def prepare(self) -> Awaitable[Any]:
        return sessions.start_session(self.request, self, self.begin)

    def begin(self) -> None:
        self.write("…")

    async def begin_slowly(self) -> None:
        self.write("…")

    def get(self) -> None:
        sessions.start_session(self.request, self, callback=self.begin_slowly)


# ---------------------------------------------------------------- sessions without a response


async def without_callbacks(handler: RequestHandler) -> None:
    """Everything can be awaited."""
    session = await sessions.get_session(handler.request)
    assert_type(session, Session)
    assert_type(await session.start(), bool)
    assert_type(session.start(), Awaitable[bool])
    assert_type(session.save(), Awaitable[None])
    await session.save()
    old_name: Store = session
    assert_type(await old_name.reload(), bool)


async def with_callbacks(handler: RequestHandler) -> None:
    """Everything can call back; what it returns can still be awaited."""

    def loaded() -> None: ...

    def saved(error: Exception | None) -> None:
        if error is not None:
            print(error)

    def found(session: Session) -> None:
        session.start(loaded)
        session.save(saved)

    async def saved_slowly(error: Exception | None) -> None: ...

    session = await sessions.get_session(handler.request, found)
    assert_type(session, Session)
    assert_type(await session.start(callback=loaded), bool)
    await session.save(callback=saved_slowly)


# ---------------------------------------------------------------- drivers


class Dictionary(Driver):
    """A driver with versions."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    async def read(self, id: str) -> Record | None:
        return self.records.get(id)

    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        self.records[id] = Record(payload, version=object(), idle=idle)
        return self.records[id].version

    async def touch(self, id: str, *, idle: float = 0) -> None: ...

    async def destroy(self, id: str, version: object = None) -> None:
        self.records.pop(id, None)

    async def gc(self, lifetime: float) -> int:
        return 0

    async def scan(self) -> AsyncIterator[Entry]:
        for id, record in self.records.items():
            yield Entry(id, record.payload, last_activity=0)


class Plain:
    """A driver as of the original."""

    async def read(self, id: str) -> str | None:
        return None

    async def write(self, id: str, text: str) -> None: ...

    async def destroy(self, id: str) -> None: ...


async def connect(config: Config) -> Driver:
    """A creator may be asynchronous."""
    return PlainDriver(Plain())


NodeSession.register_handler("dictionary", lambda config: Dictionary())
NodeSession.register_handler("plain", lambda config: Plain())
NodeSession.register_handler("slow", connect)


async def look_after_the_store() -> None:
    """The calls of programs to the store."""
    driver = await sessions.driver()
    assert_type(driver, Driver)
    assert_type(await sessions.sweep(), int)
    record = await driver.read("…")
    if record is not None:
        assert_type(record.payload, str)
    await sessions.close()


class PlainPage(RequestHandler):
    """A handler without the mixin."""

    def started(self) -> None:
        """The session is known to the type checker."""
        session: Session = session_of(self.request)
        session.put("seen", True)
