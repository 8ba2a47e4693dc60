"""A `prepare` of one's own, sync or async, at any depth: `super().prepare()` can be awaited, and need not be."""

from __future__ import annotations

import gc
import itertools

import pytest
from stores import all_stores
from tornado.gen import coroutine
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler
from visitors import store_record

from node_session import SessionMixin

pytestmark = pytest.mark.gen_test


def note(handler, kind: str) -> None:
    """Tell that a prepare has run, and that it had the session."""
    handler.order = [*handler.order, kind]
    handler.session.increment("count")


def plain(*bases):
    class Plain(*bases):
        def prepare(self):
            note(self, "plain")
            return super().prepare()

    return Plain


def asynchronous(*bases):
    class Asynchronous(*bases):
        async def prepare(self):
            note(self, "asynchronous")
            await super().prepare()

    return Asynchronous


def generator(*bases):
    class Generator(*bases):
        @coroutine
        def prepare(self):
            note(self, "generator")
            yield super().prepare()

    return Generator


class Page(SessionMixin, RequestHandler):
    order = ()

    def get(self):
        self.write(" ".join(self.order))


@all_stores
async def test_any_depth_and_order(app, visitor, options):
    """Three of them run in their order, derived from the mixin, named beside it, or each with a mixin of its own."""
    count = 0
    for kinds in itertools.product([plain, asynchronous, generator], repeat=3):
        first, second, third = kinds
        derived = first(second(third(Page)))
        beside = type("Beside", (first(), second(), third(), Page), {})
        several = type("Several", (first(Page), second(third(), Page), SessionMixin, RequestHandler), {})
        for shape, handler in {"derived": derived, "beside": beside, "several": several}.items():
            path = f"/{shape}/{'-'.join(each.__name__ for each in kinds)}"
            app.add_handlers(".*", [(path, handler)])
            answer = await visitor.get(path)
            assert (answer.code, answer.body.decode()) == (200, " ".join(each.__name__ for each in kinds)), path
            count += 3
            assert (await visitor.stored())["count"] == count


async def test_below_the_mixin(app, visitor):
    """A base that the mixin goes on to, sync or async, has run when `await super().prepare()` is over."""
    for kind in ("sync", "async"):

        class Base(RequestHandler):
            if kind == "sync":

                def prepare(self):
                    self.base = "ran"
            else:

                async def prepare(self):
                    self.base = "ran"

        class Own(SessionMixin, Base):
            async def prepare(self):
                await super().prepare()
                self.write(self.base)

            def get(self):
                pass

        app.add_handlers(".*", [(f"/{kind}", Own)])
        assert (await visitor.get(f"/{kind}")).body == b"ran"


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::pytest.PytestUnraisableExceptionWarning")
async def test_not_awaited(app, visitor):
    """A plain prepare that calls the next one and leaves it at that works, and nothing is said to be never awaited."""

    class Base(Page):
        def prepare(self):
            note(self, "base")
            super().prepare()

    class Own(Base):
        def prepare(self):
            super().prepare()
            note(self, "own")

    app.add_handlers(".*", [("/page", Own)])
    assert (await visitor.get("/page")).body == b"base own"
    gc.collect()


async def test_websocket(app, visitor, base_url):
    """The same in a WebSocket."""

    class Base(SessionMixin, WebSocketHandler):
        def prepare(self):
            self.user = self.session.get("user")

        async def on_message(self, message):
            await self.write_message(self.user)

    class Socket(Base):
        async def prepare(self):
            await super().prepare()

    await store_record(visitor, {"_token": "t", "user": "Ann"})
    app.add_handlers(".*", [("/socket", Socket)])
    connection = await visitor.websocket("/socket")
    await connection.write_message("who?")
    assert await connection.read_message() == "Ann"
    connection.close()
