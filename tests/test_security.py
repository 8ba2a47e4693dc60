"""What keeps others out: CSRF, cookies for https only, sessions that end, records that say nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from browser import ID, SECRET
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from node_session import NodeSession, SessionMixin

pytestmark = pytest.mark.gen_test


class Form(SessionMixin, RequestHandler):
    def get(self):
        self.write(str(self.session.get_token()))

    def post(self):
        self.write("done")

    put = patch = delete = head = options = post


class Exempt(Form):
    csrf_exempt = True


class Count(SessionMixin, RequestHandler):
    def get(self):
        self.write(str(self.session.increment("count")))


class Nothing(SessionMixin, RequestHandler):
    def get(self):
        self.write("nothing")


def route(app, **handlers):
    app.add_handlers(".*", [(f"/{name}", handler) for name, handler in handlers.items()])


# -------------------------------------------------------------------- CSRF


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf(app, browser):
    """Requests that change something need the session's token, in a field or in a header."""
    route(app, form=Form)
    token = (await browser.get("/form")).body.decode()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await browser.get("/form", method)).code == 403
        for header in ("X-CSRF-Token", "X-XSRF-Token"):
            assert (await browser.get("/form", method, {header: token})).code == 200
            assert (await browser.get("/form", method, {header: token[:-1] + "."})).code == 403
    for field in ("_token", "_xsrf"):
        form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}
        assert (await browser.get("/form", "POST", body=urlencode({field: token}), **form)).code == 200
        assert (await browser.get("/form", "POST", body=urlencode({field: "x" * 40}), **form)).code == 403
    for method in ("GET", "HEAD", "OPTIONS"):
        assert (await browser.get("/form", method)).code == 200


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_says_what_is_wrong(app, browser, new_browser):
    """The answer tells whether the token was missing or wrong, and shows none."""
    route(app, form=Form)
    response = await browser.get("/form", "POST")
    assert response.reason == "CSRF token missing: send it as the form field _token or as X-CSRF-Token"
    token = (await new_browser().get("/form")).body.decode()
    response = await browser.get("/form", "POST", {"X-CSRF-Token": token})
    assert "CSRF token wrong" in response.reason
    assert token not in response.body.decode()


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_token_cannot_be_asked_for_in_the_url(app, browser):
    """A token in the URL, where it gets into logs and Referer, does not count."""
    route(app, form=Form)
    token = (await browser.get("/form")).body.decode()
    assert (await browser.get(f"/form?_token={token}", "POST")).code == 403


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_fetch_metadata(app, browser):
    """What the browser says another site has sent is refused with any token."""
    route(app, form=Form)
    token = (await browser.get("/form")).body.decode()
    for site, code in (
        ("cross-site", 403),
        ("same-origin, cross-site", 403),
        ("Cross-Site", 403),
        ("same-site", 200),
        ("same-origin", 200),
        ("none", 200),
    ):
        headers = {"X-CSRF-Token": token, "Sec-Fetch-Site": site}
        assert (await browser.get("/form", "POST", headers)).code == code


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_exempt(app, browser):
    """A handler can be exempt, for webhooks."""
    route(app, form=Exempt)
    assert (await browser.get("/form", "POST", {"Sec-Fetch-Site": "cross-site"})).code == 200


async def test_without_csrf(app, browser):
    """Without the option nothing is checked, as in the original."""
    route(app, form=Form)
    assert (await browser.get("/form", "POST")).code == 200


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_before_own_prepare(app, browser):
    """A refused request does not reach the handler's own prepare."""
    reached = []

    class Own(Form):
        def prepare(self):
            reached.append(1)

    route(app, form=Own)
    assert (await browser.get("/form", "POST")).code == 403
    assert reached == []


@pytest.mark.parametrize("options", [{"csrf": True}])
@pytest.mark.parametrize("calls_super", [False, True])
async def test_csrf_before_the_prepare_of_a_class_named_first(app, browser, calls_super):
    """A class named before SessionMixin that has a prepare of its own, knowing no sessions, skips no check."""
    reached = []

    class Other:
        def prepare(self):
            reached.append(self.session.get_token())
            return super().prepare() if calls_super else None

    class Page(Other, Form):
        pass

    class Alone(Other, SessionMixin, RequestHandler):
        def post(self):
            self.write("done")

    route(app, form=Page, alone=Alone)
    for path in ("/form", "/alone"):
        assert (await browser.get(path, "POST")).code == 403
        assert reached == []
    token = (await browser.get("/form")).body.decode()
    for path in ("/form", "/alone"):
        assert (await browser.get(path, "POST", {"X-CSRF-Token": token})).code == 200
    assert reached == [token] * 3


@pytest.mark.parametrize("options", [{"csrf": True}])
@pytest.mark.parametrize("driver", ["file", "slow"])
async def test_csrf_where_the_session_was_started_before(app, browser, config, driver):
    """A session that a handler has started by itself, ahead of the mixin, does not make the check fall away."""
    app.settings["node_session"] = sessions = NodeSession({**config, "driver": driver})
    early = []

    class Early(Form):
        def initialize(self):
            early.append(sessions.start_session(self.request, self, lambda: None))

    route(app, form=Early, nothing=Nothing)
    await browser.get("/nothing")  # from now on the driver is there, and so is the session, at once
    browser.set_id(ID)
    response = await browser.get("/form", "POST")
    assert response.code == {"file": 403, "slow": 500}[driver]  # 500: it is still at work
    await asyncio.gather(*early)
    await sessions.close()


async def test_csrf_field_is_escaped(app, browser):
    """A token that a program has set, from a user even, is text in the form."""

    class Page(Form):
        def get(self):
            self.session.put("_token", '"><script>')
            self.write(self.csrf_field())

    route(app, form=Page)
    page = (await browser.get("/form")).body.decode()
    assert page == '<input type="hidden" name="_token" value="&quot;&gt;&lt;script&gt;">'


@pytest.mark.parametrize("options", [{"csrf": True}])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", "_token={token}"),
        ("application/json", '{{"_token":"{token}"}}'),
        ("application/x-www-form-urlencoded", "_token=%ff%fe"),
        ("application/x-www-form-urlencoded", "_token={token}&_token=x"),
        ("application/x-www-form-urlencoded; charset=utf-16", "\u5f5f"),
        ("multipart/form-data; boundary=", "_token={token}"),
        ("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=_tok"),
        ("", "_token={token}"),
    ],
)
async def test_csrf_other_bodies(app, browser, content_type, body):
    """Only a form's field is a field: no other kind of body passes, and a broken one is refused like any other."""
    route(app, form=Form)
    token = (await browser.get("/form")).body.decode()
    response = await browser.get("/form", "POST", {"Content-Type": content_type}, body=body.format(token=token))
    assert response.code in (400, 403)


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_methods_by_another_name(app, browser):
    """Neither a method override, nor another spelling of a method, gets around the check."""
    reached = []

    class Own(Form):
        SUPPORTED_METHODS = (*RequestHandler.SUPPORTED_METHODS, "PURGE")

        def purge(self):
            reached.append("purge")

        def post(self):
            reached.append("post")

    route(app, form=Own)
    override = dict.fromkeys(("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"), "POST")
    assert (await browser.get("/form?_method=POST", "GET", override)).code == 200
    assert (await browser.get("/form", "POST", {"X-HTTP-Method-Override": "GET"})).code == 403
    for method in ("PURGE", "post", "Post", "TRACE"):
        response = await browser.get("/form", method, allow_nonstandard_methods=True)
        assert response.code in (403, 405)
    assert reached == []


@pytest.mark.parametrize("options", [{"csrf": True}])
@pytest.mark.parametrize("template", ["{% raw csrf_field() %}", "{% module xsrf_form_html() %}"])
@pytest.mark.parametrize("xsrf_cookies", [False, True])
async def test_csrf_in_templates(app, browser, template, xsrf_cookies, tmp_path):
    """csrf_field() and Tornado's own xsrf_form_html() give the same token, with xsrf_cookies as well."""
    app.settings["xsrf_cookies"] = xsrf_cookies
    app.settings["template_path"] = str(tmp_path)
    (tmp_path / "form.html").write_text(template)

    class Rendered(Form):
        def get(self):
            self.render("form.html")

    route(app, form=Rendered)
    page = (await browser.get("/form")).body.decode()
    name, value = re.fullmatch(r'<input type="hidden" name="(\w+)" value="([^"]+)"/?>', page).groups()
    assert value == (await browser.stored())["_token"]
    form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": urlencode({name: value})}
    assert (await browser.get("/form", "POST", **form)).code == 200
    assert (await browser.get("/form", "POST")).code == 403


@pytest.mark.parametrize("stores", [True, False], ids=["saveUninitialized", "not"])
@pytest.mark.parametrize("options", [{"csrf": True, "driver": name} for name in ("memory", "file", "database")])
async def test_csrf_in_the_page_of_a_log_out(app, browser, sessions, stores):
    """The form in a page of a log-out has a token, with which it is accepted."""
    sessions._terms = replace(sessions._terms, save_untouched=stores)

    class LogOut(Form):
        def get(self):
            self.session.invalidate()
            self.write(self.csrf_field())

    route(app, form=Form, logout=LogOut)
    await browser.get("/form")
    page = (await browser.get("/logout")).body.decode()
    headers = {"X-CSRF-Token": re.search('value="([^"]+)"', page)[1]}
    assert (await browser.get("/form", "POST", headers)).code == 200


async def test_tornados_own_xsrf(app, browser):
    """Without the option, Tornado's own xsrf_cookies works as ever."""
    app.settings["xsrf_cookies"] = True

    class Own(Form):
        def get(self):
            self.write(self.xsrf_token)

    route(app, form=Own)
    response = await browser.get("/form")
    token = response.body.decode()
    own = response.headers.get_list("Set-Cookie")
    assert any(line.startswith("_xsrf=") for line in own)
    assert (await browser.get("/form", "POST")).code == 403
    headers = {"X-XSRFToken": token, "Cookie": f"_xsrf={token}; node_session={browser.cookie}"}
    assert (await browser.get("/form", "POST", headers)).code == 200


# -------------------------------------------------------------------- https


@pytest.mark.parametrize("options", [{"secure": True}])
async def test_secure_over_http(app, browser, tmp_path, caplog):
    """Over http, a cookie for https only is one warning and not a new record for each request."""
    route(app, count=Count)
    for _ in range(5):
        response = await browser.get("/count")
        assert (response.code, "Set-Cookie" in response.headers) == (200, False)
    assert not list((tmp_path / "sessions").glob("*"))
    assert sum("for https only" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("options", [{"secure": "auto", "trustProxy": True}])
async def test_secure_auto(app, browser):
    """secure: 'auto' sends the cookie over both, and marks it as for https only where the request is https."""
    route(app, count=Count)
    line = (await browser.get("/count")).headers["Set-Cookie"]
    assert "Secure" not in line
    line = (await browser.get("/count", headers={"X-Forwarded-Proto": "https"})).headers["Set-Cookie"]
    assert "; Secure" in line
    assert (await browser.stored())["count"] == 2


@pytest.mark.parametrize(
    "options", [{"secure": "auto", "sameSite": "none", "partitioned": True, "trustProxy": True}], ids=str
)
async def test_secure_auto_for_embedded_pages(app, browser):
    """What browsers refuse in a cookie without Secure is left out over http, so that the session works there too."""
    route(app, count=Count)
    line = (await browser.get("/count")).headers["Set-Cookie"]
    assert "SameSite" not in line and "Partitioned" not in line
    line = (await browser.get("/count", headers={"X-Forwarded-Proto": "https"})).headers["Set-Cookie"]
    assert line.endswith("; Secure; SameSite=None; Partitioned")


# -------------------------------------------------------------------- cookies of others


async def test_cookie_of_a_dead_session_first(app, browser, new_browser):
    """A cookie that is signed, but of a session that is gone, planted or left over, hides no other one."""
    route(app, count=Count)
    await browser.get("/count")
    other = new_browser()
    await other.get("/count")
    await (await other.sessions.driver()).destroy(other.id)
    header = f"node_session={other.cookie}; node_session={browser.cookie}"
    for count in (b"2", b"3"):
        response = await browser.get("/count", headers={"Cookie": header})
        assert response.body == count
        assert response.headers["Set-Cookie"].startswith("node_session=" + browser.cookie)
    assert (await browser.get("/count")).body == b"4"


# -------------------------------------------------------------------- folders of others


async def test_folder_of_another_user(app, browser, tmp_path, monkeypatch):
    """Sessions that another user of the machine has prepared are none: 503, and nothing is written beside them."""
    route(app, count=Count)
    folder = tmp_path / "sessions"
    folder.mkdir(mode=0o700)
    (folder / ID).write_text('{"_token":"t","count":41}')
    browser.set_id(ID)
    if os.geteuid() == 0:
        os.chown(folder, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    for cookie in (browser.cookie, "none"):
        browser.cookie = cookie
        response = await browser.get("/count")
        assert (response.code, "Set-Cookie" in response.headers) == (503, False)
    assert [each.name for each in folder.iterdir()] == [ID]


# -------------------------------------------------------------------- nothing left behind


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
async def test_save_uninitialized(app, browser, tmp_path):
    """A session into which nothing was put leaves neither a record nor a cookie."""
    route(app, nothing=Nothing, count=Count, form=Form)
    for _ in range(3):
        assert "Set-Cookie" not in (await browser.get("/nothing")).headers
    assert not (tmp_path / "sessions").exists()
    await browser.get("/count")
    assert (await browser.stored())["count"] == 1
    assert "Set-Cookie" in (await browser.get("/nothing")).headers


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
@pytest.mark.parametrize("how", ["get_token", "get"])
async def test_asking_for_the_token_begins_a_session(app, browser, how):
    """Whoever asks for the token gets one, and a session that keeps it."""

    class Ask(SessionMixin, RequestHandler):
        def get(self):
            self.write(self.session.get_token() if how == "get_token" else self.session.get("_token"))

    route(app, ask=Ask)
    token = (await browser.get("/ask")).body.decode()
    assert (await browser.stored())["_token"] == token
    assert (await browser.get("/ask")).body.decode() == token


@pytest.mark.parametrize("options", [{"saveUninitialized": False, "csrf": True}])
async def test_refused_post_leaves_nothing(app, browser, tmp_path):
    """A robot's POST without a token is refused, and makes no session."""
    route(app, form=Form)
    response = await browser.get("/form", "POST", {"X-CSRF-Token": "x"})
    assert (response.code, "Set-Cookie" in response.headers) == (403, False)
    assert not (tmp_path / "sessions").exists()


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
async def test_first_used_too_late(app, browser, tmp_path, caplog):
    """A session first used after the headers is not stored, as its cookie could not be sent; a warning says so."""

    class Late(SessionMixin, RequestHandler):
        async def get(self):
            await self.flush()
            self.session.put("late", True)

    route(app, late=Late)
    assert (await browser.get("/late")).code == 200
    assert not (tmp_path / "sessions").exists()
    assert "first used after the headers" in caplog.text


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
async def test_websocket_begins_a_session(app, browser, base_url):
    """A WebSocket has a session from the handshake on, as its cookie could not be sent later."""

    class Socket(SessionMixin, WebSocketHandler):
        async def on_message(self, message):
            self.session.put("said", message)
            await self.session.save()
            await self.write_message("saved")

    route(app, socket=Socket)
    connection = await websocket_connect(base_url.replace("http", "ws") + "/socket")
    browser.cookie = connection.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    await connection.write_message("hello")
    assert await connection.read_message() == "saved"
    assert (await browser.stored())["said"] == "hello"
    connection.close()


# -------------------------------------------------------------------- sessions that end


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


# -------------------------------------------------------------------- records that say nothing


@pytest.mark.parametrize("options", [{"hashIds": True}, {"hashIds": True, "driver": "memory"}], ids=str)
async def test_hashed_ids(app, browser, tmp_path):
    """With hashIds no record's name is an id, and everything else is as ever."""
    route(app, count=Count)
    for count in (b"1", b"2", b"3"):
        assert (await browser.get("/count")).body == count
    names = [each.name for each in (tmp_path / "sessions").glob("[!.]*")]
    assert browser.id not in names
    for name in names:
        browser.set_id(name)
        assert (await browser.get("/count")).body == b"1"


@pytest.mark.parametrize("options", [{"hashIds": True}])
async def test_a_listing_has_no_id(app, browser, sessions):
    """With hashIds a listing names records as they are kept, not as their sessions."""
    route(app, count=Count)
    await browser.get("/count")
    driver = await sessions.driver()
    (entry,) = [entry async for entry in driver.scan()]
    assert entry.id != browser.id and await driver.read(entry.id) is None
    assert await driver.driver.read(entry.id) is not None


@pytest.mark.parametrize("options", [{"encrypt": True}])
async def test_encrypted_records(app, browser, tmp_path):
    """With encrypt nothing of a session can be read in its record, and one put under another's id is damaged."""

    class Put(SessionMixin, RequestHandler):
        def get(self):
            self.session.put("user", "Ann-Sophie")

    route(app, put=Put, count=Count)
    await browser.get("/put")
    await browser.get("/count")
    file = tmp_path / "sessions" / browser.id
    assert b"Ann-Sophie" not in file.read_bytes()
    assert json.loads(file.read_text())["v"] == 2
    other = file.with_name("B" * 40)
    other.write_bytes(file.read_bytes())
    browser.set_id("B" * 40)
    assert (await browser.get("/count")).body == b"1"
    assert browser.id != "B" * 40


@pytest.mark.parametrize(
    "before", [{"encrypt": "legacy"}, {"encrypt": True, "secret": "an-older-secret-" * 2}], ids=str
)
async def test_older_records_are_encrypted_anew(app, browser, config, before, tmp_path):
    """A record in the original's format, or under an older secret, is read, and then written as it is now."""
    route(app, nothing=Nothing, count=Count)
    app.settings["node_session"] = older = NodeSession({**config, **before})
    await browser.get("/count")
    value = browser.cookie
    secrets = [SECRET, older.config.secret[0]]
    app.settings["node_session"] = NodeSession({**config, "encrypt": True, "secret": secrets})
    response = await browser.get("/nothing")
    assert response.code == 200
    app.settings["node_session"] = NodeSession({**config, "encrypt": True, "secret": SECRET})
    assert (await browser.get("/count")).body == b"2"
    assert (browser.cookie == value) is ("secret" not in before)


@pytest.mark.parametrize("options", [{"encrypt": True}, {"encrypt": "legacy"}], ids=str)
async def test_set_encrypter(app, browser, sessions):
    """An encrypter of the program's own is used for what is stored from then on."""

    class Rot:
        def encrypt(self, text):
            return "rot:" + text[::-1]

        def decrypt(self, text):
            return text[4:][::-1]

    sessions.set_encrypter(Rot())
    route(app, count=Count)
    for count in (b"1", b"2"):
        assert (await browser.get("/count")).body == count
    record = await (await sessions.driver()).read(browser.id)
    assert record.payload.startswith("rot:}")


async def test_no_id_in_any_log(app, browser, caplog):
    """No log line of a session's whole life shows its id or its token."""

    class Logout(SessionMixin, RequestHandler):
        def get(self):
            self.session.invalidate()

    route(app, count=Count, logout=Logout)
    with caplog.at_level(logging.DEBUG):
        await browser.get("/count")
        id, token = browser.id, (await browser.stored())["_token"]
        await asyncio.gather(*(browser.get("/count") for _ in range(5)))
        await browser.get("/logout")
        browser.set_id(id)
        await browser.get("/count")
    assert id not in caplog.text and token not in caplog.text
