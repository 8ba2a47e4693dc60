"""Devices whose sessions have lifetimes of their own: how long they stay in the list, and which of them is ended."""

from __future__ import annotations

import json
import time

import pytest
from stores import STORES, settle
from tornado.web import RequestHandler

from node_session import SessionMixin

MONTH = 30 * 24 * 60 * 60 * 1000

pytestmark = pytest.mark.gen_test


@pytest.fixture(params=STORES, ids=lambda store: store["driver"])
def config(config, request):
    """Each test runs on three stores."""
    return {**config, **request.param, "lifetime": 60_000}


@pytest.fixture
def options(request):
    return getattr(request, "param", {})


class Login(SessionMixin, RequestHandler):
    def get(self):
        self.session.set_owner("ann")
        if self.get_argument("remember", ""):
            self.session.set_lifetime(MONTH)


class Remember(SessionMixin, RequestHandler):
    def get(self):
        self.session.set_lifetime(MONTH)


class Page(SessionMixin, RequestHandler):
    def get(self):
        self.write(json.dumps(self.session.owner))
        if self.get_argument("change", ""):
            self.session.increment("seen")


@pytest.fixture
def app(app):
    app.add_handlers(".*", [("/login", Login), ("/remember", Remember), ("/page", Page)])
    return app


async def owner_of(visitor):
    return json.loads((await visitor.get("/page")).body)


async def test_a_lifetime_after_the_login(visitor, sessions, pass_time):
    """A session that gets a longer lifetime right after its login stays in the list for as long."""
    await visitor.get("/login")
    await visitor.get("/remember")
    await settle(sessions)
    pass_time(24 * 60 * 60)
    assert len(await sessions.devices("ann")) == 1
    assert await sessions.log_out("ann") == 1
    assert await owner_of(visitor) is None


@pytest.mark.parametrize(
    "options", [{"maxDevices": 2}, {"maxDevices": 2, "hashIds": True, "encrypt": True}], indirect=True
)
async def test_most_devices(new_visitor, sessions, pass_time):
    """A longer lifetime does not make a device look used just now, not even where nobody can read its record."""
    remembered, other, third = new_visitor(), new_visitor(), new_visitor()
    await remembered.get("/login?remember=1")
    await other.get("/login")
    pass_time(40)
    sessions._records.made.clock = lambda: time.time() + 40
    await other.get("/page?change=1")
    found = await sessions.devices("ann")
    assert (found[0].used - found[1].used).total_seconds() > 30
    await third.get("/login")
    assert [await owner_of(each) for each in (remembered, other, third)] == [None, "ann", "ann"]
