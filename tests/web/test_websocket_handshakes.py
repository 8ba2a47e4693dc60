"""WebSocket handshakes, and the messages after them: saving, reloading, flash data."""

from __future__ import annotations

import json

import pytest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler
from visitors import stored_record

from node_session import HeadersSentError, SessionMixin
from web.handlers import Return, route

pytestmark = pytest.mark.gen_test


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


async def test_websocket(app, visitor):
    """A WebSocket has the page's session; it saves and reloads any number of times."""
    route(app, page=Return, socket=Socket)
    await visitor.get("/page")
    cookie = visitor.cookie
    connection = await visitor.websocket("/socket")
    assert connection.headers["Set-Cookie"].startswith("node_session=" + cookie)
    assert await say(connection, "id") == visitor.id
    assert await say(connection, "hello") == "saved"
    await visitor.get("/page")
    assert await say(connection, "again") == "saved"
    assert await visitor.stored() | {"_token": "t"} == {
        "_token": "t",
        "flash": {"old": [], "new": []},
        "count": 2,
        "said": ["hello", "again"],
    }
    await visitor.get("/page")
    assert json.loads(await say(connection, "reload")) == [True, 3]
    assert await say(connection, "regenerate") == "refused"
    await (await visitor.sessions.driver()).destroy(visitor.id)
    assert json.loads(await say(connection, "reload")) == [False, None]
    assert await say(connection, "lost") == "saved"
    assert await stored_record(visitor) is None
    connection.close()


async def test_websocket_without_a_session(app, visitor):
    """A handshake without a cookie makes a session, stored before the client has its cookie."""
    route(app, page=Return, socket=Socket)
    connection = await visitor.websocket("/socket")
    assert await say(connection, "id") == visitor.id
    assert await stored_record(visitor) is not None
    assert (await visitor.get("/page")).code == 200
    assert json.loads(await say(connection, "reload")) == [True, 1]
    connection.close()


async def test_websocket_leaves_flash_data_alone(app, visitor):
    """A WebSocket that saves does not use up flash data for the next page."""

    class Flash(SessionMixin, RequestHandler):
        def get(self):
            self.session.flash("status", "Saved.")

    class Show(SessionMixin, RequestHandler):
        def get(self):
            self.write(self.session.get("status", "-"))

    route(app, flash=Flash, show=Show, socket=Socket)
    await visitor.get("/flash")
    connection = await visitor.websocket("/socket")
    assert await say(connection, "hello") == "saved"
    assert (await visitor.get("/show")).body == b"Saved."
    assert (await visitor.get("/show")).body == b"-"
    assert await say(connection, "again") == "saved"
    assert (await visitor.get("/show")).body == b"-"
    connection.close()


async def test_plain_request_to_a_websocket(app, visitor):
    """A request that is no handshake is refused like without sessions."""
    route(app, socket=Socket)
    assert (await visitor.get("/socket")).code == 400
