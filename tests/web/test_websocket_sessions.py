"""The sessions of WebSockets: in `prepare`, in use, and stored."""

from __future__ import annotations

import asyncio
import json

import pytest
from stores import SLOW, STORES
from tornado.httpclient import HTTPClientError
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler
from visitors import stored_record

from node_session import SessionMixin, UnavailableError

pytestmark = pytest.mark.gen_test(timeout=60)


@pytest.fixture(params=[*STORES, SLOW], ids=str)
def options(request):
    return request.param


@pytest.fixture
def config(config):
    """The config, with a lifetime of a day: a session is renewed after a quarter of an hour."""
    return {**config, "lifetime": 86_400_000}


class Page(SessionMixin, RequestHandler):
    def get(self):
        self.session.put("user", "Ann")


class Echo(WebSocketHandler):
    """Does what a message says, and answers with what became of it."""

    async def on_message(self, message):
        session = self.request.session
        result = None
        if message == "reload":
            result = await session.reload()
        elif message == "transaction":
            async with session.transaction():
                result = session.get("user")
        elif message == "farewell":
            session.flush()
            session.put("_left", {"at": 1, "attributes": {}})
            try:
                await session.save()
            except TypeError as error:
                result = str(error)
        await self.write_message(json.dumps(result))


def change(handler) -> None:
    """The work of a WebSocket's `prepare` in these tests."""
    session = handler.request.session
    does = handler.get_query_argument("does", "")
    if does == "put":
        session.put("room", 7)
    elif does == "regenerate":
        session.regenerate(True)
        session.put("room", 7)
    elif does == "invalidate":
        session.invalidate()


class Mixed(SessionMixin, Echo):
    def prepare(self):
        change(self)


class Awaited(Echo):
    async def prepare(self):
        await self.settings["node_session"].start_session(self.request, self)
        change(self)


class CalledBack(Echo):
    def prepare(self):
        return self.settings["node_session"].start_session(self.request, self, lambda: change(self))


class InGet(SessionMixin, Echo):
    async def get(self):
        change(self)
        await super().get()


WAYS = {"mixed": Mixed, "awaited": Awaited, "called_back": CalledBack, "in_get": InGet}


@pytest.fixture(autouse=True)
def routes(app):
    app.add_handlers(".*", [("/page", Page), *((f"/{name}", handler) for name, handler in WAYS.items())])


async def say(connection, message):
    await connection.write_message(message)
    return json.loads(await connection.read_message())


@pytest.mark.parametrize("way", WAYS)
async def test_what_prepare_puts_is_stored(visitor, way):
    """Changes in a WebSocket's prepare are stored before the handshake is answered."""
    await visitor.get("/page")
    connection = await visitor.websocket(f"/{way}?does=put")
    assert (await visitor.stored())["room"] == 7
    connection.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("does", ["regenerate", "invalidate"])
async def test_a_new_id_in_prepare(visitor, new_visitor, way, does):
    """The browser gets the new id, which is stored, and the old session is not alive any more."""
    await visitor.get("/page")
    old = visitor.id
    connection = await visitor.websocket(f"/{way}?does={does}")
    assert visitor.id != old
    stored = await visitor.stored()
    assert stored.get("user") == ("Ann" if does == "regenerate" else None)
    left = await stored_record(visitor, old)
    assert left is None if does == "invalidate" else list(left) == ["_left"]
    assert await say(connection, "reload") is True
    connection.close()


async def test_a_store_that_is_down_refuses_the_handshake(visitor, sessions):
    """If the changes of prepare cannot be stored, the handshake is a 503."""
    await visitor.get("/page")
    driver = await sessions.driver()

    async def fail(id, payload, version):
        raise UnavailableError("the disk is full")

    driver.write = fail
    with pytest.raises(HTTPClientError) as failed:
        await visitor.websocket("/mixed?does=put")
    assert failed.value.code == 503


async def count_touches(sessions) -> list[str]:
    """Note the ids of the records that the driver renews."""
    driver = await sessions.driver()
    touch, confirm, ids, inside = driver.touch, driver.confirm, [], []

    async def counting(id, **options):
        await touch(id, **options)
        if not inside:  # a driver's confirm may use its touch
            ids.append(id)

    async def counting_confirm(id, version, **options):
        inside.append(id)
        try:
            is_renewed = await confirm(id, version, **options)
        finally:
            inside.clear()
        if is_renewed:
            ids.append(id)
        return is_renewed

    driver.touch, driver.confirm = counting, counting_confirm
    return ids


@pytest.mark.parametrize("use", ["reload", "transaction"])
async def test_use_renews(visitor, sessions, pass_time, use):
    """A message that reloads the session, or opens a transaction, is use of it; an idle socket is not."""
    await visitor.get("/page")
    connection = await visitor.websocket("/mixed")
    touches = await count_touches(sessions)
    assert await say(connection, "nothing") is None
    assert touches == []
    connection.close()
    pass_time(1000)
    connection = await visitor.websocket("/mixed")
    while not touches:  # the handshake's own
        await asyncio.sleep(0.005)
    touches.clear()
    pass_time(1000)
    assert await say(connection, "nothing") is None
    assert touches == []
    assert await say(connection, use) in (True, "Ann")
    assert touches == [visitor.id]
    connection.close()


@pytest.mark.parametrize("use", ["reload", "transaction"])
async def test_use_while_the_store_cannot_renew(visitor, sessions, pass_time, use, caplog):
    """A session that was read can be used although it cannot be renewed; the log says so."""
    await visitor.get("/page")
    connection = await visitor.websocket("/mixed")
    pass_time(1000)
    driver = await sessions.driver()

    async def fail(*args, **options):
        raise UnavailableError("no answer")

    driver.touch = driver.confirm = fail
    assert await say(connection, use) in (True, "Ann")
    assert "could not renew session" in caplog.text and visitor.id not in caplog.text
    connection.close()


async def test_the_key_of_a_farewell_is_reserved(visitor):
    """A session of nothing but `_left`, which would be read as one that has gone on, is refused; nothing is stored."""
    await visitor.get("/page")
    connection = await visitor.websocket("/mixed")
    assert "'_left' is reserved" in await say(connection, "farewell")
    assert (await visitor.stored())["user"] == "Ann"
    connection.close()
