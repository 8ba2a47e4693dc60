"""The visitor that the package offers to tests of applications, and pytest's fixtures for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tornado.testing import AsyncHTTPTestCase, gen_test
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from node_session import NodeSession, SessionMixin
from node_session.testing import Visitor, plugin

visitor = plugin.visitor  # as in an application's tests: it visits `app`, and not the `sessions` of ours


class Account(SessionMixin, RequestHandler):
    def get(self):
        self.write(self.session.get("user.name", "Nobody"))

    def post(self):
        self.session.put("user.name", self.get_body_argument("name"))
        self.session.flash("status", "Saved.")
        self.set_cookie("theme", "dark")
        self.redirect("/account")

    def put(self):
        self.session.put(json.loads(self.request.body))

    def delete(self):
        self.session.invalidate()
        self.clear_cookie("theme")

    def head(self):
        self.session.increment("heads")

    patch = put


class Moved(RequestHandler):
    def post(self):
        self.redirect("/account", status=307)


class Echo(SessionMixin, WebSocketHandler):
    def on_message(self, message):
        self.write_message(f"{self.session.get('user.name')}: {message}")


def application(sessions) -> Application:
    return Application([("/account", Account), ("/moved", Moved), ("/echo", Echo)], node_session=sessions)


@pytest.fixture(params=[{}, {"csrf": True}, {"bindName": True, "cookie": "own"}, {"encrypt": True}], ids=str)
def app(node_session_config, request, tmp_path):
    """The application, each time with other options, as its author would write it."""
    return application({**node_session_config, **request.param})


@pytest.mark.gen_test
async def test_become(visitor):
    """Somebody is logged in without the login form; another time it is another session."""
    assert (await visitor.get("/account")).body == b"Nobody"
    await visitor.become({"user": {"name": "Ann"}}, cart=[1])
    first = visitor.id
    assert (await visitor.get("/account")).body == b"Ann" and visitor.id == first
    assert (await visitor.stored())["cart"] == [1]
    await visitor.become({"user.name": "Bob"})
    assert (await visitor.get("/account")).body == b"Bob" and visitor.id != first
    assert (await visitor.stored(first))["user"] == {"name": "Ann"}


@pytest.mark.gen_test
async def test_form(visitor):
    """A form is posted with the session's token, and what its handler flashed is there for the next request only."""
    response = await visitor.post("/account", {"name": "Ann"})
    assert response.code == 302 and visitor.cookies["theme"] == "dark"
    await visitor.assert_has("user.name", "Ann")
    await visitor.assert_flashed("status", "Saved.")
    await visitor.assert_flashed("status")  # looking does not age it
    assert (await visitor.get("/account")).body == b"Ann"
    await visitor.assert_missing("status")
    with pytest.raises(AssertionError, match=r"'status' is not flashed; nothing is"):
        await visitor.assert_flashed("status")


@pytest.mark.gen_test
async def test_methods(visitor):
    """Every method goes with cookies and, where it changes something, with the token; JSON is sent as such."""
    await visitor.become(user={"name": "Ann"})
    visitor.cookies["theme"] = "dark"
    assert (await visitor.put("/account", json={"a": 1})).code == 200
    assert (await visitor.patch("/account", json={"b": [2]})).code == 200
    assert (await visitor.head("/account")).code == 200
    stored = await visitor.stored()
    assert (stored["a"], stored["b"], stored["heads"]) == (1, [2], 1)
    assert (await visitor.delete("/account")).code == 200
    assert await visitor.stored() is None or "user" not in await visitor.stored()
    assert "theme" not in visitor.cookies


@pytest.mark.gen_test
async def test_redirects(visitor):
    """Redirects are followed if asked for: with the cookies, as a GET, or with the same body as a 307 wants it."""
    response = await visitor.post("/account", {"name": "Ann"}, follow=True)
    assert response.code == 200 and response.body == b"Ann" and response.effective_url.endswith("/account")
    assert (await visitor.post("/moved", {"name": "Bob"}, follow=True)).body == b"Bob"
    assert [each.code for each in visitor.history] == [307, 302]
    await visitor.assert_has("user.name", "Bob")


@pytest.mark.parametrize("app", [{"csrf": True}], indirect=True)
@pytest.mark.gen_test
async def test_token(visitor):
    """Without the token a handler with `csrf` refuses, and a token that a test gives goes before the session's."""
    await visitor.become(user={"name": "Ann"})
    assert (await visitor.post("/account", {"name": "Bob"}, csrf=False)).code == 403
    assert (await visitor.post("/account", {"name": "Bob"}, headers={"X-CSRF-Token": "wrong"})).code == 403
    await visitor.assert_has("user.name", "Ann")
    assert (await visitor.post("/account", {"name": "Bob", "_token": await visitor.token()}, csrf=False)).code == 302


@pytest.mark.parametrize("app", [{"csrf": True}], indirect=True)
@pytest.mark.gen_test
async def test_token_of_a_session_without_one(visitor):
    """After `flush` a session has no token; the visitor gets it one that is stored, so that its form is accepted."""
    await visitor.become(user={"name": "Ann"})
    async with visitor.session() as session:
        session.flush()
    assert (await visitor.post("/account", {"name": "Bob"})).code == 302
    await visitor.assert_has("user.name", "Bob")


@pytest.mark.gen_test
async def test_session_between_requests(visitor):
    """The stored session may be changed in between; flash data waits for the next request."""
    await visitor.post("/account", {"name": "Ann"})
    async with visitor.session() as session:
        session.put("user.name", "Bob")
        session.forget("status")
    await visitor.assert_missing("status")
    assert (await visitor.get("/account")).body == b"Bob"
    async with visitor.session() as session:
        session.regenerate(True)
        fresh = session.get_id()
    assert visitor.id == fresh and (await visitor.get("/account")).body == b"Bob"


@pytest.mark.gen_test
async def test_assertions_say_what_is_there(visitor):
    """A failed assertion names what the session has instead."""
    await visitor.become(user={"name": "Ann"})
    with pytest.raises(AssertionError, match=r"the session has no 'cart'; it has .*'user'"):
        await visitor.assert_has("cart")
    with pytest.raises(AssertionError, match=r"'user.name' is 'Ann', not 'Bob'"):
        await visitor.assert_has("user.name", "Bob")
    with pytest.raises(AssertionError, match=r"the session has 'user.name': 'Ann'"):
        await visitor.assert_missing("user.name")
    await visitor.assert_missing("user.age")


@pytest.mark.gen_test
async def test_nobody(visitor):
    """A visitor without a session has nothing stored, and assertions about it are no errors."""
    assert visitor.id is visitor.cookie is None and visitor.headers == {}
    assert await visitor.stored() is None
    await visitor.assert_missing("user")
    with pytest.raises(AssertionError, match=r"it has"):
        await visitor.assert_has("user")
    visitor.cookie = "s%3Aforged.signature"
    assert visitor.id is None and await visitor.stored() is None


@pytest.mark.gen_test
async def test_websocket(visitor):
    """A WebSocket is opened as the visitor."""
    await visitor.become(user={"name": "Ann"})
    socket = await visitor.websocket("/echo")
    await socket.write_message("hello")
    assert await socket.read_message() == "Ann: hello"
    socket.close()


@pytest.mark.gen_test
async def test_websocket_begins_a_session(visitor):
    """The cookie that a handshake sets is kept: the pages after it have the WebSocket's session."""
    socket = await visitor.websocket("/echo")
    id = visitor.id
    assert id is not None and await (await visitor.sessions.driver()).read(id) is not None
    assert (await visitor.get("/account")).code == 200 and visitor.id == id
    socket.close()


class TestByUnittest(AsyncHTTPTestCase):
    """The same over Tornado's own test case."""

    def get_app(self):
        self.sessions = NodeSession({"secret": "only-for-tests-0123456789-0123456789", "driver": "memory"})
        return application(self.sessions)

    @gen_test
    async def test_account(self):
        """A visitor is made of what the test case has."""
        visitor = Visitor(self.http_client, self.get_url(""), self.sessions)
        await visitor.become(user={"name": "Ann"})
        assert (await visitor.get("/account")).body == b"Ann"
        await self.sessions.close()


def test_installed_plugin(tmp_path):
    """In a project of its own, pytest finds the fixtures without a conftest."""
    (tmp_path / "test_mine.py").write_text(
        """
import pytest
from tornado.web import Application, RequestHandler
from node_session import NodeSession, SessionMixin

class Page(SessionMixin, RequestHandler):
    def get(self):
        self.write(self.session.get("user", "Nobody"))

@pytest.fixture
def app(node_session_config):
    return Application([("/", Page)], node_session=NodeSession(node_session_config))

@pytest.mark.gen_test
async def test_page(visitor):
    await visitor.become(user="Ann")
    assert (await visitor.get("/")).body == b"Ann"
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
