"""Requests with `format: "express-session"`: what handlers see, and what is in the store."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from stores import another_program, settle
from tornado.web import RequestHandler

from formats.conftest import COOKIE, on_all_stores, record_of, store_text
from node_session import SessionMixin, UnavailableError
from node_session.session import work_of

pytestmark = pytest.mark.gen_test

ID = "kR7hZ-2m_Qw8vB5nX1cT4yU6iO9pL3sD"
UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def without_time(record: dict) -> dict:
    """A record without the time that the driver for files writes into it."""
    return {key: value for key, value in record.items() if key != "__lastAccess"}


@on_all_stores
async def test_a_new_session(visit, visitor):
    """Its cookie and its record are express-session's; nothing of ours is in it."""
    answer = await visit(lambda handler: handler.session.put("views", 1))
    assert answer.headers["Set-Cookie"] == f"connect.sid={visitor.cookie}; Path=/; HttpOnly"
    assert len(visitor.id) == 32
    assert without_time(await record_of(visitor)) == {"cookie": COOKIE, "views": 1}


@on_all_stores
@pytest.mark.parametrize("options", [{"format": "express-session", "lifetime": 3_600_000}])
async def test_a_new_session_with_a_lifetime(visit, visitor, store):
    """An option `lifetime` is `cookie.maxAge`, for the cookie and in the record."""
    answer = await visit(lambda handler: handler.session.put("views", 1))
    assert "; Max-Age=3600; " in answer.headers["Set-Cookie"]
    cookie = (await record_of(visitor))["cookie"]
    assert (cookie["originalMaxAge"], cookie["sameSite"]) == (3_600_000, "lax")
    assert cookie["expires"].endswith("Z")


@on_all_stores
@pytest.mark.parametrize("options", [{"format": "express-session", "secure": "auto", "trustProxy": True}])
@pytest.mark.parametrize("https", [True, False])
async def test_a_new_session_with_secure_auto(visit, visitor, store, https):
    """Its record says whether the request was https, as Express marks its cookies by that; after a logout as well."""
    headers = {"X-Forwarded-Proto": "https" if https else "http"}
    answer = await visit(lambda handler: handler.session.put("views", 1), headers=headers)
    assert ("; Secure" in answer.headers["Set-Cookie"]) is https
    cookie = (await record_of(visitor))["cookie"]
    assert cookie == {**COOKIE, "secure": https, "sameSite": "lax"}
    assert [*cookie] == ["originalMaxAge", "expires", "secure", "httpOnly", "path", "sameSite"]
    await store_text(visitor, {"cookie": {**COOKIE, "secure": not https}, "views": 1}, visitor.id.swapcase())
    await visit(lambda handler: handler.session.put("views", 2), headers=headers)
    assert (await record_of(visitor))["cookie"]["secure"] is not https  # as it was begun
    before = visitor.id
    await visit(lambda handler: handler.session.invalidate(), headers=headers)
    assert visitor.id != before and (await record_of(visitor))["cookie"]["secure"] is https


@on_all_stores
async def test_an_empty_session(visit, visitor):
    """With `saveUninitialized`, a session without content has a record of its cookie alone."""
    await visit()
    assert without_time(await record_of(visitor)) == {"cookie": COOKIE}


@on_all_stores
@pytest.mark.parametrize("id", [ID, UUID, "a.b+c=", "ann 7 ü ☃"])
async def test_a_session_of_express(visit, visitor, id):
    """A record of Express is read, and changed; its cookie is kept, and is no attribute."""
    cookie = {**COOKIE, "secure": False, "sameSite": "strict", "priority": "low"}
    await store_text(visitor, {"cookie": cookie, "passport": {"user": 7}, "views": 1}, id)
    seen = {}

    def work(handler):
        seen.update(handler.session)
        seen["user"] = handler.session.get("passport.user")
        handler.session.increment("views")

    await visit(work)
    assert seen == {"passport": {"user": 7}, "views": 1, "user": 7}
    assert visitor.id == id
    assert without_time(await record_of(visitor)) == {"cookie": cookie, "passport": {"user": 7}, "views": 2}


@on_all_stores
async def test_an_unchanged_session_is_not_written(visit, visitor, sessions):
    """A request that changes nothing writes nothing, whatever the spelling and place of the cookie."""
    records = [
        f'{{"cookie":{json.dumps(COOKIE)},"a":{{"b":[1.5,"ü"]}}}}',
        '{"a":{"b":[]},"cookie":{"path":"/","expires":"2001-01-01T00:00:00.000Z"},"c":null}',
        '{"cookie":{"originalMaxAge":60000,"expires":"2001-01-01T00:00:00.000Z"},"a":"\\\\u00e9 \\"cookie\\":"}',
    ]
    for number, text in enumerate(records):
        await store_text(visitor, text, f"{ID}{number}")
        answer = await visit(lambda handler: handler.write({"all": handler.session.all()}))
        assert answer.code == 200
        assert (await sessions._records.get()).events.stats.saved == 0
        await settle(sessions)


@on_all_stores
async def test_expires_is_renewed(visit, visitor):
    """Each save writes a new `expires`, as Express does."""
    text = {"cookie": {**COOKIE, "originalMaxAge": 60_000, "expires": "2001-01-01T00:00:00.000Z"}, "a": 1}
    await store_text(visitor, text, ID)
    await visit(lambda handler: handler.session.put("a", 2))
    record = await record_of(visitor)
    assert record["cookie"]["originalMaxAge"] == 60_000
    assert not record["cookie"]["expires"].startswith("2001")


@on_all_stores
async def test_both_change_it(app, visitor, sessions):
    """What Express saves meanwhile is merged: its values, and its cookie."""

    class Slow(SessionMixin, RequestHandler):
        async def get(self):
            self.session.put("ours", 1)
            driver = await sessions.driver()
            record = await driver.read(self.session.get_id())
            theirs = {"cookie": {**COOKIE, "sameSite": "none"}, "views": 2, "theirs": 1}
            await driver.write(self.session.get_id(), json.dumps(theirs, separators=(",", ":")), record.version)

    app.add_handlers(".*", [("/slow", Slow)])
    await store_text(visitor, {"cookie": COOKIE, "views": 1}, ID)
    assert (await visitor.get("/slow")).code == 200
    assert without_time(await record_of(visitor)) == {
        "cookie": {**COOKIE, "sameSite": "none"},
        "views": 2,
        "theirs": 1,
        "ours": 1,
    }


@on_all_stores
async def test_take(app, visitor):
    """A key that is taken leaves the record, and the cookie's attributes stay as Express has them."""

    class Takes(SessionMixin, RequestHandler):
        async def get(self):
            self.write(await self.session.take("ticket"))

    app.add_handlers(".*", [("/take", Takes)])
    await store_text(visitor, {"cookie": {**COOKIE, "sameSite": "none"}, "ticket": "7", "user": 1}, ID)
    assert (await visitor.get("/take")).body == b"7"
    assert without_time(await record_of(visitor)) == {"cookie": {**COOKIE, "sameSite": "none"}, "user": 1}


@on_all_stores
@pytest.mark.parametrize("flash", [{}, {"_flash": {"old": ["shown"], "new": []}, "shown": 1}], ids=["none", "old"])
async def test_concurrent_requests(app, visitor, flash):
    """Of concurrent requests of one session, none loses anything, flash data and the cookie neither."""
    loaded, all_loaded = [], asyncio.Event()

    class Push(SessionMixin, RequestHandler):
        async def get(self):
            loaded.append(self)
            if len(loaded) == 8:
                all_loaded.set()
            await all_loaded.wait()
            number = self.get_query_argument("n")
            self.session.push("list", number)
            if number > "1":
                self.session.flash(f"note{number}", 1)

    app.add_handlers(".*", [("/push", Push)])
    cookie = {**COOKIE, "sameSite": "none"}
    await store_text(visitor, {"cookie": cookie, "list": [], **flash}, ID)
    await asyncio.gather(*(visitor.get(f"/push?n={number}") for number in range(8)))
    record = await record_of(visitor)
    assert sorted(record["list"]) == [str(number) for number in range(8)]
    assert sorted(record["_flash"]["old"]) == [f"note{number}" for number in range(2, 8)]
    assert "shown" not in record
    assert record["cookie"] == cookie


@on_all_stores
@pytest.mark.parametrize(("first", "second"), [("/read", "/keep"), ("/keep", "/read")])
async def test_kept_flash_data(app, visitor, first, second):
    """Flash data that one request keeps is there for the next one, although another one removes it and its list."""
    loaded, saved = asyncio.Event(), asyncio.Event()

    class Page(SessionMixin, RequestHandler):
        async def prepare(self):
            if self.request.path == second:
                loaded.set()
                await saved.wait()

    class Keeps(Page):
        def get(self):
            self.session.reflash()
            self.session.put("kept", True)

    class Reads(Page):
        def get(self):
            self.session.put("read", True)

    app.add_handlers(".*", [("/keep", Keeps), ("/read", Reads)])
    await store_text(visitor, {"cookie": COOKIE, "_flash": {"old": ["shown"], "new": []}, "shown": 1}, ID)
    later = asyncio.ensure_future(visitor.get(second))
    await loaded.wait()
    await visitor.get(first)
    if first == "/read":
        assert without_time(await record_of(visitor)) == {"cookie": COOKIE, "read": True}
    saved.set()
    await later
    await visitor.assert_flashed("shown", 1)
    await visitor.get("/read")
    assert without_time(await record_of(visitor)) == {"cookie": COOKIE, "read": True, "kept": True}


@on_all_stores
async def test_flash(visit, visitor):
    """Our own flash data has a key that does not collide, which is there only while it is used."""
    await store_text(visitor, {"cookie": COOKIE, "flash": {"info": ["theirs"]}}, ID)
    await visit(lambda handler: handler.session.flash("status", "Saved."))
    assert without_time(await record_of(visitor)) == {
        "cookie": COOKIE,
        "flash": {"info": ["theirs"]},
        "status": "Saved.",
        "_flash": {"new": [], "old": ["status"]},
    }
    await visitor.assert_flashed("status", "Saved.")
    await visit(lambda handler: handler.write(handler.session.get("status")))
    assert without_time(await record_of(visitor)) == {"cookie": COOKIE, "flash": {"info": ["theirs"]}}


async def test_empty_lists_of_flash_data(visit, visitor):
    """They are not ours in this format, so any request removes them."""
    await store_text(visitor, {"cookie": COOKIE, "_flash": {"old": [], "new": []}, "a": 1}, ID)
    await visit()
    assert await record_of(visitor) == {"cookie": COOKIE, "a": 1}


@on_all_stores
async def test_flash_data_after_a_save(app, visitor):
    """Flash data of a request that has already saved is for the next request, and only for that one."""

    class Page(SessionMixin, RequestHandler):
        async def get(self):
            self.session.put("a", 1)
            await self.session.save()
            self.session.flash("status", "Saved.")

    app.add_handlers(".*", [("/page", Page)])
    await visitor.get("/page")
    await visitor.assert_flashed("status", "Saved.")


@on_all_stores
async def test_messages_of_connect_flash(visit, visitor):
    """get_flashed() gives connect-flash's messages, once."""
    flash = {"info": ["one", {"two": 2}], "error": ["three"]}
    await store_text(visitor, {"cookie": COOKIE, "flash": flash}, ID)
    seen = []
    for _ in range(2):
        await visit(lambda handler: seen.append(handler.session.get_flashed("info")))
    assert seen == [["one", {"two": 2}], []]
    assert (await record_of(visitor))["flash"] == {"error": ["three"]}


@on_all_stores
async def test_messages_that_are_dropped(app, visitor, sessions):
    """If a handler drops connect-flash's messages, one that Express flashes meanwhile is there, and no other."""

    class Drop(SessionMixin, RequestHandler):
        async def get(self):
            self.session.forget("flash")
            driver = await sessions.driver()
            record = await driver.read(ID)
            await driver.write(ID, record.payload.replace('["one"]', '["one","two"]'), record.version)

    app.add_handlers(".*", [("/drop", Drop)])
    await store_text(visitor, {"cookie": COOKIE, "flash": {"info": ["one"], "error": ["three"]}}, ID)
    await visitor.get("/drop")
    assert (await record_of(visitor))["flash"] == {"info": ["two"]}


@pytest.mark.parametrize(
    "flash", [None, 5, "info", [], ["info"], {"info": "x"}, {"info": {"a": 1}}, {"other": []}], ids=str
)
async def test_messages_of_another_form(visit, visitor, flash):
    """What is no list of connect-flash gives no messages, and stays."""
    await store_text(visitor, {"cookie": COOKIE, "flash": flash}, ID)
    seen = []
    await visit(lambda handler: seen.append(handler.session.get_flashed("info")))
    assert seen == [[]]
    assert (await record_of(visitor))["flash"] == flash


@pytest.mark.parametrize("options", [{"format": "express-session"}, {}], ids=str)
async def test_get_flashed_of_our_own(visit, options):
    """It gives what we have flashed as well: a list, or one value in a list; then it is gone."""
    seen = []
    await visit(lambda handler: [handler.session.flash("info", "a"), handler.session.flash("list", [1, 2])])
    await visit(
        lambda handler: seen.extend([handler.session.get_flashed(key) for key in ("info", "list", "info", "x")])
    )
    await visit(lambda handler: seen.append(handler.session.get_flashed("info")))
    assert seen == [["a"], [1, 2], [], [], []]


@on_all_stores
async def test_regenerate(visit, visitor):
    """The new record has the content; the old one is a farewell that Express can read: it has a cookie, and no user."""
    await store_text(visitor, {"cookie": {**COOKIE, "sameSite": "none"}, "passport": {"user": 7}}, UUID)
    await visit(lambda handler: handler.session.regenerate(True))
    assert visitor.id != UUID
    assert without_time(await record_of(visitor)) == {"cookie": {**COOKIE, "sameSite": "none"}, "passport": {"user": 7}}
    old = await record_of(visitor, UUID)
    assert list(without_time(old)) == ["cookie", "_left"]
    assert old["cookie"] == {**COOKIE, "sameSite": "none"}
    new, seen = visitor.id, []
    visitor.use_id(UUID)
    answer = await visit(lambda handler: seen.append(handler.session.get("passport.user")))
    assert seen == [7]
    assert "Set-Cookie" not in answer.headers
    await visit(lambda handler: handler.session.invalidate())  # a late log-out follows it
    assert await record_of(visitor, new) is None


@on_all_stores
async def test_log_out(visit, visitor):
    """The record is gone, and a new one has a new cookie."""
    await store_text(visitor, {"cookie": {**COOKIE, "sameSite": "none"}, "passport": {"user": 7}}, UUID)
    await visit(lambda handler: handler.session.invalidate())
    assert await record_of(visitor, UUID) is None
    assert without_time(await record_of(visitor)) == {"cookie": COOKIE}


@on_all_stores
async def test_destroyed_by_express(app, visitor, sessions):
    """A session that Express destroys meanwhile stays destroyed."""

    class LogOut(SessionMixin, RequestHandler):
        async def get(self):
            self.session.put("a", 2)
            await (await sessions.driver()).destroy(self.session.get_id())

    app.add_handlers(".*", [("/log-out", LogOut)])
    await store_text(visitor, {"cookie": COOKIE, "a": 1}, ID)
    answer = await visitor.get("/log-out")
    assert "Set-Cookie" not in answer.headers
    assert await record_of(visitor, ID) is None


@on_all_stores
async def test_an_unknown_id(visit, visitor):
    """A signed id without a record is replaced, as Express does."""
    visitor.use_id(UUID)
    await visit()
    assert len(visitor.id) == 32


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}',
        "[]",
        '{"cookie":null}',
        '{"cookie":[]}',
        '{"cookie":{}',
        "",
        "null",
        '{"cookie":{"a":' + "[" * 9000 + "]" * 9000 + "}}",
    ],
    ids=lambda text: text[:20],
)
@on_all_stores
async def test_damaged_records(visit, visitor, text, caplog):
    """A damaged record is a fresh session, with one line in the log."""
    await store_text(visitor, text, ID)
    answer = await visit()
    assert answer.code == 200
    assert visitor.id != ID
    assert "is damaged" in caplog.text
    assert ID not in caplog.text


HOSTILE = ["-1", "1e400", "1e17", "9" * 400, "true", '"60000"', "[1]", '{"a":1}', '"\\ud83d"']


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: value[:8])
@pytest.mark.parametrize("name", ["originalMaxAge", "expires", "maxAge", "path", "sameSite", "__proto__"])
async def test_hostile_cookies(visit, visitor, name, value):
    """No value in the member cookie is an error; the session is there, and can be changed."""
    await store_text(visitor, f'{{"cookie":{{"originalMaxAge":null,"{name}":{value}}},"a":1}}', ID)
    seen = []
    for number in range(2):
        answer = await visit(lambda handler: seen.append(handler.session.get("a")))
        assert answer.code == 200
        await visit(lambda handler, number=number: handler.session.put("b", number))
    assert seen == [1, 1]
    assert visitor.id == ID
    record = await record_of(visitor)
    assert (record["a"], record["b"]) == (1, 1)


@on_all_stores
async def test_spaces_behind_the_cookie(app, visitor, sessions):
    """A record with spaces in it, which another program has written, merges with a concurrent change."""

    class Slow(SessionMixin, RequestHandler):
        async def get(self):
            self.session.put("ours", 1)
            driver = await sessions.driver()
            record = await driver.read(ID)
            await driver.write(ID, '{"cookie":{"path":"/"} , "a":1, "theirs":1}', record.version)

    app.add_handlers(".*", [("/slow", Slow)])
    await store_text(visitor, '{"cookie":{"path":"/"} , "a":1}', ID)
    assert (await visitor.get("/slow")).code == 200
    record = await record_of(visitor)
    assert record.items() >= {"a": 1, "ours": 1, "theirs": 1}.items()


@pytest.mark.parametrize("text", ["gAAAAAB", '"eyJjdCI6"', '{"hmac":"Yw==","ct":"YQ=="}'])
@on_all_stores
async def test_unsupported_records(visit, visitor, text, caplog):
    """A record of another serializer, or an encrypted one, is an error, and stays; the browser keeps its cookie."""
    await store_text(visitor, text, ID)
    answer = await visit()
    assert answer.code == 500
    assert "Set-Cookie" not in answer.headers
    assert "express-session" in caplog.text and "connect-mongo" in caplog.text
    assert (await (await visitor.sessions.driver()).read(ID)).payload == text


@pytest.mark.parametrize("store", [{"driver": "file"}])
async def test_binary_records(visit, visitor, config, caplog, tmp_path):
    """So is one that is no text."""
    await store_text(visitor, {"cookie": COOKIE}, ID)
    file = tmp_path / "sessions" / f"{ID}.json"
    file.write_bytes(b"\x81\xa6cookie\x80")
    assert (await visit()).code == 500
    assert file.read_bytes() == b"\x81\xa6cookie\x80"
    assert "`serializer`" in caplog.text


@pytest.mark.parametrize("key", ["cookie", "__lastAccess"])
@on_all_stores
async def test_reserved_keys(visit, visitor, key, caplog):
    """A key that would overwrite what express-session keeps is an error, and nothing is written."""
    await store_text(visitor, {"cookie": COOKIE, "a": 1}, ID)
    assert (await visit(lambda handler: handler.session.put(key, 5))).code == 500
    assert without_time(await record_of(visitor)) == {"cookie": COOKIE, "a": 1}
    assert f"{key!r} is reserved by the format 'express-session'" in caplog.text


async def test_keys_that_express_leaves_out(visit, visitor, caplog):
    """A key that Express would drop is a warning, once."""
    for value in (1, 2):
        await visit(lambda handler: handler.session.put({"id": value, "user.id": value}))  # noqa: B023
    assert caplog.text.count("session['id'] will be lost") == 1
    assert (await record_of(visitor))["id"] == 2


async def test_forged_cookies(visit, visitor, caplog):
    """A wrong signature is no session, and is told once as a warning."""
    await store_text(visitor, {"cookie": COOKIE, "a": 1}, UUID)
    visitor.cookie = visitor.cookie[:-3] + "abc"
    seen = []
    await visit(lambda handler: seen.append(handler.session.get("a")))
    assert seen == [None]
    assert [each.levelno for each in caplog.records if "wrong signature" in each.message] == [logging.WARNING]


async def test_secrets(visit, visitor, sessions, config, app):
    """The first secret of a list signs, all verify, as in express-session."""
    await store_text(visitor, {"cookie": COOKIE, "a": 1}, UUID)
    app.settings["node_session"] = await another_program(sessions, config, secret=["x" * 32, config["secret"]])
    answer = await visit(lambda handler: handler.write(str(handler.session.get("a"))))
    assert answer.body == b"1"
    visitor.sessions = app.settings["node_session"]
    assert visitor.id == UUID
    assert visitor.cookie.startswith(f"s%3A{UUID}.")


async def test_the_error_page_has_such_a_session(app, visitor):
    """The empty session of an error page has the format's token, too."""

    class Fails(SessionMixin, RequestHandler):
        def get_current_user(self):
            return work_of(self.session).content.format.name

        def write_error(self, status_code, **kwargs):
            self.write(self.current_user)

    app.add_handlers(".*", [("/fails", Fails)])
    app.settings["xsrf_cookies"] = True  # so that Tornado refuses the request before its session is loaded
    assert (await visitor.post("/fails", csrf=False)).body == b"express-session"


@on_all_stores
async def test_set_lifetime(visit, visitor, pass_time):
    """A lifetime of the session's own is cookie.originalMaxAge: for its record, its cookie, and the next request."""
    hours = 50  # longer than any store of express-session keeps a record by itself, but MongoDB's
    answer = await visit(lambda handler: handler.session.set_lifetime(hours * 3_600_000))
    assert f"; Max-Age={hours * 3600}; " in answer.headers["Set-Cookie"]
    record = without_time(await record_of(visitor))
    assert record.pop("cookie").items() >= {"originalMaxAge": hours * 3_600_000, "path": "/"}.items()
    assert record == {}
    pass_time((hours - 1) * 3600)
    seen = []
    answer = await visit(lambda handler: seen.append(handler.session.lifetime))
    assert seen == [hours * 3_600_000]
    assert f"; Max-Age={hours * 3600}; " in answer.headers["Set-Cookie"]
    answer = await visit(lambda handler: handler.session.set_lifetime(None))
    assert "Max-Age" not in answer.headers["Set-Cookie"]
    assert (await record_of(visitor))["cookie"] == COOKIE


@on_all_stores
async def test_a_lifetime_that_express_gave(visit, visitor, sessions, pass_time):
    """A session of `cookie.maxAge = …` in Express expires when that says, and its cookie with it."""
    cookie = {**COOKIE, "originalMaxAge": 120_000, "expires": "2001-01-01T00:00:00.000Z"}
    await store_text(visitor, {"cookie": cookie, "user": 7}, ID)
    answer = await visit(lambda handler: handler.session.put("a", 1))
    assert "; Max-Age=120; " in answer.headers["Set-Cookie"]
    pass_time(110)
    seen = []
    await visit(lambda handler: seen.append(handler.session.get("user")))
    await settle(sessions)  # it is renewed after the response
    pass_time(125)
    await visit(lambda handler: seen.append(handler.session.get("user")))
    assert seen == [7, None]


async def test_an_unconfirmed_write_is_found(app, visitor, sessions):
    """A write whose answer was lost is not repeated, although the record keeps the lifetime apart from the rest."""
    driver = await sessions.driver()
    write = driver.write

    async def lost(*arguments, **options):
        driver.write = write
        await write(*arguments, **options)
        raise UnavailableError("no answer")

    class Counts(SessionMixin, RequestHandler):
        async def get(self):
            self.session.set_lifetime(240_000)
            self.session.put("later", True)
            self.session.increment("n")
            driver.write = lost
            with pytest.raises(UnavailableError):
                await self.session.save()

    app.add_handlers(".*", [("/count", Counts)])
    await store_text(visitor, {"cookie": COOKIE, "n": 1}, ID)
    assert (await visitor.get("/count")).code == 200
    assert (await record_of(visitor))["n"] == 2
