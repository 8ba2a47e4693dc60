"""HEAD: a client that has the headers has the whole answer, so they leave when the session is saved."""

from __future__ import annotations

import asyncio

import pytest
from stores import SLOW, STORES
from tornado.web import Application, RequestHandler

from node_session import SessionMixin, UnavailableError

pytestmark = pytest.mark.gen_test

all_stores = pytest.mark.parametrize("options", [*STORES, SLOW], ids=lambda options: options["driver"])

STREAMS = {
    "plain": {},
    "length": {"Content-Length": "12"},
    "etag": {"Etag": '"mine"'},
    "both": {"Content-Length": "12", "Etag": '"mine"', "Content-Type": "text/plain"},
}


class Stream(RequestHandler):
    """A body that is streamed, for GET and HEAD alike."""

    async def get(self):
        for name, value in STREAMS[self.get_query_argument("headers", "plain")].items():
            self.set_header(name, value)
        for part in ("one ", "two ", "four"):
            self.write(part)
            await self.flush()

    head = get


class SessionStream(SessionMixin, Stream):
    async def get(self):
        self.session.increment("early")
        await super().get()
        await asyncio.sleep(0.05)
        self.session.increment("late")

    head = get


@all_stores
@pytest.mark.parametrize("head", ["head", "finishes", "redirects"])
async def test_next_request_sees_the_change(app, visitor, head):
    """What a HEAD request changes after it has flushed is there when the client asks again, however it ends."""

    class Page(SessionStream):
        async def head(self):
            await super().get()
            if head == "finishes":
                self.finish("the end")
            elif head == "redirects":
                self.redirect("/look")

    class Look(SessionMixin, RequestHandler):
        def get(self):
            self.write(str(self.session.get("late")))

    app.add_handlers(".*", [("/page", Page), ("/look", Look)])
    for number in (1, 2):
        answer = await visitor.head("/page")
        assert (answer.code, answer.body) == (302 if head == "redirects" else 200, b"")
        assert len(answer.headers.get_list("Set-Cookie")) == 1
        assert (await visitor.get("/look")).body == str(number).encode()


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("headers", STREAMS)
async def test_headers_are_those_of_the_stream(app, sessions, http_client, base_url, headers, compress):
    """The answer has the headers that it has without a session: no Etag and no length of the rest."""
    app.settings["compress_response"] = compress
    if compress:
        app.transforms.extend(Application(compress_response=True).transforms)
    app.add_handlers(".*", [("/plain", Stream), ("/page", SessionStream)])
    seen = {}
    for path in ("/plain", "/page"):
        url = f"{base_url}{path}?headers={headers}"
        answer = await http_client.fetch(url, method="HEAD", decompress_response=False)
        seen[path] = {name: value for name, value in answer.headers.get_all() if name not in ("Date", "Set-Cookie")}
    assert seen["/page"] == seen["/plain"]


@all_stores
async def test_error_after_flush(app, visitor, sessions):
    """As nothing has left yet, an error after the flush is a whole error page, as is a save that fails."""

    class Broken(SessionStream):
        async def head(self):
            await super().get()
            if self.get_query_argument("saving", ""):

                async def fail(*args):
                    raise UnavailableError("the store is down")

                (await sessions.driver()).write = fail
            else:
                raise RuntimeError("after the flush")

    app.add_handlers(".*", [("/page", Broken)])
    answer = await visitor.head("/page")
    assert answer.code == 500 and answer.headers["Content-Type"].startswith("text/html")
    assert int(answer.headers["Content-Length"]) > 0
    assert (await visitor.stored())["late"] == 1
    answer = await visitor.head("/page?saving=1")
    assert answer.code == 503 and "Set-Cookie" not in answer.headers and "Content-Length" in answer.headers
    assert (await visitor.stored())["late"] == 1


@all_stores
async def test_login_after_flush(app, visitor):
    """A new id after the flush still reaches the client of a HEAD request."""

    class Login(SessionStream):
        async def get(self):
            await super().get()
            self.session.regenerate(True)
            self.session.put("user", "Ann")

        async def head(self):
            await self.get()

    app.add_handlers(".*", [("/page", Login)])
    await visitor.head("/page")
    assert (await visitor.stored())["user"] == "Ann"
