"""Sessions that end, however active they are."""

from __future__ import annotations

import time

import pytest
from browser import ID
from tornado.web import RequestHandler

from node_session import SessionMixin
from web.handlers import Count, route

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize("options", [{"absoluteLifetime": 3_600_000}])
async def test_absolute_lifetime(app, browser):
    """A session ends so long after it began, however active it is; its record is destroyed."""
    route(app, count=Count)
    await browser.get("/count")
    created = (await browser.stored())["_created"]
    assert abs(created - time.time() * 1000) < 10_000
    await browser.get("/count")
    assert (await browser.stored())["_created"] == created
    await browser.store({"_token": "t", "count": 7, "_created": created - 3_500_000})
    assert (await browser.get("/count")).body == b"8"
    assert browser.id == ID
    other = "B" * 40
    await browser.store({"_token": "t", "count": 7, "_created": created - 3_700_000}, other)
    assert (await browser.get("/count")).body == b"1"
    assert browser.id != other and await browser.stored(other) is None


@pytest.mark.parametrize("options", [{"absoluteLifetime": 3_600_000}])
async def test_absolute_lifetime_survives_a_new_id(app, browser):
    """A new id does not make a session younger; a session that the original began counts from now."""

    class Renew(SessionMixin, RequestHandler):
        def get(self):
            self.session.regenerate(True)

    route(app, renew=Renew, count=Count)
    await browser.store({"_token": "t"})
    await browser.get("/count")
    created = (await browser.stored())["_created"]
    await browser.get("/renew")
    assert browser.id != ID and (await browser.stored())["_created"] == created
