"""`start_session` and `get_session`, awaited and with a callback."""

from __future__ import annotations

import pytest
from tornado.web import RequestHandler
from visitors import store_record

from node_session import SessionError, SessionMixin, session_of
from web.handlers import route

pytestmark = pytest.mark.gen_test


async def test_three_ways(app, visitor, sessions):
    """Plain await, callback and mixin give the same session."""
    calls = []

    class Awaiting(RequestHandler):
        async def prepare(self):
            session = await sessions.start_session(self.request, self)
            assert session is self.request.session

        def get(self):
            self.write(str(self.request.session.increment("count")))

    class CallingBack(RequestHandler):
        def prepare(self):
            return sessions.start_session(self.request, self, self.started)

        def started(self, *args):
            calls.append(args)
            self.request.session.increment("count")

        def get(self):
            assert len(calls) == 1
            self.write(str(self.request.session.get("count")))

    class Mixed(SessionMixin, RequestHandler):
        def get(self):
            assert self.session is self.request.session
            self.write(str(self.session.increment("count")))

    route(app, a=Awaiting, b=CallingBack, c=Mixed)
    bodies = [(await visitor.get(f"/{name}")).body for name in "abc"]
    assert bodies == [b"1", b"2", b"3"]
    assert calls == [()]


async def test_session_of(app, visitor, sessions):
    """It is the request's session, and an error before that is loaded."""

    class Page(RequestHandler):
        async def prepare(self):
            with pytest.raises(SessionError, match="no session yet"):
                session_of(self.request)
            await sessions.get_session(self.request)
            with pytest.raises(SessionError, match="no session yet"):
                session_of(self.request)
            await sessions.start_session(self.request, self)

        def get(self):
            assert session_of(self.request) is self.request.session
            self.write("ok")

    route(app, page=Page)
    assert (await visitor.get("/page")).body == b"ok"


async def test_callback_that_raises(app, visitor, sessions, caplog):
    """An exception in the callback is a 500, not a request that hangs."""

    class CallingBack(RequestHandler):
        def prepare(self):
            def broken():
                raise RuntimeError("in the callback")

            return sessions.start_session(self.request, self, broken)

        def get(self):
            self.write("not reached")

    route(app, page=CallingBack)
    assert (await visitor.get("/page")).code == 500
    assert "in the callback" in caplog.text


async def test_start_twice(app, visitor, sessions):
    """A second start_session for a request gives the same session, and the response is held once."""

    class Twice(SessionMixin, RequestHandler):
        async def prepare(self):
            assert await sessions.start_session(self.request, self) is self.session

        def get(self):
            self.write(str(self.session.increment("count")))

    route(app, page=Twice)
    response = await visitor.get("/page")
    assert (response.code, len(response.headers.get_list("Set-Cookie"))) == (200, 1)


async def test_get_session(app, visitor, sessions):
    """get_session gives the request's session unloaded, to await or with a callback; no cookie is sent."""
    await store_record(visitor, {"_token": "t", "name": "Ann"})
    seen = []

    class Peek(RequestHandler):
        async def get(self):
            session = await sessions.get_session(self.request)
            assert not session.is_started
            await session.start()
            await sessions.get_session(self.request, seen.append)
            self.write(session.get("name"))

    route(app, page=Peek)
    response = await visitor.get("/page")
    assert (response.body, "Set-Cookie" in response.headers) == (b"Ann", False)
    assert seen[0].get_id() == visitor.id
