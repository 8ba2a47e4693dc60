"""The cookie that is sent: its attributes, and over which connections."""

from __future__ import annotations

import pytest
from tornado.web import RequestHandler

from node_session import NodeSession, SessionMixin
from web.handlers import Count, Return, route

pytestmark = pytest.mark.gen_test


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ({"lifetime": 300_000}, ["Max-Age=300", "Path=/", "Expires", "HttpOnly", "SameSite=Lax"]),
        ({"lifetime": 1500}, ["Max-Age=2", "Path=/", "Expires", "HttpOnly", "SameSite=Lax"]),
        ({"expireOnClose": True}, ["Path=/", "HttpOnly", "SameSite=Lax"]),
        (
            {"domain": "example.org", "path": "/app", "httpOnly": False, "sameSite": None},
            ["Max-Age=300", "Domain=example.org", "Path=/app", "Expires"],
        ),
    ],
    ids=str,
)
async def test_set_cookie(app, visitor, attributes):
    """Set-Cookie has the original's attributes in the original's order."""
    route(app, page=Return)
    line = (await visitor.get("/page")).headers["Set-Cookie"]
    parts = line.split("; ")
    assert parts[0].startswith("node_session=s%3A")
    assert [part if not part.startswith("Expires=") else "Expires" for part in parts[1:]] == attributes


@pytest.mark.parametrize(
    ("options", "forwarded", "sent"),
    [
        ({"secure": True}, "https", False),
        ({"secure": True, "trustProxy": True}, "https", True),
        ({"secure": True, "trustProxy": True}, "HTTPS, http", True),
        ({"secure": True, "trustProxy": True}, "http, https", False),
        ({"secure": True, "trustProxy": True}, None, False),
        ({"secure": True, "trustProxy": "loopback"}, "https", True),
        ({"secure": True, "trustProxy": ["10.0.0.0/8"]}, "https", False),
        ({"secure": True, "trustProxy": 1}, "https", True),
        ({"secure": True, "trustProxy": lambda address, index: address == "127.0.0.1" and index == 0}, "https", True),
    ],
    ids=str,
)
async def test_secure(app, visitor, forwarded, sent):
    """With secure, the cookie is sent over https only, or where a trusted proxy says it is https."""
    route(app, page=Return)
    response = await visitor.get("/page", headers={"X-Forwarded-Proto": forwarded} if forwarded else {})
    assert ("Set-Cookie" in response.headers) is sent
    assert not sent or "; Secure" in response.headers["Set-Cookie"]


async def test_cookie_on_every_response(app, visitor):
    """Each response of a session renews the cookie, and an unchanged one keeps its value."""
    route(app, page=Return)
    await visitor.get("/page")
    value = visitor.cookie
    response = await visitor.get("/page")
    assert response.headers["Set-Cookie"].startswith(f"node_session={value}; Max-Age=300; ")


class Remembering(NodeSession):
    def ends_with_browser(self, session):
        return not session.get("remember", False)


async def test_remember_this_device(app, config, visitor):
    """Whether a cookie outlives the browser can be decided for each session, and holds from then on."""

    class Remember(SessionMixin, RequestHandler):
        def get(self):
            self.session.put("remember", True)

    class Read(SessionMixin, RequestHandler):
        def get(self):
            pass

    app.settings["node_session"] = Remembering(config)
    route(app, Remember=Remember, Read=Read)
    assert "Max-Age" not in (await visitor.get("/Read")).headers["Set-Cookie"]
    assert "; Max-Age=300; " in (await visitor.get("/Remember")).headers["Set-Cookie"]
    line = (await visitor.get("/Read")).headers["Set-Cookie"]
    assert "; Max-Age=300; " in line and "; Expires=" in line


@pytest.mark.parametrize("options", [{"secure": True}])
async def test_secure_over_http(app, visitor, tmp_path, caplog):
    """Over http, a cookie for https only is one warning and not a new record for each request."""
    route(app, count=Count)
    for _ in range(5):
        response = await visitor.get("/count")
        assert (response.code, "Set-Cookie" in response.headers) == (200, False)
    assert not list((tmp_path / "sessions").glob("*"))
    assert sum("for https only" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("options", [{"secure": "auto", "trustProxy": True}])
async def test_secure_auto(app, visitor):
    """secure: 'auto' sends the cookie over both, and marks it as for https only where the request is https."""
    route(app, count=Count)
    line = (await visitor.get("/count")).headers["Set-Cookie"]
    assert "Secure" not in line
    line = (await visitor.get("/count", headers={"X-Forwarded-Proto": "https"})).headers["Set-Cookie"]
    assert "; Secure" in line
    assert (await visitor.stored())["count"] == 2


@pytest.mark.parametrize(
    "options", [{"secure": "auto", "sameSite": "none", "partitioned": True, "trustProxy": True}], ids=str
)
async def test_secure_auto_for_embedded_pages(app, visitor):
    """What browsers refuse in a cookie without Secure is left out over http, so that the session works there too."""
    route(app, count=Count)
    line = (await visitor.get("/count")).headers["Set-Cookie"]
    assert "SameSite" not in line and "Partitioned" not in line
    line = (await visitor.get("/count", headers={"X-Forwarded-Proto": "https"})).headers["Set-Cookie"]
    assert line.endswith("; Secure; SameSite=None; Partitioned")
