"""The devices of a user with `format: "express-session"`: the list, its record, and log-outs."""

from __future__ import annotations

import pytest

from formats.conftest import on_all_stores, record_of

pytestmark = pytest.mark.gen_test


@on_all_stores
async def test_devices(visit, visitor):
    """Sessions of Express are listed and logged out; Express can read the list's record, which is nobody's session."""
    await visit(lambda handler: handler.session.set_owner("ann"))
    sessions = visitor.sessions
    (device,) = await sessions.devices("ann")
    assert device.owner == "ann"
    (id,) = (await sessions._records.get()).owners.ids("ann")
    record = await record_of(visitor, id)
    assert list(record)[:2] == ["cookie", "_devices"] and record["cookie"]["path"] == "/"
    (entry,) = record["_devices"]["list"].values()
    assert entry["ids"] == [visitor.id] and len(visitor.id) == 32
    before = visitor.id
    await visit(lambda handler: handler.session.regenerate(True))
    assert visitor.id != before and len(await sessions.devices("ann")) == 1
    assert await sessions.log_out("ann") == 1
    assert await record_of(visitor) is None and await sessions.devices("ann") == []
    visitor.use_id(id)
    assert (await visit(lambda handler: handler.write(handler.session.all()))).body == b"{}"


@on_all_stores
async def test_ids_of_genid(visit, visitor):
    """The list takes ids that a `genid` of Express has made."""
    await (await visitor.sessions.driver()).write("a.b+c=", '{"cookie":{"originalMaxAge":null},"n":1}', None)
    visitor.use_id("a.b+c=")
    await visit(lambda handler: handler.session.set_owner("ann"))
    assert visitor.id == "a.b+c=" and len(await visitor.sessions.devices("ann")) == 1
    assert await visitor.sessions.log_out("ann") == 1 and await record_of(visitor) is None
