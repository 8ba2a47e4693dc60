"""Other sites' pages in real Chromium: what they have the browser ask of us logs nobody out.

One server is two sites: 127.0.0.1 is ours, localhost is another.
"""

from __future__ import annotations

import asyncio
import threading

import pytest
from pages import press
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from tornado.web import Application, RequestHandler
from visitors import SECRET

from node_session import NodeSession, SessionMixin

STORES = [{"driver": "memory"}, {"driver": "file"}, {"driver": "database", "connection": {"adapter": "sqlite"}}]


class Page(SessionMixin, RequestHandler):
    """Says who is there."""

    def get(self):
        self.settings["asked"].append(self.request.path)
        user = self.session.get("user", "nobody")
        self.write(f"<h1>{user}</h1><p>{self.session.report}</p>")

    post = get

    def write_error(self, status_code, **kwargs):
        self.write(f"<h1>{status_code}</h1>")


class Login(Page):
    """Logs in any visitor: from our own page, or the form of an identity provider."""

    csrf_exempt = True

    def get(self):
        self.session.regenerate(True)
        self.session.put("user", self.get_argument("user"))
        super().get()

    post = get


class Elsewhere(RequestHandler):
    """A page of the other site. What it shows, it asks of ours."""

    def get(self):
        url = self.get_argument("url")
        self.write(
            f"<h1>Elsewhere</h1><a href='{url}'>go there</a>"
            f"<form method='post' action='{url}'><input name='user' value='Bob'><button>send</button></form>"
        )
        if self.get_argument("embed", ""):
            self.write(
                f"<img src='{url}'><iframe src='{url}'></iframe><iframe name='inner'></iframe>"
                f"<form id='inner' method='post' action='{url}' target='inner'></form><script>"
                f"document.getElementById('inner').submit();"
                f"fetch('{url}', {{method: 'POST', mode: 'no-cors', credentials: 'include'}})</script>"
            )


class Site:
    """Our site, and the visitor who is logged in there."""

    def __init__(self, browser, port: int, asked: list[str], count) -> None:
        self.browser = browser
        self.ours = f"http://127.0.0.1:{port}"
        self.theirs = f"http://localhost:{port}"
        self.asked = asked
        self.count = count
        assert self.visit("/login?user=Ann") == "Ann"

    def head(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "h1").text

    def visit(self, path: str) -> str:
        """As from the address bar: who we are told to be."""
        self.browser.get(self.ours + path)
        return self.head()

    def elsewhere(self, path: str, selector: str = "", embed: str = "") -> str:
        """Go to the other site, and from there to a page of ours."""
        self.browser.get(f"{self.theirs}/elsewhere?url={self.ours}{path}&embed={embed}")
        assert self.head() == "Elsewhere"
        if selector:
            press(self.browser, selector)
        return self.head()

    def cookie(self) -> str:
        return self.browser.get_cookie("node_session")["value"]


@pytest.fixture
def site(browser, tmp_path, options):
    """The server, in a thread of its own."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    made, asked = [], []

    async def serve() -> None:
        sessions = NodeSession({"secret": SECRET, "files": str(tmp_path / "sessions"), "lottery": [0, 1], **options})
        routes = [("/page", Page), ("/login", Login), ("/elsewhere", Elsewhere)]
        server = Application(routes, node_session=sessions, asked=asked).listen(0, "127.0.0.1")
        ended = asyncio.Event()
        port = next(iter(server._sockets.values())).getsockname()[1]
        made.extend([port, sessions, ended])
        started.set()
        await ended.wait()
        server.stop()
        await server.close_all_connections()
        await sessions.close()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    assert started.wait(30)
    port, sessions, ended = made

    def count() -> int:
        """The number of stored sessions."""

        async def scan() -> int:
            return len([entry async for entry in (await sessions.driver()).scan()])

        return asyncio.run_coroutine_threadsafe(scan(), loop).result(30)

    yield Site(browser, port, asked, count)
    browser.get("about:blank")
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


def on(same_site: str, **more):
    """Each store, with this SameSite."""
    cases = [{**store, "sameSite": same_site, **more} for store in STORES]
    return pytest.mark.parametrize("options", cases, ids=lambda options: options["driver"])


def stays(site, before) -> None:
    """Ann is still logged in, by the same cookie, and nothing else was stored."""
    assert site.visit("/page") == "Ann"
    assert (site.cookie(), site.count()) == before


@on("lax")
def test_form(site):
    """Another site posts a form: its answer knows nobody, and Ann is still logged in afterwards."""
    before = site.cookie(), site.count()
    assert site.elsewhere("/page", "button") == "nobody"
    assert "; withheld; " in site.browser.page_source
    stays(site, before)


@on("lax", csrf=True)
def test_refused_form(site):
    """The same where csrf answers 403."""
    before = site.cookie(), site.count()
    assert site.elsewhere("/page", "button") == "403"
    stays(site, before)


@on("lax")
def test_link(site):
    """With lax, a link leads to the user's own session."""
    before = site.cookie(), site.count()
    assert site.elsewhere("/page", "a") == "Ann"
    stays(site, before)


@on("strict")
@pytest.mark.parametrize("way", ["a", "button"], ids=["link", "form"])
def test_strict(site, way):
    """With strict, a link or form of another site leads to a page that knows nobody, and Ann is still logged in."""
    before = site.cookie(), site.count()
    assert site.elsewhere("/page", way) == "nobody"
    stays(site, before)


@on("lax")
def test_pictures_frames_and_scripts(site):
    """What another site embeds of ours, or asks of it by a script, neither logs out nor leaves records."""
    before = site.cookie(), site.count()
    del site.asked[:]
    site.elsewhere("/page", embed="yes")
    WebDriverWait(site.browser, 30).until(lambda _: len(site.asked) == 4)
    stays(site, before)


@on("lax")
def test_callback_of_an_identity_provider(site):
    """A form_post callback that calls regenerate(True) logs in: Ann is Bob from now on."""
    assert site.elsewhere("/login", "button") == "Bob"
    assert site.visit("/page") == "Bob"
