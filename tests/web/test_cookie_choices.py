"""A program that decides about the domain and the path of each cookie: one program, many hosts."""

from __future__ import annotations

import pytest
from stores import all_stores
from tornado.web import RequestHandler

from node_session import NodeSession, SessionMixin
from web.handlers import route

pytestmark = pytest.mark.gen_test

DOMAINS = {"a.example": "a.example", "www.b.example": "b.example"}


class Sessions(NodeSession):
    """One cookie for all hosts below b.example, one for a.example; and below /shop for each shop one."""

    def cookie_domain(self, request):
        return DOMAINS.get(request.host_name)

    def cookie_path(self, request):
        return "/shop" if request.path.startswith("/shop") else super().cookie_path(request)


class Page(SessionMixin, RequestHandler):
    def get(self):
        self.session.put("user", "Ann")
        if self.get_query_argument("remember", ""):
            self.session.set_lifetime(86_400_000)


class LogOut(SessionMixin, RequestHandler):
    def get(self):
        self.session.invalidate()


@pytest.fixture
def serve(app, config, io_loop):
    """Has the application use another NodeSession."""
    served = []
    route(app, page=Page, **{"shop/page": Page, "shop/out": LogOut})

    def serve(kind, **options):
        app.settings["node_session"] = sessions = kind({**config, **options})
        served.append(sessions)
        return sessions

    yield serve
    for each in served:
        io_loop.run_sync(each.close)


def attributes(response) -> list[str]:
    return response.headers["Set-Cookie"].split("; ")[1:]


@all_stores
async def test_many_hosts(visitor, serve):
    """Each host has its domain, and each part of the site its path; Max-Age stays first, Path after Domain."""
    serve(Sessions)
    for host, domain in (("a.example", "a.example"), ("www.b.example:8080", "b.example"), ("evil.example", None)):
        for path, cookie_path in (("/page", "/"), ("/shop/page", "/shop"), ("/shop/page?remember=1", "/shop")):
            answer = await visitor.get(path, headers={"Host": host})
            max_age = 86_400 if "remember" in path else 300
            expected = [f"Max-Age={max_age}", *([f"Domain={domain}"] if domain else []), f"Path={cookie_path}"]
            assert attributes(answer)[: len(expected)] == expected
            visitor.cookie = None


async def test_a_deleted_cookie(visitor, serve):
    """The line that deletes a cookie names the domain and the path that it had."""
    serve(Sessions, saveUninitialized=False)
    await visitor.get("/shop/page", headers={"Host": "www.b.example"})
    answer = await visitor.get("/shop/out", headers={"Host": "www.b.example"})
    assert attributes(answer)[:3] == ["Max-Age=0", "Domain=b.example", "Path=/shop"]


async def test_the_options_are_the_default(visitor, serve):
    """An override of one of the two leaves the other to its option."""

    class OnlyDomain(NodeSession):
        def cookie_domain(self, request):
            return "b.example"

    serve(OnlyDomain, path="/shop", domain="other.example")
    assert attributes(await visitor.get("/shop/page"))[1:3] == ["Domain=b.example", "Path=/shop"]


async def test_nothing_is_called_unless_overridden(visitor, serve, monkeypatch):
    """A program that overrides neither pays for neither."""
    sessions = serve(NodeSession)
    for name in ("cookie_domain", "cookie_path"):
        monkeypatch.setattr(sessions, name, lambda request: pytest.fail("was called"))
    assert (await visitor.get("/page?remember=1")).code == 200


BAD = ["a.example; Secure", "a\r\nX-Evil: 1", 5, True, b"a.example", ["a.example"]]


@pytest.mark.parametrize("value", BAD, ids=repr)
@pytest.mark.parametrize("method", ["cookie_domain", "cookie_path"])
async def test_what_is_no_domain_or_path(visitor, serve, caplog, method, value):
    """A value that cannot be in a cookie is an error that names the method; no cookie leaves."""
    serve(type("Bad", (NodeSession,), {method: lambda self, request: value}))
    answer = await visitor.get("/page")
    assert answer.code == 500 and "Set-Cookie" not in answer.headers and "X-Evil" not in answer.headers
    assert f"what {method}() of the NodeSession returns must be a " in caplog.text


async def test_an_async_override(visitor, serve, caplog, recwarn):
    """A method that must not be async says so by its error, without another warning."""

    class Async(NodeSession):
        async def cookie_domain(self, request):
            return "a.example"

    serve(Async)
    assert (await visitor.get("/page")).code == 500
    assert "what cookie_domain() of the NodeSession returns must be a domain" in caplog.text
    assert not [each for each in recwarn if "never awaited" in str(each.message)]


@pytest.mark.parametrize(("method", "value"), [("cookie_domain", "a.example"), ("cookie_path", "/shop")])
async def test_a_cookie_that_browsers_would_refuse(visitor, serve, caplog, method, value):
    """The name __Host- allows no domain and no other path; browsers would drop the cookie without a word."""
    kind = type("Host", (NodeSession,), {method: lambda self, request: value})
    serve(kind, cookie="__Host-id", secure=True, trustProxy=True)
    answer = await visitor.get("/page", headers={"X-Forwarded-Proto": "https"})
    assert answer.code == 500 and "Set-Cookie" not in answer.headers
    assert "browsers refuse '__Host-id' with a domain or a path other than '/'" in caplog.text
