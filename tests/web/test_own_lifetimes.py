"""Sessions with a lifetime of their own: `session.set_lifetime`."""

from __future__ import annotations

import asyncio
import json
import math
import re

import pytest
from stores import STORES
from tornado.web import HTTPError, RequestHandler
from visitors import store_record, stored_record

from node_session import NodeSession, SessionMixin
from node_session.drivers import MemoryDriver
from web.handlers import on_session, route

pytestmark = pytest.mark.gen_test(timeout=60)

DAY = 86_400_000
MONTH = 30 * DAY
LIFETIME = 300_000  # of the config
MINUTE = 60_000

LOCKED = [{"driver": "file", "hashIds": True}, {"driver": "database", "encrypt": True, "hashIds": True}]


@pytest.fixture(params=[*STORES, *LOCKED], ids=str)
def options(request):
    return request.param


def remember(handler):
    handler.session.put("user", "Ann")
    handler.session.set_lifetime(MONTH)


def tell(handler):
    handler.write(json.dumps([handler.session.get("user"), handler.session.lifetime]))


def max_age(response) -> int | None:
    found = re.search(r"Max-Age=(\d+)", response.headers["Set-Cookie"])
    return found and int(found[1])


async def left(sessions, id) -> float:
    """The milliseconds after which the store takes a record for expired."""
    return sessions.config.lifetime - (await (await sessions.driver()).read(id)).idle


def is_about(milliseconds, wanted) -> bool:
    """Whether a time is as it was wanted a moment ago, on a busy machine."""
    return wanted - MINUTE < milliseconds <= wanted + 1000


async def test_a_longer_one(visit, visitor, sessions, pass_time):
    """Record and cookie live for 30 days after the last request, and no sweep removes the record before."""
    assert max_age(await visit(remember)) == MONTH / 1000
    for _ in range(2):
        pass_time(29 * DAY / 1000)
        assert await sessions.sweep() == 0
        answer = await visit(tell)
        assert json.loads(answer.body) == ["Ann", MONTH] and max_age(answer) == MONTH / 1000
        await sessions._background.finish()
    pass_time(30 * DAY / 1000 + 1)
    assert json.loads((await visit(tell)).body) == [None, LIFETIME]
    assert sessions.stats.expired == 1


async def test_a_shorter_one(visit, sessions, pass_time):
    """A session for a minute is gone after it, is renewed by requests, and others are as before."""
    answer = await visit(lambda handler: (remember(handler), handler.session.set_lifetime(MINUTE)))
    assert max_age(answer) == 60
    for _ in range(3):
        pass_time(50)
        assert json.loads((await visit(tell)).body) == ["Ann", MINUTE]
        await sessions._background.finish()
    pass_time(61)
    assert json.loads((await visit(tell)).body) == [None, LIFETIME]


async def test_none_gives_back_that_of_the_config(visit, visitor, sessions, pass_time):
    """Without a lifetime of its own, a session that had one is like all others."""
    await visit(remember)
    answer = await visit(on_session(lambda session: session.set_lifetime(None)))
    assert max_age(answer) == LIFETIME / 1000 and "_lifetime" not in await visitor.stored()
    assert is_about(await left(sessions, visitor.id), LIFETIME)
    await visit(on_session(lambda session: session.set_lifetime(None)))  # again: nothing happens
    pass_time(LIFETIME / 1000 + 1)
    assert json.loads((await visit(tell)).body) == [None, LIFETIME]


@pytest.mark.parametrize(("then", "is_kept"), [("regenerate", True), ("flush", False), ("invalidate", False)])
async def test_what_keeps_it(visit, visitor, sessions, then, is_kept):
    """Regeneration keeps it; emptying drops it, from the record and from the cookie."""
    await visit(remember)
    answer = await visit(on_session(lambda session: getattr(session, then)()))
    lifetime = MONTH if is_kept else LIFETIME
    assert max_age(answer) == lifetime / 1000 and is_about(await left(sessions, visitor.id), lifetime)


async def test_the_old_record_of_a_regenerated_session(visit, visitor, sessions):
    """The farewell of a session for 30 days does not stay longer than that of any other, if its process is killed."""
    await visit(remember)
    old = visitor.id
    await visit(on_session(lambda session: session.regenerate(True)))
    assert is_about(await left(sessions, old), LIFETIME)


async def test_renewals(visit, visitor, sessions, pass_time):
    """A request that changes nothing, and one that takes a key, renew a session for its own lifetime."""
    await visit(remember)
    for work in (tell, on_session(lambda session: session.put("seen", True))):
        pass_time(16)
        await visit(work)
        await sessions._background.finish()
        assert is_about(await left(sessions, visitor.id), MONTH) and await left(sessions, visitor.id) > MONTH - 15_000


async def test_take(app, visit, visitor, sessions):
    """What one key costs leaves the lifetime as it is."""

    class Take(SessionMixin, RequestHandler):
        async def get(self):
            self.write(str(await self.session.take("user")))

    route(app, take=Take)
    await visit(remember)
    assert (await visitor.get("/take")).body == b"Ann"
    assert is_about(await left(sessions, visitor.id), MONTH)


class Held(SessionMixin, RequestHandler):
    """A request that lasts until it is told to go on, and then does what it is told."""

    begun: asyncio.Event
    may_end: asyncio.Event
    work = None

    async def get(self):
        self.begun.set()
        await self.may_end.wait()
        if Held.work is not None:
            Held.work(self)


@pytest.fixture
def hold(app, visitor):
    """Begins a request, and returns a function that does some work in it, and ends it."""
    Held.begun, Held.may_end = asyncio.Event(), asyncio.Event()
    route(app, held=Held)

    async def hold():
        asking = asyncio.ensure_future(visitor.get("/held"))
        await Held.begun.wait()

        async def end(work=None):
            Held.work = work
            Held.may_end.set()
            return await asking

        return end

    return hold


@pytest.mark.usefixtures("long_requests")
@pytest.mark.parametrize("after", [MONTH, MINUTE])
async def test_a_request_under_way_while_it_changes(visit, visitor, sessions, hold, pass_time, after):
    """A request that began before another one changed the lifetime renews session and cookie as they are now.

    Neither is a remembered user forgotten by an image's request, nor a short session prolonged.
    """
    await visit(on_session(lambda session: session.put("user", "Ann")))
    pass_time(20)  # due for renewal
    end = await hold()
    await visit(on_session(lambda session: session.set_lifetime(after)))
    await asyncio.sleep(0.02)
    answer = await end()
    await sessions._background.finish()
    assert max_age(answer) == after / 1000
    assert is_about(await left(sessions, visitor.id), after)
    assert (await visitor.stored())["_lifetime"] == after


@pytest.mark.parametrize("after", [MONTH, MINUTE])
async def test_a_short_request_under_way_while_it_changes(visit, visitor, sessions, hold, pass_time, after):
    """The same for one that renews the session without asking, after its response."""
    await visit(on_session(lambda session: session.put("user", "Ann")))
    pass_time(20)
    end = await hold()
    await visit(on_session(lambda session: session.set_lifetime(after)))
    await end()
    await sessions._background.finish()
    assert is_about(await left(sessions, visitor.id), after)


async def test_changes_meet_changes(visit, visitor, sessions, hold):
    """A request that saves something else keeps another one's lifetime, for record and cookie."""
    await visit(on_session(lambda session: session.put("user", "Ann")))
    end = await hold()
    await visit(remember)
    answer = await end(on_session(lambda session: session.put("seen", True)))
    assert max_age(answer) == MONTH / 1000 and is_about(await left(sessions, visitor.id), MONTH)
    stored = await visitor.stored()
    assert stored["seen"] and stored["_lifetime"] == MONTH


@pytest.mark.parametrize("mine", [DAY, MINUTE, None])
async def test_two_requests_set_it(visit, visitor, sessions, hold, mine):
    """Of two that set it concurrently, the one that saves later decides about content, record and cookie alike."""
    await visit(lambda handler: (remember(handler), handler.session.set_lifetime(2 * DAY)))
    end = await hold()
    await visit(remember)
    answer = await end(on_session(lambda session: session.set_lifetime(mine)))
    lifetime = mine or MONTH  # as for any key: a change counts more than a removal
    assert max_age(answer) == lifetime / 1000 and is_about(await left(sessions, visitor.id), lifetime)
    assert (await visitor.stored())["_lifetime"] == lifetime


@pytest.mark.usefixtures("long_requests")
async def test_a_cookie_that_is_older_than_the_lifetime(visit, visitor, sessions, pass_time, hold):
    """Set where no cookie could be sent, as in a WebSocket, the next long request that is due sends it."""
    await visit(on_session(lambda session: session.put("user", "Ann")))
    async with visitor.session() as session:
        session.set_lifetime(MONTH)
    pass_time(16)
    end = await hold()
    await asyncio.sleep(0.02)
    assert max_age(await end()) == MONTH / 1000


@pytest.mark.parametrize(
    "value",
    [0, 0.0, -1, -math.inf, math.inf, math.nan, True, False, "60000", b"1", [1], 10**400, 1e300, 1 << 80],
    ids=str,
)
async def test_what_is_no_lifetime(visit, visitor, value):
    """A value that is none is an error that quotes it and names the cure; the session stays as it was."""
    await visit(remember)
    errors = []

    def attempt(handler):
        try:
            handler.session.set_lifetime(value)
        except ValueError as error:
            errors.append(str(error))

    await visit(attempt)
    (error,) = errors
    assert "must be a number of milliseconds above 0" in error and "None gives back the option's lifetime" in error
    assert ("ends_with_browser" in error) == (value in (0, 0.0) and value is not False) and len(error) < 400
    assert (await visitor.stored())["_lifetime"] == MONTH


@pytest.mark.parametrize("options", STORES, ids=str)
@pytest.mark.parametrize("value", [0, -5, True, "60000", None, [], 1e300])
async def test_a_stored_one_that_is_none(visit, visitor, sessions, value):
    """What another program has put there is ignored if it is no lifetime, and so is a dict of that name."""
    await store_record(visitor, {"_lifetime": value, "user": "Ann"})
    answer = await visit(lambda handler: (handler.session.put("seen", 1), tell(handler)))
    assert json.loads(answer.body) == ["Ann", LIFETIME]
    assert max_age(answer) == LIFETIME / 1000 and is_about(await left(sessions, visitor.id), LIFETIME)
    assert (await stored_record(visitor))["_lifetime"] == value


@pytest.mark.filterwarnings("ignore:lifetime")
@pytest.mark.parametrize("options", [{**store, "lifetime": 0} for store in STORES], ids=str)
async def test_where_sessions_never_expire(visit, visitor, sessions, pass_time):
    """With `lifetime: 0` a session of a month ends after it, with its cookie; one without a lifetime does not."""
    answer = await visit(on_session(lambda session: session.put("user", "Bob")))
    assert max_age(answer) is None
    pass_time(400 * DAY / 1000)
    assert json.loads((await visit(tell)).body) == ["Bob", 0]
    answer, id = await visit(remember), visitor.id
    assert max_age(answer) == MONTH / 1000
    for _ in range(2):
        pass_time(29 * DAY / 1000)
        assert json.loads((await visit(tell)).body) == ["Ann", MONTH]
        await sessions._background.finish()
    pass_time(31 * DAY / 1000)
    assert json.loads((await visit(tell)).body) == [None, 0]
    assert await stored_record(visitor, id) is None


@pytest.mark.parametrize("options", [{**store, "absoluteLifetime": 2 * DAY} for store in STORES], ids=str)
async def test_the_absolute_lifetime_is_the_limit(visit, visitor, sessions, monkeypatch):
    """A session for a month ends with the absolute lifetime all the same."""
    await visit(remember)
    stored = await stored_record(visitor)
    await (await sessions.driver()).destroy(visitor.id)
    await store_record(visitor, {**stored, "_created": stored["_created"] - 2 * DAY - 1})
    assert json.loads((await visit(tell)).body) == [None, LIFETIME]


@pytest.mark.parametrize("skew", [-2000, 2000])
async def test_clocks_that_differ(visit, visitor, sessions, skew):
    """A machine whose clock is two seconds ahead or behind makes no difference."""
    await visit(lambda handler: (remember(handler), handler.session.set_lifetime(MINUTE)))
    await (await sessions.driver()).touch(visitor.id, idle=LIFETIME - MINUTE + skew)
    assert json.loads((await visit(tell)).body) == ["Ann", MINUTE]


@pytest.mark.parametrize("options", [{**store, "lifetime": DAY, "expireOnClose": True} for store in STORES], ids=str)
@pytest.mark.parametrize("case", ["had", "gets"])
async def test_a_request_longer_than_it(app, visitor, sessions, case):
    """A session that had a short lifetime, or gets it in the request itself, does not expire under its request."""
    renewed, driver = [], await sessions.driver()
    confirm = driver.confirm

    async def counting(id, version, **options):
        renewed.append(await confirm(id, version, **options))
        return renewed[-1]

    class Begin(SessionMixin, RequestHandler):
        def get(self):
            self.session.put("user", "Ann")
            if case == "had":
                self.session.set_lifetime(800)

    class Long(SessionMixin, RequestHandler):
        async def get(self):
            if "user" not in self.session:
                raise HTTPError(410)
            driver.confirm = counting
            if case == "gets":
                self.session.set_lifetime(800)
                await self.session.save()
            while renewed.count(True) < 3:
                await asyncio.sleep(0.01)
            self.session.put("done", True)

    route(app, begin=Begin, long=Long)
    answer = None
    while answer is None or answer.code == 410:  # it expired in between, on a busy machine
        await visitor.get("/begin")
        answer = await visitor.get("/long")
    assert answer.code == 200
    assert sessions.stats.not_resurrected == 0


@pytest.mark.parametrize("options", [{"driver": "memory"}])
async def test_a_driver_of_three_methods(visit, visitor):
    """There the cookie follows; the record is kept as its driver keeps all, unless its methods take the idle time."""
    records, idles = {}, []

    class Plain:
        async def read(self, id):
            return records.get(id)

        async def write(self, id, text):
            records[id] = text

        async def destroy(self, id):
            records.pop(id, None)

    class Shifting(Plain):
        async def write(self, id, text, *, idle=0):
            idles.append(idle)
            records[id] = text

    for driver in (Plain(), Shifting()):
        visitor.cookie = None
        await visitor.sessions.close()
        NodeSession.register_handler("memory", lambda config, driver=driver: driver)
        assert max_age(await visit(remember)) == MONTH / 1000
        answer = await visit(tell)
        assert json.loads(answer.body) == ["Ann", MONTH] and max_age(answer) == MONTH / 1000
    assert idles == [LIFETIME - MONTH]


class Tells(MemoryDriver):
    """A driver of an earlier version: it has no argument `idle`, and tells idle times."""

    async def write(self, id, payload, version):
        return await super().write(id, payload, version)


@pytest.mark.parametrize("options", [{"driver": "memory"}])
async def test_a_driver_of_an_earlier_version(visit, visitor, sessions, pass_time):
    """It cannot keep a record longer than others, but a shorter lifetime holds."""
    NodeSession.register_handler("memory", lambda config: Tells(config.lifetime, clock=pass_time.clock))
    await visit(lambda handler: (remember(handler), handler.session.set_lifetime(MINUTE)))
    pass_time(50)
    assert json.loads((await visit(tell)).body) == ["Ann", MINUTE]
    await sessions._background.finish()
    pass_time(61)
    assert json.loads((await visit(tell)).body) == [None, LIFETIME]
    await visit(remember)
    pass_time(LIFETIME / 1000 + 1)
    assert json.loads((await visit(tell)).body) == [None, LIFETIME]


@pytest.mark.parametrize("options", [{**store, "expireOnClose": True} for store in STORES], ids=str)
async def test_a_cookie_that_ends_with_the_browser(visit, visitor, sessions):
    """`expireOnClose` still decides about the cookie; the record has its own lifetime."""
    assert max_age(await visit(remember)) is None
    assert is_about(await left(sessions, visitor.id), MONTH)


@pytest.mark.parametrize("options", STORES, ids=str)
async def test_half_an_unsaved_lifetime(visit, visitor, sessions):
    """A response that fails leaves record and cookie with the lifetime that was stored."""

    def fail(handler):
        handler.session.set_lifetime(MONTH)
        handler.session.put("set", {1, 2})

    await visit(on_session(lambda session: session.put("user", "Ann")))
    answer = await visit(fail)
    assert answer.code == 500 and "Set-Cookie" not in answer.headers
    assert is_about(await left(sessions, visitor.id), LIFETIME)
