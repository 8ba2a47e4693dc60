"""Changes that no response saves: one warning a place names the key and the cure, unless the program saves."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

import pytest
import stores
from tornado.iostream import IOStream
from tornado.tcpclient import TCPClient
from tornado.web import RequestHandler, stream_request_body
from visitors import store_record

from node_session import SessionMixin, UnavailableError

pytestmark = pytest.mark.gen_test

STORES = [
    {"driver": "memory"},
    {"driver": "file"},
    {"driver": "database", "connection": {"adapter": "sqlite"}},
    {"driver": "slow"},
    {"driver": "file", "encrypt": True},
]
all_stores = pytest.mark.parametrize("options", STORES, ids=["memory", "file", "sqlite", "slow", "encrypted"])


@pytest.fixture
def app(app):
    app.settings.update(lines=set(), tasks=[])
    return app


class Page(SessionMixin, RequestHandler):
    """Changes its session by and by; each place where that is done notes its line first."""

    def here(self) -> None:
        """The caller's next line."""
        self.settings["lines"].add(f"{__file__}:{sys._getframe(1).f_lineno + 1}")

    def later(self, coroutine) -> None:
        self.settings["tasks"].append(asyncio.ensure_future(coroutine))


class Look(SessionMixin, RequestHandler):
    def get(self):
        self.write(f"{self.session.get('early')} {self.session.get('late')}")


class Redirects(Page):
    def get(self):
        self.session.put("early", 1)
        self.redirect("/elsewhere")
        self.here()
        self.session.flash("late", "Saved.")


class Finishes(Page):
    async def get(self):
        self.session.put("early", 1)
        self.finish("ok")
        await asyncio.sleep(0.001)
        self.here()
        self.session["late"] = 1


class OnFinish(Page):
    def get(self):
        self.session.put("early", 1)

    def on_finish(self):
        super().on_finish()
        self.here()
        self.session.increment("late")


class Background(Page):
    def get(self):
        self.session.put("early", 1)
        self.later(self.work())

    async def work(self):
        while not self._finished:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        self.here()
        self.session.push("late", 1)


class NothingBefore(Page):
    """The response has nothing to save."""

    def get(self):
        self.finish("ok")
        self.here()
        self.session.put("late", 1)


class Streams(Page):
    async def get(self):
        self.session.put("early", 1)
        self.write("ok")
        await self.flush()
        self.session.put("middle", 1)
        self.finish()
        self.here()
        self.session.put("late", 1)


async def settle(app, sessions) -> list:
    """Wait for what a request has left running, and for its handler to go."""
    if app.settings["tasks"]:
        await asyncio.wait(app.settings["tasks"])
    app.settings["tasks"].clear()
    await asyncio.sleep(0.02)
    await stores.settle(sessions)
    gc.collect()


def warnings(caplog) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@all_stores
@pytest.mark.parametrize("is_new", [True, False], ids=["first visit", "later"])
@pytest.mark.parametrize("handler", [Redirects, Finishes, OnFinish, Background, NothingBefore, Streams])
async def test_after_the_response(app, visitor, sessions, caplog, handler, is_new):
    """Two requests, one warning: file and line, key and cure. What came before the response is saved, the rest not."""
    app.add_handlers(".*", [("/page", handler), ("/look", Look)])
    if not is_new:
        await visitor.get("/look")
    for _ in range(2):
        assert (await visitor.get("/page")).code in (200, 302)
        await settle(app, sessions)
    (line,) = app.settings["lines"]
    (warning,) = warnings(caplog)
    assert warning.startswith(f"{line}: ") and "'late'" in warning and "transaction()" in warning
    early = "None" if handler is NothingBefore else "1"
    assert (await visitor.get("/look")).body.decode() == f"{early} None"


class LongKey(Page):
    """The key is somebody else's, and of any length."""

    def get(self):
        self.finish("ok")
        self.here()
        self.session.put("late" * 100_000, 1)


async def test_a_long_key(app, visitor, sessions, caplog):
    """A warning cuts a long key, and names its length."""
    app.add_handlers(".*", [("/page", LongKey)])
    await visitor.get("/page")
    await settle(app, sessions)
    (warning,) = warnings(caplog)
    assert "'latelate" in warning and "…' (400000 characters)" in warning and len(warning) < 600


CHANGES = {
    "set": ("n", lambda session: session.set("n", 2)),
    "put": ("user.name", lambda session: session.put({"user.name": "Bea"})),
    "push": ("list", lambda session: session.push("list", 1)),
    "pull": ("n", lambda session: session.pull("n")),
    "forget": ("n", lambda session: session.forget(["n"])),
    "increment": ("n", lambda session: session.increment("n")),
    "decrement": ("n", lambda session: session.decrement("n")),
    "flash": ("status", lambda session: session.flash("status", "Saved.")),
    "flash_input": ("_old_input", lambda session: session.flash_input({"name": "Ann"})),
    "now": ("status", lambda session: session.now("status", "Saved.")),
    "keep": ("flash", lambda session: session.keep("shown")),
    "reflash": ("flash", lambda session: session.reflash()),
    "remember": ("new", lambda session: session.remember("new", dict)),
    "regenerate_token": ("_token", lambda session: session.regenerate_token()),
    "flush": ("_token", lambda session: session.flush()),
    "clear": ("_token", lambda session: session.clear()),
    "pop": ("n", lambda session: session.pop("n")),
    "popitem": ("", lambda session: session.popitem()),
    "setdefault": ("new", lambda session: session.setdefault("new", 1)),
    "update": ("n", lambda session: session.update(n=2)),
    "age_flash_data": ("shown", lambda session: session.age_flash_data()),
    "session[key] = value": ("n", lambda session: session.__setitem__("n", 2)),
    "del session[key]": ("n", lambda session: session.__delitem__("n")),
}


@pytest.mark.parametrize(("key", "change"), CHANGES.values(), ids=CHANGES)
async def test_every_change(app, visitor, sessions, caplog, key, change):
    """Whichever way something is changed, the line of the program is named, not one of ours or of Python's own."""

    class Changes(Page):
        def get(self):
            self.finish("ok")
            change(self.session)

    flash = {"old": [], "new": ["shown"]}
    stored = {"_token": "t", "n": 1, "list": [], "user": {"name": "Ann"}, "shown": 1, "flash": flash}
    await store_record(visitor, stored)
    app.add_handlers(".*", [("/page", Changes)])
    await visitor.get("/page")
    await settle(app, sessions)
    (warning,) = warnings(caplog)
    assert warning.startswith(f"{__file__}:{change.__code__.co_firstlineno}: ") and f"'{key}" in warning


@all_stores
@pytest.mark.parametrize("way", ["save", "transaction", "own task", "reload", "reading", "failing", "no key"])
async def test_no_warning(app, visitor, sessions, caplog, way):
    """No warning if the program saves in any task, gives up or gets an error, or if nothing changes."""

    class Legitimate(Page):
        def get(self):
            self.session.put("early", 1)
            self.session.regenerate(True)
            self.session.flush()

        def on_finish(self):
            super().on_finish()
            if way == "own task":
                self.session.put("late", 1)
                self.later(self.session.save())
            else:
                self.later(self.work())

        async def work(self):
            await asyncio.sleep(0.001)
            session = self.session
            if way == "save":
                session.put("late", 1)
                await asyncio.sleep(0.01)
                await session.save()
            elif way == "transaction":
                async with session.transaction():
                    session.put("late", 1)
            elif way == "reload":
                session.put("late", 1)
                await session.reload()
            elif way == "reading":
                assert session.get("late") is None and session.all() is not None and not session.has("late")
            elif way == "no key":
                assert session.pull("late") is None
                session.forget("late")
            elif way == "failing":
                driver = session.get_handler()
                driver.write = self.fail
                session.put("late", 1)
                try:
                    await session.save()
                except UnavailableError:
                    del driver.write

        async def fail(self, *args):
            raise UnavailableError("the store is down")

    app.add_handlers(".*", [("/page", Legitimate), ("/look", Look)])
    for _ in range(2):
        await visitor.get("/page")
        await asyncio.wait(app.settings["tasks"])
        await asyncio.sleep(0.02)
    late = "1" if way in ("save", "transaction", "own task") else "None"
    assert (await visitor.get("/look")).body.decode() == f"None {late}"
    await settle(app, sessions)
    assert warnings(caplog) == []


@all_stores
@pytest.mark.parametrize("change", ["invalidate", "regenerate", "migrate"])
async def test_new_id_after_the_response(app, visitor, caplog, change):
    """Once finish() has been called it is too late for a new id, on each store: nothing happens, but an error."""

    class Late(Page):
        def get(self):
            self.session.put("user", "Ann")
            self.redirect("/elsewhere")
            getattr(self.session, change)()

    app.add_handlers(".*", [("/page", Late), ("/look", Look)])
    assert (await visitor.get("/look")).code == 200
    cookie = visitor.cookie
    assert (await visitor.get("/page")).code == 302
    assert visitor.cookie == cookie and "HeadersSentError" in caplog.text
    assert visitor.id not in caplog.text


# -------------------------------------------------------------------- no response at all


class Detaches(Page):
    """Goes on in a protocol of its own."""

    async def get(self):
        if self.get_query_argument("change", ""):
            self.session.put("late", 1)
            self.session.flash("status", "Saved.")
        if self.get_query_argument("save", ""):
            await self.session.save()
        self.here()
        stream = self.detach()
        await stream.write(b"raw")
        stream.close()


async def send(http_port: int, visitor, request: str, body: bytes = b"") -> IOStream:
    stream = await TCPClient().connect("127.0.0.1", http_port)
    cookie = f"Cookie: {visitor.sessions.config.cookie}={visitor.cookie}\r\n"
    await stream.write(f"{request} HTTP/1.1\r\nHost: x\r\n{cookie}".encode() + b"\r\n" * (not body) + body)
    return stream


@pytest.mark.parametrize("query", ["change=1", "save=1", "change=1&save=1"])
@pytest.mark.parametrize("options", [*STORES, {"format": "express-session"}], ids=str)
async def test_detach(app, visitor, sessions, http_port, caplog, query):
    """A change before detach() that is not saved is told once, with the line of the detach(); a saved one is there."""
    app.add_handlers(".*", [("/page", Detaches), ("/look", Look)])
    await visitor.get("/look")
    for _ in range(2):
        stream = await send(http_port, visitor, f"GET /page?{query}")
        assert await stream.read_until_close() == b"raw"
    await settle(app, sessions)
    if query == "change=1":
        (line,) = app.settings["lines"]
        (warning,) = warnings(caplog)
        assert warning.startswith(f"{line}: ") and "'late', 'status'" in warning and "await session.save()" in warning
        assert "_flash" not in warning
    else:
        assert warnings(caplog) == []


@stream_request_body
class Upload(Page):
    left = None

    async def prepare(self):
        if not self.get_query_argument("nothing", ""):
            self.session.increment("late")
        if self.get_query_argument("save", ""):
            await self.session.save()
        self.settings["arrived"].set()

    def data_received(self, chunk):
        pass

    def on_connection_close(self):
        super().on_connection_close()
        self.settings["left"].set()

    def post(self):
        self.write("ok")


@all_stores
@pytest.mark.parametrize("query", ["", "save=1", "nothing=1", "whole=1"])
async def test_client_that_leaves_during_its_upload(app, visitor, sessions, http_port, caplog, query):
    """What prepare() changed and nobody saved is told once; a whole upload is saved with its response."""
    app.add_handlers(".*", [("/page", Upload), ("/look", Look)])
    await visitor.get("/look")
    for _ in range(2):
        app.settings.update(arrived=asyncio.Event(), left=asyncio.Event())
        body = b"Content-Length: 10\r\nConnection: close\r\n\r\n" + (b"0123456789" if query == "whole=1" else b"01234")
        stream = await send(http_port, visitor, f"POST /page?{query}", body)
        await app.settings["arrived"].wait()
        if query == "whole=1":
            assert (await stream.read_until_close()).endswith(b"ok")
        else:
            stream.close()
            await app.settings["left"].wait()
    if query != "":
        saved = {"save=1": "2", "whole=1": "2", "nothing=1": "None"}[query]
        assert (await visitor.get("/look")).body.decode() == f"None {saved}"
    await settle(app, sessions)
    if query == "":
        (warning,) = warnings(caplog)
        assert "test_late_changes.Upload: " in warning and "'late'" in warning and "await session.save()" in warning
    else:
        assert warnings(caplog) == []


async def test_changes_by_the_page_of_a_failed_save(app, visitor, sessions, caplog, monkeypatch):
    """Changes by the error page of a failed save need no warning: the log says that nothing was saved."""

    class Failing(Page):
        def get(self):
            self.session.put("early", 1)

        def write_error(self, status_code, **kwargs):
            self.session.put("error", status_code)
            super().write_error(status_code, **kwargs)

    async def fail(*args):
        raise UnavailableError("the store is down")

    app.add_handlers(".*", [("/failing", Failing)])
    monkeypatch.setattr(await sessions.driver(), "write", fail)
    assert (await visitor.get("/failing")).code == 503
    gc.collect()
    assert "was changed" not in caplog.text
