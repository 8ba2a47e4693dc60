"""Caches between here and the browser are told to keep no session's response (`cacheControl: "private"`)."""

from __future__ import annotations

import asyncio

import pytest
from stores import STORES
from tornado.web import Application, RequestHandler, StaticFileHandler

from node_session import NodeSession, SessionMixin, UnavailableError
from web.handlers import Nothing, NotModified, Return, SendError, Streamed, failing, route

pytestmark = pytest.mark.gen_test


@pytest.fixture(params=STORES, ids=lambda options: options["driver"])
def options(request):
    return {**request.param, "cacheControl": "private", "saveUninitialized": False}


def said(response) -> tuple[list[str], list[str]]:
    return response.headers.get_list("Cache-Control"), response.headers.get_list("Vary")


class Head(Return):
    head = Return.get


class Leave(SessionMixin, RequestHandler):
    def get(self):
        self.session.invalidate()


class Own(SessionMixin, RequestHandler):
    """Has headers of its own, set where the query says."""

    def set_default_headers(self):
        if self.get_query_argument("where", "") == "defaults":
            self._set()

    def prepare(self):
        self.session.put("user", "Ann")
        if self.get_query_argument("where", "") == "prepare":
            self._set()

    def get(self):
        if self.get_query_argument("where", "") == "get":
            self._set()

    def _set(self):
        for value in self.get_query_arguments("control"):
            self.add_header("Cache-Control", value)
        for value in self.get_query_arguments("vary"):
            self.add_header("Vary", value)


class Wait(SessionMixin, RequestHandler):
    async def get(self):
        await asyncio.sleep(0.02)
        self.write(self.session.get("user", ""))


class Poll(SessionMixin, RequestHandler):
    passive_session = True

    def get(self):
        self.write(self.session.get("user", ""))


@pytest.mark.parametrize("kind", [Return, NotModified, SendError, Streamed, Head], ids=lambda kind: kind.__name__)
async def test_with_the_cookie(app, visitor, kind):
    """A response with the cookie says so, be it a page, a 304, an error page, a stream, or without a body."""
    route(app, page=kind)
    for _ in range(2):
        response = await (visitor.head("/page") if kind is Head else visitor.get("/page"))
        assert "Set-Cookie" in response.headers
        assert said(response) == (["private"], ["Cookie"])


async def test_without_a_session(app, visitor):
    """A response of nobody's session may be kept by everybody."""
    route(app, nothing=Nothing)
    response = await visitor.get("/nothing")
    assert "Set-Cookie" not in response.headers and said(response) == ([], [])


async def test_deletion(app, visitor):
    """The response that deletes the cookie is private as well."""
    route(app, page=Return, leave=Leave)
    await visitor.get("/page")
    response = await visitor.get("/leave")
    assert visitor.cookie is None and said(response) == (["private"], ["Cookie"])


async def test_the_browser_has_the_cookie(app, visitor, long_requests):
    """A long request and a passive one leave the cookie out, but show a session's content all the same."""
    route(app, wait=Wait, poll=Poll)
    await visitor.become(user="Ann")
    await visitor.get("/wait")
    for path in ("/wait", "/poll"):
        response = await visitor.get(path)
        assert response.body == b"Ann" and "Set-Cookie" not in response.headers
        assert said(response) == (["private"], ["Cookie"])


@pytest.mark.parametrize("where", ["defaults", "prepare", "get"])
@pytest.mark.parametrize("control", ["no-store", "public, max-age=60", "control=max-age=5&control=s-maxage=9"])
async def test_a_handlers_own_cache_control(app, visitor, where, control):
    """What the handler says stays, wherever it says so; that the response varies is said all the same."""
    route(app, own=Own)
    query = control if "control=" in control else f"control={control.replace(' ', '+')}"
    response = await visitor.get(f"/own?where={where}&{query}")
    own = ["max-age=5", "s-maxage=9"] if "control=" in control else [control]
    assert said(response) == (own, ["Cookie"])


@pytest.mark.parametrize("where", ["defaults", "prepare", "get"])
@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        (["Accept-Encoding"], ["Accept-Encoding, Cookie"]),
        (["Accept-Encoding", "Origin"], ["Accept-Encoding, Origin, Cookie"]),
        (["Accept,Origin"], ["Accept, Origin, Cookie"]),
        (["cookie"], ["cookie"]),
        (["Accept , COOKIE"], ["Accept , COOKIE"]),
        (["Accept", "Cookie"], ["Accept", "Cookie"]),
        (["*"], ["*"]),
        (["Accept", "*"], ["Accept", "*"]),
        (["X-Cookie"], ["X-Cookie, Cookie"]),
        ([""], ["Cookie"]),
        ([","], ["Cookie"]),
    ],
    ids=str,
)
async def test_a_handlers_own_vary(app, visitor, where, vary, expected):
    """Cookie is added to what Vary says, unless it says Cookie or * already, in any case, in one header or several."""
    route(app, own=Own)
    query = "&".join(f"vary={each.replace(' ', '+')}" for each in vary)
    assert said(await visitor.get(f"/own?where={where}&{query}")) == (["private"], expected)


async def test_compressed(app, visitor):
    """Tornado's own Vary of a compressed response comes beside it."""
    app.transforms.extend(Application(compress_response=True).transforms)
    route(app, page=Return)
    assert said(await visitor.get("/page"))[1] == ["Cookie, Accept-Encoding"]


async def test_static_files(app, visitor, tmp_path):
    """A static file's own lifetime stays; without one the file is private, as it carries the cookie."""

    class Files(SessionMixin, StaticFileHandler):
        def prepare(self):
            self.session.increment("count")

    (tmp_path / "style.css").write_text("p {}")
    app.add_handlers(".*", [(r"/static/(.*)", Files, {"path": str(tmp_path)})])
    assert said(await visitor.get("/static/style.css")) == (["private"], ["Cookie"])
    (control,), vary = said(await visitor.get("/static/style.css?v=1"))
    assert control.startswith("max-age=") and vary == ["Cookie"]
    etag = (await visitor.get("/static/style.css")).headers["Etag"]
    response = await visitor.get("/static/style.css", headers={"If-None-Match": etag})
    assert response.code == 304 and said(response) == (["private"], ["Cookie"])


async def test_error_page_of_a_failed_save(app, visitor, sessions):
    """A new session that could not be stored sends no cookie, so its error page is nobody's."""
    route(app, page=Return)
    await failing(sessions, "write", UnavailableError("down"))
    response = await visitor.get("/page")
    assert response.code == 503 and "Set-Cookie" not in response.headers and said(response) == ([], [])


@pytest.mark.parametrize("value", [None, False])
async def test_off(app, visitor, config, value):
    """By default no header is added."""
    app.settings["node_session"] = sessions = NodeSession({**config, "cacheControl": value})
    route(app, page=Return)
    response = await visitor.get("/page")
    assert "Set-Cookie" in response.headers and said(response) == ([], [])
    await sessions.close()


async def test_plain_handler(app, visitor, sessions):
    """A handler without the mixin says so, too."""

    class Plain(RequestHandler):
        async def prepare(self):
            await sessions.start_session(self.request, self)
            self.request.session.put("user", "Ann")

        def get(self):
            self.finish("ok")

    route(app, plain=Plain)
    assert said(await visitor.get("/plain")) == (["private"], ["Cookie"])
