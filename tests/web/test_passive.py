"""Requests that are no activity (`passive_session`, `session.passive()`): polls."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from stores import all_stores, another_program, settle
from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler
from visitors import ID
from world import start_session_of

from node_session import GoneError, NodeSession, SessionMixin, UnavailableError
from node_session.testing import Visitor
from web.handlers import failing, route

pytestmark = [pytest.mark.gen_test, all_stores]

LIFETIME = 3_600_000
OLD = 1_800_000  # how long a session was idle before a test's request: far more than any test takes


class Poll(SessionMixin, RequestHandler):
    """Does to its session what the query says."""

    passive_session = True

    async def get(self):
        session = self.session
        for do in self.get_query_arguments("do"):
            if do == "put":
                session.put("polled", True)
            elif do == "flash":
                session.flash("status", "Saved.")
            elif do == "take":
                await session.take("ticket")
            elif do == "transaction":
                async with session.transaction():
                    session.put("polled", True)
            elif do == "reload":
                await session.reload()
            elif do == "stream":
                self.write(" ")
                await self.flush()
                session.put("streamed", True)
            elif do == "fail":
                raise HTTPError(404)
            elif do == "save":
                await session.save()
            else:
                getattr(session, do)()
        self.write(json.dumps({"user": session.get("user"), "status": session.get("status")}))

    post = get


class Active(SessionMixin, RequestHandler):
    async def get(self):
        if self.get_query_argument("passive", ""):
            self.session.passive()
        if self.get_query_argument("put", ""):
            self.session.put("clicked", True)
        self.write(json.dumps({"user": self.session.get("user"), "status": self.session.get("status")}))


class Plain(RequestHandler):
    """Without the mixin."""

    passive_session = True

    async def prepare(self):
        await self.settings["node_session"].start_session(self.request, self)

    def get(self):
        self.request.session.put("polled", True)


class Held(SessionMixin, RequestHandler):
    """A long poll, which goes on until it is told to end."""

    begun: asyncio.Event
    may_end: asyncio.Event

    async def get(self):
        self.session.passive()
        self.begun.set()
        await self.may_end.wait()
        if self.get_query_argument("put", ""):
            self.session.put("polled", True)
        if self.get_query_argument("take", ""):
            self.session.put("polled", await self.session.take("ticket"))


@pytest.fixture(autouse=True)
def routes(app):
    route(app, poll=Poll, active=Active, plain=Plain, held=Held)
    Held.begun, Held.may_end = asyncio.Event(), asyncio.Event()


@pytest.fixture
def config(config):
    return {**config, "lifetime": LIFETIME}


@pytest.fixture
def old(visitor):
    """Gives the visitor a session that has been idle for half its lifetime, or for as long as it says."""

    async def old(idle: float = OLD, **attributes) -> None:
        attributes = {
            "_token": "t",
            "user": "Ann",
            "flash": {"old": ["status"], "new": []},
            "status": "x",
            **attributes,
        }
        await (await visitor.sessions.driver()).write(
            ID, json.dumps(attributes, separators=(",", ":")), None, idle=idle
        )
        visitor.use_id(ID)

    return old


async def idle(sessions: NodeSession, id: str = ID) -> float:
    """For how many milliseconds a session has been idle, when all renewals are done."""
    await settle(sessions)
    return (await (await sessions.driver()).read(id)).idle


def reported(sessions: NodeSession) -> list[dict]:
    """The reports of the requests that follow."""
    reports = []
    sessions.on_event = lambda name, values: reports.append(values) if name == "node_session.request" else None
    return reports


DONE = ["", "do=put", "do=take", "do=transaction", "do=reload", "do=flash", "do=stream", "do=fail", "do=put&do=save"]


@pytest.mark.parametrize("query", DONE)
@pytest.mark.parametrize("ticket", [{}, {"ticket": 1}], ids=["", "ticket"])
async def test_no_renewal(visitor, sessions, old, query, ticket):
    """Whatever a passive request reads or writes, its session stays idle, and no cookie is sent."""
    await old(**ticket)
    reports = reported(sessions)
    response = await visitor.get(f"/poll?{query}")
    assert response.code == (404 if "fail" in query else 200)
    assert "Set-Cookie" not in response.headers
    assert await idle(sessions) >= OLD - 1
    assert reports[-1]["node_session.cookie"] == "not sent: the request is passive"
    stored = await visitor.stored()
    assert stored["user"] == "Ann"
    assert stored.get("polled") is (True if "put" in query or "transaction" in query else None)
    assert stored.get("streamed") is (True if "stream" in query else None)
    assert ("ticket" in stored) == (bool(ticket) and "take" not in query)
    await visitor.assert_flashed("status", "Saved." if "flash" in query else "x")


@pytest.mark.parametrize("path", ["active?passive=yes", "active?passive=yes&put=yes", "plain"])
async def test_other_ways_to_say_so(visitor, sessions, old, path):
    """`session.passive()` does the same for one request, and the attribute works without the mixin."""
    await old()
    assert "Set-Cookie" not in (await visitor.get(f"/{path}")).headers
    assert await idle(sessions) >= OLD - 1


@pytest.mark.parametrize("put", ["", "?put=yes"])
async def test_an_ordinary_request_renews(visitor, sessions, old, put):
    """The same session is renewed by a request that is activity, and its flash data ages."""
    await old()
    assert "Set-Cookie" in (await visitor.get(f"/active{put}")).headers
    assert await idle(sessions) < OLD
    await visitor.assert_missing("status")


async def test_about_to_expire(visitor, sessions, old):
    """A session of which little is left is renewed as soon as it is loaded, but not for a passive request."""
    await old(LIFETIME - 300_000)
    assert json.loads((await visitor.get("/active?passive=yes")).body)["user"] == "Ann"
    assert await idle(sessions) >= LIFETIME - 300_001
    assert json.loads((await visitor.get("/poll")).body)["user"] == "Ann"
    assert await idle(sessions) >= LIFETIME - 300_001


async def test_it_expires_while_only_polls_come(visitor, sessions, old, pass_time):
    """Polls do not keep a session: it expires as if they had not come, and they store no other."""
    await old()
    for _ in range(3):
        assert json.loads((await visitor.get("/poll?do=put")).body)["user"] == "Ann"
        pass_time(500)
    pass_time(400)
    reports = reported(sessions)
    response = await visitor.get("/poll?do=put")
    assert json.loads(response.body)["user"] is None and "Set-Cookie" not in response.headers
    assert [reports[-1][f"node_session.{each}"] for each in ("found", "saved")] == ["expired", "left alone"]
    assert await (await sessions.driver()).read(ID) is None and visitor.id == ID


@pytest.mark.parametrize("save_uninitialized", [True, False])
@pytest.mark.parametrize("do", ["put", "flash", "stream", "transaction", "get_token", "save", "take", "fail"])
async def test_a_stranger_leaves_nothing(app, visitor, config, tmp_path, do, save_uninitialized):
    """The first request of a visitor, if it is passive, stores nothing and sends no cookie."""
    sessions = app.settings["node_session"] = NodeSession({**config, "saveUninitialized": save_uninitialized})
    response = await visitor.get(f"/poll?do={do}")
    assert response.code == (404 if do == "fail" else 200) and "Set-Cookie" not in response.headers
    assert sessions.stats.created == sessions.stats.saved == 0
    await sessions.close()


@pytest.mark.parametrize("known", [True, False], ids=["known", "stranger"])
@pytest.mark.parametrize("do", ["regenerate", "invalidate"])
@pytest.mark.parametrize("order", ["do={}&do=put", "do={}&do=passive&do=put", "do=passive&do={}&do=put"])
async def test_a_new_id(visitor, sessions, old, known, do, order):
    """After regenerate() or invalidate() the request is an ordinary one: the old cookie is of no use any more."""
    if known:
        await old()
    response = await visitor.get(f"/poll?{order.format(do)}")
    assert response.code == 200 and visitor.id not in (None, ID)
    await visitor.assert_has("polled", True)
    await visitor.assert_missing("user") if do == "invalidate" or not known else await visitor.assert_has("user", "Ann")
    assert await idle(sessions, visitor.id) < OLD


async def test_csrf(app, visitor, config, old):
    """A passive POST needs the session's token as any other; a stranger's, who has none, is refused."""
    sessions = visitor.sessions = app.settings["node_session"] = NodeSession({**config, "csrf": True})
    assert (await visitor.post("/poll", csrf=False)).code == 403
    await old()
    assert (await visitor.post("/poll", csrf=False)).code == 403
    assert (await visitor.post("/poll", headers={"X-CSRF-Token": "t"})).code == 200
    assert await idle(sessions) >= OLD - 1
    await sessions.close()


@pytest.mark.parametrize("does", ["put", "take"])
async def test_a_poll_does_not_undo_a_renewal(visitor, sessions, old, does):
    """A session that an active request has only renewed during a long poll is not set back by the poll's write."""
    await old(flash={"old": [], "new": []}, ticket=True)
    before = sessions.stats.saved
    poll = asyncio.ensure_future(visitor.get(f"/held?{does}=yes"))
    await Held.begun.wait()
    await visitor.get("/active")
    assert await idle(sessions) < OLD and sessions.stats.saved == before
    Held.may_end.set()
    assert (await poll).code == 200
    assert await idle(sessions) < OLD
    await visitor.assert_has("polled", True)


@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "here"])
async def test_a_poll_and_a_click_are_merged(visitor, sessions, old, config, elsewhere):
    """Of a poll's write and a click's, both changes are stored, and the click counts as activity."""
    await old()
    poll = asyncio.ensure_future(visitor.get("/held?put=yes"))
    await Held.begun.wait()
    if elsewhere:
        session = await start_session_of(await another_program(sessions, config), ID)
        session.put("clicked", True)
        await session.save()
    else:
        await visitor.get("/active?put=yes")
    Held.may_end.set()
    assert (await poll).code == 200
    assert await idle(sessions) < OLD
    stored = await visitor.stored()
    assert stored["polled"] and stored["clicked"]


async def test_concurrent_polls(visitor, sessions, old):
    """Many polls that write concurrently lose nothing, and do not make the session active."""
    await old(count=0)

    async def poll(number):
        session = await start_session_of(sessions, ID)
        session.passive()
        session.push("polls", number)
        await session.save()

    await asyncio.gather(*map(poll, range(12)))
    assert sorted((await visitor.stored())["polls"]) == list(range(12))
    assert await idle(sessions) >= OLD - 1


async def test_a_poll_longer_than_the_session(visitor, sessions, old, pass_time, long_requests):
    """A long poll does not keep its session alive: if that expires meanwhile, what the poll puts is lost with it."""
    await old()
    poll = asyncio.ensure_future(visitor.get("/held?put=yes"))
    await Held.begun.wait()
    pass_time(LIFETIME / 1000)
    reports = reported(sessions)
    Held.may_end.set()
    response = await poll
    assert response.code == 200 and "Set-Cookie" not in response.headers
    assert reports[-1]["node_session.saved"] == "gone"
    assert await visitor.stored() is None


async def test_a_long_poll_is_not_kept_alive_by_the_timer(app, config, visitor, monkeypatch):
    """The timer that renews the sessions of requests under way leaves passive ones alone."""
    touched = []
    sessions = app.settings["node_session"] = NodeSession({**config, "lifetime": 2000})
    visitor.sessions = sessions
    driver = await sessions.driver()
    touch = driver.touch
    driver.touch = lambda id, **idle: (touched.append(id), touch(id, **idle))[1]
    await driver.write(ID, '{"_token":"t"}', None, idle=1400)
    visitor.use_id(ID)
    poll = asyncio.ensure_future(visitor.get("/held"))
    await Held.begun.wait()
    await asyncio.sleep(0.6)
    Held.may_end.set()
    assert (await poll).code == 200 and touched == []
    await sessions.close()


async def test_a_long_request_asks_nothing(visitor, sessions, old, long_requests):
    """A long passive request that changes nothing need not ask whether its session is there: it sends no cookie."""
    await old()
    driver = await sessions.driver()
    read, reads = driver.read, []
    driver.read = lambda id: (reads.append(id), read(id))[1]
    reports = reported(sessions)
    poll = asyncio.ensure_future(visitor.get("/held"))
    await Held.begun.wait()
    await asyncio.sleep(0.02)
    Held.may_end.set()
    assert (await poll).code == 200 and reads == [ID]
    assert reports[-1]["node_session.cookie"] == "not sent: the request is passive"


async def test_too_late_for_the_cookie(app, visitor, sessions, old):
    """passive() after the headers takes no cookie back, but keeps the response from renewing the record."""

    class Late(SessionMixin, RequestHandler):
        async def get(self):
            await self.flush()
            self.session.passive()

    route(app, late=Late)
    await old()
    assert "Set-Cookie" in (await visitor.get("/late")).headers
    assert await idle(sessions) >= OLD - 1
    await visitor.assert_flashed("status", "x")


async def test_websocket(app, visitor, sessions, old, base_url):
    """A passive WebSocket renews nothing, by its handshake, a transaction or a reload; a stranger's stores nothing."""

    class Socket(SessionMixin, WebSocketHandler):
        passive_session = True

        async def on_message(self, message):
            try:
                async with self.session.transaction():
                    self.session.put("said", message)
                await self.session.reload()
            except GoneError:
                message = "gone"
            await self.write_message(message)

    route(app, socket=Socket)
    stranger = Visitor(visitor._client, base_url, sessions)
    connection = await stranger.websocket("/socket")
    await connection.write_message("hello")
    assert await connection.read_message() == "hello"
    assert stranger.cookie is None and sessions.stats.created == 0
    connection.close()
    await old()
    connection = await visitor.websocket("/socket")
    assert "Set-Cookie" not in connection.headers
    await connection.write_message("hello")
    assert await connection.read_message() == "hello"
    assert await idle(sessions) >= OLD - 1
    await visitor.assert_has("said", "hello")
    connection.close()


async def test_store_that_is_down(visitor, sessions, old):
    """A passive request whose write fails is a 503, as any other."""
    await old()
    repair = await failing(sessions, "write", UnavailableError("down"))
    assert (await visitor.get("/poll?do=put")).code == 503
    repair()
    assert (await visitor.get("/poll?do=put")).code == 200
    await visitor.assert_has("polled", True)


async def test_absolute_lifetime(app, config, visitor):
    """The absolute lifetime ends a session in a passive request, too."""
    sessions = app.settings["node_session"] = NodeSession({**config, "absoluteLifetime": 1_000_000})
    visitor.sessions = sessions
    driver = await sessions.driver()
    created = int(time.time() * 1000) - 2_000_000
    await driver.write(ID, json.dumps({"user": "Ann", "_created": created}), None)
    visitor.use_id(ID)
    assert json.loads((await visitor.get("/poll")).body)["user"] is None
    assert await driver.read(ID) is None
    await sessions.close()
