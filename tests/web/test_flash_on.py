"""Flash data for pages (`flashOn: "navigation"`): it waits for the next page that is shown."""

from __future__ import annotations

import pytest
from stores import STORES
from tornado.web import RequestHandler
from world import World

from node_session import SessionMixin
from web.handlers import route

pytestmark = pytest.mark.gen_test

PAGE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html,*/*;q=0.8"}
FRAME = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Accept": "text/html"}
FETCH = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Accept": "text/html"}
IMAGE = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Accept": "image/avif,*/*"}
# A browser that says nothing, as over plain http.
OLD_PAGE = {"Accept": "TEXT/HTML,application/xhtml+xml"}
OLD_FETCH = {"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}
OLD_IMAGE = {"Accept": "image/png,*/*"}

SHOWS = {
    "page": ("GET", PAGE),
    "form": ("POST", PAGE),
    "frame": ("GET", FRAME),
    "old page": ("GET", OLD_PAGE),
    "old form": ("POST", OLD_PAGE),
}
SHOWS_NONE = {
    "fetch": ("GET", FETCH),
    "posting fetch": ("POST", FETCH),
    "image": ("GET", IMAGE),
    "head": ("HEAD", PAGE),
    "options": ("OPTIONS", PAGE),
    "put": ("PUT", PAGE),
    "delete": ("DELETE", PAGE),
    "prefetch": ("GET", {**PAGE, "Sec-Purpose": "prefetch"}),
    "prerender": ("GET", {**PAGE, "Sec-Purpose": "prefetch;prerender"}),
    "old prefetch": ("GET", {**OLD_PAGE, "Purpose": "Prefetch"}),
    "moz prefetch": ("GET", {**OLD_PAGE, "X-Moz": "prefetch"}),
    "old fetch": ("GET", OLD_FETCH),
    "old image": ("GET", OLD_IMAGE),
    "old head": ("HEAD", OLD_PAGE),
    "no browser": ("GET", {}),
    "empty": ("GET", {"Sec-Fetch-Mode": "", "Accept": "text/html"}),
}


class Page(SessionMixin, RequestHandler):
    """Flashes, or shows, what it is asked for."""

    def get(self):
        for key in self.get_query_arguments("flash"):
            self.session.flash(key, f"{key}.")
        for key in self.get_query_arguments("now"):
            self.session.now(key, f"{key}.")
        if self.get_query_argument("keep", ""):
            self.session.reflash()
        if self.get_query_argument("to", ""):
            self.redirect(self.get_query_argument("to"))
            return
        self.write(", ".join(self.session.get(key) for key in ("saved", "hint") if self.session.has(key)))

    post = put = delete = head = options = get


@pytest.fixture(params=STORES, ids=lambda options: options["driver"])
def options(request):
    return {**request.param, "flashOn": "navigation"}


@pytest.fixture(autouse=True)
def routes(app):
    route(app, page=Page)


async def ask(visitor, kind, path="/page"):
    method, headers = {**SHOWS, **SHOWS_NONE}[kind]
    return (await visitor.request(method, path, headers=headers)).body.decode()


@pytest.mark.parametrize("kind", SHOWS)
async def test_a_page_shows_it_once(visitor, kind):
    """A page, a frame and a form's answer show what was flashed, and age it."""
    await ask(visitor, "page", "/page?flash=saved")
    assert await ask(visitor, kind) == "saved."
    assert await ask(visitor, "page") == ""


@pytest.mark.parametrize("kind", SHOWS_NONE)
async def test_anything_else_leaves_it_for_the_page(visitor, kind):
    """However many pictures, calls of scripts and prefetches come in between, the next page shows it, and only that."""
    await ask(visitor, "page", "/page?flash=saved")
    for _ in range(3):
        await ask(visitor, kind)
    assert await ask(visitor, "page") == "saved."
    assert await ask(visitor, "page") == ""


@pytest.mark.parametrize("kind", ["fetch", "posting fetch", "old fetch"])
async def test_flashed_by_a_script(visitor, kind):
    """What a script's call has flashed is there for its later calls, and for the next page, but for none after it."""
    await ask(visitor, kind, "/page?flash=saved")
    assert await ask(visitor, kind) == "saved."
    assert await ask(visitor, kind, "/page?keep=yes") == "saved."
    assert await ask(visitor, "page") == "saved."
    assert await ask(visitor, "page") == ""


async def test_redirect_after_a_post(visitor):
    """A form's message is shown by the page that it leads to, with pictures of the old page in between."""
    response = await visitor.post("/page?flash=saved&to=/page", headers=PAGE)
    assert response.code == 302
    assert await ask(visitor, "image") == "saved."
    assert await ask(visitor, "page") == "saved."
    assert await ask(visitor, "page") == ""


@pytest.mark.parametrize("kind", ["page", "fetch"])
async def test_now_is_for_its_own_request(visitor, kind):
    """now() shows a message in its own request only, also in one that ages nothing."""
    await ask(visitor, "page", "/page?flash=saved")
    assert await ask(visitor, kind, "/page?now=hint") == "saved., hint."
    assert await ask(visitor, "page") == ("" if kind == "page" else "saved.")
    assert await ask(visitor, "page") == ""


async def test_now_and_flash_of_one_key(visitor):
    """A key that now() has set and flash() sets after it is flashed, in a script's call as well."""
    await ask(visitor, "fetch", "/page?now=hint&keep=yes")
    assert await ask(visitor, "page") == "hint."
    assert await ask(visitor, "page") == ""


async def test_default_is_the_originals(app, visitor, config, sessions):
    """By default each request ages flash data, whatever asks."""
    from node_session import NodeSession

    app.settings["node_session"] = plain = NodeSession({**config, "flashOn": "request"})
    await ask(visitor, "page", "/page?flash=saved")
    await ask(visitor, "image")
    assert await ask(visitor, "page") == ""
    await plain.close()


async def test_websocket(app, visitor):
    """A WebSocket's handshake shows no page."""
    from tornado.websocket import WebSocketHandler

    class Socket(SessionMixin, WebSocketHandler):
        def on_message(self, message):
            self.write_message(self.session.get("saved", ""))

    route(app, socket=Socket)
    await ask(visitor, "page", "/page?flash=saved")
    connection = await visitor.websocket("/socket", {"Accept": "text/html"})
    await connection.write_message("?")
    assert await connection.read_message() == "saved."
    connection.close()
    assert await ask(visitor, "page") == "saved."


@pytest.mark.parametrize("later", ["flash", "keep"])
async def test_saves_in_the_middle_keep_what_was_flashed(io_loop, later):
    """now() takes along nothing that was flashed under the same key, whenever the session is saved."""
    world = World()
    session = await world.start()
    session.now("hint", "now")
    session.flash("hint", "flashed") if later == "flash" else session.keep("hint")
    await session.save()
    await session.save()
    assert await world.seen("hint") == ["flashed" if later == "flash" else "now"]
