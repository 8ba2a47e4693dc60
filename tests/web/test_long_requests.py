"""Requests that take longer than their session's lifetime, or so long that much may have happened meanwhile."""

from __future__ import annotations

import asyncio
import time

import pytest
from stores import SLOW, STORES, another_program, settle
from tornado.tcpclient import TCPClient
from tornado.web import RequestHandler
from visitors import SECRET, stored_record

from node_session import GoneError, SessionMixin

pytestmark = pytest.mark.gen_test(timeout=60)


# The cookies end with the browser: a visitor forgets one whose time is over, as a browser does.
@pytest.fixture(params=[{**store, "lifetime": 800, "expireOnClose": True} for store in STORES], ids=str)
def options(request):
    return request.param


@pytest.fixture
def config(config, recwarn):
    """The config; that a lifetime of less than a second is doubtful need not be said here."""
    return config


class Page(SessionMixin, RequestHandler):
    def get(self):
        self.session.put("user", self.get_query_argument("name", "Ann"))
        if self.get_query_argument("regenerate", ""):
            self.session.regenerate(True)


class WhoAmI(SessionMixin, RequestHandler):
    def get(self):
        self.write(self.session.get("user", "nobody"))


class Upload(SessionMixin, RequestHandler):
    """Goes on until it is told to end."""

    begun: asyncio.Event
    may_end: asyncio.Event

    async def get(self):
        if self.get_query_argument("flush", ""):
            self.flush()
        if self.get_query_argument("regenerate", ""):
            self.session.regenerate(True)
        self.begun.set()
        await self.may_end.wait()
        if self.get_query_argument("change", ""):
            self.session.put("report", "done")


@pytest.fixture(autouse=True)
def routes(app):
    app.add_handlers(".*", [("/page", Page), ("/whoami", WhoAmI), ("/upload", Upload)])
    Upload.begun, Upload.may_end = asyncio.Event(), asyncio.Event()


async def count_touches(sessions) -> dict[str, int]:
    """Count, by id, how often the driver renews a record."""
    driver = await sessions.driver()
    touch, confirm, counts = driver.touch, driver.confirm, {}

    async def counting(id, **options):
        counts[id] = counts.get(id, 0) + 1
        await touch(id, **options)

    async def counting_confirm(id, version, **options):
        before = counts.get(id, 0)
        is_renewed = await confirm(id, version, **options)
        if is_renewed:
            counts[id] = before + 1  # also if it was done by a touch
        return is_renewed

    driver.touch, driver.confirm = counting, counting_confirm
    return counts


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_a_session_lives_as_long_as_its_request(visitor, sessions):
    """While a request is under way its session is renewed, again and again."""
    await visitor.get("/page")
    touches = await count_touches(sessions)
    upload = asyncio.ensure_future(visitor.get("/upload?change=1"))
    await until(lambda: touches.get(visitor.id, 0) >= 3)
    Upload.may_end.set()
    assert (await upload).code == 200
    assert (await visitor.get("/whoami")).code == 200


async def test_so_does_one_that_gets_a_new_id(visitor, sessions):
    """If the request has called regenerate(), the old record is renewed until the new one is stored."""
    await visitor.get("/page")
    touches, old = await count_touches(sessions), visitor.id
    upload = asyncio.ensure_future(visitor.get("/upload?regenerate=1"))
    await until(lambda: touches.get(old, 0) >= 3)
    Upload.may_end.set()
    answer = await upload
    assert answer.code == 200 and "Set-Cookie" in answer.headers and visitor.id != old
    assert (await visitor.get("/whoami")).body == b"Ann"


@pytest.mark.parametrize("options", [{**store, "lifetime": 300_000} for store in STORES], ids=str)
async def test_a_change_is_kept_although_the_time_is_over(visitor, sessions, pass_time):
    """A session that expires under its request, for example since the process slept, keeps the request's changes."""
    await visitor.get("/page")
    upload = asyncio.ensure_future(visitor.get("/upload?change=1"))
    await Upload.begun.wait()
    pass_time(310)
    assert await stored_record(visitor) is None
    Upload.may_end.set()
    answer = await upload
    assert answer.code == 200 and "Set-Cookie" in answer.headers
    assert (await visitor.stored())["report"] == "done"
    assert (await visitor.get("/whoami")).body == b"Ann"


async def test_a_stream_renews_nothing(visitor, new_visitor, sessions):
    """A response whose headers were sent does not keep its session alive, or an open stream would for ever."""
    await visitor.get("/page")
    other = new_visitor()
    await other.get("/page")
    touches = await count_touches(sessions)
    stream = asyncio.ensure_future(visitor.get("/upload?flush=1"))
    upload = asyncio.ensure_future(other.get("/upload"))
    await until(lambda: touches.get(other.id, 0) >= 2)
    assert visitor.id not in touches
    Upload.may_end.set()
    await asyncio.gather(stream, upload)


async def test_the_timer_ends_with_the_last_request(visitor, sessions):
    """If no request is under way, no timer runs."""
    await visitor.get("/page")
    await until(lambda: not sessions._background._requests)


async def test_an_error_page_ends_its_request(app, visitor, new_visitor, sessions, http_port):
    """A session that could not be stored is not renewed for as long as its client keeps the connection open."""

    class Fails(RequestHandler):  # without the mixin, whose on_finish would tell
        async def prepare(self):
            await sessions.start_session(self.request, self)

        def get(self):
            self.request.session.put("set", {1})

    app.add_handlers(".*", [("/fails", Fails)])
    await visitor.get("/page")
    stream = await TCPClient().connect("127.0.0.1", http_port)
    await stream.write(f"GET /fails HTTP/1.1\r\nHost: x\r\nCookie: node_session={visitor.cookie}\r\n\r\n".encode())
    assert (await stream.read_until(b"\r\n")).split()[1] == b"500"
    await stream.read_until(b"</html>")
    other, touches = new_visitor(), await count_touches(sessions)
    await other.get("/page")
    upload = asyncio.ensure_future(other.get("/upload"))
    await until(lambda: touches.get(other.id, 0) >= 2)
    assert visitor.id not in touches
    Upload.may_end.set()
    await upload
    stream.close()


@pytest.mark.parametrize("options", [{**store, "lifetime": 60_000_000} for store in STORES], ids=str)
async def test_a_session_that_is_nearly_over_is_renewed_immediately(visitor, sessions, pass_time):
    """A request that begins shortly before its session's time is over does not see it end."""
    await visitor.get("/page")
    pass_time(50_000)
    touches = await count_touches(sessions)
    upload = asyncio.ensure_future(visitor.get("/upload"))
    await Upload.begun.wait()
    await until(lambda: touches.get(visitor.id))
    Upload.may_end.set()
    await upload
    assert touches == {visitor.id: 1}


async def list_operations(sessions) -> list[str]:
    """Note what is asked of the driver, and not what it asks of itself."""
    driver, names, inside = await sessions.driver(), [], []

    def noting(name):
        operation = getattr(driver, name)

        async def noted(*args, **options):
            if inside:
                return await operation(*args, **options)
            names.append(name)
            inside.append(name)
            try:
                return await operation(*args, **options)
            finally:
                inside.clear()

        setattr(driver, name, noted)

    for name in ("read", "write", "touch", "confirm"):
        noting(name)
    return names


@pytest.mark.usefixtures("long_requests")
@pytest.mark.parametrize("options", [{**store, "lifetime": 86_400_000} for store in STORES], ids=str)
@pytest.mark.parametrize("case", ["unchanged", "changed", "due", "old secret"])
async def test_a_long_request_reads_once(app, visitor, config, sessions, pass_time, case):
    """A request longer than 10 ms that changed nothing sends no cookie and asks no more, unless renewal is due."""
    await visitor.get("/page")
    if case == "due":
        pass_time(1000)  # a hundredth of the lifetime, and more
    if case == "old secret":
        secrets = ["a new secret of thirty-two characters", SECRET]
        app.settings["node_session"] = sessions = await another_program(sessions, config, secret=secrets)
    operations = await list_operations(sessions)
    upload = asyncio.ensure_future(visitor.get("/upload" + ("?change=1" if case == "changed" else "")))
    await Upload.begun.wait()
    await asyncio.sleep(0.02)
    Upload.may_end.set()
    answer = await upload
    assert ("Set-Cookie" in answer.headers) is (case != "unchanged")
    await settle(sessions)
    asked = {"unchanged": [], "changed": ["write"], "due": ["confirm"], "old secret": ["read"]}
    assert operations == ["read", *asked[case]]
    if case == "due":
        pass_time(86_000)  # nearly all of its lifetime: so it was renewed
        assert (await visitor.get("/whoami")).body == b"Ann"


@pytest.mark.usefixtures("long_requests")
@pytest.mark.parametrize("options", [{**store, "lifetime": 86_400_000} for store in [*STORES, SLOW]], ids=str)
@pytest.mark.parametrize("meanwhile", ["changed", "destroyed", "regenerated"])
async def test_a_confirmation_tells_what_happened_meanwhile(visitor, new_visitor, sessions, pass_time, meanwhile):
    """A long request whose session is due for renewal sends its cookie again only if the session is still there."""
    await visitor.get("/page")
    pass_time(1000)
    upload = asyncio.ensure_future(visitor.get("/upload"))
    await Upload.begun.wait()
    other = new_visitor()
    other.cookie = visitor.cookie
    if meanwhile == "destroyed":
        await (await sessions.driver()).destroy(visitor.id)
    else:
        await other.get("/page?name=Bob" + ("&regenerate=1" if meanwhile == "regenerated" else ""))
    await asyncio.sleep(0.02)
    Upload.may_end.set()
    answer = await upload
    assert answer.code == 200 and ("Set-Cookie" in answer.headers) == (meanwhile == "changed")


@pytest.mark.parametrize("options", [{**store, "lifetime": 300_000} for store in STORES], ids=str)
async def test_a_save_waits_for_another_tasks_transaction(app, visitor):
    """A response that ends in the middle of a background task's transaction saves nothing half done."""
    inside, go_on = asyncio.Event(), asyncio.Event()
    ended = []

    class Transfer(SessionMixin, RequestHandler):
        async def get(self):
            self.task = asyncio.ensure_future(self.transfer(self.session))
            await inside.wait()
            self.session.put("seen", True)

        async def transfer(self, session):
            try:
                async with session.transaction():
                    session.put("from", 0)
                    inside.set()
                    await go_on.wait()
                    raise LookupError
            except LookupError:
                ended.append(dict(session))

    app.add_handlers(".*", [("/transfer", Transfer)])
    await visitor.get("/page")
    answer = asyncio.ensure_future(visitor.get("/transfer"))
    await inside.wait()
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert "from" not in await visitor.stored() and not answer.done()
    go_on.set()
    assert (await answer).code == 200
    stored = await visitor.stored()
    assert ended and "from" not in stored


async def test_tasks_of_a_transaction_are_part_of_it(app, visitor):
    """What a transaction starts by gather() or wait_for() may open it again; it waits for nobody."""

    class Children(SessionMixin, RequestHandler):
        async def get(self):
            async def push(value):
                async with self.session.transaction():
                    await asyncio.sleep(0)
                    self.session.push("list", value)

            async with self.session.transaction():
                await asyncio.gather(push(1), push(2))
                await asyncio.wait_for(push(3), 30)
                late = asyncio.ensure_future(push(4))
            await late  # the transaction is over: this one is its own

    app.add_handlers(".*", [("/children", Children)])
    assert (await visitor.get("/children")).code == 200
    assert (await visitor.stored())["list"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "options", [{**store, "lifetime": 86_400_000, "absoluteLifetime": 3_600_000} for store in STORES], ids=str
)
@pytest.mark.usefixtures("long_requests")
@pytest.mark.parametrize("ending", ["response", "save", "transaction", "reload", "confirm", "regenerate"])
async def test_an_absolute_lifetime_ends_under_a_request(app, visitor, monkeypatch, pass_time, ending):
    """However a long handler goes on, nothing is saved once the absolute lifetime is over, and no cookie is sent."""
    there = time.time
    outcomes = []

    class Long(SessionMixin, RequestHandler):
        async def get(self):
            session = self.session
            monkeypatch.setattr(time, "time", lambda: there() + 3700)
            if ending == "confirm":
                await asyncio.sleep(0.02)
                return
            try:
                if ending == "transaction":
                    async with session.transaction():
                        session.put("late", True)
                elif ending == "reload":
                    outcomes.append(await session.reload())
                else:
                    session.put("late", True)
                    if ending == "regenerate":
                        session.regenerate()
                if ending == "save":
                    await session.save()
                    session.put("later", True)
                    await session.save()
            except GoneError:
                outcomes.append(False)

    app.add_handlers(".*", [("/long", Long)])
    await visitor.get("/page")
    pass_time(1000)  # a hundredth of the lifetime, and more
    answer = await visitor.get("/long")
    assert (answer.code, "Set-Cookie" in answer.headers) == (200, False)
    monkeypatch.setattr(time, "time", there)
    assert await stored_record(visitor) is None
    assert outcomes == ([False] if ending in ("transaction", "reload") else [])
