"""WebSocket handshakes, and the messages after them: saving, reloading, flash data."""

from __future__ import annotations

import json

import pytest
from tornado.httpclient import HTTPRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

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


async def test_websocket(app, browser, base_url):
    """A WebSocket has the page's session; it saves and reloads any number of times."""
    route(app, page=Return, socket=Socket)
    await browser.get("/page")
    url = base_url.replace("http", "ws") + "/socket"
    connection = await websocket_connect(HTTPRequest(url, headers=browser.cookie_header))
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
    """A WebSocket that saves does not use up flash data for the next page."""

    class Flash(SessionMixin, RequestHandler):
        def get(self):
            self.session.flash("status", "Saved.")

    class Show(SessionMixin, RequestHandler):
        def get(self):
            self.write(self.session.get("status", "-"))

    route(app, flash=Flash, show=Show, socket=Socket)
    await browser.get("/flash")
    url = base_url.replace("http", "ws") + "/socket"
    connection = await websocket_connect(HTTPRequest(url, headers=browser.cookie_header))
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
