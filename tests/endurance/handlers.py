"""Handlers as applications have them: slow pages, forms, uploads, streams, WebSockets, work that is cancelled.

A change is a tag: a text that is pushed onto the session's list `tags` and counted in `hits`. No tag is used twice.
"""

from __future__ import annotations

import asyncio
import contextlib

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler

from node_session import Session, SessionMixin

PAGE_TAKES = 0.02  # seconds


def change(session: Session, tag: str) -> None:
    session.push("tags", tag)
    session.increment("hits")


class Handler(SessionMixin, RequestHandler):
    """A handler whose requests name a tag in the query."""

    @property
    def tag(self) -> str:
        return self.get_query_argument("tag")


class Look(Handler):
    """All that the session holds."""

    def get(self):
        session = self.session
        found = {"user": session.get("user"), "tags": session.get("tags", []), "hits": session.get("hits", 0)}
        self.write({**found, "profile": len(session.get("profile", ""))})


class Page(Handler):
    """A page that waits for a database, for example, and only reads."""

    async def get(self):
        await asyncio.sleep(PAGE_TAKES)
        self.write(f"Hello {self.session.get('user')}, {len(self.session.get('tags', []))} things are in your cart.")


class Push(Handler):
    """A page that changes something, some of it before it waits."""

    async def post(self):
        self.session.increment("hits")
        await asyncio.sleep(float(self.get_query_argument("takes", "0")))
        self.session.push("tags", self.tag)


class LogIn(Handler):
    """A form that logs in."""

    def post(self):
        self.session.regenerate(True)
        self.session.regenerate_token()
        self.session.put("user", self.get_query_argument("user"))
        self.session.put("profile", "x" * int(self.get_query_argument("profile")))


class LogOut(Handler):
    def post(self):
        self.session.invalidate()


class Order(Handler):
    """Takes everything out of the cart."""

    def post(self):
        self.write({"tags": self.session.pull("tags", [])})


class Stream(Handler):
    """A streamed answer: one change before its headers, another one in the middle of it."""

    async def get(self):
        change(self.session, self.tag)
        with contextlib.suppress(StreamClosedError):  # the client has left
            for _ in range(3):
                self.write("x" * 10_000)
                await self.flush()
                await asyncio.sleep(0.002)
        async with self.session.transaction():
            change(self.session, self.get_query_argument("then"))


@stream_request_body
class Upload(Handler):
    """Receives a file piece by piece."""

    def prepare(self):
        self.received = 0

    async def data_received(self, chunk):
        self.received += len(chunk)
        await asyncio.sleep(0)

    def put(self):
        change(self.session, self.tag)
        self.write(str(self.received))


class TimedOut(Handler):
    """Cancels its work after a time, and answers whether the work was done by then."""

    async def post(self):
        try:
            await asyncio.wait_for(self.work(), float(self.get_query_argument("within")))
        except asyncio.TimeoutError:
            self.write({"done": False})
        else:
            self.write({"done": True})

    async def work(self):
        async with self.session.transaction():
            change(self.session, self.tag)
            if self.get_query_argument("endless"):
                await asyncio.Event().wait()


class Deserted(Handler):
    """Cancels itself when its client leaves."""

    async def post(self):
        self.task = asyncio.current_task()
        change(self.session, self.tag)
        await self.session.save()
        await asyncio.sleep(PAGE_TAKES)

    def on_connection_close(self):
        task = getattr(self, "task", None)
        if task is not None:
            task.cancel()
        super().on_connection_close()


class Socket(SessionMixin, WebSocketHandler):
    """Each message is a tag; it is answered when it is stored."""

    async def on_message(self, message):
        async with self.session.transaction():
            await asyncio.sleep(0.001)
            change(self.session, message)
        with contextlib.suppress(StreamClosedError):
            await self.write_message(message)


ROUTES = [
    ("/look", Look),
    ("/page", Page),
    ("/push", Push),
    ("/login", LogIn),
    ("/logout", LogOut),
    ("/order", Order),
    ("/stream", Stream),
    ("/upload", Upload),
    ("/timed-out", TimedOut),
    ("/deserted", Deserted),
    ("/socket", Socket),
]
