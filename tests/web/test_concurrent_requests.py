"""Concurrent requests of one session."""

from __future__ import annotations

import asyncio

import pytest
from tornado.web import RequestHandler
from visitors import stored_record

from node_session import SessionMixin
from web.handlers import Page, Return, route

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "file"}, {"driver": "slow"}], ids=str)
@pytest.mark.gen_test(timeout=60)
async def test_nothing_is_lost_at_once(app, visitor):
    """Eight clients of one session concurrently push 10 values each: all are there, each client's in order."""

    class Push(SessionMixin, RequestHandler):
        async def get(self):
            self.session.push("list", self.get_query_argument("value"))
            await asyncio.sleep(0.001)

    route(app, push=Push)
    await visitor.get("/push?value=first")

    async def client(number):
        for each in range(10):
            assert (await visitor.get(f"/push?value={number}-{each}")).code == 200

    await asyncio.gather(*map(client, range(8)))
    values = (await visitor.stored())["list"]
    assert len(values) == 81
    for number in range(8):
        assert [v for v in values if v.startswith(f"{number}-")] == [f"{number}-{each}" for each in range(10)]


@pytest.mark.usefixtures("long_requests")
@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "file"}, {"driver": "slow"}], ids=str)
@pytest.mark.parametrize("ending", ["invalidate", "regenerate"])
@pytest.mark.parametrize("changes", [True, False], ids=["changing", "reading"])
async def test_destroyed_stays_destroyed(app, visitor, new_visitor, ending, changes):
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
    await visitor.get("/page")
    id = visitor.id
    other = new_visitor()
    other.cookie = visitor.cookie
    slow = asyncio.ensure_future(other.get("/slow"))
    await going_on.wait()
    await visitor.get("/end")
    ended.set()
    response = await slow
    assert response.code == 200
    assert "Set-Cookie" not in response.headers
    assert visitor.id != id and "late" not in await visitor.stored()
    left = await stored_record(visitor, id)
    assert left is None if ending == "invalidate" else list(left) == ["_left"] and "late" not in str(left)


async def test_slow_reader_undoes_nothing(app, visitor):
    """A request that changes nothing, and ends after others that did, leaves what they saved."""
    going_on, changed = asyncio.Event(), asyncio.Event()

    class Slow(SessionMixin, RequestHandler):
        async def get(self):
            self.session.get("count")
            going_on.set()
            await changed.wait()
            await asyncio.sleep(0.02)

    route(app, page=Return, slow=Slow)
    await visitor.get("/page")
    slow = asyncio.ensure_future(visitor.get("/slow"))
    await going_on.wait()
    for _ in range(3):
        await visitor.get("/page")
    changed.set()
    assert (await slow).code == 200
    assert (await visitor.stored())["count"] == 4


async def test_late_request_does_not_log_out(app, visitor, new_visitor):
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
    await visitor.post("/home", csrf=False)
    late = new_visitor()
    late.cookie = visitor.cookie
    await visitor.post("/login", csrf=False)
    for method in ("GET", "POST"):
        answer = await late.request(method, "/home", csrf=False)
        assert answer.code == 200 and "Set-Cookie" not in answer.headers
    assert (await late.get("/home")).body == b"a book of nobody"
    assert (await visitor.get("/home")).body == b"a bookAnn"


async def test_reload_does_not_show_flash_data_twice(app, visitor):
    """A handler that reloads a session which nobody has saved meanwhile shows its flash data once."""

    class Flash(SessionMixin, RequestHandler):
        def get(self):
            self.session.flash("status", "Saved")

    class Page(SessionMixin, RequestHandler):
        async def get(self):
            await self.session.reload()
            self.write(self.session.get("status", "-"))

    route(app, flash=Flash, page=Page)
    await visitor.get("/flash")
    assert [(await visitor.get("/page")).body for _ in range(2)] == [b"Saved", b"-"]


async def test_a_session_just_made_needs_no_confirmation(app, visitor, sessions):
    """A handler that has saved its new session itself is not taken for one that began long ago."""

    class Own(Page):
        async def get(self):
            await self.session.save()

    driver = await sessions.driver()
    read, reads = driver.read, []

    async def counting(id):
        reads.append(id)
        return await read(id)

    driver.read = counting
    route(app, page=Own)
    response = await visitor.get("/page")
    assert "Set-Cookie" in response.headers and reads == []
