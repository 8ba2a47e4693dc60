"""The CSRF check, its fields in forms, and Tornado's own."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlencode

import pytest
from tornado.web import RequestHandler
from visitors import ID

from node_session import NodeSession, SessionMixin
from web.handlers import Form, Nothing, route

pytestmark = pytest.mark.gen_test


@pytest.fixture
def stores():
    """The option `saveUninitialized`; tests parametrize it."""
    return True


@pytest.fixture
def config(config, stores):
    return {**config, "saveUninitialized": stores}


class Exempt(Form):
    csrf_exempt = True


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf(app, visitor):
    """Requests that change something need the session's token, in a field or in a header."""
    route(app, form=Form)
    token = (await visitor.get("/form")).body.decode()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await visitor.request(method, "/form", csrf=False)).code == 403
        for header in ("X-CSRF-Token", "X-XSRF-Token"):
            assert (await visitor.request(method, "/form", csrf=False, headers={header: token})).code == 200
            assert (await visitor.request(method, "/form", csrf=False, headers={header: token[:-1] + "."})).code == 403
    for field in ("_token", "_xsrf"):
        form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}
        assert (await visitor.post("/form", csrf=False, body=urlencode({field: token}), **form)).code == 200
        assert (await visitor.post("/form", csrf=False, body=urlencode({field: "x" * 40}), **form)).code == 403
    for method in ("GET", "HEAD", "OPTIONS"):
        assert (await visitor.request(method, "/form", csrf=False)).code == 200
    headers = {"X-CSRF-Token": "x" * 40, "X-XSRF-Token": token}  # one of them may be another library's
    assert (await visitor.post("/form", csrf=False, headers=headers)).code == 200


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_says_what_is_wrong(app, visitor, new_visitor):
    """The answer tells whether the token was missing or wrong, and shows none."""
    route(app, form=Form)
    response = await visitor.post("/form", csrf=False)
    assert response.reason == "CSRF token missing: send it as the form field _token or as X-CSRF-Token"
    token = (await new_visitor().get("/form")).body.decode()
    response = await visitor.post("/form", csrf=False, headers={"X-CSRF-Token": token})
    assert "CSRF token wrong" in response.reason
    assert token not in response.body.decode()


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_token_cannot_be_asked_for_in_the_url(app, visitor):
    """A token in the URL, where it gets into logs and Referer, does not count."""
    route(app, form=Form)
    token = (await visitor.get("/form")).body.decode()
    assert (await visitor.post(f"/form?_token={token}", csrf=False)).code == 403


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_exempt(app, visitor):
    """A handler can be exempt, for webhooks."""
    route(app, form=Exempt)
    assert (await visitor.post("/form", csrf=False, headers={"Sec-Fetch-Site": "cross-site"})).code == 200


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_before_own_prepare(app, visitor):
    """A refused request does not reach the handler's own prepare."""
    reached = []

    class Own(Form):
        def prepare(self):
            reached.append(1)

    route(app, form=Own)
    assert (await visitor.post("/form", csrf=False)).code == 403
    assert reached == []


@pytest.mark.parametrize("options", [{"csrf": True}])
@pytest.mark.parametrize("calls_super", [False, True])
async def test_csrf_before_the_prepare_of_a_class_named_first(app, visitor, calls_super):
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
        assert (await visitor.post(path, csrf=False)).code == 403
        assert reached == []
    token = (await visitor.get("/form")).body.decode()
    for path in ("/form", "/alone"):
        assert (await visitor.post(path, csrf=False, headers={"X-CSRF-Token": token})).code == 200
    assert reached == [token] * 3


@pytest.mark.parametrize("options", [{"csrf": True}])
@pytest.mark.parametrize("driver", ["file", "slow"])
async def test_csrf_where_the_session_was_started_before(app, visitor, config, driver):
    """A session that a handler has started by itself, ahead of the mixin, does not make the check fall away."""
    app.settings["node_session"] = sessions = NodeSession({**config, "driver": driver})
    early = []

    class Early(Form):
        def initialize(self):
            early.append(sessions.start_session(self.request, self, lambda: None))

    route(app, form=Early, nothing=Nothing)
    await visitor.get("/nothing")  # from now on the driver exists, so the session is loaded immediately
    visitor.use_id(ID)
    response = await visitor.post("/form", csrf=False)
    assert response.code == {"file": 403, "slow": 500}[driver]  # 500: it is still at work
    await asyncio.gather(*early)
    await sessions.close()


async def test_csrf_field_is_escaped(app, visitor):
    """A token that a program has set, from a user even, is text in the form."""

    class Page(Form):
        def get(self):
            self.session.put("_token", '"><script>')
            self.write(self.csrf_field())

    route(app, form=Page)
    page = (await visitor.get("/form")).body.decode()
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
async def test_csrf_other_bodies(app, visitor, content_type, body):
    """Only a form's field is a field: no other kind of body passes, and a broken one is refused like any other."""
    route(app, form=Form)
    token = (await visitor.get("/form")).body.decode()
    headers = {"Content-Type": content_type}
    response = await visitor.post("/form", csrf=False, headers=headers, body=body.format(token=token))
    assert response.code in (400, 403)


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_csrf_methods_by_another_name(app, visitor):
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
    assert (await visitor.get("/form?_method=POST", headers=override)).code == 200
    assert (await visitor.post("/form", csrf=False, headers={"X-HTTP-Method-Override": "GET"})).code == 403
    for method in ("PURGE", "post", "Post", "TRACE"):
        response = await visitor.request(method, "/form", csrf=False, allow_nonstandard_methods=True)
        assert response.code in (403, 405)
    assert reached == []


@pytest.mark.parametrize("options", [{"csrf": True}])
@pytest.mark.parametrize("template", ["{% raw csrf_field() %}", "{% module xsrf_form_html() %}"])
@pytest.mark.parametrize("xsrf_cookies", [False, True])
async def test_csrf_in_templates(app, visitor, template, xsrf_cookies, tmp_path):
    """csrf_field() and Tornado's own xsrf_form_html() give the same token, with xsrf_cookies as well."""
    app.settings["xsrf_cookies"] = xsrf_cookies
    app.settings["template_path"] = str(tmp_path)
    (tmp_path / "form.html").write_text(template)

    class Rendered(Form):
        def get(self):
            self.render("form.html")

    route(app, form=Rendered)
    page = (await visitor.get("/form")).body.decode()
    name, value = re.fullmatch(r'<input type="hidden" name="(\w+)" value="([^"]+)"/?>', page).groups()
    assert value == (await visitor.stored())["_token"]
    form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": urlencode({name: value})}
    assert (await visitor.post("/form", csrf=False, **form)).code == 200
    assert (await visitor.post("/form", csrf=False)).code == 403


@pytest.mark.parametrize("stores", [True, False], ids=["saveUninitialized", "not"])
@pytest.mark.parametrize("options", [{"csrf": True, "driver": name} for name in ("memory", "file", "database")])
async def test_csrf_in_the_page_of_a_log_out(app, visitor):
    """The form in a page of a log-out has a token, with which it is accepted."""

    class LogOut(Form):
        def get(self):
            self.session.invalidate()
            self.write(self.csrf_field())

    route(app, form=Form, logout=LogOut)
    await visitor.get("/form")
    page = (await visitor.get("/logout")).body.decode()
    headers = {"X-CSRF-Token": re.search('value="([^"]+)"', page)[1]}
    assert (await visitor.post("/form", csrf=False, headers=headers)).code == 200


@pytest.mark.parametrize("options", [{"csrf": True}])
async def test_fetch_metadata(app, visitor):
    """A request that the browser ascribes to another site is refused with any token."""
    route(app, form=Form)
    token = (await visitor.get("/form")).body.decode()
    for site, code in (
        ("cross-site", 403),
        ("same-origin, cross-site", 403),
        ("Cross-Site", 403),
        ("same-site", 200),
        ("same-origin", 200),
        ("none", 200),
    ):
        headers = {"X-CSRF-Token": token, "Sec-Fetch-Site": site}
        assert (await visitor.post("/form", csrf=False, headers=headers)).code == code


async def test_without_csrf(app, visitor):
    """Without the option nothing is checked, as in the original."""
    route(app, form=Form)
    assert (await visitor.post("/form", csrf=False)).code == 200


async def test_tornados_own_xsrf(app, visitor):
    """Without the option, Tornado's own xsrf_cookies works as ever."""
    app.settings["xsrf_cookies"] = True

    class Own(Form):
        def get(self):
            self.write(self.xsrf_token)

    route(app, form=Own)
    response = await visitor.get("/form")
    token = response.body.decode()
    own = response.headers.get_list("Set-Cookie")
    assert any(line.startswith("_xsrf=") for line in own)
    assert (await visitor.post("/form", csrf=False)).code == 403
    headers = {"X-XSRFToken": token, "Cookie": f"_xsrf={token}; node_session={visitor.cookie}"}
    assert (await visitor.post("/form", csrf=False, headers=headers)).code == 200
