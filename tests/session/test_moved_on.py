"""Log-ins and log-outs with a cookie whose session has gone on under another id."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time

import pytest
from rotations import log_out_against_rotations, logged_in
from stores import SLOW, STORES, another_program
from tornado.web import RequestHandler
from visitors import stored_record
from world import is_gone, start_session, start_session_of

from node_session import NodeSession, SessionMixin, UnavailableError
from node_session.drivers import MemoryDriver
from node_session.farewell import compose
from node_session.formats import NODE_SESSION

pytestmark = pytest.mark.gen_test

GRACES = [{}, {"regenerateGrace": 0}]


@pytest.fixture(params=[{**driver, **grace} for driver in [*STORES, SLOW] for grace in GRACES], ids=str)
def options(request):
    return request.param


class Page(SessionMixin, RequestHandler):
    def get(self):
        self.session.put("seen", True)


class Login(SessionMixin, RequestHandler):
    """Logs in; waits, if it is told to, until all is ready for the session to be saved."""

    ready = None

    async def post(self):
        if self.ready is not None:
            self.ready.append(None)
            while len(self.ready) < 2:
                await asyncio.sleep(0)
        if self.get_query_argument("reload", ""):
            await self.session.reload()
        self.session.regenerate(True)
        if self.get_query_argument("take", ""):
            assert await self.session.take("seen") is None
        self.session.put("user", self.get_query_argument("user", "Ann"))
        self.redirect("/whoami")


class Rotate(SessionMixin, RequestHandler):
    def post(self):
        self.session.regenerate(True)


class Logout(SessionMixin, RequestHandler):
    def post(self):
        self.session.invalidate()


class WhoAmI(SessionMixin, RequestHandler):
    def get(self):
        self.write(self.session.get("user", "nobody"))


@pytest.fixture
def other_tab(visitor, new_visitor):
    """Makes another visitor with the cookie that the first has now."""

    def other_tab():
        tab = new_visitor()
        tab.cookie = visitor.cookie
        return tab

    return other_tab


@pytest.fixture(autouse=True)
def routes(app):
    handlers = {"page": Page, "login": Login, "rotate": Rotate, "logout": Logout, "whoami": WhoAmI}
    app.add_handlers(".*", [(f"/{name}", handler) for name, handler in handlers.items()])
    Login.ready = None


async def test_second_login(visitor, other_tab, options):
    """A second form post with the old cookie logs in as well, for example if the first answer was lost."""
    await visitor.get("/page")
    second = other_tab()
    assert (await visitor.post("/login", csrf=False)).code == 302
    answer = await second.post("/login", csrf=False)
    assert answer.code == 302 and "Set-Cookie" in answer.headers
    assert (await second.get("/whoami")).body == b"Ann"
    assert (await second.stored()).get("seen") is (None if "regenerateGrace" in options else True)


async def test_two_logins_at_once(visitor, other_tab):
    """Of two log-ins with one cookie at the same time each ends with a session, and the later one's is alive."""
    await visitor.get("/page")
    second = other_tab()
    Login.ready = []
    answers = await asyncio.gather(visitor.post("/login", csrf=False), second.post("/login", csrf=False))
    assert [answer.code for answer in answers] == [302, 302]
    assert all("Set-Cookie" in answer.headers for answer in answers)
    assert b"Ann" in [(await each.get("/whoami")).body for each in (visitor, second)]


@pytest.mark.parametrize("does", ["take", "reload"])
async def test_second_login_that_reads_the_store(visitor, other_tab, does):
    """A second log-in that takes a one-time value, which the first one has, or reloads, logs in as well."""
    await visitor.get("/page")
    second = other_tab()
    await visitor.post("/login", csrf=False)
    answer = await second.post(f"/login?{does}=1", csrf=False)
    assert answer.code == 302 and "Set-Cookie" in answer.headers
    assert (await stored_record(second))["_token"]
    assert (await second.get("/whoami")).body == b"Ann"


async def test_login_with_an_old_cookie_takes_nothing_along(visitor, other_tab):
    """A user with the cookie from before somebody logged in gets, by logging in, none of the data stored since."""
    await visitor.get("/page")
    other = other_tab()
    await visitor.post("/login?user=Ann", csrf=False)
    await other.post("/login?user=Eve", csrf=False)
    stored = await other.stored()
    assert stored["user"] == "Eve" and "Ann" not in json.dumps(stored)


@pytest.mark.parametrize("first", ["login", "rotate"])
async def test_logout_finds_where_the_session_has_gone(visitor, other_tab, sessions, first):
    """A log-out with a cookie that was left ends the session under its new id."""
    await visitor.post("/login", csrf=False)
    other = other_tab()
    await visitor.post(f"/{first}", csrf=False)
    assert (await visitor.get("/whoami")).body == b"Ann"
    await other.post("/logout", csrf=False)
    assert (await visitor.get("/whoami")).body == b"nobody"


async def test_logout_again_after_a_503(visitor, sessions):
    """A log-out that could not destroy the record is tried again with the same cookie, and then destroys it."""
    await visitor.post("/login", csrf=False)
    driver, cookie = await sessions.driver(), visitor.cookie
    destroy = driver.destroy

    async def fail(*args):
        driver.destroy = destroy
        raise UnavailableError("the connection was lost")

    driver.destroy = fail
    assert (await visitor.post("/logout", csrf=False)).code == 503
    assert visitor.cookie == cookie
    assert (await visitor.post("/logout", csrf=False)).code == 200
    assert visitor.cookie != cookie
    assert await logged_in(getattr(driver, "memory", driver)) == []


async def test_logout_after_three_rotations(visitor, other_tab):
    """It follows through all the ids that the session had since, and leaves none of them to be read."""
    await visitor.post("/login", csrf=False)
    other = other_tab()
    ids = [visitor.id]
    for _ in range(3):
        await visitor.post("/rotate", csrf=False)
        ids.append(visitor.id)
    await other.post("/logout", csrf=False)
    assert [await stored_record(visitor, id) for id in ids] == [None] * 4


async def test_rotation_after_a_logout_brings_nobody_back(visitor, other_tab):
    """A rotation under the old cookie, of a session that went on and was logged out there, is logged in no more."""
    await visitor.post("/login", csrf=False)
    late = other_tab()
    await visitor.post("/rotate", csrf=False)
    await visitor.post("/logout", csrf=False)
    await late.post("/rotate", csrf=False)
    assert (await late.get("/whoami")).body == b"nobody"


async def test_login_after_a_logout_elsewhere(visitor, other_tab):
    """A log-in under the old cookie of such a session holds what this request put into it, and nothing else."""
    await visitor.get("/page")
    late = other_tab()
    await visitor.post("/login", csrf=False)
    await visitor.post("/logout", csrf=False)
    await late.post("/login?user=Bob", csrf=False)
    assert (await late.get("/whoami")).body == b"Bob"
    assert "_token" in await stored_record(late)


@pytest.mark.gen_test(timeout=300)
async def test_logout_against_rotation(config, sessions):
    """After the answer to a log-out no logged-in record of that session is left, however rotations interleave."""
    choose = random.Random(4).randrange
    for _ in range(10 if config["driver"] == "slow" else 500):
        await log_out_against_rotations(sessions, choose)


@pytest.mark.parametrize("skew", [-9.0, -0.2, 0.0, 0.2, 9.0], ids="{:+}s".format)
async def test_clocks_that_differ(visitor, other_tab, config, monkeypatch, skew):
    """Another machine's clock may differ by less than the grace: a late request neither gets nor undoes a cookie."""
    if config.get("regenerateGrace") == 0:
        return
    await visitor.get("/page")
    late = other_tab()
    await visitor.post("/login", csrf=False)
    there = time.time
    monkeypatch.setattr(time, "time", lambda: there() + skew)
    answer = await late.get("/whoami")
    assert (answer.code, "Set-Cookie" in answer.headers) == (200, False)


@pytest.mark.parametrize("skew", [-11.0, 21.0], ids="{:+}s".format)
async def test_grace_is_over(visitor, new_visitor, monkeypatch, skew):
    """A clock that is off by more is one for which the grace is over: a fresh session, and nothing of the old."""
    await visitor.get("/page")
    late = new_visitor()
    late.cookie = old = visitor.cookie
    await visitor.post("/login", csrf=False)
    there = time.time
    monkeypatch.setattr(time, "time", lambda: there() + skew)
    await late.get("/whoami")
    assert late.cookie not in (old, visitor.cookie) and "seen" not in await late.stored()


@pytest.mark.parametrize("late", [True, False])
async def test_invalidate_leaves_nothing(app, visitor, new_visitor, other_tab, sessions, config, late):
    """With saveUninitialized false a log-out leaves no record, and the browser's cookie is deleted."""
    app.settings["node_session"] = await another_program(sessions, config, saveUninitialized=False)
    await visitor.post("/login", csrf=False)
    other = other_tab()
    if late:
        await visitor.post("/rotate", csrf=False)
    answer = await other.post("/logout", csrf=False)
    line = answer.headers["Set-Cookie"]
    assert line.startswith("node_session=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly")
    assert await stored_record(visitor) is None
    assert "Set-Cookie" not in (await new_visitor().get("/whoami")).headers


async def test_invalidate_of_a_dead_session_deletes_no_cookie(app, visitor, sessions, config):
    """The cookie of a session that expired is left: it may be a late request's, whose browser has a new one."""
    app.settings["node_session"] = await another_program(sessions, config, saveUninitialized=False)
    visitor.use_id("B" * 40)
    assert "Set-Cookie" not in (await visitor.post("/logout", csrf=False)).headers


async def test_invalidate_and_go_on(app, visitor, sessions, config):
    """Values put into a session after invalidate() are a new session's, stored and with a cookie."""

    class Bye(SessionMixin, RequestHandler):
        async def get(self):
            self.session.invalidate()
            await self.session.save()
            self.session.flash("status", "Bye.")

    app.settings["node_session"] = await another_program(sessions, config, saveUninitialized=False)
    app.add_handlers(".*", [("/bye", Bye)])
    await visitor.post("/login", csrf=False)
    old = visitor.id
    await visitor.get("/bye")
    assert visitor.id != old and (await visitor.stored())["status"] == "Bye."
    assert await stored_record(visitor, old) is None


async def test_a_trail_shows_no_id(visitor, config, sessions):
    """With hashIds the store has no id in it, in what a session leaves behind neither."""
    hashed = NodeSession({**config, "hashIds": True, "driver": "memory"})
    first = await start_session_of(hashed, None)
    await first.save()
    second = await start_session_of(hashed, first.get_id())
    second.regenerate(True)
    await second.save()
    kept = [entry async for entry in (await hashed.driver()).scan()]
    assert len(kept) == 2
    assert not any(id in str(kept) for id in (first.get_id(), second.get_id()))
    left = await (await hashed.driver()).read(first.get_id())
    veiled = base64.urlsafe_b64decode(json.loads(left.payload)["_left"]["to"])
    for entry in kept:  # neither can a reader work it out with what names the records
        id = bytes(a ^ b for a, b in zip(veiled, base64.urlsafe_b64decode(entry.id), strict=True))
        assert base64.urlsafe_b64encode(id).decode() != second.get_id()
    third = await start_session_of(hashed, first.get_id())
    third.invalidate()
    await third.save()
    assert "_left" not in str([entry async for entry in (await hashed.driver()).scan()])


class LimitedDriver(MemoryDriver):
    """Fails where a program goes round in a circle, rather than let it go on for ever."""

    reads = 0

    async def read(self, id):
        self.reads += 1
        assert self.reads < 1000
        return await super().read(id)


def test_a_forged_trail_leads_nowhere(io_loop):
    """A record whose trail leads in a circle, or to no id, ends a log-out no less than a whole one."""

    async def main():
        driver = LimitedDriver(0)
        first = await start_session(driver, regenerate_grace=10_000)
        await first.save()
        other = await start_session(driver, first.get_id(), regenerate_grace=10_000)
        other.regenerate(True)
        await other.save()
        left = (await driver.read(first.get_id())).payload
        circle = await compose(other.get_id(), first.get_id(), None, time.time() * 1000, NODE_SESSION)
        for payload in (circle, left.replace('"to":"', '"to":"!'), '{"_left":{"at":1}}'):
            await driver.destroy(other.get_id())
            await driver.write(other.get_id(), payload, None)
            late = await start_session(driver, first.get_id(), regenerate_grace=10_000)
            late.invalidate()
            await late.save()
            assert not is_gone(late)

    asyncio.run(main())
