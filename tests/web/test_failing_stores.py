"""Stores that fail, before and after the headers have left."""

from __future__ import annotations

import asyncio
import errno
import json

import pytest
from tornado.simple_httpclient import HTTPStreamClosedError
from tornado.web import RequestHandler
from visitors import store_record, stored_record

from node_session import SessionMixin, UnavailableError, UnreadableError
from web.handlers import (
    FinishChunk,
    FinishInPrepare,
    NoContent,
    Page,
    Redirect,
    Return,
    SendError,
    Streamed,
    failing,
    route,
)

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize(
    ("error", "status"),
    [(OSError(errno.ENOSPC, "No space left on device"), 500), (UnavailableError("the store is down"), 503)],
    ids=["bug", "down"],
)
@pytest.mark.parametrize("handler", [Return, FinishChunk, Redirect, SendError, NoContent, FinishInPrepare])
async def test_failed_save(app, visitor, sessions, caplog, handler, error, status):
    """A save that fails is a 500 (503 for a store that is down) without a cookie, logged once; the record stays."""
    route(app, page=handler)
    await visitor.get("/page")
    repair = await failing(sessions, "write", error)
    caplog.clear()
    response = await visitor.get("/page")
    assert response.code == status
    assert "Set-Cookie" not in response.headers
    assert sum(str(error) in record.getMessage() + str(record.exc_text) for record in caplog.records) == 1
    assert visitor.id not in caplog.text
    repair()
    assert (await visitor.stored())["count"] == 1
    await visitor.get("/page")
    assert (await visitor.stored())["count"] == 2


async def test_failed_save_after_headers(app, visitor, sessions, caplog):
    """If the headers have gone out, a failed save cuts the connection, so the client sees that it is not whole."""
    finished = []

    class Counted(Streamed):
        def on_finish(self):
            super().on_finish()
            finished.append(1)

    route(app, page=Counted)
    await visitor.get("/page")
    await failing(sessions, "write", UnavailableError("the store is down"))
    with pytest.raises(HTTPStreamClosedError):
        await visitor.get("/page")
    assert "the store is down" in caplog.text
    assert finished == [1, 1]


async def test_failed_load(app, visitor, sessions, caplog):
    """A store that cannot be read is a 503: no fresh session, no cookie, nothing written."""
    route(app, page=Return)
    await visitor.get("/page")
    repair = await failing(sessions, "read", UnreadableError("permission denied"))
    response = await visitor.get("/page")
    assert response.code == 503
    assert "Set-Cookie" not in response.headers
    assert "permission denied" in caplog.text
    repair()
    await visitor.get("/page")
    assert (await visitor.stored())["count"] == 2


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object()], ids=["set", "bytes", "object"])
async def test_value_json_cannot_hold(app, visitor, caplog, value):
    """A value that JSON cannot hold is a 500, the log names its key, and the record stays as it was."""

    class Bad(Page):
        def get(self):
            if self.get_query_argument("bad", ""):
                self.session.put("cart.items", [1, value])
            self.write("fine")

    route(app, page=Bad)
    await visitor.get("/page")
    assert (await visitor.get("/page?bad=1")).code == 500
    assert "cart.items[1]" in caplog.text
    assert "cart" not in await visitor.stored()
    assert (await visitor.get("/page")).code == 200


async def test_response_before_the_session_is_loaded(app, visitor, sessions):
    """A handler that ends before its session has loaded does not save an empty one over the real one."""

    class Hasty(RequestHandler):
        def prepare(self):
            self.loading = asyncio.ensure_future(sessions.start_session(self.request, self))

        async def get(self):
            await asyncio.sleep(0)
            await self.finish("done")
            await self.loading

    await store_record(visitor, {"_token": "t", "precious": 1})
    driver = await sessions.driver()
    read = driver.read

    async def slow_read(id):
        await asyncio.sleep(0.05)
        return await read(id)

    driver.read = slow_read
    route(app, page=Hasty)
    response = await visitor.get("/page")
    assert response.body == b"done"
    assert "Set-Cookie" not in response.headers
    await asyncio.sleep(0.1)
    assert (await visitor.stored())["precious"] == 1


@pytest.mark.usefixtures("long_requests")
@pytest.mark.parametrize("is_due", [True, False])
async def test_slow_reader_of_a_store_that_went_down(app, visitor, sessions, pass_time, is_due):
    """A request that saves nothing is answered although the store cannot tell any more whether the session is there.

    Nor is it asked, and no cookie sent, if the session is not due for renewal.
    """

    class Slow(SessionMixin, RequestHandler):
        async def get(self):
            await failing(sessions, "read", UnreadableError("the disk is gone"))
            await asyncio.sleep(0.02)
            self.write("ok")

    route(app, page=Return, slow=Slow)
    await visitor.get("/page")
    if is_due:
        pass_time(16)  # a twentieth of the lifetime, and more
    response = await visitor.get("/slow")
    assert (response.code, response.body, "Set-Cookie" in response.headers) == (200, b"ok", is_due)


@pytest.mark.parametrize("options", [{"saveTimeout": 50}], ids=str)
async def test_giving_up(app, visitor, sessions, caplog):
    """A save that is overtaken again and again is a 503 in the end; the log tells the number of tries."""
    route(app, page=Return)
    await visitor.get("/page")
    driver = await sessions.driver()
    write, tries = driver.write, []

    async def lose(id, payload, version):
        tries.append(1)
        text = json.loads((await driver.read(id)).payload)
        await write(id, json.dumps({**text, "others": len(tries)}), (await driver.read(id)).version)
        return await write(id, payload, version)

    driver.write = lose
    cookie = visitor.cookie
    response = await visitor.get("/page")
    driver.write = write
    assert response.code == 503 and "Set-Cookie" not in response.headers and visitor.cookie == cookie
    assert len(tries) > 1
    assert f"during each of {len(tries)} tries" in caplog.text and visitor.id not in caplog.text
    assert {"count": 1, "others": len(tries)}.items() <= (await visitor.stored()).items()
    assert (await visitor.get("/page")).code == 200
    assert (await visitor.stored())["count"] == 2


async def test_logout_that_got_half_way(app, visitor, sessions):
    """A logout whose second half failed is done again by the next save: the old record does not live on."""

    class Out(SessionMixin, RequestHandler):
        async def get(self):
            self.session.invalidate()
            driver = await sessions.driver()
            destroy = driver.destroy

            async def down(*args):
                raise UnavailableError("down for a moment")

            driver.destroy = down
            try:
                await self.session.save()
            except UnavailableError:
                driver.destroy = destroy

    route(app, page=Return, out=Out)
    await visitor.get("/page")
    old = visitor.id
    assert (await visitor.get("/out")).code == 200
    assert visitor.id != old and await stored_record(visitor, old) is None
