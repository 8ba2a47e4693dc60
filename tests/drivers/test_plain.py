"""Drivers of three methods, and the contract itself: does it notice a driver that breaks it?"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import time

import pytest
from tornado.web import Application, RequestHandler
from visitors import SECRET

from node_session import ConfigError, ConflictError, NodeSession, SessionMixin, UnavailableError, UnreadableError
from node_session.drivers import Entry, MemoryDriver, PlainDriver
from node_session.testing import DriverContract, Visitor

ID = "A" * 40


class DictDriver:
    """As in docs/drivers.md."""

    def __init__(self):
        self.texts = {}

    async def read(self, id):
        return self.texts.get(id)

    async def write(self, id, text):
        self.texts[id] = text

    async def destroy(self, id):
        self.texts.pop(id, None)


class SyncDriver:
    """Three plain functions will do."""

    def __init__(self):
        self.texts = {}
        self.read = self.texts.get
        self.write = self.texts.__setitem__

    def destroy(self, id):
        self.texts.pop(id, None)


class TestAsync(DriverContract):
    """Three async methods keep what of the contract needs no versions and no clock."""

    versions = False
    expires = False
    lists = False

    def make_driver(self, lifetime):
        return DictDriver()


class TestSync(TestAsync):
    """So do three plain ones."""

    def make_driver(self, lifetime):
        return SyncDriver()


@pytest.mark.parametrize("missing", ["read", "write", "destroy"])
def test_missing_method(missing):
    """An object without one of the three is an error that names what it lacks."""
    methods = {name: lambda *args: None for name in ("read", "write", "destroy") if name != missing}
    with pytest.raises(ConfigError, match=f"no method {missing}"):
        PlainDriver(type("Half", (), methods)())


def test_read_that_returns_no_text():
    """A read that gives anything but text or None is an error that says so."""
    driver = DictDriver()
    driver.texts[ID] = b"bytes"
    with pytest.raises(TypeError, match="returned bytes"):
        asyncio.run(PlainDriver(driver).read(ID))
    driver.texts[ID] = ""
    assert asyncio.run(PlainDriver(driver).read(ID)) is None


def test_optional_methods():
    """touch, gc and close are called where the object has them."""
    calls = []

    class Full(DictDriver):
        def touch(self, id):
            calls.append(("touch", id))

        async def gc(self, lifetime):
            calls.append(("gc", lifetime))
            return 3

        def close(self):
            calls.append(("close",))

    async def scenario():
        driver = PlainDriver(Full())
        await driver.touch(ID)
        assert await driver.gc(5) == 3
        await driver.close()

    asyncio.run(scenario())
    assert calls == [("touch", ID), ("gc", 5), ("close",)]


def test_creators():
    """A creator gets the config, and may return a driver or an awaitable of one."""
    seen = []

    async def creator(config):
        seen.append(config.table)
        return DictDriver()

    NodeSession.register_handler("awaitable", creator)
    sessions = NodeSession({"secret": "x" * 32, "driver": "awaitable", "table": "mine"})

    async def scenario():
        drivers = await asyncio.gather(*(sessions.driver() for _ in range(3)))
        assert len(set(drivers)) == 1
        await sessions.close()

    asyncio.run(scenario())
    assert seen == ["mine"]


def test_creator_broken_off():
    """A caller that gives up waiting for a driver leaves it to the others; the next loop begins it again."""
    made = []

    async def creator(config):
        await asyncio.sleep(0.05)
        made.append(DictDriver())
        return made[-1]

    NodeSession.register_handler("slow to make", creator)
    sessions = NodeSession({"secret": "x" * 32, "driver": "slow to make"})

    async def give_up_and_ask_again():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sessions.driver(), 0.01)
        return await sessions.driver()

    loop = asyncio.new_event_loop()
    left = loop.create_task(sessions.driver())
    loop.run_until_complete(asyncio.sleep(0.01))
    driver = asyncio.run(give_up_and_ask_again())
    assert [driver.plain] == made
    loop.run_until_complete(left)
    loop.close()


# -------------------------------------------------------------------- a store that is down


FAILURES = [
    ConnectionRefusedError(111, "Connection refused"),
    FileNotFoundError(2, "No such file or directory", "/sessions/" + ID),
    OSError("/sessions/" + ID),
    TimeoutError(),
    asyncio.TimeoutError(),
    concurrent.futures.TimeoutError(),
]


class Failing(DictDriver):
    """Fails in some of its methods."""

    def __init__(self, error=None, methods=()):
        super().__init__()
        self.error, self.methods = error, methods

    def _may_fail(self, method):
        if method in self.methods:
            raise self.error

    async def read(self, id):
        self._may_fail("read")
        return await super().read(id)

    async def write(self, id, text):
        self._may_fail("write")
        await super().write(id, text)

    async def destroy(self, id):
        self._may_fail("destroy")
        await super().destroy(id)

    def touch(self, id):
        self._may_fail("touch")

    async def gc(self, lifetime):
        self._may_fail("gc")

    async def close(self):
        self._may_fail("close")


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_store_that_is_down(error):
    """Each method's OSError or TimeoutError means that the store is down; no message has an id in it."""
    driver = PlainDriver(Failing(error, ("read", "write", "destroy", "touch", "gc", "close")))
    for name, *arguments in (
        ("read", ID),
        ("write", ID, "{}", None),
        ("destroy", ID),
        ("touch", ID),
        ("gc", 1000),
        ("close",),
    ):
        with pytest.raises(UnavailableError, match=rf"Failing\.{name}\(\) failed: \w") as caught:
            asyncio.run(getattr(driver, name)(*arguments))
        assert ID not in str(caught.value) and caught.value.__cause__ is error
        assert isinstance(caught.value, UnreadableError) == (name == "read")


@pytest.mark.parametrize("error", [ValueError("a slip"), KeyError("x")], ids=repr)
def test_a_driver_with_a_slip(error):
    """Any other exception is a slip of the driver's, and stays what it is."""
    with pytest.raises(type(error)):
        asyncio.run(PlainDriver(Failing(error, ("read",))).read(ID))


class Shop(SessionMixin, RequestHandler):
    """Counts visits; logs in and out."""

    def get(self):
        self.write(str(self.session.get("count", 0)))

    def post(self):
        self.write(str(self.session.increment("count")))

    def delete(self):
        self.session.invalidate()


@pytest.fixture
def plain():
    return Failing()


@pytest.fixture
def app(plain):
    NodeSession.register_handler("failing", lambda config: plain)
    config = {"secret": SECRET, "driver": "failing", "lottery": [1, 1], "regenerateGrace": 0}
    return Application([("/", Shop)], node_session=NodeSession(config))


@pytest.fixture
def visitor(app, http_client, base_url):
    return Visitor(http_client, base_url, app.settings["node_session"])


@pytest.mark.gen_test
@pytest.mark.parametrize("error", FAILURES, ids=repr)
@pytest.mark.parametrize(
    ("method", "fails", "code"),
    [
        ("GET", "read", 503),
        ("POST", "write", 503),
        ("DELETE", "destroy", 503),
        ("GET", "touch", 200),
        ("GET", "gc", 200),
    ],
)
async def test_a_503(app, visitor, plain, caplog, error, method, fails, code):
    """Over HTTP it is a 503, and after it everything is there; what happens in the background fails no request."""
    for _ in range(2):
        await visitor.post(csrf=False)
    cookie, stored = visitor.cookie, dict(plain.texts)
    plain.error, plain.methods = error, (fails,)
    response = await visitor.request(method, csrf=False)
    assert response.code == code
    assert "Traceback" not in caplog.text and visitor.id not in caplog.text
    if code == 503:
        assert "Set-Cookie" not in response.headers or fails == "destroy"
    plain.methods = ()
    if fails != "destroy":
        assert visitor.cookie == cookie and plain.texts == stored
        assert (await visitor.post(csrf=False)).body == b"3"


@pytest.mark.gen_test
@pytest.mark.parametrize("error", FAILURES, ids=repr)
@pytest.mark.parametrize("is_async", [True, False])
async def test_a_creator_that_cannot_connect(app, visitor, plain, error, is_async):
    """A creator's OSError or TimeoutError is a 503, too, and the next request has it tried again."""
    tries = []

    def make():
        tries.append(1)
        if len(tries) < 3:
            raise error
        return plain

    async def make_later():
        await asyncio.sleep(0)
        return make()

    creator = make_later if is_async else make
    NodeSession.register_handler("failing", lambda config: creator())
    assert [(await visitor.post(csrf=False)).code for _ in range(3)] == [503, 503, 200]
    assert len(plain.texts) == 1


# -------------------------------------------------------------------- does the contract bite?


class Overwrites(MemoryDriver):
    async def write(self, id, payload, version):
        self._put(id, payload)
        return payload


def text(driver, id):
    """The record in a driver in memory; None if it is gone."""
    record = driver._alive(id)
    return None if record is None else record.payload


class OverwritesOnCreate(MemoryDriver):
    async def write(self, id, payload, version):
        return await super().write(id, payload, text(self, id) if version is None else version)


class Resurrects(MemoryDriver):
    async def write(self, id, payload, version):
        return await super().write(id, payload, None if text(self, id) is None else version)


class Loses(MemoryDriver):
    async def write(self, id, payload, version):
        if text(self, id) != version:
            raise ConflictError("no")
        await asyncio.sleep(0)
        self._put(id, payload)
        return payload


class NeverExpires(MemoryDriver):
    def __init__(self, lifetime, **options):
        super().__init__(0, **options)


class RefusesWhatHasExpired(MemoryDriver):
    async def write(self, id, payload, version):
        if version is not None and text(self, id) is None:
            raise ConflictError("no")
        return await super().write(id, payload, version)


class ReplacesWhateverHasExpired(MemoryDriver):
    async def write(self, id, payload, version):
        return await super().write(id, payload, None if text(self, id) is None and id in self._records else version)


class CreatesWhatHasExpired(MemoryDriver):
    async def write(self, id, payload, version):
        return await super().write(id, payload, None if text(self, id) is None else version)


class DestroysWhateverHasExpired(MemoryDriver):
    async def destroy(self, id, version=None):
        await super().destroy(id, None if text(self, id) is None else version)


class TouchRevives(MemoryDriver):
    async def touch(self, id):
        if id in self._records:
            self._put(id, self._stored(id))


class TouchDoesNothing(MemoryDriver):
    async def touch(self, id):
        pass


class TouchCreates(MemoryDriver):
    async def touch(self, id):
        self._put(id, text(self, id) or "")


class TouchIsNewVersion(MemoryDriver):
    async def touch(self, id):
        payload = text(self, id)
        if payload is not None:
            self._put(id, payload + " ")


class DestroysNothing(MemoryDriver):
    async def destroy(self, id, version=None):
        pass


class DestroysAnyVersion(MemoryDriver):
    async def destroy(self, id, version=None):
        self._records.pop(id, None)


class DestroyFails(MemoryDriver):
    async def destroy(self, id, version=None):
        del self._records[id]


class WriteIgnoresIdle(MemoryDriver):
    async def write(self, id, payload, version, *, idle=0):
        return await super().write(id, payload, version)


class TouchIgnoresIdle(MemoryDriver):
    async def touch(self, id, *, idle=0):
        await super().touch(id)


class ConfirmIgnoresIdle(MemoryDriver):
    async def confirm(self, id, version, *, idle=0):
        return await super().confirm(id, version)


class ReplacingAnExpiredOneIgnoresIdle(MemoryDriver):
    async def write(self, id, payload, version, *, idle=0):
        is_there = self._stored(id) is not None
        return await super().write(id, payload, version, idle=0 if is_there and version is None else idle)


class GcRemovesTheFuture(MemoryDriver):
    def _is_idle(self, last_activity, seconds):
        return abs(self._clock() - last_activity) > seconds


class ListsNoFuture(MemoryDriver):
    async def scan(self):
        async for entry in super().scan():
            if entry.last_activity < (time.time() + 60) * 1000:
                yield entry


class ExpiresWithoutALifetime(MemoryDriver):
    def __init__(self, lifetime, **options):
        super().__init__(lifetime or 1000, **options)


class GcRemovesAll(MemoryDriver):
    async def gc(self, lifetime):
        removed = len(self._records)
        self._records.clear()
        return removed


class GcMiscounts(MemoryDriver):
    async def gc(self, lifetime):
        return await super().gc(lifetime) + 1


class IgnoresCase(MemoryDriver):
    async def read(self, id):
        return await super().read(id.lower())

    async def write(self, id, payload, version):
        return await super().write(id.lower(), payload, version)


class Strips(MemoryDriver):
    async def write(self, id, payload, version):
        return await super().write(id, payload.replace("\r\n", "\n"), version)


class SetAsideBreaks(MemoryDriver):
    async def set_aside(self, id, version):
        self._records.clear()


class WriteReturnsNoVersion(MemoryDriver):
    async def write(self, id, payload, version):
        await super().write(id, payload, version)
        return "something else"


class ListsNothing(MemoryDriver):
    async def scan(self):
        for _ in ():
            yield


class ListsTwice(MemoryDriver):
    async def scan(self):
        for _ in range(2):
            async for entry in super().scan():
                yield entry


class ListsExpired(MemoryDriver):
    async def scan(self):
        for id, (payload, last_activity) in self._records.items():
            yield Entry(id, payload, (time.time() + last_activity) * 1000)


class ListsInSeconds(MemoryDriver):
    async def scan(self):
        async for entry in super().scan():
            yield entry._replace(last_activity=entry.last_activity / 1000)


class ListsNow(MemoryDriver):
    async def scan(self):
        async for entry in super().scan():
            yield entry._replace(last_activity=time.time() * 1000)


class ClosesOnce(MemoryDriver):
    async def close(self):
        del self._records


TESTS = {name for name in dir(DriverContract) if name.startswith("test_")}
BROKEN = [each for each in list(globals().values()) if isinstance(each, type) and each.__base__ is MemoryDriver]


@functools.cache
def failed_by(broken) -> set[str]:
    """The tests of the contract that a driver does not pass."""

    class Contract(DriverContract):
        def make_driver(self, lifetime):
            return broken(lifetime, clock=lambda: 0.0)

        async def age(self, driver, id, milliseconds):
            payload, last_activity = driver._records[id]
            driver._records[id] = (payload, last_activity - milliseconds / 1000)

    failed = set()
    for name in TESTS:
        try:
            getattr(Contract(), name)()
        except Exception:
            failed.add(name)
    return failed


@pytest.mark.parametrize("broken", BROKEN, ids=[each.__name__ for each in BROKEN])
def test_the_contract_bites(broken):
    """Each way to break the contract fails at least one of its tests."""
    assert failed_by(broken)


def test_every_test_bites():
    """Each test of the contract is failed by some driver, so that none is there for show."""
    assert set().union(*map(failed_by, BROKEN)) == TESTS
