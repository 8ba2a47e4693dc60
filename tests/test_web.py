"""Sessions in a Tornado application: a real server, a real socket, and every way a handler can end."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
import sys
import time
from dataclasses import replace

import pytest
from tornado.httpclient import HTTPRequest
from tornado.iostream import IOStream, StreamClosedError
from tornado.simple_httpclient import HTTPStreamClosedError
from tornado.web import Application, Finish, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from node_session import HeadersSentError, NodeSession, SessionMixin, UnavailableError, UnreadableError, serializer

pytestmark = pytest.mark.gen_test


class Page(SessionMixin, RequestHandler):
    """Base of the tests' handlers: counts its requests, so that each of them has something to save."""

    def prepare(self):
        self.session.increment("count")


def route(app: Application, **handlers) -> None:
    app.add_handlers(".*", [(f"/{name}", handler) for name, handler in handlers.items()])


# -------------------------------------------------------------------- ways to end


class Return(Page):
    async def get(self):
        await asyncio.sleep(0)
        self.write("ok")


class FinishChunk(Page):
    def get(self):
        self.finish({"ok": True})


class FinishAwaited(Page):
    async def get(self):
        await self.finish("ok")
        self.request.connection_was_finished = True


class Redirect(Page):
    def get(self):
        self.redirect("/Return")


class SendError(Page):
    def get(self):
        self.send_error(418)


class RaiseHTTPError(Page):
    def get(self):
        raise HTTPError(404)


class RaiseFinish(Page):
    def get(self):
        self.set_status(202)
        raise Finish("enough")


class NoContent(Page):
    def get(self):
        self.set_status(204)


class NotModified(Page):
    def get(self):
        self.set_status(304)


class Etag(Page):
    def get(self):
        self.write("the same")


class FinishInPrepare(Page):
    def prepare(self):
        super().prepare()
        self.finish("early")

    def get(self):
        raise AssertionError("a request that prepare() has finished has no method to run")


class Streamed(Page):
    async def get(self):
        self.write("one ")
        await self.flush()
        self.session.put("late", True)
        await asyncio.sleep(0.01)
        self.write("two")


class OwnFinish(Page):
    def finish(self, chunk=None):
        return super().finish({"wrapped": chunk})

    def get(self):
        self.finish("ok")


ENDS = [
    (Return, 200, b"ok"),
    (FinishChunk, 200, b'{"ok": true}'),
    (FinishAwaited, 200, b"ok"),
    (Redirect, 302, b""),
    (SendError, 418, None),
    (RaiseHTTPError, 404, None),
    (RaiseFinish, 202, b"enough"),
    (NoContent, 204, b""),
    (NotModified, 304, b""),
    (Etag, 200, b"the same"),
    (FinishInPrepare, 200, b"early"),
    (Streamed, 200, b"one two"),
    (OwnFinish, 200, b'{"wrapped": "ok"}'),
]


@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "file"}, {"driver": "slow"}], ids=str)
@pytest.mark.parametrize(("handler", "status", "body"), ENDS, ids=[each[0].__name__ for each in ENDS])
async def test_saved_before_the_response_ends(app, browser, handler, status, body):
    """However a handler ends, its client has the cookie and finds the session saved."""
    route(app, page=handler)
    for count in (1, 2):
        response = await browser.get("/page")
        assert response.code == status
        assert body is None or response.body == body
        assert len(response.headers.get_list("Set-Cookie")) == 1
        stored = await browser.stored()
        assert stored["count"] == count
        assert stored.get("late") == (True if handler is Streamed else None)


async def test_uncaught_exception(app, browser, caplog):
    """A handler that raises answers 500, and what it did to the session until then is kept, as in the original."""

    class Broken(Page):
        def get(self):
            raise RuntimeError("the handler's own")

    route(app, page=Broken)
    assert (await browser.get("/page")).code == 500
    assert (await browser.stored())["count"] == 1
    assert sum("the handler's own" in record.getMessage() + str(record.exc_text) for record in caplog.records) == 1


async def test_head_and_etag(app, browser):
    """HEAD has no body, a matching ETag gives 304; both save and both carry the cookie."""

    class Both(Etag):
        def head(self):
            self.get()

    route(app, page=Both)
    response = await browser.get("/page", "HEAD")
    assert (response.code, response.body) == (200, b"")
    response = await browser.get("/page", headers={"If-None-Match": response.headers["Etag"]} | cookie(browser))
    assert (response.code, response.body) == (304, b"")
    assert "Set-Cookie" in response.headers
    assert (await browser.stored())["count"] == 2


def cookie(browser) -> dict[str, str]:
    return {"Cookie": f"node_session={browser.cookie}"}


@pytest.mark.parametrize("options", [{"driver": "slow"}])
async def test_redirected_client_sees_the_change(app, browser, http_client):
    """A client that follows a redirect at once finds what the redirecting request saved, on a slow store too."""

    class Login(SessionMixin, RequestHandler):
        def post(self):
            self.session.regenerate(True)
            self.session.put("user", "Ann")
            self.redirect("/home")

    class Home(SessionMixin, RequestHandler):
        def get(self):
            self.write(self.session.get("user", "nobody"))

    route(app, login=Login, home=Home)
    await browser.get("/home")
    old = browser.id
    await browser.get("/login", "POST")
    assert (await browser.get("/home")).body == b"Ann"
    assert browser.id != old
    assert list(await browser.stored(old)) == ["_left"]


async def test_nothing_can_be_written_while_the_response_waits(app, browser):
    """After finish() a handler can neither write nor finish again, although the response is still waiting."""
    refused = []

    class Twice(Page):
        def get(self):
            self.finish("once")
            for again in (lambda: self.write("x"), lambda: self.finish("x")):
                try:
                    again()
                except RuntimeError:
                    refused.append(True)

    route(app, page=Twice)
    assert (await browser.get("/page")).body == b"once"
    assert refused == [True, True]


async def test_bad_chunk_raises_in_the_handler(app, browser, caplog):
    """What finish() cannot write is a TypeError where it was called, as without sessions."""
    seen = []

    class Bad(Page):
        def get(self):
            try:
                self.finish(["a", "list"])
            except TypeError as error:
                seen.append(error)
                raise

    route(app, page=Bad)
    assert (await browser.get("/page")).code == 500
    assert len(seen) == 1


async def test_error_after_finish_is_only_logged(app, browser, caplog):
    """A handler that fails after finish() has its response sent all the same."""

    class Late(Page):
        async def get(self):
            self.finish("sent")
            raise RuntimeError("too late")

    route(app, page=Late)
    response = await browser.get("/page")
    assert (response.code, response.body) == (200, b"sent")
    assert "too late" in caplog.text


@pytest.mark.parametrize("options", [{"driver": "slow"}])
async def test_client_that_left(app, browser, http_port, caplog):
    """A client that hangs up while its handler works or its session is saved: it is saved, and no error is logged."""
    finished = asyncio.Event()

    class Slow(Page):
        async def get(self):
            arrived.set()
            await asyncio.sleep(0.05)
            self.write("x" * 1000)

        def on_finish(self):
            super().on_finish()
            finished.set()

    arrived = asyncio.Event()
    route(app, page=Slow)
    await browser.get("/page")
    finished.clear()
    arrived.clear()
    with caplog.at_level(logging.DEBUG):
        stream = IOStream(socket.socket())
        await stream.connect(("127.0.0.1", http_port))
        head = f"GET /page HTTP/1.1\r\nHost: x\r\nCookie: node_session={browser.cookie}\r\n\r\n"
        await stream.write(head.encode())
        await arrived.wait()
        stream.close()
        await finished.wait()
    assert (await browser.stored())["count"] == 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_awaited_finish_tells_of_a_client_that_left(app, browser, http_port):
    """Whoever awaits finish() learns that the client has gone, as from Tornado's own."""
    outcome = asyncio.get_running_loop().create_future()

    class Slow(Page):
        async def get(self):
            arrived.set()
            await asyncio.sleep(0.05)
            try:
                await self.finish("x")
                outcome.set_result(None)
            except Exception as error:
                outcome.set_result(error)

    arrived = asyncio.Event()
    route(app, page=Slow)
    stream = IOStream(socket.socket())
    await stream.connect(("127.0.0.1", http_port))
    await stream.write(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
    await arrived.wait()
    stream.close()
    assert isinstance(await outcome, StreamClosedError)


# -------------------------------------------------------------------- stores that fail


def failing(sessions: NodeSession, method: str, error: Exception):
    """Have the driver fail in one method; gives a function that repairs it."""
    driver = sessions._driver

    async def fail(*args):
        raise error

    setattr(driver, method, fail)
    return lambda: delattr(driver, method)


@pytest.mark.parametrize(
    ("error", "status"),
    [(OSError(errno.ENOSPC, "No space left on device"), 500), (UnavailableError("the store is down"), 503)],
    ids=["bug", "down"],
)
@pytest.mark.parametrize("handler", [Return, FinishChunk, Redirect, SendError, NoContent, FinishInPrepare])
async def test_failed_save(app, browser, sessions, caplog, handler, error, status):
    """A save that fails is a 500 (503 for a store that is down) without a cookie, logged once; the record stays."""
    route(app, page=handler)
    await browser.get("/page")
    repair = failing(sessions, "write", error)
    caplog.clear()
    response = await browser.get("/page")
    assert response.code == status
    assert "Set-Cookie" not in response.headers
    assert sum(str(error) in record.getMessage() + str(record.exc_text) for record in caplog.records) == 1
    assert browser.id not in caplog.text
    repair()
    assert (await browser.stored())["count"] == 1
    await browser.get("/page")
    assert (await browser.stored())["count"] == 2


async def test_failed_save_after_headers(app, browser, sessions, caplog):
    """Where the headers have gone out, a failed save cuts the connection, so the client sees that it is not whole."""
    finished = []

    class Counted(Streamed):
        def on_finish(self):
            super().on_finish()
            finished.append(1)

    route(app, page=Counted)
    await browser.get("/page")
    failing(sessions, "write", UnavailableError("the store is down"))
    with pytest.raises(HTTPStreamClosedError):
        await browser.get("/page")
    assert "the store is down" in caplog.text
    assert finished == [1, 1]


async def test_failed_load(app, browser, sessions, caplog):
    """A store that cannot be read is a 503: no fresh session, no cookie, nothing written."""
    route(app, page=Return)
    await browser.get("/page")
    repair = failing(sessions, "read", UnreadableError("permission denied"))
    response = await browser.get("/page")
    assert response.code == 503
    assert "Set-Cookie" not in response.headers
    assert "permission denied" in caplog.text
    repair()
    await browser.get("/page")
    assert (await browser.stored())["count"] == 2


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object()], ids=["set", "bytes", "object"])
async def test_value_json_cannot_hold(app, browser, caplog, value):
    """A value that JSON cannot hold is a 500, the log names its key, and the record stays as it was."""

    class Bad(Page):
        def get(self):
            if self.get_query_argument("bad", ""):
                self.session.put("cart.items", [1, value])
            self.write("fine")

    route(app, page=Bad)
    await browser.get("/page")
    assert (await browser.get("/page?bad=1")).code == 500
    assert "cart.items[1]" in caplog.text
    assert "cart" not in await browser.stored()
    assert (await browser.get("/page")).code == 200


async def test_response_before_the_session_is_loaded(app, browser, sessions):
    """A handler that ends before its session has loaded does not save an empty one over the real one."""

    class Hasty(RequestHandler):
        def prepare(self):
            self.loading = asyncio.ensure_future(sessions.start_session(self.request, self))

        async def get(self):
            await asyncio.sleep(0)
            await self.finish("done")
            await self.loading

    await browser.store({"_token": "t", "precious": 1})
    sessions._driver.memory = None
    read = sessions._driver.read

    async def slow_read(id):
        await asyncio.sleep(0.05)
        return await read(id)

    sessions._driver.read = slow_read
    route(app, page=Hasty)
    response = await browser.get("/page")
    assert response.body == b"done"
    assert "Set-Cookie" not in response.headers
    await asyncio.sleep(0.1)
    assert (await browser.stored())["precious"] == 1


# -------------------------------------------------------------------- streams


STORES = [{"driver": "memory"}, {"driver": "file"}, {"driver": "database"}, {"driver": "slow"}]


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


class StoredUser(SessionMixin, RequestHandler):
    def get(self):
        self.write(self.session.get("user", "nobody"))


@pytest.mark.parametrize("options", STORES, ids=str)
@pytest.mark.parametrize("query", ["", "?await=1", "?regenerate=1", "?regenerate=1&await=1"])
async def test_a_stream_is_known_to_the_store_before_its_client(app, browser, query):
    """A new session or id is stored before flush() sends its cookie: a page's pictures are asked for while it comes."""
    route(app, stream=Stream, user=StoredUser)
    Stream.may_end, cookie, chunks = asyncio.Event(), asyncio.get_running_loop().create_future(), []
    if "regenerate" in query:
        await browser.get("/user")

    def header(line):
        if line.startswith("Set-Cookie"):
            cookie.set_result(line.partition("node_session=")[2].partition(";")[0])

    streaming = {"header_callback": header, "streaming_callback": chunks.append}
    stream = asyncio.ensure_future(browser.get("/stream" + query, **streaming))
    browser.cookie = await cookie
    assert (await browser.get("/user")).body == b"Ann"
    Stream.may_end.set()
    assert (await stream).code == 200 and b"".join(chunks) == b"begin, middle, end"
    assert (await browser.get("/user")).body == b"Ann"
    assert (await browser.stored())["more"] == 1


@pytest.mark.parametrize("options", STORES, ids=str)
async def test_a_stream_that_ends_while_it_is_being_stored(app, browser):
    """finish() right after a flush() that waits for the store sends everything, and the cookie, once."""
    route(app, stream=Stream, user=StoredUser)
    answer = await browser.get("/stream?end=1")
    assert (answer.code, answer.body) == (200, b"begin, ")
    assert len(answer.headers.get_list("Set-Cookie")) == 1
    assert (await browser.get("/user")).body == b"Ann"


@pytest.mark.parametrize("options", STORES, ids=str)
@pytest.mark.parametrize("query", ["?await=1", "?end=1"])
async def test_a_stream_while_the_store_is_down(app, browser, sessions, query):
    """If it cannot be stored, nothing has been sent yet, and the answer is a 503 without a cookie."""
    route(app, stream=Stream)
    driver = await sessions.driver()

    async def fail(*args):
        raise UnavailableError("the store is down")

    driver.write = fail
    answer = await browser.get("/stream" + query)
    assert answer.code == 503 and "Set-Cookie" not in answer.headers


# -------------------------------------------------------------------- three ways in


async def test_three_ways(app, browser, sessions):
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
    bodies = [(await browser.get(f"/{name}")).body for name in "abc"]
    assert bodies == [b"1", b"2", b"3"]
    assert calls == [()]


async def test_callback_that_raises(app, browser, sessions, caplog):
    """An exception in the callback is a 500, not a request that hangs."""

    class CallingBack(RequestHandler):
        def prepare(self):
            def broken():
                raise RuntimeError("in the callback")

            return sessions.start_session(self.request, self, broken)

        def get(self):
            self.write("not reached")

    route(app, page=CallingBack)
    assert (await browser.get("/page")).code == 500
    assert "in the callback" in caplog.text


async def test_start_twice(app, browser, sessions):
    """A second start_session for a request gives the same session, and the response is held once."""

    class Twice(SessionMixin, RequestHandler):
        async def prepare(self):
            assert await sessions.start_session(self.request, self) is self.session

        def get(self):
            self.write(str(self.session.increment("count")))

    route(app, page=Twice)
    response = await browser.get("/page")
    assert (response.code, len(response.headers.get_list("Set-Cookie"))) == (200, 1)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("calls_super", [False, True], ids=["alone", "super"])
async def test_own_prepare(app, browser, is_async, calls_super):
    """A subclass's own prepare, sync or async, finds the session, whether or not it calls super().prepare()."""
    order = []

    class Base(RequestHandler):
        async def prepare(self):
            order.append("base")

    if is_async:

        class Own(SessionMixin, Base):
            async def prepare(self):
                order.append(self.session.increment("count"))
                if calls_super:
                    await super().prepare()

            def get(self):
                order.append("get")
    else:

        class Own(SessionMixin, Base):
            def prepare(self):
                order.append(self.session.increment("count"))
                return super().prepare() if calls_super else None

            def get(self):
                order.append("get")

    class Derived(Own):
        def get(self):
            order.append("derived")

    route(app, page=Own, derived=Derived)
    assert (await browser.get("/page")).code == 200
    assert (await browser.get("/derived")).code == 200
    base = ["base"] if calls_super else []
    assert order == [1, *base, "get", 2, *base, "derived"]


async def test_wrong_order_of_bases():
    """The mixin behind the handler would have no effect, so it is an error when the class is made."""
    with pytest.raises(TypeError, match="name SessionMixin before"):

        class Wrong(RequestHandler, SessionMixin):
            pass


async def test_missing_setting(app, browser, caplog):
    """Without the setting the log says what is missing."""
    del app.settings["node_session"]
    route(app, page=Return)
    assert (await browser.get("/page")).code == 500
    assert "Application(..., node_session=…)" in caplog.text


async def test_setting_as_dict(app, browser, config):
    """A config dict as setting makes one NodeSession for the application."""
    app.settings["node_session"] = config
    route(app, page=Return)
    await browser.get("/page")
    made = app.settings["node_session"]
    assert isinstance(made, NodeSession)
    await browser.get("/page")
    assert app.settings["node_session"] is made
    assert (await browser.stored())["count"] == 2
    await made.close()


async def test_session_before_prepare(app, browser, caplog):
    """Asking for the session too early is an error that says when it will be there."""

    class Early(SessionMixin, RequestHandler):
        def initialize(self):
            with pytest.raises(Exception, match="right before prepare"):
                self.session.get("x")

        def get(self):
            self.write("ok")

    route(app, page=Early)
    assert (await browser.get("/page")).body == b"ok"


async def test_get_session(app, browser, sessions):
    """get_session gives the request's session unloaded, to await or with a callback; no cookie is sent."""
    await browser.store({"_token": "t", "name": "Ann"})
    seen = []

    class Peek(RequestHandler):
        async def get(self):
            session = await sessions.get_session(self.request)
            assert not session.is_started
            await session.start()
            await sessions.get_session(self.request, seen.append)
            self.write(session.get("name"))

    route(app, page=Peek)
    response = await browser.get("/page")
    assert (response.body, "Set-Cookie" in response.headers) == (b"Ann", False)
    assert seen[0].get_id() == browser.id


# -------------------------------------------------------------------- the cookie


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ({"lifetime": 300_000}, ["Max-Age=300", "Path=/", "Expires", "HttpOnly", "SameSite=Lax"]),
        ({"lifetime": 1500}, ["Max-Age=2", "Path=/", "Expires", "HttpOnly", "SameSite=Lax"]),
        ({"expireOnClose": True}, ["Path=/", "HttpOnly", "SameSite=Lax"]),
        (
            {"domain": "example.org", "path": "/app", "httpOnly": False, "sameSite": None},
            ["Max-Age=300", "Domain=example.org", "Path=/app", "Expires"],
        ),
    ],
    ids=str,
)
async def test_set_cookie(app, browser, attributes):
    """Set-Cookie has the original's attributes in the original's order."""
    route(app, page=Return)
    line = (await browser.get("/page")).headers["Set-Cookie"]
    parts = line.split("; ")
    assert parts[0].startswith("node_session=s%3A")
    assert [part if not part.startswith("Expires=") else "Expires" for part in parts[1:]] == attributes


@pytest.mark.parametrize(
    ("options", "forwarded", "sent"),
    [
        ({"secure": True}, "https", False),
        ({"secure": True, "trustProxy": True}, "https", True),
        ({"secure": True, "trustProxy": True}, "HTTPS, http", True),
        ({"secure": True, "trustProxy": True}, "http, https", False),
        ({"secure": True, "trustProxy": True}, None, False),
        ({"secure": True, "trustProxy": "loopback"}, "https", True),
        ({"secure": True, "trustProxy": ["10.0.0.0/8"]}, "https", False),
        ({"secure": True, "trustProxy": 1}, "https", True),
        ({"secure": True, "trustProxy": lambda address, index: address == "127.0.0.1" and index == 0}, "https", True),
    ],
    ids=str,
)
async def test_secure(app, browser, forwarded, sent):
    """With secure, the cookie is sent over https only, or where a trusted proxy says it is https."""
    route(app, page=Return)
    response = await browser.get("/page", headers={"X-Forwarded-Proto": forwarded} if forwarded else {})
    assert ("Set-Cookie" in response.headers) is sent
    assert not sent or "; Secure" in response.headers["Set-Cookie"]


async def test_cookie_on_every_response(app, browser):
    """Each response of a session renews the cookie, and an unchanged one keeps its value."""
    route(app, page=Return)
    await browser.get("/page")
    value = browser.cookie
    response = await browser.get("/page")
    assert response.headers["Set-Cookie"].startswith(f"node_session={value}; Max-Age=300; ")


BAD_COOKIES = [
    "",
    "s%3A",
    "s%3A" + "A" * 40,
    "s%3A" + "A" * 40 + "." + "B" * 43,
    "s%3A" + "../" * 20,
    "s%3A../../../etc/passwd." + "B" * 43,
    "s%3A" + "A" * 37 + "%00%0A." + "B" * 43,
    "j%3A{}",
    "%",
    "%zz%ff",
    '"',
    "A" * 8000,
    "s%3A" + "é" * 40 + ".x",
]


@pytest.mark.parametrize("value", BAD_COOKIES, ids=range(len(BAD_COOKIES)))
async def test_bad_cookie(app, browser, value, tmp_path):
    """Whatever comes as cookie, the answer is a fresh session with an id of its own."""
    route(app, page=Return)
    response = await browser.get("/page", headers={"Cookie": f"node_session={value}"})
    assert response.code == 200
    assert len(browser.id) == 40 and browser.id != "A" * 40
    files = [each.name for each in (tmp_path / "sessions").iterdir() if not each.name.startswith(".")]
    assert files == [browser.id]


async def test_forged_cookie_before_the_real_one(app, browser):
    """Of several cookies of the name the first that verifies counts: a planted one does not log anybody out."""
    route(app, page=Return)
    await browser.get("/page")
    real, id = browser.cookie, browser.id
    forged = "s%3A" + "B" * 40 + "." + "C" * 43
    await browser.get("/page", headers={"Cookie": f"node_session={forged}; x=1; node_session={real}"})
    assert browser.id == id
    assert (await browser.stored())["count"] == 2


async def test_unknown_signed_id(app, browser):
    """A signed id without a record is replaced: nobody can be made to use a session that another knows."""
    route(app, page=Return)
    browser.set_id("F" * 40)
    await browser.get("/page")
    assert browser.id != "F" * 40


@pytest.mark.parametrize("options", [{"strict": False}])
async def test_unknown_signed_id_is_adopted_without_strict(app, browser):
    """strict: false takes over a signed id without a record, as the original does."""
    route(app, page=Return)
    browser.set_id("F" * 40)
    await browser.get("/page")
    assert browser.id == "F" * 40
    assert (await browser.stored())["count"] == 1


async def test_old_secret(app, browser, config, base_url, http_client):
    """A cookie under an old secret is still good, and is signed anew."""
    route(app, page=Return)
    await browser.get("/page")
    id = browser.id
    app.settings["node_session"] = renewed = NodeSession(
        {**config, "secret": ["the-new-secret-" * 3, config["secret"]]}
    )
    response = await browser.get("/page")
    assert response.headers["Set-Cookie"].startswith("node_session=s%3A" + id)
    assert browser.id is None  # under the old secret
    app.settings["node_session"] = NodeSession({**config, "secret": "the-new-secret-" * 3})
    await browser.get("/page")
    browser.sessions = renewed
    assert (await browser.stored(id))["count"] == 3


async def test_regenerate_after_headers(app, browser):
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
    await browser.get("/page")
    assert len(raised) == 3
    assert (await browser.stored())["count"] == 1


# -------------------------------------------------------------------- bad records


@pytest.mark.parametrize(
    "text", [b"", b'{"a', b"[1]", b'"text"', b"null", b"\xff\xfe", b"{}x", b"{" * 100_000], ids=repr
)
async def test_damaged_record(app, browser, tmp_path, caplog, text):
    """A record that is no session is logged and kept aside once, and a fresh session is started."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / ("A" * 40)).write_bytes(text)
    browser.set_id("A" * 40)
    route(app, page=Return)
    assert (await browser.get("/page")).code == 200
    assert browser.id != "A" * 40
    aside = [each for each in folder.iterdir() if each.name.startswith(".damaged-")]
    assert [each.read_bytes() for each in aside] == [text]
    assert "damaged" in caplog.text
    assert "A" * 40 not in caplog.text


async def test_record_that_is_being_written(app, browser, tmp_path):
    """A file that the original has truncated, and fills a while later, is waited for, not taken for damaged."""
    route(app, page=Return)
    await browser.get("/page")
    id, path = browser.id, tmp_path / "sessions" / browser.id
    text = path.read_text()
    path.write_text("")
    answer = asyncio.ensure_future(browser.get("/page"))
    await asyncio.sleep(0.4)
    path.write_text(text)
    assert (await answer).code == 200 and browser.id == id
    assert (await browser.stored())["count"] == 2


@pytest.mark.parametrize("options", [{"lifetime": 1000}])
async def test_expired_record(app, browser):
    """A session that was idle for longer than its lifetime is gone when it is asked for, not when gc comes by."""
    route(app, page=Return)
    await browser.get("/page")
    old = browser.id
    await asyncio.sleep(1.2)
    await browser.get("/page")
    assert browser.id != old
    assert (await browser.stored())["count"] == 1


# -------------------------------------------------------------------- after the response


class Unchanged(SessionMixin, RequestHandler):
    def get(self):
        self.write(str(self.session.get("count")))


async def test_unchanged_session_is_touched_not_written(app, browser, sessions, tmp_path):
    """A request that changes nothing writes nothing, but renews the last activity."""
    route(app, page=Return, unchanged=Unchanged)
    await browser.get("/page")
    file = tmp_path / "sessions" / browser.id
    os.utime(file, (1, file.stat().st_mtime - 100))
    before = file.stat()
    await browser.get("/unchanged")
    await sessions.close()  # waits for the renewal
    after = file.stat()
    assert after.st_ino == before.st_ino
    assert after.st_mtime > before.st_mtime + 50


@pytest.mark.parametrize("options", [{"lifetime": 10_000_000}])
async def test_renewed_after_a_hundredth_of_the_lifetime(app, browser, sessions, tmp_path):
    """A session that was active less than a hundredth of its lifetime ago is left alone, one longer ago is renewed."""
    route(app, page=Return, unchanged=Unchanged)
    await browser.get("/page")
    file = tmp_path / "sessions" / browser.id
    for idle, is_renewed in ((50, False), (150, True)):
        active = time.time() - idle
        os.utime(file, (active, active))
        await browser.get("/unchanged")
        await asyncio.gather(*sessions._background)
        assert (file.stat().st_mtime > active + 0.001) == is_renewed


async def test_a_long_request_renews_at_its_end(app, browser, sessions, tmp_path):
    """What counts is the time at which the response leaves, not that at which the session was read."""

    class Long(Unchanged):
        def get(self):
            self.session._active_at -= 3.5  # so long it has taken
            super().get()

    route(app, page=Return, long=Long)
    await browser.get("/page")
    file = tmp_path / "sessions" / browser.id
    active = time.time() - 1
    os.utime(file, (active, active))
    await browser.get("/long")
    await asyncio.gather(*sessions._background)
    assert file.stat().st_mtime > active + 0.5


@pytest.mark.parametrize("options", [{"lottery": [1, 1]}])
async def test_gc_after_the_response(app, browser, tmp_path):
    """A request that wins the lottery has expired records removed, after its response."""
    await browser.store({"_token": "t"})
    old = tmp_path / "sessions" / browser.id
    os.utime(old, (1, 1))
    browser.cookie = None
    route(app, page=Return)
    await browser.get("/page")
    for _ in range(100):
        if not old.exists():
            break
        await asyncio.sleep(0.02)
    assert not old.exists()


@pytest.mark.filterwarnings("ignore:lifetime")
@pytest.mark.parametrize("options", [{"lottery": [1, 1], "lifetime": 0}])
async def test_gc_without_a_lifetime(app, browser, sessions, tmp_path):
    """Where sessions never expire, gc removes what killed processes left over, and no session."""
    route(app, page=Return)
    await browser.get("/page")
    await sessions.close()
    litter, record = tmp_path / "sessions" / f".tmp-{0:024x}", tmp_path / "sessions" / browser.id
    litter.touch()
    for path in (litter, record):
        os.utime(path, (1, 1))
    sessions._sweep_again_at = 0
    await browser.get("/page")
    await sessions.close()
    assert record.exists() and not litter.exists()


async def test_gc_is_one_at_a_time(app, browser, config, io_loop):
    """However often the lottery is won, one sweep runs at a time, and rests in between."""
    sweeping, most = 0, []

    class Gc:
        read = write = destroy = lambda self, *args: None

        async def gc(self, lifetime):
            nonlocal sweeping
            sweeping += 1
            most.append(sweeping)
            await asyncio.sleep(0.1)
            sweeping -= 1

    NodeSession.register_handler("gc", lambda config: Gc())
    app.settings["node_session"] = sessions = NodeSession({**config, "driver": "gc", "lottery": [1, 1]})
    route(app, page=Return)
    await asyncio.gather(*(browser.get("/page") for _ in range(20)))
    await sessions.close()
    assert most == [1]


async def test_close_waits(app, browser, sessions):
    """close() waits for what is going on after responses, and leaves nothing running."""
    route(app, page=Return, unchanged=Unchanged)
    await browser.get("/page")
    await browser.get("/unchanged")
    await sessions.close()
    assert not sessions._background


def test_close_in_another_loop(config):
    """What a loop that no longer runs has left behind holds up no close, and no sweep after it."""
    sessions = NodeSession({**config, "driver": "slow"})

    async def interrupted():
        sessions._sweep_again_at = float("inf")
        sessions._in_background(asyncio.sleep(60), "wait")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(interrupted())
    asyncio.run(asyncio.wait_for(sessions.close(), 5))
    assert sessions._sweep_again_at == 0
    (left,) = sessions._background
    left.cancel()
    loop.run_until_complete(asyncio.wait([left]))
    loop.close()


class Interrupted(SessionMixin, RequestHandler):
    """Its task is cancelled, as all are by Ctrl-C; it may answer nevertheless."""

    async def get(self):
        self.session.put("half", "done")
        asyncio.current_task().cancel()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not self.get_query_argument("answers", ""):
                raise
        self.write("ok")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Tornado does not answer for a cancelled handler yet")
async def test_interrupted(app, browser):
    """For a handler that was cancelled no save is begun, as its loop may be at its end; one that answers is saved."""
    route(app, interrupted=Interrupted, page=Return)
    await browser.get("/page")
    cookie = browser.cookie
    response = await browser.get("/interrupted")
    assert response.code == 500 and "Set-Cookie" not in response.headers
    assert browser.cookie == cookie and "half" not in await browser.stored()
    assert (await browser.get("/interrupted?answers=1")).code == 200
    assert (await browser.stored())["half"] == "done"


# -------------------------------------------------------------------- at once


@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "file"}, {"driver": "slow"}], ids=str)
@pytest.mark.gen_test(timeout=60)
async def test_nothing_is_lost_at_once(app, browser):
    """Eight clients of one session push 10 values each at once: all are there, each client's in order."""

    class Push(SessionMixin, RequestHandler):
        async def get(self):
            self.session.push("list", self.get_query_argument("value"))
            await asyncio.sleep(0.001)

    route(app, push=Push)
    await browser.get("/push?value=first")

    async def client(number):
        for each in range(10):
            assert (await browser.get(f"/push?value={number}-{each}")).code == 200

    await asyncio.gather(*map(client, range(8)))
    values = (await browser.stored())["list"]
    assert len(values) == 81
    for number in range(8):
        assert [v for v in values if v.startswith(f"{number}-")] == [f"{number}-{each}" for each in range(10)]


@pytest.mark.usefixtures("long_requests")
@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "file"}, {"driver": "slow"}], ids=str)
@pytest.mark.parametrize("ending", ["invalidate", "regenerate"])
@pytest.mark.parametrize("changes", [True, False], ids=["changing", "reading"])
async def test_destroyed_stays_destroyed(app, browser, new_browser, ending, changes):
    """A request under way when another logs out, or in, neither brings the old session back nor its cookie."""
    going_on, ended = asyncio.Event(), asyncio.Event()

    class Slow(SessionMixin, RequestHandler):
        async def get(self):
            going_on.set()
            await ended.wait()
            await asyncio.sleep(0.02)  # longer than a session is taken to be still there
            if changes:
                self.session.put("late", True)

    class End(SessionMixin, RequestHandler):
        def get(self):
            self.session.invalidate() if ending == "invalidate" else self.session.regenerate(True)

    route(app, page=Return, slow=Slow, end=End)
    await browser.get("/page")
    id = browser.id
    other = new_browser()
    other.cookie = browser.cookie
    slow = asyncio.ensure_future(other.get("/slow"))
    await going_on.wait()
    await browser.get("/end")
    ended.set()
    response = await slow
    assert response.code == 200
    assert "Set-Cookie" not in response.headers
    assert browser.id != id and "late" not in await browser.stored()
    left = await browser.stored(id)
    assert left is None if ending == "invalidate" else list(left) == ["_left"] and "late" not in str(left)


@pytest.mark.usefixtures("long_requests")
@pytest.mark.parametrize("is_due", [True, False])
async def test_slow_reader_of_a_store_that_went_down(app, browser, sessions, caplog, is_due):
    """A request that saves nothing is answered although the store cannot tell any more whether the session is there.

    Nor is it asked, and no cookie sent, if the session is not due for renewal.
    """
    if is_due:
        sessions._terms = replace(sessions._terms, renew_after=0)

    class Slow(SessionMixin, RequestHandler):
        async def get(self):
            failing(sessions, "read", UnreadableError("the disk is gone"))
            await asyncio.sleep(0.02)
            self.write("ok")

    route(app, page=Return, slow=Slow)
    await browser.get("/page")
    response = await browser.get("/slow")
    assert (response.code, response.body, "Set-Cookie" in response.headers) == (200, b"ok", is_due)


@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "file"}, {"encrypt": True}], ids=str)
async def test_what_a_request_costs(app, browser, sessions, monkeypatch):
    """Without a conflict a changing request is one read, one parse, one write; a reading one a read, rarely a touch."""
    monkeypatch.setattr("node_session.store._TRUSTED_FOR", 60)
    driver, calls = await sessions.driver(), []

    def count(owner, name):
        function = getattr(owner, name)

        def counting(*args, **options):
            calls.append(name)
            return function(*args, **options)

        monkeypatch.setattr(owner, name, counting)

    class Push(SessionMixin, RequestHandler):
        async def get(self):
            await asyncio.sleep(0.001)
            self.session.push("list", {"nested": [1]})

    class Look(SessionMixin, RequestHandler):
        async def get(self):
            await asyncio.sleep(0.001)
            self.session.get("list")

    route(app, push=Push, look=Look)
    await browser.get("/push")
    for name in ("read", "write", "touch", "destroy", "gc"):
        count(driver, name)
    count(serializer, "loads")
    count(serializer, "dumps_quickly")
    await browser.get("/push")
    await asyncio.gather(*sessions._background)
    assert calls == ["read", "loads", "dumps_quickly", "write"]
    calls.clear()
    await browser.get("/look")
    await asyncio.gather(*sessions._background)
    assert calls == ["read", "loads", "dumps_quickly"]
    calls.clear()
    sessions._terms = replace(sessions._terms, renew_after=0)
    await browser.get("/look")
    await asyncio.gather(*sessions._background)
    assert calls == ["read", "loads", "dumps_quickly", "touch"]


@pytest.mark.parametrize("options", [{"saveTimeout": 50}], ids=str)
async def test_giving_up(app, browser, sessions, caplog):
    """A save that is overtaken again and again is a 503 in the end; the log tells the number of tries."""
    route(app, page=Return)
    await browser.get("/page")
    driver = await sessions.driver()
    write, tries = driver.write, []

    async def lose(id, payload, version):
        tries.append(1)
        text = json.loads((await driver.read(id)).payload)
        await write(id, json.dumps({**text, "others": len(tries)}), (await driver.read(id)).version)
        return await write(id, payload, version)

    driver.write = lose
    cookie = browser.cookie
    response = await browser.get("/page")
    driver.write = write
    assert response.code == 503 and "Set-Cookie" not in response.headers and browser.cookie == cookie
    assert len(tries) > 1
    assert f"during each of {len(tries)} tries" in caplog.text and browser.id not in caplog.text
    assert {"count": 1, "others": len(tries)}.items() <= (await browser.stored()).items()
    assert (await browser.get("/page")).code == 200
    assert (await browser.stored())["count"] == 2


async def test_slow_reader_undoes_nothing(app, browser):
    """A request that changes nothing, and ends after others that did, leaves what they saved."""
    going_on, changed = asyncio.Event(), asyncio.Event()

    class Slow(SessionMixin, RequestHandler):
        async def get(self):
            self.session.get("count")
            going_on.set()
            await changed.wait()
            await asyncio.sleep(0.02)

    route(app, page=Return, slow=Slow)
    await browser.get("/page")
    slow = asyncio.ensure_future(browser.get("/slow"))
    await going_on.wait()
    for _ in range(3):
        await browser.get("/page")
    changed.set()
    assert (await slow).code == 200
    assert (await browser.stored())["count"] == 4


# -------------------------------------------------------------------- WebSocket


class Socket(SessionMixin, WebSocketHandler):
    async def on_message(self, message):
        if message == "id":
            await self.write_message(self.session.get_id())
        elif message == "reload":
            found = await self.session.reload()
            await self.write_message(json.dumps([found, self.session.get("count")]))
        elif message == "regenerate":
            try:
                self.session.regenerate()
            except HeadersSentError:
                await self.write_message("refused")
        else:
            self.session.push("said", message)
            await self.session.save()
            await self.write_message("saved")


async def say(connection, message):
    await connection.write_message(message)
    return await connection.read_message()


async def test_websocket(app, browser, base_url):
    """A WebSocket has the page's session; it saves and reloads any number of times."""
    route(app, page=Return, socket=Socket)
    await browser.get("/page")
    url = base_url.replace("http", "ws") + "/socket"
    connection = await websocket_connect(HTTPRequest(url, headers=cookie(browser)))
    assert connection.headers["Set-Cookie"].startswith("node_session=" + browser.cookie)
    assert await say(connection, "id") == browser.id
    assert await say(connection, "hello") == "saved"
    await browser.get("/page")
    assert await say(connection, "again") == "saved"
    assert await browser.stored() | {"_token": "t"} == {
        "_token": "t",
        "flash": {"old": [], "new": []},
        "count": 2,
        "said": ["hello", "again"],
    }
    await browser.get("/page")
    assert json.loads(await say(connection, "reload")) == [True, 3]
    assert await say(connection, "regenerate") == "refused"
    await (await browser.sessions.driver()).destroy(browser.id)
    assert json.loads(await say(connection, "reload")) == [False, None]
    assert await say(connection, "lost") == "saved"
    assert await browser.stored() is None
    connection.close()


async def test_websocket_without_a_session(app, browser, base_url):
    """A handshake without a cookie makes a session, stored before the client has its cookie."""
    route(app, page=Return, socket=Socket)
    connection = await websocket_connect(base_url.replace("http", "ws") + "/socket")
    browser.cookie = connection.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    assert await say(connection, "id") == browser.id
    assert await browser.stored() is not None
    assert (await browser.get("/page")).code == 200
    assert json.loads(await say(connection, "reload")) == [True, 1]
    connection.close()


async def test_websocket_leaves_flash_data_alone(app, browser, base_url):
    """A WebSocket that saves does not use up what was flashed for the next page."""

    class Flash(SessionMixin, RequestHandler):
        def get(self):
            self.session.flash("status", "Saved.")

    class Show(SessionMixin, RequestHandler):
        def get(self):
            self.write(self.session.get("status", "-"))

    route(app, flash=Flash, show=Show, socket=Socket)
    await browser.get("/flash")
    url = base_url.replace("http", "ws") + "/socket"
    connection = await websocket_connect(HTTPRequest(url, headers=cookie(browser)))
    assert await say(connection, "hello") == "saved"
    assert (await browser.get("/show")).body == b"Saved."
    assert (await browser.get("/show")).body == b"-"
    assert await say(connection, "again") == "saved"
    assert (await browser.get("/show")).body == b"-"
    connection.close()


async def test_plain_request_to_a_websocket(app, browser):
    """A request that is no handshake is refused like without sessions."""
    route(app, socket=Socket)
    assert (await browser.get("/socket")).code == 400


async def test_late_request_does_not_log_out(app, browser, new_browser):
    """A request that still brings the old cookie after a login reads what was, and sends no cookie over the new one."""

    class Login(SessionMixin, RequestHandler):
        def post(self):
            self.session.regenerate(True)
            self.session.put("user", "Ann")

    class Home(SessionMixin, RequestHandler):
        def get(self):
            self.write(self.session.get("cart", "nothing") + self.session.get("user", " of nobody"))

        def post(self):
            self.session.put("cart", "a book")

    route(app, login=Login, home=Home)
    await browser.get("/home", "POST")
    late = new_browser()
    late.cookie = browser.cookie
    await browser.get("/login", "POST")
    for method in ("GET", "POST"):
        answer = await late.get("/home", method)
        assert answer.code == 200 and "Set-Cookie" not in answer.headers
    assert (await late.get("/home")).body == b"a book of nobody"
    assert (await browser.get("/home")).body == b"a bookAnn"


class Remembering(NodeSession):
    def ends_with_browser(self, session):
        return not session.get("remember", False)


async def test_remember_this_device(app, config, browser):
    """Whether a cookie outlives the browser can be decided for each session, and holds from then on."""

    class Remember(SessionMixin, RequestHandler):
        def get(self):
            self.session.put("remember", True)

    class Read(SessionMixin, RequestHandler):
        def get(self):
            pass

    app.settings["node_session"] = Remembering(config)
    route(app, Remember=Remember, Read=Read)
    assert "Max-Age" not in (await browser.get("/Read")).headers["Set-Cookie"]
    assert "; Max-Age=300; " in (await browser.get("/Remember")).headers["Set-Cookie"]
    line = (await browser.get("/Read")).headers["Set-Cookie"]
    assert "; Max-Age=300; " in line and "; Expires=" in line


# -------------------------------------------------------------------- what goes wrong at the end


@pytest.mark.parametrize("options", [{"driver": "file"}, {"driver": "memory"}, {"driver": "slow"}], ids=str)
async def test_error_of_tornado_itself(app, browser, caplog):
    """What Tornado's own finish() refuses, after the save, is logged and ends the request."""

    class Body(SessionMixin, RequestHandler):
        def get(self):
            self.session["x"] = 1
            self.set_status(204)
            self.write("a body that a 204 cannot have")

    route(app, body=Body)
    answer = await browser.get("/body", request_timeout=5)
    assert answer.code == 500 and "204" in caplog.text


class Choosy(NodeSession):
    def ends_with_browser(self, session):
        raise LookupError("cannot choose")


@pytest.mark.parametrize("options", [{"driver": "file"}, {"driver": "memory"}], ids=str)
async def test_hook_that_raises(app, config, browser):
    """A hook that raises while the cookie is made costs a 500, and no client that waits for ever."""

    class Page(SessionMixin, RequestHandler):
        def get(self):
            self.session["x"] = 1

    app.settings["node_session"] = Choosy(config)
    route(app, page=Page)
    answer = await browser.get("/page", request_timeout=5)
    assert answer.code == 500 and "Set-Cookie" not in answer.headers


async def test_logout_that_got_half_way(app, browser, sessions):
    """A logout whose second half failed is done again by the next save: the old record does not live on."""

    class Out(SessionMixin, RequestHandler):
        async def get(self):
            self.session.invalidate()
            driver = sessions._driver
            destroy = driver.destroy

            async def down(*args):
                raise UnavailableError("down for a moment")

            driver.destroy = down
            try:
                await self.session.save()
            except UnavailableError:
                driver.destroy = destroy

    route(app, page=Return, out=Out)
    await browser.get("/page")
    old = browser.id
    assert (await browser.get("/out")).code == 200
    assert browser.id != old and await browser.stored(old) is None


async def test_reload_does_not_show_flash_data_twice(app, browser):
    """A handler that reloads a session which nobody has saved meanwhile shows its flash data once."""

    class Flash(SessionMixin, RequestHandler):
        def get(self):
            self.session.flash("status", "Saved")

    class Page(SessionMixin, RequestHandler):
        async def get(self):
            await self.session.reload()
            self.write(self.session.get("status", "-"))

    route(app, flash=Flash, page=Page)
    await browser.get("/flash")
    assert [(await browser.get("/page")).body for _ in range(2)] == [b"Saved", b"-"]
