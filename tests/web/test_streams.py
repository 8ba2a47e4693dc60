"""Streamed responses: the session is stored before the first headers leave."""

from __future__ import annotations

import asyncio

import pytest
from stores import SLOW, STORES
from tornado.web import RequestHandler

from node_session import HeadersSentError, SessionMixin, UnavailableError
from node_session.session import work_of
from web.handlers import Page, route

pytestmark = pytest.mark.gen_test


class Stream(SessionMixin, RequestHandler):
    """Logs in, sends the beginning of its page, and goes on when it is told to."""

    begun: asyncio.Event
    may_end: asyncio.Event

    async def get(self):
        if self.get_query_argument("regenerate", ""):
            self.session.regenerate(True)
        self.session.put("user", "Ann")
        self.write("begin, ")
        flushed = self.flush()
        if self.get_query_argument("end", ""):
            return
        if self.get_query_argument("await", ""):
            await flushed
        with pytest.raises(HeadersSentError):
            self.session.regenerate()
        self.write("middle, ")
        self.flush()
        await self.may_end.wait()
        self.session.put("more", 1)
        self.write("end")


class LongStream(SessionMixin, RequestHandler):
    async def get(self):
        self.session.put("user", "Ann")
        self.write("begin, ")
        await self.flush()
        work_of(self.session).active_at -= 3600
        self.write("end")


class StoredUser(SessionMixin, RequestHandler):
    def get(self):
        self.write(self.session.get("user", "nobody"))


@pytest.mark.parametrize("options", [*STORES, SLOW], ids=str)
@pytest.mark.parametrize("query", ["", "?await=1", "?regenerate=1", "?regenerate=1&await=1"])
async def test_a_stream_is_known_to_the_store_before_its_client(app, visitor, query):
    """A new session or id is stored before flush() sends its cookie: a page's pictures are asked for while it comes."""
    route(app, stream=Stream, user=StoredUser)
    Stream.may_end, cookie, chunks = asyncio.Event(), asyncio.get_running_loop().create_future(), []
    if "regenerate" in query:
        await visitor.get("/user")

    def header(line):
        if line.startswith("Set-Cookie"):
            cookie.set_result(line.partition("node_session=")[2].partition(";")[0])

    streaming = {"header_callback": header, "streaming_callback": chunks.append}
    stream = asyncio.ensure_future(visitor.get("/stream" + query, **streaming))
    visitor.cookie = await cookie
    assert (await visitor.get("/user")).body == b"Ann"
    Stream.may_end.set()
    assert (await stream).code == 200 and b"".join(chunks) == b"begin, middle, end"
    assert (await visitor.get("/user")).body == b"Ann"
    assert (await visitor.stored())["more"] == 1


@pytest.mark.parametrize("options", [*STORES, SLOW], ids=str)
async def test_a_stream_that_ends_while_it_is_being_stored(app, visitor):
    """finish() right after a flush() that waits for the store sends everything, and the cookie, once."""
    route(app, stream=Stream, user=StoredUser)
    answer = await visitor.get("/stream?end=1")
    assert (answer.code, answer.body) == (200, b"begin, ")
    assert len(answer.headers.get_list("Set-Cookie")) == 1
    assert (await visitor.get("/user")).body == b"Ann"


@pytest.mark.parametrize("options", [*STORES, SLOW], ids=str)
@pytest.mark.parametrize("query", ["?await=1", "?end=1"])
async def test_a_stream_while_the_store_is_down(app, visitor, sessions, query):
    """If it cannot be stored, nothing has been sent yet, and the answer is a 503 without a cookie."""
    route(app, stream=Stream)
    driver = await sessions.driver()

    async def fail(*args):
        raise UnavailableError("the store is down")

    driver.write = fail
    answer = await visitor.get("/stream" + query)
    assert answer.code == 503 and "Set-Cookie" not in answer.headers


async def test_regenerate_after_headers(app, visitor):
    """A new id after the headers have gone out would never reach the client: it is an error."""
    raised = []

    class Late(Page):
        async def get(self):
            await self.flush()
            for change in (self.session.regenerate, self.session.migrate, self.session.invalidate):
                with pytest.raises(HeadersSentError):
                    change()
                raised.append(change)
            self.write("ok")

    route(app, page=Late)
    await visitor.get("/page")
    assert len(raised) == 3
    assert (await visitor.stored())["count"] == 1


@pytest.mark.parametrize("options", STORES, ids=str)
async def test_the_end_of_a_long_stream_renews_its_session(app, visitor, sessions):
    """A new session that was stored by flush() is in use until its stream ends, so it is renewed then."""
    route(app, stream=LongStream)
    await visitor.get("/stream")
    await sessions.close()
    assert sessions.stats.touched == 1
