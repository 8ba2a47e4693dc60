"""What start_session() gives was neither returned nor awaited: one warning says so, and nothing hangs or is damaged."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler
from visitors import store_record

from node_session import NodeSession, UnavailableError, UnreadableError

pytestmark = pytest.mark.gen_test

STORES = [
    {"driver": "memory"},
    {"driver": "file"},
    {"driver": "database", "connection": {"adapter": "sqlite"}},
    {"driver": "slow"},
]
all_stores = pytest.mark.parametrize("options", STORES, ids=lambda options: options["driver"])

ADVICE = "return (or await) what start_session() gives"


class Careless(RequestHandler):
    """In Node this is how it is written."""

    def prepare(self):
        self.settings["node_session"].start_session(self.request, self, self.started)

    def started(self):
        self.settings["called"].append(type(self).__name__)
        self.request.session.put("seen", True)
        self.finish("by the callback")


class NoMethod(Careless):
    """A 405, as Tornado goes on to a method that there is not."""


class TooEarly(Careless):
    def get(self):
        self.write(self.request.session.get("user"))


class Lost(Careless):
    def get(self):
        self.write("ok")


@pytest.fixture
def app(app):
    app.settings["called"] = []
    names = {"no-method": NoMethod, "too-early": TooEarly, "lost": Lost}
    app.add_handlers(".*", [(f"/{name}", handler) for name, handler in names.items()])
    return app


def hold_reading(driver) -> tuple[asyncio.Event, asyncio.Event]:
    """Let a driver's reads wait; gives an event that one has begun, and one that lets them go on."""
    loading, going_on, read = asyncio.Event(), asyncio.Event(), driver.read

    async def wait_and_read(id):
        loading.set()
        await going_on.wait()
        return await read(id)

    driver.read = wait_and_read
    return loading, going_on


async def settle(sessions) -> None:
    """Let unawaited tasks end, and free unreferenced objects."""
    while others := [task for task in asyncio.all_tasks() if "call_back" in repr(task)]:
        await asyncio.wait(others)
    await asyncio.sleep(0)
    gc.collect()


def warnings(caplog) -> list[str]:
    """The warnings of our logger, and asyncio's complaints."""
    records = [each for each in caplog.records if each.name in ("node_session", "asyncio")]
    return [each.getMessage() for each in records if each.levelno >= logging.WARNING]


@all_stores
@pytest.mark.parametrize("fails", [False, True], ids=["up", "down"])
@pytest.mark.parametrize(("path", "status"), [("no-method", 405), ("too-early", 500), ("lost", 200)])
async def test_finished_before_loading(app, visitor, sessions, caplog, monkeypatch, path, status, fails):
    """A handler that is over before its session was asked for: one warning, whether or not the store can be read."""
    await store_record(visitor, {"_token": "t", "user": "Ann"})

    async def fail(id):
        raise UnreadableError("the store is down")

    with monkeypatch.context() as broken:
        if fails:
            broken.setattr(await sessions.driver(), "read", fail)
        for _ in range(2):
            answer = await visitor.get("/" + path)
            assert answer.code == status and "Set-Cookie" not in answer.headers
            await settle(sessions)
    (warning,) = warnings(caplog)
    assert ADVICE in warning and f"test_not_returned.{type_of(path)} " in warning
    assert app.settings["called"] == [] and await visitor.stored() == {"_token": "t", "user": "Ann"}


def type_of(path: str) -> str:
    return path.title().replace("-", "")


@all_stores
@pytest.mark.parametrize("fails", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("how", ["callback", "task"])
@pytest.mark.parametrize("makes_driver", [False, True], ids=["", "first request"])
async def test_finished_while_loading(app, visitor, sessions, config, caplog, fails, how, makes_driver):
    """The same for one that finishes while its session is being loaded, or even its driver made."""
    going_on, loading = asyncio.Event(), asyncio.Event()
    await store_record(visitor, {"_token": "t", "user": "Ann"})
    driver = await sessions.driver()
    read = driver.read

    async def wait_and_read(id):
        loading.set()
        await going_on.wait()
        if fails:
            raise UnavailableError("the store is down")
        return await read(id)

    driver.read = wait_and_read

    async def wait_and_make(config):
        loading.set()
        await going_on.wait()
        return driver

    if makes_driver:
        NodeSession.register_handler("waiting", wait_and_make)
        app.settings["node_session"] = NodeSession({**config, "driver": "waiting"})

    class Page(Careless):
        def prepare(self):
            if how == "callback":
                super().prepare()
            else:
                task = asyncio.ensure_future(self.settings["node_session"].start_session(self.request, self))
                self.settings["tasks"] = [task]

        async def get(self):
            await loading.wait()
            self.write("ok")

    app.add_handlers(".*", [("/page", Page)])
    answer = await visitor.get("/page")
    assert (answer.body, "Set-Cookie" in answer.headers) == (b"ok", False)
    going_on.set()
    if how == "task":
        await asyncio.wait(app.settings["tasks"])
        assert (app.settings["tasks"][0].exception() is not None) is fails
    await settle(sessions)
    del driver.read
    (warning,) = warnings(caplog)
    assert ADVICE in warning
    assert app.settings["called"] == [] and await visitor.stored() == {"_token": "t", "user": "Ann"}


@all_stores
async def test_waits_long_enough(app, visitor, sessions, caplog):
    """A handler that happens to be over after its session was loaded has it, and is not warned of."""
    loaded = asyncio.Event()

    class Page(Careless):
        def started(self):
            self.request.session.put("seen", True)
            loaded.set()

        async def get(self):
            await loaded.wait()
            self.write("ok")

    app.add_handlers(".*", [("/page", Page)])
    assert (await visitor.get("/page")).code == 200
    assert (await visitor.stored())["seen"] and warnings(caplog) == []


@all_stores
async def test_returned_but_down(app, visitor, sessions, caplog, monkeypatch):
    """The 503 of one that does return it comes while the session is not loaded, and is no reason to warn."""

    class Page(Careless):
        def prepare(self):
            return sessions.start_session(self.request, self, self.started)

    async def fail(id):
        raise UnavailableError("the store is down")

    app.add_handlers(".*", [("/page", Page)])
    await store_record(visitor, {"_token": "t"})
    monkeypatch.setattr(await sessions.driver(), "read", fail)
    assert (await visitor.get("/page")).code == 503
    await settle(sessions)
    assert warnings(caplog) == [] and app.settings["called"] == []


@all_stores
async def test_websocket(app, visitor, caplog, sessions):
    """A handshake that does not wait for its session."""

    class Socket(WebSocketHandler):
        def prepare(self):
            sessions.start_session(self.request, self, lambda: None)

        async def on_message(self, message):
            await self.write_message(message)

    await store_record(visitor, {"_token": "t"})
    app.add_handlers(".*", [("/socket", Socket)])
    connection = await visitor.websocket("/socket")
    await connection.write_message("hello")
    assert await connection.read_message() == "hello"
    connection.close()
    await settle(sessions)
    (warning,) = warnings(caplog)
    assert ADVICE in warning


@all_stores
async def test_changed_after_an_early_end(app, visitor, sessions, caplog):
    """Changes by a task whose handler finished before the session was loaded are lost, and a warning names them."""
    tasks = []
    await store_record(visitor, {"_token": "t"})
    driver = await sessions.driver()
    loading, going_on = hold_reading(driver)

    class Page(RequestHandler):
        async def use(self):
            (await sessions.start_session(self.request, self)).put("much", "too late")

        def prepare(self):
            tasks.append(asyncio.ensure_future(self.use()))

        async def get(self):
            await loading.wait()

    app.add_handlers(".*", [("/page", Page)])
    assert (await visitor.get("/page")).code == 200
    going_on.set()
    await tasks.pop()
    await settle(sessions)
    del driver.read
    early, late = warnings(caplog)
    assert ADVICE in early and "'much'" in late
    assert await visitor.stored() == {"_token": "t"}


async def test_websocket_used_after_an_early_handshake(app, visitor, caplog, sessions):
    """A WebSocket that did not wait for its session is warned of that, not of changes: it has no response anyway."""
    closed, tasks = asyncio.Event(), []
    await store_record(visitor, {"_token": "t"})
    driver = await sessions.driver()
    loading, going_on = hold_reading(driver)

    class Socket(WebSocketHandler):
        async def use(self):
            (await sessions.start_session(self.request, self)).put("own", "affair")

        def prepare(self):
            tasks.append(asyncio.ensure_future(self.use()))

        def on_close(self):
            closed.set()

    app.add_handlers(".*", [("/socket", Socket)])
    connection = await visitor.websocket("/socket")
    await loading.wait()
    going_on.set()
    await tasks.pop()
    connection.close()
    await closed.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    await settle(sessions)
    del driver.read
    (warning,) = warnings(caplog)
    assert ADVICE in warning
