"""The session panel: off unless switched on, in debug mode only, and safe to show."""

from __future__ import annotations

import inspect
import json
import re

import pytest
from stores import all_stores, settle
from tornado.template import DictLoader
from tornado.web import Application, RequestHandler
from visitors import ID, store_record

from node_session import SessionMixin
from node_session.debug import _SESSIONS, SessionPanel

pytestmark = [pytest.mark.gen_test, pytest.mark.usefixtures("app")]

PAGES = {"page.html": "<title>{{ title }}</title>{% module SessionPanel() %}<footer>"}


class Page(SessionMixin, RequestHandler):
    """Does to the session what the query says, then shows the panel."""

    async def get(self):
        for key in self.get_query_arguments("put"):
            self.session.put(key, self.get_query_argument("value", "1"))
        if self.get_query_argument("flash", ""):
            self.session.flash("status", "Hello")
        if self.get_query_argument("passive", ""):
            self.session.passive()
        if self.get_query_argument("remember", ""):
            self.session.set_lifetime(86_400_000)
        if self.get_query_argument("set", ""):
            self.session.put("bad", {1})
        self.write(self.render_string("page.html", title="Page"))
        self.session.forget("bad")


class Plain(RequestHandler):
    def get(self):
        self.render("page.html", title="Plain")


@pytest.fixture
def settings():
    """The application's settings; tests override this fixture or parametrize it."""
    return {"debug": True, "session_panel": True}


@pytest.fixture
def app(sessions, settings):
    settings = {"autoreload": False, "serve_traceback": False, **settings}
    loader = DictLoader(PAGES)
    modules = {"SessionPanel": SessionPanel}
    routes = [("/plain", Plain), ("/.*", Page)]
    return Application(routes, node_session=sessions, template_loader=loader, ui_modules=modules, **settings)


async def text(visitor, path="/") -> str:
    response = await visitor.get(path)
    assert response.code == 200
    return response.body.decode()


def now(page: str) -> str:
    """The panel's line about the request itself."""
    found = re.search(r'<p class="now">(.*?)</dl>', page, re.S)[1]
    return " ".join(re.sub(r"<[^>]*>", " ", found).split())


def before(page: str) -> list[str]:
    """The panel's lines about earlier requests."""
    items = re.findall(r"<li>(.*?)</li>", page, re.S)
    return [" ".join(re.sub(r"<[^>]*>", " ", item).split()) for item in items]


@pytest.mark.parametrize("settings", [{"debug": True}, {"debug": True, "session_panel": False}, {}], ids=str)
async def test_off_unless_switched_on(visitor):
    """Without the setting session_panel the module is empty, in debug mode too."""
    assert await text(visitor) == "<title>Page</title><footer>"


@pytest.mark.parametrize("settings", [{"session_panel": True}, {"session_panel": True, "debug": False}], ids=str)
async def test_refuses_to_run_outside_debug_mode(visitor, caplog):
    """Switched on outside debug mode, the page fails, nothing of the session is shown, and the log says the cure."""
    response = await visitor.get("/?put=treasure")
    assert response.code == 500 and b"treasure" not in response.body
    assert "it runs in debug mode only: Application(debug=True)" in caplog.text


async def test_what_it_shows(visitor):
    """Id, driver, size, cookie attributes, stored text and this request's changes."""
    await store_record(visitor, {"_token": "T" * 40, "flash": {"old": [], "new": []}, "cart": {"mug": 2}})
    page = await text(visitor, "/?put=cart.pot")
    size = len(json.dumps({"_token": "T" * 40, "flash": {"old": [], "new": []}, "cart": {"mug": 2}}).replace(" ", ""))
    assert f"file, {size} bytes" in page
    for attribute in ("Max-Age=300", "Path=/", "HttpOnly", "SameSite=Lax"):
        assert f"<span>{attribute}</span>" in page
    assert "&quot;mug&quot;: 2" in page and "&quot;pot&quot;" not in page
    assert re.match(r"will be saved GET / loaded found, in [\d.]+ .s changes cart\.pot so far [\d.]+ ms", now(page))
    assert "unchanged GET / " in now(await text(visitor))


async def test_a_lifetime_of_its_own(visitor, pass_time):
    """The cookie has the lifetime that this request sets, and the record is renewed by it in later ones."""
    page = await text(visitor, "/?remember=1")
    assert "<span>Max-Age=86400</span>" in page and "will be saved" in now(page) and "_lifetime" in now(page)
    assert "it was active 0 s ago" in now(await text(visitor))
    pass_time(3600)
    page = await text(visitor)
    assert "<span>Max-Age=86400</span>" in page and "only its last activity is renewed" in now(page)


async def test_nothing_secret(visitor):
    """Neither the whole id nor the cookie's value nor the whole CSRF token is on the page."""
    await store_record(visitor, {"_token": "T" * 40, "flash": {"old": [], "new": []}})
    page = await text(visitor)
    assert ID[:6] + "…" in page and ID[:7] not in page
    assert "TTTTTT…" in page and "T" * 7 not in page
    assert visitor.cookie.rpartition(".")[2][:10] not in page


@pytest.mark.parametrize("options", [{"cookie": "a&b"}])
async def test_everything_is_escaped(visitor, sessions):
    """Keys, values, paths and the cookie's name are text to the browser, wherever they show up."""
    hostile = "%3Cscript%3Ealert(1)%3C/script%3E%3C/pre%3E%22'"
    await visitor.get("/")
    visitor.cookie = None
    response = await visitor.get(f"/%3Cb%3E?put={hostile}&value={hostile}")
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    for _ in range(2):
        await settle(sessions)
        page = (await visitor.get("/<i>" + hostile, headers={"Cookie": cookie})).body.decode()
        assert "<script" not in page and "</pre>&quot;" not in page and "<i>" not in page and "<b>" not in page
    assert "&lt;script&gt;" in page and "a&amp;b" in page
    assert page.count("</pre>") == 1


async def test_history(visitor, sessions):
    """The requests before are listed, the newest first, each with what became of it; not those of other sessions."""
    await text(visitor)  # from the first panel on
    await text(visitor, "/?put=x")
    await text(visitor, "/reader")
    await settle(sessions)
    entries = before(await text(visitor))
    assert re.fullmatch(r"left alone GET /reader [\d.]+ .s", entries[0])
    assert re.fullmatch(r"saved GET / [\d.]+ .s x", entries[1])
    assert re.fullmatch(r"saved GET / [\d.]+ .s new · _token, flash", entries[2])
    visitor.cookie = None
    assert before(await text(visitor)) == ["None yet under this id."]


async def test_history_is_bounded(visitor, sessions):
    """Of no more than so many sessions, however many there are, is anything remembered."""
    await text(visitor)
    for number in range(_SESSIONS + 50):
        sessions.on_event("node_session.request", {"node_session.id": f"id-{number}"})
    assert len(sessions.on_event._requests) == _SESSIONS
    assert "id-0" not in sessions.on_event._requests


async def test_other_listeners_still_listen(visitor, sessions):
    """A listener from before the panel still gets each event, once."""
    told = []
    sessions.on_event = lambda name, attributes: told.append(name)
    await text(visitor)
    await text(visitor, "/?put=x")
    assert told.count("node_session.saved") == 2 and told.count("node_session.created") == 1


async def test_flash_data_that_ends_is_foreseen(visitor):
    """That the end of flash data will be saved is shown, before it happens."""
    await text(visitor, "/?flash=1")
    assert "changes status, flash.old" in now(await text(visitor))
    assert "unchanged" in now(await text(visitor))


async def test_a_value_that_cannot_be_stored(visitor):
    """A session that could not be saved as it is shows up as one that will fail, and the page is there."""
    assert now(await text(visitor, "/?set=1")).startswith("failed GET /")


@pytest.mark.parametrize("options", [{"secure": True}])
async def test_why_there_is_no_cookie(visitor):
    """If the response carries no cookie, the panel says why."""
    assert "not sent: it is for https only" in await text(visitor)


async def test_lone_surrogates(visitor, app):
    """Characters that a page cannot hold are escaped, in the text and among the changed keys."""

    class Surrogates(Page):
        async def get(self):
            self.session.put("\ud800key", 1)
            await super().get()

    app.add_handlers(".*", [("/surrogates", Surrogates)])
    await store_record(visitor, {"_token": "t", "text": "\ud83d"})
    page = await text(visitor, "/surrogates")
    assert "\\ud83d" in page and "changes \\ud800key" in now(page)
    assert "\\ud800key" in before(await text(visitor))[0]


async def test_long_texts_are_cut(visitor):
    """Of a large session the panel shows the beginning."""
    await store_record(visitor, {"_token": "t", "flash": {"old": [], "new": []}, "long": "x" * 100_000})
    page = await text(visitor)
    assert len(page) < 40_000 and "characters more" in page


async def test_without_a_session(visitor):
    """A page whose handler starts no session says so."""
    assert "No session was started" in await text(visitor, "/plain")


# What a handler does before the panel is shown, the beginning of the panel's line about this request, and the word that
# the request's report then has.
ENDS = {
    "changes": (lambda session: session.put("x", 1), "will be saved GET /ends loaded found, in .* changes x", "saved"),
    "nothing": (
        lambda session: None,
        r"unchanged GET /ends .* changes nothing; it was active \d+ s ago, so it is left alone so far",
        "left alone",
    ),
    "a new id": (
        lambda session: session.regenerate(True),
        "will be saved GET /ends .* changes none of its keys, but the record is written so far",
        "saved",
    ),
    "saves": (
        lambda session: (session.put("x", 1), session.save())[1],
        "saved GET /ends .* changes x so far",
        "saved",
    ),
}


@pytest.fixture
def ends(app, visitor, sessions):
    """Shows the panel after something was done to the session; gives its line, and the report's word."""
    reports, works = [], []

    class Ends(SessionMixin, RequestHandler):
        async def get(self):
            done = works.pop()(self.session)
            if inspect.isawaitable(done):
                await done
            self.render("page.html", title="Ends")

        def on_finish(self):
            super().on_finish()
            reports.append(self.session)

    app.add_handlers(".*", [("/ends", Ends)])

    async def ends(work, **options):
        works.append(work)
        page = (await visitor.get("/ends", **options)).body.decode()
        await settle(sessions)
        return now(page), reports.pop().report.saved

    return ends


@all_stores
@pytest.mark.parametrize("end", ENDS)
async def test_it_says_what_will_become_of_the_session(visitor, ends, end):
    """The panel foretells what the report says after the request, and does not call left alone what is renewed."""
    work, line, word = ENDS[end]
    await store_record(visitor, {"_token": "t", "flash": {"old": [], "new": []}})
    told, saved = await ends(work)
    assert re.match(line, told), told
    assert saved == word


@all_stores
async def test_it_tells_renewed_from_left_alone(visitor, ends, pass_time):
    """A session that was idle for long enough is renewed, and the panel says so; one just used is left alone."""
    await store_record(visitor, {"_token": "t", "flash": {"old": [], "new": []}})
    pass_time(100)
    told, saved = await ends(lambda session: None)
    assert "changes nothing, so only its last activity is renewed" in told and saved == "touched"
    told, saved = await ends(lambda session: None)
    assert "so it is left alone" in told and saved == "left alone"


async def test_a_session_that_another_request_destroys(visitor, ends, sessions):
    """A session that is gone is not called renewed."""
    await store_record(visitor, {"_token": "t", "flash": {"old": [], "new": []}})

    async def destroy(session):
        await (await sessions.driver()).destroy(session.get_id())
        assert not await session.reload()

    told, _ = await ends(destroy)
    assert told.startswith("gone GET /ends") and "changes none is saved: its record is destroyed" in told


async def test_a_session_that_is_withheld(ends):
    """For another site's request, which may lack the user's cookie, nothing is foretold as saved."""
    told, saved = await ends(lambda session: None, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"})
    assert told.startswith("withheld GET /ends") and "none is saved: another site made this request" in told
    assert saved == "withheld"


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
async def test_sessions_that_hold_nothing(visitor, ends):
    """An empty new session is left alone, and one that a log-out empties is destroyed."""
    told, saved = await ends(lambda session: None)
    assert "changes nothing: no empty session is stored" in told and saved == "left alone"
    await store_record(visitor, {"a": 1})
    told, saved = await ends(lambda session: session.invalidate())
    assert told.startswith("will be destroyed GET /ends") and saved == "destroyed"


async def test_passive(visitor):
    """A passive request's panel says that nothing is renewed or sent; a stranger's, that nothing is stored."""
    page = await text(visitor, "/?passive=yes&put=cart")
    assert "none is saved: the request is passive" in now(page) and "not sent: the request is passive" in page
    await visitor.become(user="Ann", **{"flash": {"old": ["status"], "new": []}, "status": "x"})
    page = await text(visitor, "/?passive=yes")
    assert "nothing; the request is passive, so its last activity stays as it is" in now(page)
    assert "not sent: the request is passive" in page
    page = await text(visitor, "/?passive=yes&put=cart")
    assert "will be saved" in now(page) and "changes cart" in now(page)
