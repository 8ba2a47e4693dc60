"""Open WebSockets that are closed with their session: when, at which cost, and when not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import time
import weakref
from collections import Counter
from types import SimpleNamespace

import pytest
from stores import SLOW, STORES, settle
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler
from visitors import store_record
from world import Gate

from node_session import NodeSession, SessionMixin, UnavailableError
from node_session.drivers import MemoryDriver
from node_session.open_sockets import OpenSockets
from node_session.policy import Policy
from node_session.records import Records
from node_session.session import work_of
from node_session.state import STORED
from web.handlers import route

pytestmark = pytest.mark.gen_test(timeout=120)


@pytest.fixture(params=[*STORES, SLOW, {"driver": "file", "hashIds": True}], ids=str)
def options(request):
    return {**request.param, "closeSocketsWithin": 50, "regenerateGrace": 3_600_000, "lifetime": 3_600_000}


on_memory = pytest.mark.parametrize("options", [{"driver": "memory", "closeSocketsWithin": 50}], ids=["memory"])


class Socket(SessionMixin, WebSocketHandler):
    """Overrides all of Tornado's methods, and calls none of them."""

    close_with_session = True

    def open(self):
        pass

    def on_close(self):
        pass

    async def on_message(self, message):
        if message == "close":
            self.close(1000, "by itself")
        elif message == "reload":
            await self.write_message(json.dumps(await self.session.reload()))
        else:
            await self.write_message(message)

    def check_origin(self, origin):
        return True


class Left(Socket):
    """A socket that stays open."""

    close_with_session = False


class Page(SessionMixin, RequestHandler):
    def get(self):
        getattr(self.session, self.get_query_argument("does"))(*self.get_query_arguments("with"))


@pytest.fixture(autouse=True)
def routes(app):
    route(app, socket=Socket, left=Left, page=Page)


class Looks:
    """Counts the look-ups of a driver, and waits for the next ones."""

    def __init__(self, driver) -> None:
        self.asked: list[list[str]] = []
        self.error: Exception | None = None
        alive = driver.alive

        async def counted(ids):
            found = await alive(ids)
            self.asked.append(list(ids))
            if self.error is not None:
                raise self.error
            return found

        driver.alive = counted

    async def some(self) -> None:
        """Wait for two look-ups: what the first one has found is done then."""
        until = len(self.asked) + 2
        while len(self.asked) < until:
            await asyncio.sleep(0.005)


async def counting(sessions) -> Looks:
    return Looks(await sessions.driver())


async def is_open(connection) -> bool:
    """Whether a socket answers."""
    await connection.write_message("there?")
    return await connection.read_message() == "there?"


async def closed_with(connection) -> tuple[int, str]:
    """Wait until the server has closed a socket; gives its code and reason."""
    assert await connection.read_message() is None
    connection.close()
    return connection.close_code, connection.close_reason


ENDED = (4401, "the session has ended")


async def test_a_log_out_closes_the_sockets_of_the_session(visitor, new_visitor, sessions):
    """A log-out in another request closes all sockets of that session that want it, and no other."""
    await visitor.become({"user": "Ann"})
    connections = [await visitor.websocket("/socket") for _ in range(3)]
    other, left = await new_visitor().websocket("/socket"), await visitor.websocket("/left")
    looks = await counting(sessions)
    await looks.some()
    assert sorted(map(len, looks.asked)) == [2] * len(looks.asked)  # ids, of four sockets
    await visitor.get("/page?does=invalidate")
    assert [await closed_with(each) for each in connections] == [ENDED] * 3
    await looks.some()
    assert await is_open(other) and await is_open(left)
    other.close()
    left.close()


@pytest.mark.parametrize("options", STORES[1:], ids=str, indirect=True)
async def test_another_process_destroys_it(visitor, config, tmp_path):
    """A session that another process destroys, here the command line, takes its socket with it."""
    await visitor.become({"user": "Ann"})
    connection = await visitor.websocket("/socket")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    command = [sys.executable, "-m", "node_session", "destroy", str(file), visitor.id]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    assert await closed_with(connection) == ENDED


async def test_it_expires(pass_time, visitor, sessions):
    """A session of which nothing but an open socket is left expires all the same: looking it up is no use of it."""
    await visitor.become({"user": "Ann"})
    connection = await visitor.websocket("/socket")
    looks = await counting(sessions)
    pass_time(3_000)
    await looks.some()
    assert await is_open(connection)
    driver = await sessions.driver()
    assert (await driver.read(visitor.id)).idle >= 3_000_000
    pass_time(3_000)
    assert await closed_with(connection) == ENDED


async def test_it_reaches_its_absolute_lifetime(sessions, visitor):
    """A session that has reached its absolute lifetime closes its socket, although its record is still there."""
    records = await sessions._records.get()
    records.policy = Policy(absolute_lifetime=1_000_000)
    await store_record(visitor, {"_token": "t", "_created": time.time() * 1000})
    connection = await visitor.websocket("/socket")
    looks = await counting(sessions)
    await looks.some()
    assert await is_open(connection)
    records.clock = lambda: time.time() + 2_000
    assert await closed_with(connection) == ENDED


@pytest.mark.filterwarnings("ignore::node_session.errors.ConfigWarning")
@pytest.mark.parametrize("options", [{"driver": "memory", "closeSocketsWithin": 50, "lifetime": 0}], ids=["memory"])
async def test_a_lifetime_of_its_own_on_an_endless_store(visitor, new_visitor, sessions):
    """If the driver expires no record, a session with a lifetime of its own is loaded; the others are not."""
    await store_record(visitor, {"_token": "t", "_lifetime": 1_000_000})
    connection = await visitor.websocket("/socket")
    other = new_visitor()
    left = await other.websocket("/socket")
    driver = await sessions.driver()
    read, found = driver.read, []

    async def says_all_are_alive(ids):
        return set(ids)

    async def noted(id):
        found.append(id)
        return await read(id)

    driver.alive, driver.read = says_all_are_alive, noted
    await driver.destroy(visitor.id)
    await driver.destroy(other.id)
    assert await closed_with(connection) == ENDED
    assert await is_open(left) and set(found) == {visitor.id}
    left.close()


@pytest.mark.parametrize("options", [{**SLOW, "closeSocketsWithin": 50, "lifetime": 3_600_000}], ids=["slow"])
async def test_a_shorter_lifetime_on_a_driver_of_an_earlier_version(visitor, pass_time):
    """Such a driver expires all records alike, so sessions with a shorter lifetime are loaded there, too."""
    await store_record(visitor, {"_token": "t", "_lifetime": 60_000})
    connection = await visitor.websocket("/socket")
    pass_time(61)
    assert await closed_with(connection) == ENDED


async def test_the_store_is_down(visitor, sessions, caplog):
    """While the store is down no socket is closed, and the log has one line; later sockets are closed again."""
    await visitor.become({"user": "Ann"})
    connection = await visitor.websocket("/socket")
    looks = await counting(sessions)
    driver = await sessions.driver()
    for error in (UnavailableError("no answer"), ZeroDivisionError("a driver's fault")):
        caplog.clear()
        looks.error = error
        for _ in range(3):
            await looks.some()
        assert await is_open(connection)
        (line,) = (record.getMessage() for record in caplog.records if record.name == "node_session")
        assert str(error) in line and "none is closed" in line and visitor.id not in line
        looks.error = None
        await looks.some()
    await driver.destroy(visitor.id)
    assert await closed_with(connection) == ENDED


@pytest.mark.parametrize("options", STORES, ids=str, indirect=True)
async def test_five_hundred_sockets(app, new_visitor, sessions, monkeypatch):
    """The sessions of 500 sockets are looked up in one statement, or one hop to a thread, without their texts."""
    driver = await sessions.driver()
    visitors = [new_visitor() for _ in range(500)]
    for each in visitors:
        await each.become({"user": "Ann"})
    connections = [await each.websocket("/socket") for each in visitors]
    statements = []
    if hasattr(driver, "_fetch"):
        fetch = driver._fetch
        monkeypatch.setattr(driver, "_fetch", lambda text, *values: statements.append(text) or fetch(text, *values))
    to_thread = asyncio.to_thread
    monkeypatch.setattr(asyncio, "to_thread", lambda *args: statements.append("hop") or to_thread(*args))
    looks = await counting(sessions)
    await looks.some()
    number = len(looks.asked)
    while number == len(looks.asked):  # it may have begun before
        await asyncio.sleep(0.005)
    assert looks.asked[-1] and {*looks.asked[-1]} == {each.id for each in visitors}
    assert len(statements) <= len(looks.asked) + 1
    assert not [text for text in statements if "payload" in text]
    for each in visitors[::2]:
        await driver.destroy(each.id)
    assert [await closed_with(each) for each in connections[::2]] == [ENDED] * 250
    assert all([await is_open(each) for each in connections[1::2]])
    for each in connections:
        each.close()


async def test_a_closed_socket_is_forgotten(app, visitor, new_visitor, sessions, io_loop):
    """A socket that the client closes is looked up no more, and freed; after the last one no timer is left."""
    handlers = []

    class Noted(Socket):
        def open(self):
            handlers.append(weakref.ref(self))

    route(app, noted=Noted)
    stays = await new_visitor().websocket("/socket")
    connection = await visitor.websocket("/noted")
    looks = await counting(sessions)
    await looks.some()
    assert visitor.id in looks.asked[-1]
    connection.close()
    while visitor.id in looks.asked[-1]:
        await asyncio.sleep(0.005)
    connection = None
    while handlers[0]() is not None:
        await asyncio.sleep(0.005)
        gc.collect()
    (watch,) = sessions._background.sockets._watches.values()
    assert len(watch._sockets) == 1
    stays.close()
    while watch._sockets or watch._looking:
        await asyncio.sleep(0.005)
    assert watch._timer is None


async def test_a_session_that_was_never_stored(visitor, sessions):
    """A socket whose session is never stored, as another site has opened it without the cookie, stays open."""
    connection = await visitor.websocket(
        "/socket", headers={"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"}
    )
    assert visitor.cookie is None
    looks = await counting(sessions)
    await looks.some()
    assert looks.asked[-1] == [] and await is_open(connection)
    connection.close()


async def test_a_login_moves_the_session(visitor, sessions):
    """A session that gets another id keeps its socket for the grace, and closes it then."""
    await visitor.become({"user": "Ann"})
    old = visitor.id
    connection = await visitor.websocket("/socket")
    looks = await counting(sessions)
    await visitor.get("/page?does=regenerate&with=destroy")
    assert visitor.id != old
    await looks.some()
    assert await is_open(connection)
    await connection.write_message("reload")
    assert json.loads(await connection.read_message()) is False
    await looks.some()
    assert await is_open(connection)
    await (await sessions.driver()).destroy(old)  # as at the end of the grace
    assert await closed_with(connection) == ENDED
    again = await visitor.websocket("/socket")
    await looks.some()
    assert await is_open(again)
    again.close()


@pytest.mark.parametrize("options", [{"driver": "memory", "closeSocketsWithin": 50, "regenerateGrace": 50}], ids=str)
async def test_the_grace_ends(visitor):
    """When the grace of a session that has moved is over, nothing else is needed to close its socket."""
    await visitor.become({"user": "Ann"})
    connection = await visitor.websocket("/socket")
    await visitor.get("/page?does=regenerate&with=destroy")
    assert await closed_with(connection) == ENDED


async def test_a_socket_in_its_handshake(app, visitor, sessions):
    """A session that is destroyed while the handshake saves it closes the socket when that is open."""

    class Changed(Socket):
        def prepare(self):
            self.session.put("room", 7)

    route(app, changed=Changed)
    await visitor.become({"user": "Ann"})
    driver = await sessions.driver()
    gate = Gate(driver)
    opening = asyncio.ensure_future(visitor.websocket("/changed"))
    await gate.reached.wait()
    await driver.destroy(visitor.id)
    gate.opened.set()
    assert await closed_with(await opening) == ENDED


async def test_a_look_up_is_slower_than_the_interval(visitor, sessions):
    """A look-up that takes many intervals is the only one until it ends, and its answer counts."""
    await visitor.become({"user": "Ann"})
    connection = await visitor.websocket("/socket")
    driver = await sessions.driver()
    alive, begun, opened = driver.alive, [], asyncio.Event()

    async def slow(ids):
        begun.append(ids)
        await opened.wait()
        return await alive(ids)

    driver.alive = slow
    while not begun:
        await asyncio.sleep(0.005)
    await driver.destroy(visitor.id)
    await asyncio.sleep(0.3)
    assert len(begun) == 1
    opened.set()
    assert await closed_with(connection) == ENDED


@on_memory
async def test_the_handler_closes_it_meanwhile(visitor, sessions, caplog):
    """A handler that closes its socket during a look-up has closed it, and nothing fails."""
    connection = await visitor.websocket("/socket")
    driver = await sessions.driver()
    begun, opened = asyncio.Event(), asyncio.Event()

    async def slow(ids):
        begun.set()
        await opened.wait()
        return set()

    driver.alive = slow
    await begun.wait()
    await connection.write_message("close")
    assert await closed_with(connection) == (1000, "by itself")
    opened.set()
    (watch,) = sessions._background.sockets._watches.values()
    while watch._looking:
        await asyncio.sleep(0.005)
    assert not caplog.records


@on_memory
async def test_a_close_of_a_handler_fails(app, visitor, new_visitor, sessions, caplog):
    """If the `close` of one handler raises, the log says so, and the others are closed; it is called only once."""
    calls = []

    class Failing(Socket):
        def close(self, code=None, reason=None):
            calls.append(code)
            raise ZeroDivisionError

    route(app, failing=Failing)
    stays = await new_visitor().websocket("/socket")
    connections = [await visitor.websocket(f"/{name}") for name in ("failing", "socket")]
    await (await sessions.driver()).destroy(visitor.id)
    assert await closed_with(connections[1]) == ENDED
    assert "could not close a WebSocket" in caplog.text and "ZeroDivisionError" in caplog.text
    await (await counting(sessions)).some()
    assert calls == [4401]
    connections[0].close()
    stays.close()


async def test_the_program_closes(visitor, new_visitor, sessions):
    """`close()` ends the timer, waits for the look-up, and forgets open sockets; new ones are looked up again."""
    connection = await visitor.websocket("/socket")
    looks = await counting(sessions)
    await looks.some()
    (watch,) = sessions._background.sockets._watches.values()
    await settle(sessions)
    assert watch._timer is None and watch._looking is None and not watch._sockets
    assert not sessions._background.sockets._watches
    other = new_visitor()
    again = await other.websocket("/socket")
    await (await sessions.driver()).destroy(visitor.id)
    await (await sessions.driver()).destroy(other.id)
    assert await closed_with(again) == ENDED
    assert await is_open(connection)
    connection.close()


@on_memory
async def test_a_handler_without_the_mixin(app, visitor, sessions):
    """A handler that starts its session itself can have its socket closed as well."""

    class Plain(WebSocketHandler):
        close_with_session = True

        async def prepare(self):
            await sessions.start_session(self.request, self)

    route(app, plain=Plain)
    connection = await visitor.websocket("/plain")
    await (await sessions.driver()).destroy(visitor.id)
    assert await closed_with(connection) == ENDED


@on_memory
async def test_off_costs_nothing(visitor, sessions):
    """Without `close_with_session` there is neither a registry nor a timer."""
    connection = await visitor.websocket("/left")
    assert await is_open(connection)
    assert not sessions._background.sockets._watches
    connection.close()


class FakeHandler:
    """A handler of which only the closing counts."""

    close_with_session = True

    def __init__(self, close=lambda: None):
        self.told = close

    def close(self, code, reason):
        self.told()


@on_memory
async def test_ten_thousand_sockets():
    """10,000 sessions are looked up, and their sockets closed, in pieces, with turns of the loop in between."""
    driver = MemoryDriver(0)
    records, sockets = Records(driver), OpenSockets(50)
    works = [SimpleNamespace(records=records, version=1, id=f"{n:040d}", state=STORED) for n in range(10_000)]
    turn, closed, pieces = 0, [], []
    handlers = [FakeHandler(lambda: closed.append(turn)) for _ in works]
    with contextlib.ExitStack() as contexts:
        for handler, work in zip(handlers, works, strict=True):
            work.content = SimpleNamespace(attributes={})
            contexts.enter_context(sockets.watching(handler, work))
        alive = driver.alive

        async def counted(ids):
            pieces.append((turn, len(ids)))
            return await alive(ids)

        driver.alive = counted
        while len(closed) < 10_000:
            turn += 1
            await asyncio.sleep(0)
        await sockets.finish()
    assert sum(number for _, number in pieces) == 10_000 and max(number for _, number in pieces) <= 500
    assert len({turn for turn, _ in pieces}) == len(pieces) == 20
    assert max(Counter(closed).values()) <= 100


def test_two_loops(config, options):
    """Each event loop has a timer of its own; what one leaves behind when it ends concerns no other."""
    if options["driver"] != "memory":
        return
    sessions = NodeSession(config)
    sockets = sessions._background.sockets
    handlers = []

    async def leave() -> None:
        handlers.append(FakeHandler())
        line, headers = RequestStartLine("GET", "/", "HTTP/1.1"), HTTPHeaders({"Host": "localhost"})
        session = await sessions.get_session(HTTPServerRequest(start_line=line, headers=headers))
        await session.start()
        await session.save()
        sockets.watching(handlers[-1], work_of(session)).__enter__()

    for _ in range(2):
        asyncio.run(leave())
    assert len(sockets._watches) == 1
