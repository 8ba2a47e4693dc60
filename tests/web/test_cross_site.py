"""Other sites log nobody out: where the browser withholds the cookie, the answer brings no other one."""

from __future__ import annotations

import pytest
from stores import STORES, all_stores
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from node_session import SessionMixin, cookies

pytestmark = pytest.mark.gen_test


def sent_by(site: str, mode: str, dest: str) -> dict[str, str]:
    """A browser's headers about a request."""
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}


LINK = sent_by("cross-site", "navigate", "document")
FRAME = sent_by("cross-site", "navigate", "iframe")
PICTURE = sent_by("cross-site", "no-cors", "image")
SCRIPT = sent_by("cross-site", "cors", "empty")
SOCKET = sent_by("cross-site", "websocket", "empty")
SISTER = sent_by("same-site", "navigate", "document")
OWN = sent_by("same-origin", "navigate", "document")
TYPED = sent_by("none", "navigate", "document")
OLD_BROWSER = {}

FORM = LINK  # with POST


class Page(SessionMixin, RequestHandler):
    """Does what the query says."""

    csrf_exempt = False

    async def get(self):
        self.session.put("seen", True)
        for action in self.get_query_arguments("do"):
            if action == "flush":
                self.write(" ")
                await self.flush()
            elif action == "save":
                await self.session.save()
            elif action == "transaction":
                async with self.session.transaction():
                    self.session.put("more", True)
            elif action == "reload":
                assert await self.session.reload()
            elif action == "take":
                assert await self.session.take("seen")
            elif action == "login":
                self.session.regenerate(True)
                self.session.put("user", "Bob")
            elif action == "logout":
                self.session.invalidate()
            elif action == "adopt":
                self.session.set_id(self.get_query_argument("id"))
                await self.session.start()
        self.write(str(self.session.report))

    post = put = delete = head = options = get

    def write_error(self, status_code, **kwargs):
        self.write(str(self.session.get_token()))


@pytest.fixture
def app(app):
    app.add_handlers(".*", [("/page", Page)])
    return app


async def count(sessions) -> int:
    """The number of sessions."""
    return len([entry async for entry in (await sessions.driver()).scan()])


@pytest.mark.parametrize(
    ("same_site", "method", "headers", "withheld"),
    [
        ("lax", "POST", FORM, True),
        ("lax", "PUT", SCRIPT, True),
        ("lax", "DELETE", SCRIPT, True),
        ("lax", "GET", FRAME, True),
        ("lax", "GET", PICTURE, True),
        ("lax", "GET", SCRIPT, True),
        ("lax", "HEAD", SCRIPT, True),
        ("lax", "OPTIONS", SCRIPT, True),
        ("lax", "GET", {"Sec-Fetch-Site": "cross-site, same-origin", "Sec-Fetch-Mode": "cors"}, True),
        ("lax", "GET", LINK, False),
        ("lax", "GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
        ("lax", "GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "nested-navigate"}, True),
        ("lax", "POST", SISTER, False),
        ("lax", "POST", OWN, False),
        ("lax", "GET", TYPED, False),
        ("lax", "POST", OLD_BROWSER, False),
        ("strict", "GET", LINK, True),
        ("strict", "POST", FORM, True),
        ("strict", "GET", PICTURE, True),
        ("strict", "GET", SISTER, False),
        ("strict", "GET", OWN, False),
        ("strict", "GET", TYPED, False),
        ("strict", "GET", OLD_BROWSER, False),
        (None, "POST", FORM, False),
        (None, "GET", PICTURE, False),
        ("none", "POST", FORM, False),
        ("none", "GET", FRAME, False),
    ],
)
@pytest.mark.parametrize("options", [{}], ids=[""])
async def test_kinds_of_requests(app, visitor, sessions, config, same_site, method, headers, withheld):
    """Exactly those from which browsers withhold a cookie of this SameSite get no session of their own."""
    secure = {"secure": "auto"} if same_site == "none" else {}
    app.settings["node_session"] = sessions = type(sessions)({**config, "sameSite": same_site, **secure})
    visitor.sessions = sessions
    answer = await visitor.request(method, "/page", csrf=False, headers=headers, allow_nonstandard_methods=True)
    assert answer.code == 200
    assert ("Set-Cookie" in answer.headers) is not withheld
    assert await count(sessions) == (0 if withheld else 1)
    await sessions.close()


@all_stores
@pytest.mark.parametrize("do", ["", "?do=flush", "?do=save", "?do=transaction", "?do=save&do=reload", "?do=take"])
async def test_neither_stored_nor_sent(app, visitor, sessions, caplog, do):
    """Whatever a handler does but regenerate or invalidate, nothing is stored, and the report says why."""
    answer = await visitor.post("/page" + do, csrf=False, headers=FORM)
    assert answer.code == 200 and "Set-Cookie" not in answer.headers
    assert await count(sessions) == 0
    assert vars(sessions.stats)["created"] == vars(sessions.stats)["saved"] == 0
    assert "; withheld; " in answer.body.decode() and not caplog.records


@all_stores
async def test_the_user_stays(app, visitor, sessions):
    """The user's own session is as it was, for the next request that brings its cookie."""
    await visitor.get("/page?do=login")
    cookie, stored = visitor.cookie, await visitor.stored()
    await visitor.post("/page", csrf=False, headers={**FORM, "Cookie": "other=1"})
    assert visitor.cookie == cookie and await visitor.stored() == stored
    assert stored["user"] == "Bob" and await count(sessions) == 1


@all_stores
async def test_a_session_that_the_handler_loads(app, visitor, sessions):
    """Nor is a session stored or sent that the handler loads by its id in place of the user's."""
    await visitor.get("/page?do=login")
    stored, path = await visitor.stored(), f"/page?do=adopt&id={visitor.id}"
    answer = await visitor.post(path, csrf=False, headers={**FORM, "Cookie": "other=1"})
    assert answer.code == 200 and "Set-Cookie" not in answer.headers and "; withheld; " in answer.body.decode()
    assert await visitor.stored() == stored


@all_stores
@pytest.mark.parametrize("headers", [FORM, PICTURE], ids=["form", "picture"])
async def test_a_cookie_that_came(app, visitor, sessions, headers):
    """A cookie that the browser sends all the same, as one of the npm original has no SameSite, is the session's."""
    await visitor.get("/page")
    answer = await visitor.post("/page?do=save", csrf=False, headers=headers)
    assert "Set-Cookie" in answer.headers and "found in" in answer.body.decode()
    assert await count(sessions) == 1


@all_stores
@pytest.mark.parametrize("value", ["forged", "dead"])
async def test_another_cookie_that_came(app, visitor, sessions, value):
    """A cookie that leads nowhere, of an older domain or planted, does not say that the good one was not withheld."""
    id = "B" * 40
    planted = cookies.sign(id, sessions.config.secret[0] if value == "dead" else "another secret")
    answer = await visitor.post("/page", csrf=False, headers={**FORM, "Cookie": f"node_session={planted}"})
    assert answer.code == 200 and "Set-Cookie" not in answer.headers and await count(sessions) == 0


@all_stores
@pytest.mark.parametrize("do", ["login", "logout"])
@pytest.mark.parametrize("ending", ["", "&do=save", "&do=flush", "&do=transaction"])
async def test_form_post_callback(app, visitor, sessions, do, ending):
    """A handler that another site's form reports a login to begins a session of its own by regenerate(True)."""
    answer = await visitor.post(f"/page?do={do}{ending}", csrf=False, headers=FORM)
    assert answer.code == 200 and "Set-Cookie" in answer.headers and "withheld" not in answer.body.decode()
    assert (await visitor.stored()).get("user") == ("Bob" if do == "login" else None)
    assert await count(sessions) == 1
    await visitor.get("/page", headers=LINK)
    assert (await visitor.stored())["seen"] and await count(sessions) == 1


@pytest.mark.parametrize("options", [{**each, "csrf": True} for each in STORES], ids=lambda options: options["driver"])
async def test_page_that_refuses(app, visitor, sessions):
    """The 403 of csrf sends no cookie; its page can have a form, whose token is nobody's."""
    answer = await visitor.post("/page", csrf=False, headers=FORM)
    assert answer.code == 403 and "Set-Cookie" not in answer.headers
    assert len(answer.body) == 40 and await count(sessions) == 0


@all_stores
@pytest.mark.parametrize("lets_in", [False, True], ids=["refused", "let in"])
async def test_websocket(app, visitor, sessions, base_url, lets_in):
    """A handshake of another site's page leaves no record and sets no cookie, whether or not the handler lets it in."""

    class Socket(SessionMixin, WebSocketHandler):
        def check_origin(self, origin):
            return lets_in

        async def on_message(self, message):
            self.session.push("said", message)
            await self.session.save()
            async with self.session.transaction():
                self.session.push("said", message)
            await self.write_message(str(len(self.session["said"])))

    app.add_handlers(".*", [("/socket", Socket)])
    headers = {**SOCKET, "Origin": "http://elsewhere.example"}
    request = HTTPRequest(base_url.replace("http", "ws") + "/socket", headers=headers)
    if lets_in:
        connection = await websocket_connect(request)
        assert "Set-Cookie" not in connection.headers
        await connection.write_message("hello")
        assert await connection.read_message() == "2"
        connection.close()
    else:
        with pytest.raises(HTTPClientError) as error:
            await websocket_connect(request)
        assert error.value.code == 403 and "Set-Cookie" not in error.value.response.headers
    assert await count(sessions) == 0


async def test_without_the_mixin(app, visitor, sessions):
    """The same where a plain handler starts its session by itself."""

    class Plain(RequestHandler):
        def prepare(self):
            return sessions.start_session(self.request, self, lambda: self.request.session.put("x", 1))

        def post(self):
            self.write("ok")

    app.add_handlers(".*", [("/plain", Plain)])
    answer = await visitor.post("/plain", csrf=False, headers=FORM)
    assert (answer.body, "Set-Cookie" in answer.headers, await count(sessions)) == (b"ok", False, 0)
