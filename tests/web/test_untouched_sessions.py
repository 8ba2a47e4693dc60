"""Sessions into which nothing is put leave nothing behind (`saveUninitialized: false`)."""

from __future__ import annotations

import pytest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from node_session import SessionMixin
from web.handlers import Count, Form, Nothing, route

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
async def test_save_uninitialized(app, visitor, tmp_path):
    """A session into which nothing was put leaves neither a record nor a cookie."""
    route(app, nothing=Nothing, count=Count, form=Form)
    for _ in range(3):
        assert "Set-Cookie" not in (await visitor.get("/nothing")).headers
    assert not (tmp_path / "sessions").exists()
    await visitor.get("/count")
    assert (await visitor.stored())["count"] == 1
    assert "Set-Cookie" in (await visitor.get("/nothing")).headers


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
@pytest.mark.parametrize("how", ["get_token", "get"])
async def test_asking_for_the_token_begins_a_session(app, visitor, how):
    """A handler that asks for the token gets one, and a session that keeps it."""

    class Ask(SessionMixin, RequestHandler):
        def get(self):
            self.write(self.session.get_token() if how == "get_token" else self.session.get("_token"))

    route(app, ask=Ask)
    token = (await visitor.get("/ask")).body.decode()
    assert (await visitor.stored())["_token"] == token
    assert (await visitor.get("/ask")).body.decode() == token


@pytest.mark.parametrize("options", [{"saveUninitialized": False, "csrf": True}])
async def test_refused_post_leaves_nothing(app, visitor, tmp_path):
    """A robot's POST without a token is refused, and makes no session."""
    route(app, form=Form)
    response = await visitor.post("/form", csrf=False, headers={"X-CSRF-Token": "x"})
    assert (response.code, "Set-Cookie" in response.headers) == (403, False)
    assert not (tmp_path / "sessions").exists()


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
async def test_first_used_too_late(app, visitor, tmp_path, caplog):
    """A session first used after the headers is not stored, as its cookie could not be sent; a warning says so."""

    class Late(SessionMixin, RequestHandler):
        async def get(self):
            await self.flush()
            self.session.put("late", True)

    route(app, late=Late)
    assert (await visitor.get("/late")).code == 200
    assert not (tmp_path / "sessions").exists()
    assert "first used after the headers" in caplog.text


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
async def test_websocket_begins_a_session(app, visitor, base_url):
    """A WebSocket has a session from the handshake on, as its cookie could not be sent later."""

    class Socket(SessionMixin, WebSocketHandler):
        async def on_message(self, message):
            self.session.put("said", message)
            await self.session.save()
            await self.write_message("saved")

    route(app, socket=Socket)
    connection = await websocket_connect(base_url.replace("http", "ws") + "/socket")
    visitor.cookie = connection.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    await connection.write_message("hello")
    assert await connection.read_message() == "saved"
    assert (await visitor.stored())["said"] == "hello"
    connection.close()
