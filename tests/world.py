"""Sessions without a web server: made by hand, by a program, or in requests."""

from __future__ import annotations

import asyncio
import json

from tornado.httputil import HTTPHeaders

from node_session import NodeSession, Session
from node_session.drivers import Driver, MemoryDriver
from node_session.policy import Policy
from node_session.records import Records
from node_session.session import work_of
from node_session.state import GONE


def make_session(
    driver: Driver, id: str | None = None, *, name: str = "node_session", encrypter=None, others=(), **policy
) -> Session:
    """Make a session by hand, not started. No other code of the tests does so."""
    return Session(name, Records(driver, Policy(**policy), encrypter), id, others=others)


async def start_session(driver: Driver, id: str | None = None, **options) -> Session:
    """Make a session by hand, and start it."""
    session = make_session(driver, id, **options)
    await session.start()
    return session


async def start_session_of(sessions: NodeSession, id: str | None) -> Session:
    """Start a session of a program, as a request with this id in its cookie does."""
    session = await sessions.get_session(_Request())
    session.set_id(id)
    await session.start()
    return session


def is_gone(session: Session) -> bool:
    """Whether a session is destroyed, expired or moved on, so that it is not saved."""
    return work_of(session).state is GONE


class _Request:
    headers = HTTPHeaders()
    remote_ip = "127.0.0.1"


class World:
    """A store, and requests that come one after another or concurrently."""

    def __init__(self) -> None:
        self.driver = MemoryDriver(300_000)
        self.id: str | None = None

    def session(self, others=(), **policy) -> Session:
        return make_session(self.driver, self.id, others=others, **policy)

    async def start(self, others=(), **policy) -> Session:
        session = self.session(others, **policy)
        await session.start()
        self.id = session.get_id()
        return session

    async def request(self, work) -> Session:
        """Start the session, do something to it, and save it."""
        session = await self.start()
        work(session)
        await session.save()
        self.id = session.get_id()
        return session

    async def seen(self, *keys) -> list:
        """The values that the next request finds under keys."""
        found = []
        await self.request(lambda session: found.extend(session.get(key) for key in keys))
        return found

    async def text(self) -> str | None:
        record = await self.driver.read(self.id)
        return None if record is None else record.payload

    async def stored(self):
        text = await self.text()
        return None if text is None else json.loads(text)

    async def is_left(self, id) -> bool:
        """Whether the session has left an id, and nobody can read it there any more."""
        return list(json.loads((await self.driver.read(id)).payload)) == ["_left"]

    def after_reading(self, work) -> None:
        """Do something right after the next read, before its caller has the record."""
        read = self.driver.read

        async def interrupted(id):
            self.driver.read = read
            record = await read(id)
            work()
            return record

        self.driver.read = interrupted

    def before_writing(self, id, work) -> None:
        """Do something right before the next write to a record."""
        write = self.driver.write

        async def interrupted(other, payload, version):
            if other == id:
                self.driver.write = write
                await work()
            return await write(other, payload, version)

        self.driver.write = interrupted


class Gate:
    """Stops one of a driver's next writes, before or after it is done, until opened."""

    def __init__(self, driver, *, before: bool = False, number: int = 1) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        write = driver.write
        left = number

        async def gated(*args):
            nonlocal left
            left -= 1
            if left:
                return await write(*args)
            driver.write = write
            if not before:
                version = await write(*args)
            self.reached.set()
            await self.opened.wait()
            return await write(*args) if before else version

        driver.write = gated
