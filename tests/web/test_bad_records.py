"""Records that are no session, half-written ones, and those of others."""

from __future__ import annotations

import asyncio
import os

import pytest
from visitors import ID

from web.handlers import Count, Return, route

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize(
    "text", [b"", b'{"a', b"[1]", b'"text"', b"null", b"\xff\xfe", b"{}x", b"{" * 100_000], ids=repr
)
async def test_damaged_record(app, visitor, tmp_path, caplog, text):
    """A record that is no session is logged and kept aside once, and a fresh session is started."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / ("A" * 40)).write_bytes(text)
    visitor.use_id("A" * 40)
    route(app, page=Return)
    assert (await visitor.get("/page")).code == 200
    assert visitor.id != "A" * 40
    aside = [each for each in folder.iterdir() if each.name.startswith(".damaged-")]
    assert [each.read_bytes() for each in aside] == [text]
    assert "damaged" in caplog.text
    assert "A" * 40 not in caplog.text


async def test_record_that_is_being_written(app, visitor, tmp_path):
    """A file that the original has truncated, and fills a while later, is waited for, not taken for damaged."""
    route(app, page=Return)
    await visitor.get("/page")
    id, path = visitor.id, tmp_path / "sessions" / visitor.id
    text = path.read_text()
    path.write_text("")
    answer = asyncio.ensure_future(visitor.get("/page"))
    await asyncio.sleep(0.4)
    path.write_text(text)
    assert (await answer).code == 200 and visitor.id == id
    assert (await visitor.stored())["count"] == 2


@pytest.mark.parametrize("options", [{"lifetime": 1000, "expireOnClose": True}])
async def test_expired_record(app, visitor):
    """A session that was idle for longer than its lifetime is gone when it is asked for, not when gc comes by."""
    route(app, page=Return)
    await visitor.get("/page")
    old = visitor.id
    await asyncio.sleep(1.2)
    await visitor.get("/page")
    assert visitor.id != old
    assert (await visitor.stored())["count"] == 1


async def test_folder_of_another_user(app, visitor, tmp_path, monkeypatch):
    """Sessions that another user of the machine has prepared are none: 503, and nothing is written beside them."""
    route(app, count=Count)
    folder = tmp_path / "sessions"
    folder.mkdir(mode=0o700)
    (folder / ID).write_text('{"_token":"t","count":41}')
    visitor.use_id(ID)
    if os.geteuid() == 0:
        os.chown(folder, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    for cookie in (visitor.cookie, "none"):
        visitor.cookie = cookie
        response = await visitor.get("/count")
        assert (response.code, "Set-Cookie" in response.headers) == (503, False)
    assert [each.name for each in folder.iterdir()] == [ID]
