"""Sessions that end, however active they are."""

from __future__ import annotations

import time

import pytest
from tornado.web import RequestHandler
from visitors import ID, store_record, stored_record

from node_session import SessionMixin
from web.handlers import Count, route

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize("options", [{"absoluteLifetime": 3_600_000}])
async def test_absolute_lifetime(app, visitor):
    """A session ends so long after it began, however active it is; its record is destroyed."""
    route(app, count=Count)
    await visitor.get("/count")
    created = (await visitor.stored())["_created"]
    assert abs(created - time.time() * 1000) < 10_000
    await visitor.get("/count")
    assert (await visitor.stored())["_created"] == created
    await store_record(visitor, {"_token": "t", "count": 7, "_created": created - 3_500_000})
    assert (await visitor.get("/count")).body == b"8"
    assert visitor.id == ID
    other = "B" * 40
    await store_record(visitor, {"_token": "t", "count": 7, "_created": created - 3_700_000}, other)
    assert (await visitor.get("/count")).body == b"1"
    assert visitor.id != other and await stored_record(visitor, other) is None


@pytest.mark.parametrize("options", [{"absoluteLifetime": 3_600_000}])
async def test_absolute_lifetime_survives_a_new_id(app, visitor):
    """A new id does not make a session younger; a session that the original began counts from now."""

    class Renew(SessionMixin, RequestHandler):
        def get(self):
            self.session.regenerate(True)

    route(app, renew=Renew, count=Count)
    await store_record(visitor, {"_token": "t"})
    await visitor.get("/count")
    created = (await visitor.stored())["_created"]
    await visitor.get("/renew")
    assert visitor.id != ID and (await visitor.stored())["_created"] == created
