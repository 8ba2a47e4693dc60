"""Every way in which a handler can end: the session is saved before its response leaves."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
import weakref

import pytest
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import RequestHandler
from visitors import stored_record

from node_session import NodeSession, SessionMixin
from web.handlers import (
    Etag,
    FinishAwaited,
    FinishChunk,
    FinishInPrepare,
    NoContent,
    NotModified,
    OwnFinish,
    Page,
    RaiseFinish,
    RaiseHTTPError,
    Redirect,
    Return,
    SendError,
    Streamed,
    route,
)

pytestmark = pytest.mark.gen_test


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
async def test_saved_before_the_response_ends(app, visitor, handler, status, body):
    """However a handler ends, its client has the cookie and finds the session saved."""
    route(app, page=handler)
    for count in (1, 2):
        response = await visitor.get("/page")
        assert response.code == status
        assert body is None or response.body == body
        assert len(response.headers.get_list("Set-Cookie")) == 1
        stored = await visitor.stored()
        assert stored["count"] == count
        assert stored.get("late") == (True if handler is Streamed else None)


async def test_uncaught_exception(app, visitor, caplog):
    """A handler that raises answers 500, and what it did to the session until then is kept, as in the original."""

    class Broken(Page):
        def get(self):
            raise RuntimeError("the handler's own")

    route(app, page=Broken)
    assert (await visitor.get("/page")).code == 500
    assert (await visitor.stored())["count"] == 1
    assert sum("the handler's own" in record.getMessage() + str(record.exc_text) for record in caplog.records) == 1


async def test_head_and_etag(app, visitor):
    """HEAD has no body, a matching ETag gives 304; both save and both carry the cookie."""

    class Both(Etag):
        def head(self):
            self.get()

    route(app, page=Both)
    response = await visitor.head("/page")
    assert (response.code, response.body) == (200, b"")
    response = await visitor.get("/page", headers={"If-None-Match": response.headers["Etag"]})
    assert (response.code, response.body) == (304, b"")
    assert "Set-Cookie" in response.headers
    assert (await visitor.stored())["count"] == 2


@pytest.mark.parametrize("options", [{"driver": "slow"}])
async def test_redirected_client_sees_the_change(app, visitor, http_client):
    """A client that follows a redirect immediately finds the redirecting request's changes, even on a slow store."""

    class Login(SessionMixin, RequestHandler):
        def post(self):
            self.session.regenerate(True)
            self.session.put("user", "Ann")
            self.redirect("/home")

    class Home(SessionMixin, RequestHandler):
        def get(self):
            self.write(self.session.get("user", "nobody"))

    route(app, login=Login, home=Home)
    await visitor.get("/home")
    old = visitor.id
    await visitor.post("/login", csrf=False)
    assert (await visitor.get("/home")).body == b"Ann"
    assert visitor.id != old
    assert list(await stored_record(visitor, old)) == ["_left"]


async def test_nothing_can_be_written_while_the_response_waits(app, visitor):
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
    assert (await visitor.get("/page")).body == b"once"
    assert refused == [True, True]


async def test_bad_chunk_raises_in_the_handler(app, visitor, caplog):
    """A value that finish() cannot write is a TypeError at its call, as without sessions."""
    seen = []

    class Bad(Page):
        def get(self):
            try:
                self.finish(["a", "list"])
            except TypeError as error:
                seen.append(error)
                raise

    route(app, page=Bad)
    assert (await visitor.get("/page")).code == 500
    assert len(seen) == 1


async def test_error_after_finish_is_only_logged(app, visitor, caplog):
    """A handler that fails after finish() has its response sent all the same."""

    class Late(Page):
        async def get(self):
            self.finish("sent")
            raise RuntimeError("too late")

    route(app, page=Late)
    response = await visitor.get("/page")
    assert (response.code, response.body) == (200, b"sent")
    assert "too late" in caplog.text


@pytest.mark.parametrize("options", [{"driver": "slow"}])
async def test_client_that_left(app, visitor, http_port, caplog):
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
    await visitor.get("/page")
    finished.clear()
    arrived.clear()
    with caplog.at_level(logging.DEBUG):
        stream = IOStream(socket.socket())
        await stream.connect(("127.0.0.1", http_port))
        head = f"GET /page HTTP/1.1\r\nHost: x\r\nCookie: node_session={visitor.cookie}\r\n\r\n"
        await stream.write(head.encode())
        await arrived.wait()
        stream.close()
        await finished.wait()
    assert (await visitor.stored())["count"] == 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_awaited_finish_tells_of_a_client_that_left(app, visitor, http_port):
    """A handler that awaits finish() learns that the client has gone, as from Tornado's own."""
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
async def test_interrupted(app, visitor):
    """For a handler that was cancelled no save is begun, as its loop may be at its end; one that answers is saved."""
    route(app, interrupted=Interrupted, page=Return)
    await visitor.get("/page")
    cookie = visitor.cookie
    response = await visitor.get("/interrupted")
    assert response.code == 500 and "Set-Cookie" not in response.headers
    assert visitor.cookie == cookie and "half" not in await visitor.stored()
    assert (await visitor.get("/interrupted?answers=1")).code == 200
    assert (await visitor.stored())["half"] == "done"


@pytest.mark.parametrize("options", [{"driver": "file"}, {"driver": "memory"}, {"driver": "slow"}], ids=str)
async def test_error_of_tornado_itself(app, visitor, caplog):
    """An error of Tornado's own finish(), after the save, is logged and ends the request."""

    class Body(SessionMixin, RequestHandler):
        def get(self):
            self.session["x"] = 1
            self.set_status(204)
            self.write("a body that a 204 cannot have")

    route(app, body=Body)
    answer = await visitor.get("/body", request_timeout=5)
    assert answer.code == 500 and "204" in caplog.text


class Choosy(NodeSession):
    def ends_with_browser(self, session):
        raise LookupError("cannot choose")


@pytest.mark.parametrize("options", [{"driver": "file"}, {"driver": "memory"}], ids=str)
async def test_hook_that_raises(app, config, visitor):
    """A hook that raises while the cookie is made costs a 500, and no client that waits for ever."""

    class Page(SessionMixin, RequestHandler):
        def get(self):
            self.session["x"] = 1

    app.settings["node_session"] = Choosy(config)
    route(app, page=Page)
    answer = await visitor.get("/page", request_timeout=5)
    assert answer.code == 500 and "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("options", [{"driver": "file"}, {"driver": "memory"}], ids=str)
async def test_handlers_are_freed(app, visitor, sessions):
    """Python frees a handler without its garbage collector: after a save, an error, or before its session is loaded."""
    alive, gate, tasks = weakref.WeakSet(), asyncio.Event(), []

    class Page(SessionMixin, RequestHandler):
        def get(self):
            alive.add(self)
            self.session["x"] = self.get_query_argument("x")
            self.set_status(int(self.get_query_argument("x")))

    class Early(RequestHandler):
        def prepare(self):
            alive.add(self)
            tasks.append(asyncio.ensure_future(self.use()))

        async def use(self):
            await gate.wait()
            await sessions.start_session(self.request, self)

        def get(self):
            gate.set()

    class Plain(RequestHandler):
        async def prepare(self):
            alive.add(self)
            await sessions.start_session(self.request, self)

        def get(self):
            pass

    route(app, page=Page, early=Early, plain=Plain)
    gc.collect()
    gc.disable()
    try:
        for path in ("/page?x=200", "/page?x=409", "/early", "/plain", "/page?x=200"):
            await visitor.get(path)
            for task in tasks:
                await task
            tasks.clear()
        for _ in range(10):
            await asyncio.sleep(0)
        left = sorted(type(each).__name__ for each in alive)
    finally:
        gc.enable()
    assert left == []
