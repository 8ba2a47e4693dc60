"""Records and log lines that give nothing away: hashed ids, encrypted records."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from tornado.web import RequestHandler
from visitors import SECRET, stored_record

from node_session import NodeSession, SessionMixin
from web.handlers import Count, Nothing, route

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize("options", [{"hashIds": True}, {"hashIds": True, "driver": "memory"}], ids=str)
async def test_hashed_ids(app, visitor, tmp_path):
    """With hashIds no record's name is an id, and everything else is as ever."""
    route(app, count=Count)
    for count in (b"1", b"2", b"3"):
        assert (await visitor.get("/count")).body == count
    names = [each.name for each in (tmp_path / "sessions").glob("[!.]*")]
    assert visitor.id not in names
    for name in names:
        visitor.use_id(name)
        assert (await visitor.get("/count")).body == b"1"


@pytest.mark.parametrize("options", [{"hashIds": True}])
async def test_a_listing_has_no_id(app, visitor, sessions):
    """With hashIds a listing names records as they are kept, not as their sessions."""
    route(app, count=Count)
    await visitor.get("/count")
    driver = await sessions.driver()
    (entry,) = [entry async for entry in driver.scan()]
    assert entry.id != visitor.id and await driver.read(entry.id) is None
    assert await driver.driver.read(entry.id) is not None


@pytest.mark.parametrize("options", [{"encrypt": True}])
async def test_encrypted_records(app, visitor, tmp_path):
    """With encrypt nothing of a session can be read in its record, and one put under another's id is damaged."""

    class Put(SessionMixin, RequestHandler):
        def get(self):
            self.session.put("user", "Ann-Sophie")

    route(app, put=Put, count=Count)
    await visitor.get("/put")
    await visitor.get("/count")
    file = tmp_path / "sessions" / visitor.id
    assert b"Ann-Sophie" not in file.read_bytes()
    assert json.loads(file.read_text())["v"] == 2
    other = file.with_name("B" * 40)
    other.write_bytes(file.read_bytes())
    visitor.use_id("B" * 40)
    assert (await visitor.get("/count")).body == b"1"
    assert visitor.id != "B" * 40


@pytest.mark.parametrize(
    "before", [{"encrypt": "legacy"}, {"encrypt": True, "secret": "an-older-secret-" * 2}], ids=str
)
async def test_older_records_are_encrypted_anew(app, visitor, config, before, tmp_path):
    """A record in the original's format, or under an older secret, is read, and then written as it is now."""
    route(app, nothing=Nothing, count=Count)
    app.settings["node_session"] = older = NodeSession({**config, **before})
    await visitor.get("/count")
    value = visitor.cookie
    secrets = [SECRET, older.config.secret[0]]
    app.settings["node_session"] = NodeSession({**config, "encrypt": True, "secret": secrets})
    response = await visitor.get("/nothing")
    assert response.code == 200
    app.settings["node_session"] = NodeSession({**config, "encrypt": True, "secret": SECRET})
    assert (await visitor.get("/count")).body == b"2"
    assert (visitor.cookie == value) is ("secret" not in before)


@pytest.mark.parametrize("options", [{"encrypt": True}, {"encrypt": "legacy"}], ids=str)
async def test_set_encrypter(app, visitor, sessions):
    """A program's own encrypter is used for all records stored from then on."""

    class Rot:
        def encrypt(self, text):
            return "rot:" + text[::-1]

        def decrypt(self, text):
            return text[4:][::-1]

    sessions.set_encrypter(Rot())
    route(app, count=Count)
    for count in (b"1", b"2"):
        assert (await visitor.get("/count")).body == count
    record = await (await sessions.driver()).read(visitor.id)
    assert record.payload.startswith("rot:}")


async def test_no_id_in_any_log(app, visitor, caplog):
    """No log line of a session's whole life shows its id or its token."""

    class Logout(SessionMixin, RequestHandler):
        def get(self):
            self.session.invalidate()

    route(app, count=Count, logout=Logout)
    with caplog.at_level(logging.DEBUG):
        await visitor.get("/count")
        id, token = visitor.id, (await stored_record(visitor))["_token"]
        await asyncio.gather(*(visitor.get("/count") for _ in range(5)))
        await visitor.get("/logout")
        visitor.use_id(id)
        await visitor.get("/count")
    assert id not in caplog.text and token not in caplog.text
