"""Error pages have a session in any case: where it was never loaded, an empty one that nobody stores."""

from __future__ import annotations

import json

import pytest
from stores import all_stores
from tornado.template import Template
from tornado.web import Finish, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler
from visitors import store_record

from node_session import NodeSession, SessionMixin, UnreadableError

pytestmark = pytest.mark.gen_test


PAGE = Template("{{ status }} for {{ current_user }}, {{ len(session) }} keys {% raw csrf_field() %}")


class Page(SessionMixin, RequestHandler):
    """Does with its session what error pages do: looks who is there, shows a form, keeps a message for the next."""

    def get_current_user(self):
        return self.session.get("user", "nobody")

    def log_exception(self, *exc_info):
        self.settings["seen"].append(f"exception of {self.current_user}")
        super().log_exception(*exc_info)

    def write_error(self, status_code, **kwargs):
        self.session.flash("status", "That did not work.")
        names = {**self.get_template_namespace(), "status": status_code, "session": self.session}
        self.finish(PAGE.generate(**names))

    def get(self):
        self.write("ok")

    post = get


@pytest.fixture
def app(app):
    """Its log has a line for each request, with the user."""
    app.settings["seen"] = []
    app.settings["log_function"] = lambda handler: app.settings["seen"].append(
        f"{handler.get_status()} {handler.current_user} {handler.request.session is handler.session}"
    )
    app.add_handlers(".*", [("/page", Page)])
    return app


async def count(sessions) -> int:
    """The number of sessions."""
    return len([entry async for entry in (await sessions.driver()).scan()])


async def fails(app, visitor, sessions, status: int, method="GET", path="/page", log=True, **options) -> None:
    """The request is answered by the whole page, and is logged; nothing is stored, no cookie is sent."""
    del app.settings["seen"][:]
    before = await count(sessions)
    answer = await visitor.request(method, path, csrf=False, allow_nonstandard_methods=True, **options)
    assert answer.code == status
    assert f"{status} for nobody" in answer.body.decode() and 'name="_token" value="' in answer.body.decode()
    assert "node_session=" not in answer.headers.get("Set-Cookie", "")
    assert app.settings["seen"] == ["exception of nobody"] * log + [f"{status} nobody True"]
    assert await count(sessions) == before


@all_stores
async def test_method_that_tornado_does_not_know(app, visitor, sessions):
    """A 405 before the session is loaded."""
    await store_record(visitor, {"_token": "t", "user": "Ann"})
    await fails(app, visitor, sessions, 405, "BREW")
    assert await visitor.stored() == {"_token": "t", "user": "Ann"}


@all_stores
async def test_tornado_refuses_a_form(app, visitor, sessions):
    """The 403 of Tornado's own xsrf_cookies."""
    app.settings["xsrf_cookies"] = True
    await fails(app, visitor, sessions, 403, "POST")


@all_stores
async def test_body_that_cannot_be_parsed(app, visitor, sessions):
    """The 400 for a broken form."""
    await fails(app, visitor, sessions, 400, "POST", headers={"Content-Type": "multipart/form-data"}, body="x")


@all_stores
async def test_store_that_cannot_be_read(app, visitor, sessions, monkeypatch):
    """A store that is down gives a 503, and keeps its records."""
    await store_record(visitor, {"_token": "t", "user": "Ann"})

    async def fail(id):
        raise UnreadableError("the store is down")

    driver = await sessions.driver()
    with monkeypatch.context() as broken:
        broken.setattr(driver, "read", fail)
        await fails(app, visitor, sessions, 503)
    assert await visitor.stored() == {"_token": "t", "user": "Ann"}


async def test_driver_that_cannot_be_made(app, visitor, sessions, config):
    """The 503 before there is a driver."""

    async def fail(config):
        raise UnreadableError("no such server")

    NodeSession.register_handler("nowhere", fail)
    app.settings["node_session"] = NodeSession({**config, "driver": "nowhere", "cookie": "other"})
    await fails(app, visitor, sessions, 503)


@pytest.mark.parametrize("setting", [None, 5], ids=["missing", "wrong"])
async def test_application_without_sessions(app, visitor, sessions, setting):
    """The 500 that says that the setting is missing."""
    app.settings["node_session"] = setting
    await fails(app, visitor, sessions, 500)


@all_stores
async def test_error_of_the_handlers_own(app, visitor, sessions):
    """An error that the handler raises or sends before its session is loaded, and a socket's own."""

    class Raises(Page):
        def decode_argument(self, value, name=None):
            raise HTTPError(404)

    class Sends(Page):
        def check_xsrf_cookie(self):
            self.send_error(410)

    class Socket(Page, WebSocketHandler):
        pass

    app.add_handlers(".*", [("/raises/(.*)", Raises), ("/sends", Sends), ("/socket", Socket)])
    await fails(app, visitor, sessions, 404, path="/raises/x")
    await fails(app, visitor, sessions, 405, "BREW", "/socket")


@all_stores
async def test_not_even_by_a_save(app, visitor, sessions):
    """An error page that saves its empty session, logs in and all, stores nothing."""
    tasks = []

    class Saves(Page):
        def write_error(self, status_code, **kwargs):
            self.session.regenerate(True)
            self.session.put("user", "Mallory")
            tasks.append(self.session.save())
            self.write(self.session.report.cookie)

    app.add_handlers(".*", [("/saves", Saves)])
    answer = await visitor.request("BREW", "/saves", csrf=False, allow_nonstandard_methods=True)
    await tasks[0]
    assert answer.body == b"not sent: the session was never loaded" and "Set-Cookie" not in answer.headers
    assert await count(sessions) == 0 and vars(sessions.stats)["created"] == 0


@all_stores
async def test_loaded_session_in_an_error_page(app, visitor):
    """If the session was loaded, the error page has it, and its changes are saved."""

    class Broken(Page):
        def get(self):
            raise HTTPError(404)

    app.add_handlers(".*", [("/broken", Broken)])
    await store_record(visitor, {"_token": "t", "user": "Ann"})
    answer = await visitor.get("/broken")
    assert answer.code == 404 and "404 for Ann" in answer.body.decode() and "Set-Cookie" in answer.headers
    assert (await visitor.stored())["status"] == "That did not work."
    assert app.settings["seen"] == ["exception of Ann", "404 Ann True"]


async def test_not_in_other_pages(app, visitor):
    """Outside of error pages, asking for the session before it is loaded is still an error."""
    seen = []

    class Early(Page):
        def initialize(self):
            try:
                self.session.get("x")
            except Exception as error:
                seen.append(error)

        def check_xsrf_cookie(self):
            self.initialize()
            raise Finish(json.dumps("no page of an error"))

    app.settings.update(xsrf_cookies=True, log_function=lambda handler: None)
    app.add_handlers(".*", [("/early", Early)])
    assert (await visitor.post("/early", csrf=False)).body == b'"no page of an error"'
    assert len(seen) == 2 and all("loaded right before prepare" in str(error) for error in seen)
