"""The examples of docs/security.md let the right ones in, and nobody else."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from tornado.template import Template
from tornado.web import RequestHandler

from docs.pages import ROOT, blocks_of
from docs.serving import served
from node_session import SessionMixin

PAGE = "docs/security.md"
FORM_OF_ANOTHER_SITE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def state_of(response) -> str:
    """The state in the address to which a login redirects."""
    query = parse_qs(urlsplit(response.headers["Location"]).query)
    return (query.get("state") or query["RelayState"])[0]


def test_json_body(run, visit):
    """JSON is accepted with the token in a header, and not with one in the body."""

    async def scenario(visitor):
        await visitor.become(user="Ann")
        assert (await visitor.post("/cart", json={"sku": "mug"})).code == 200
        in_body = {"sku": "mug", "_token": await visitor.token()}
        assert (await visitor.post("/cart", json=in_body, csrf=False)).code == 403
        as_text = {"body": '{"sku": "mug"}', "headers": {"Content-Type": "text/plain"}}
        assert (await visitor.post("/cart", csrf=False, **as_text)).code == 403
        await visitor.assert_has("cart", [{"sku": "mug"}])

    visit(scenario, run(PAGE, "class Cart")["application"])


def test_token_for_a_script(names, io_loop):
    """The meta element of the page has the session's token."""
    (text,) = (each.text for each in blocks_of(ROOT / PAGE) if "csrf-token" in each.text and each.language == "html")

    class Page(SessionMixin, RequestHandler):
        def get(self):
            self.write(Template(text).generate(handler=self))

    async def scenario() -> None:
        async with served(names["Application"]([("/", Page)], node_session=names["sessions"])) as visitor:
            body = (await visitor.get("/")).body.decode()
            assert f'content="{await visitor.token()}"' in body

    io_loop.run_sync(scenario)


def test_oauth(run, visit):
    """A login with the session's state succeeds once; with none, or another one, it is refused."""

    async def scenario(visitor):
        assert (await visitor.get("/login/done?code=1&state=guessed")).code == 403
        state = state_of(await visitor.get("/login"))
        before = visitor.id
        assert (await visitor.get(f"/login/done?code=1&state={state}x")).code == 403
        state = state_of(await visitor.get("/login"))
        assert (await visitor.get(f"/login/done?code=1&state={state}")).code == 302
        await visitor.assert_has("user.name", "Ann")
        assert visitor.id != before
        assert (await visitor.get(f"/login/done?code=1&state={state}")).code == 403

    visit(scenario, run(PAGE, "class Finish(")["application"])


def test_saml(run, visit):
    """A form of the provider begins a session of its own, with the cookie of this login; another site's does not."""

    async def scenario(visitor):
        await visitor.become(cart=["mug"])
        earlier = visitor.cookie
        state = state_of(await visitor.get("/saml"))
        visitor.cookie = None  # the browser withholds it
        fields = {"SAMLResponse": "signed by the provider", "RelayState": state}
        options = {"headers": FORM_OF_ANOTHER_SITE, "csrf": False}
        for wrong in ({"RelayState": "guessed"}, {"SAMLResponse": "forged"}):
            assert (await visitor.post("/saml/done", {**fields, **wrong}, **options)).code == 403
            assert visitor.cookie is None
        assert (await visitor.post("/saml/done", fields, **options)).code == 303
        await visitor.assert_has("user.name", "Ann")
        assert visitor.cookies.get("login_state", '""') == '""'
        visitor.cookie = earlier
        await visitor.assert_has("cart", ["mug"])

    visit(scenario, run(PAGE, "class FinishSaml")["application"])
