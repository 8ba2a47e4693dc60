"""Records and log lines that give nothing away: hashed ids, encrypted records."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from browser import SECRET
from tornado.web import RequestHandler

from node_session import NodeSession, SessionMixin
from web.handlers import Count, Nothing, route

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize("options", [{"hashIds": True}, {"hashIds": True, "driver": "memory"}], ids=str)
async def test_hashed_ids(app, browser, tmp_path):
    """With hashIds no record's name is an id, and everything else is as ever."""
    route(app, count=Count)
    for count in (b"1", b"2", b"3"):
        assert (await browser.get("/count")).body == count
    names = [each.name for each in (tmp_path / "sessions").glob("[!.]*")]
    assert browser.id not in names
    for name in names:
        browser.set_id(name)
        assert (await browser.get("/count")).body == b"1"


@pytest.mark.parametrize("options", [{"hashIds": True}])
async def test_a_listing_has_no_id(app, browser, sessions):
    """With hashIds a listing names records as they are kept, not as their sessions."""
    route(app, count=Count)
    await browser.get("/count")
    driver = await sessions.driver()
    (entry,) = [entry async for entry in driver.scan()]
    assert entry.id != browser.id and await driver.read(entry.id) is None
    assert await driver.driver.read(entry.id) is not None


@pytest.mark.parametrize("options", [{"encrypt": True}])
async def test_encrypted_records(app, browser, tmp_path):
    """With encrypt nothing of a session can be read in its record, and one put under another's id is damaged."""

    class Put(SessionMixin, RequestHandler):
        def get(self):
            self.session.put("user", "Ann-Sophie")

    route(app, put=Put, count=Count)
    await browser.get("/put")
    await browser.get("/count")
    file = tmp_path / "sessions" / browser.id
    assert b"Ann-Sophie" not in file.read_bytes()
    assert json.loads(file.read_text())["v"] == 2
    other = file.with_name("B" * 40)
    other.write_bytes(file.read_bytes())
    browser.set_id("B" * 40)
    assert (await browser.get("/count")).body == b"1"
    assert browser.id != "B" * 40


@pytest.mark.parametrize(
    "before", [{"encrypt": "legacy"}, {"encrypt": True, "secret": "an-older-secret-" * 2}], ids=str
)
async def test_older_records_are_encrypted_anew(app, browser, config, before, tmp_path):
    """A record in the original's format, or under an older secret, is read, and then written as it is now."""
    route(app, nothing=Nothing, count=Count)
    app.settings["node_session"] = older = NodeSession({**config, **before})
    await browser.get("/count")
    value = browser.cookie
    secrets = [SECRET, older.config.secret[0]]
    app.settings["node_session"] = NodeSession({**config, "encrypt": True, "secret": secrets})
    response = await browser.get("/nothing")
    assert response.code == 200
    app.settings["node_session"] = NodeSession({**config, "encrypt": True, "secret": SECRET})
    assert (await browser.get("/count")).body == b"2"
    assert (browser.cookie == value) is ("secret" not in before)


@pytest.mark.parametrize("options", [{"encrypt": True}, {"encrypt": "legacy"}], ids=str)
async def test_set_encrypter(app, browser, sessions):
    """A program's own encrypter is used for all records stored from then on."""

    class Rot:
        def encrypt(self, text):
            return "rot:" + text[::-1]

        def decrypt(self, text):
            return text[4:][::-1]

    sessions.set_encrypter(Rot())
    route(app, count=Count)
    for count in (b"1", b"2"):
        assert (await browser.get("/count")).body == count
    record = await (await sessions.driver()).read(browser.id)
    assert record.payload.startswith("rot:}")


async def test_no_id_in_any_log(app, browser, caplog):
    """No log line of a session's whole life shows its id or its token."""

    class Logout(SessionMixin, RequestHandler):
        def get(self):
            self.session.invalidate()

    route(app, count=Count, logout=Logout)
    with caplog.at_level(logging.DEBUG):
        await browser.get("/count")
        id, token = browser.id, (await browser.stored())["_token"]
        await asyncio.gather(*(browser.get("/count") for _ in range(5)))
        await browser.get("/logout")
        browser.set_id(id)
        await browser.get("/count")
    assert id not in caplog.text and token not in caplog.text
