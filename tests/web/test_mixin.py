"""`SessionMixin`: its place among the bases, its setting, and a handler's own `prepare`."""

from __future__ import annotations

import pytest
from tornado.web import RequestHandler

from node_session import NodeSession, SessionMixin
from web.handlers import Return, route

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("calls_super", [False, True], ids=["alone", "super"])
async def test_own_prepare(app, visitor, is_async, calls_super):
    """A subclass's own prepare, sync or async, finds the session, whether or not it calls super().prepare()."""
    order = []

    class Base(RequestHandler):
        async def prepare(self):
            order.append("base")

    if is_async:

        class Own(SessionMixin, Base):
            async def prepare(self):
                order.append(self.session.increment("count"))
                if calls_super:
                    await super().prepare()

            def get(self):
                order.append("get")
    else:

        class Own(SessionMixin, Base):
            def prepare(self):
                order.append(self.session.increment("count"))
                return super().prepare() if calls_super else None

            def get(self):
                order.append("get")

    class Derived(Own):
        def get(self):
            order.append("derived")

    route(app, page=Own, derived=Derived)
    assert (await visitor.get("/page")).code == 200
    assert (await visitor.get("/derived")).code == 200
    base = ["base"] if calls_super else []
    assert order == [1, *base, "get", 2, *base, "derived"]


async def test_wrong_order_of_bases():
    """The mixin behind the handler would have no effect, so it is an error when the class is made."""
    with pytest.raises(TypeError, match="name SessionMixin before"):

        class Wrong(RequestHandler, SessionMixin):
            pass


async def test_missing_setting(app, visitor, caplog):
    """Without the setting the log names it."""
    del app.settings["node_session"]
    route(app, page=Return)
    assert (await visitor.get("/page")).code == 500
    assert "Application(..., node_session=…)" in caplog.text


async def test_setting_as_dict(app, visitor, config):
    """A config dict as setting makes one NodeSession for the application."""
    app.settings["node_session"] = config
    route(app, page=Return)
    await visitor.get("/page")
    made = app.settings["node_session"]
    assert isinstance(made, NodeSession)
    await visitor.get("/page")
    assert app.settings["node_session"] is made
    assert (await visitor.stored())["count"] == 2
    await made.close()


async def test_session_before_prepare(app, visitor, caplog):
    """Asking for the session too early is an error that says when it will be there."""

    class Early(SessionMixin, RequestHandler):
        def initialize(self):
            with pytest.raises(Exception, match="right before prepare"):
                self.session.get("x")

        def get(self):
            self.write("ok")

    route(app, page=Early)
    assert (await visitor.get("/page")).body == b"ok"
