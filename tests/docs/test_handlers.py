"""The examples of docs/handlers.md do what the page says."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tornado.ioloop import PeriodicCallback
from tornado.web import RequestHandler

from docs.pages import ROOT, blocks_of
from node_session import SessionMixin

PAGE = "docs/handlers.md"


def test_logins(run, visit):
    """A visitor is sent to the login, logs in, sees the account, and logs out; the old cookie is of no use."""

    async def scenario(visitor):
        response = await visitor.get("/account")
        assert response.code == 302 and response.headers["Location"].startswith("/login")
        await visitor.get("/login")
        before = visitor.id
        response = await visitor.post("/login", {"name": "Ann <b>"}, follow=True)
        assert response.body == b"Hello, Ann &lt;b&gt;." and visitor.id != before
        logged_in = visitor.cookie
        assert (await visitor.post("/login", {"name": "Bob"}, csrf=False)).code == 403
        await visitor.post("/logout")
        assert (await visitor.get("/account")).code == 302
        visitor.cookie = logged_in
        assert (await visitor.get("/account")).code == 302

    visit(scenario, run(PAGE, "class Account")["application"])


def test_user_from_a_database(run, visit, sessions):
    """A `current_user` that `prepare` has waited for is the handler's."""
    base = run(PAGE, "def find_user")["Base"]

    async def scenario(visitor):
        assert (await visitor.get("/")).body == b"None"
        await visitor.become(user_number=7)
        assert (await visitor.get("/")).body == b"{'number': 7, 'name': 'Ann'}"

    who = type("Who", (base,), {"get": lambda self: self.write(str(self.current_user))})
    visit(scenario, who, node_session=sessions)


def test_devices(run, visit):
    """Two browsers are listed, one is logged out by the form of the other, and the rest by the other button."""
    names = run(PAGE, "class EndDevice")
    application = names["application"]
    application.add_handlers(".*", [("/devices/end", names["EndDevice"])])
    sessions = names["sessions"]

    async def scenario(visitor):
        assert (await visitor.get("/devices")).code == 302
        for _ in range(3):
            visitor.cookie = None
            await visitor.post("/login", {"name": "ann"})
        page = (await visitor.get("/devices")).body.decode()
        assert page.count("<p>") == 3 and page.count("(here)") == 1 and "127.0.0.1" in page
        async with visitor.session() as session:
            *_, last = await sessions.devices("ann", session)
        await visitor.post("/devices/end", {"device": last.id})
        assert len(await sessions.devices("ann")) == 2
        await visitor.post("/devices")
        assert (await visitor.get("/devices")).body.decode().count("<p>") == 1

    visit(scenario, application)


def test_error_page(run, visit, sessions):
    """The page of an error has the session, or an empty one for an error before it was loaded."""

    async def scenario(visitor):
        await visitor.become({"user.name": "Ann"})
        response = await visitor.post("/")
        assert response.code == 500 and response.body == b"Sorry, Ann: 500 Internal Server Error"
        response = await visitor.request("BREW", "/", allow_nonstandard_methods=True)
        assert response.code == 405 and response.body.startswith(b"Sorry, visitor: 405")

    visit(scenario, run(PAGE, "def write_error")["Page"], node_session=sessions)


def test_templates(run, visit):
    """A module and its template show what the session holds."""

    async def scenario(visitor):
        await visitor.become({"user.name": "Ann", "status": "Saved & sent."})
        page = (await visitor.get("/")).body.decode()
        assert "Hello, Ann." in page and "Saved &amp; sent." in page and await visitor.token() in page

    visit(scenario, run(PAGE, "class Greeting")["application"])


def test_flash_for_pages(run, visit):
    """The message is there for the page, although a picture came before it."""
    page = {"Sec-Fetch-Mode": "navigate"}

    async def scenario(visitor):
        await visitor.post("/save", headers=page)
        await visitor.get("/", headers={"Sec-Fetch-Mode": "no-cors"})
        for seen in (b"Saved.", b"Home"):
            assert (await visitor.get("/", headers=page)).body == seen

    visit(scenario, run(PAGE, "flashOn")["application"])


def test_polls(run, visit, sessions):
    """A poll sees the session, sends no cookie, and stores nothing for a stranger."""
    handler = run(PAGE, "class News")["News"]

    async def scenario(visitor):
        assert (await visitor.get("/")).body == b'{"unread": 0}' and visitor.cookie is None
        assert sessions.stats.created == 0
        await visitor.become(unread=3)
        response = await visitor.get("/")
        assert response.body == b'{"unread": 3}' and "Set-Cookie" not in response.headers

    visit(scenario, handler, node_session=sessions)


def test_caches(run, visit, names):
    """A response with the cookie is private."""
    sessions = run(PAGE, "cacheControl")["sessions"]
    page = type("Page", (names["SessionMixin"], names["RequestHandler"]), {"get": lambda self: self.write("ok")})

    async def scenario(visitor):
        headers = (await visitor.get("/")).headers
        assert (headers["Cache-Control"], headers["Vary"]) == ("private", "Cookie")

    visit(scenario, page, node_session=sessions)


def test_stream(run, visit, sessions):
    """A new session is stored before its cookie leaves with the first piece; later changes, when the stream ends."""
    handler = run(PAGE, "class Rows")["Rows"]

    async def scenario(visitor):
        seen = []

        def chunk(data):
            seen.extend(each.read_text() for each in Path(sessions.config.files).glob("[!.]*"))

        assert (await visitor.get("/", streaming_callback=chunk)).code == 200
        assert '"downloads":1' in seen[0]
        await visitor.assert_has("last", 2)

    visit(scenario, handler, node_session=sessions)


def test_upload(run, visit, config, names):
    """A streamed upload is counted; with `csrf` only if its token is in a header."""
    handler = run(PAGE, "class Upload")["Upload"]

    async def scenario(visitor):
        await visitor.become(user="Ann")
        assert (await visitor.put("/", body="12345")).code == 200
        await visitor.assert_has("uploads", [5])
        form = {"_token": await visitor.token()}
        assert (await visitor.put("/", form, csrf=False)).code == 403

    visit(scenario, handler, node_session=names["NodeSession"]({**config, "csrf": True}))


def test_head(run, visit, sessions):
    """HEAD changes the session as GET does, and has no body."""
    handler = run(PAGE, "class Picture")["Picture"]

    async def scenario(visitor):
        assert (await visitor.head("/")).body == b""
        await visitor.assert_has("pictures", 1)

    visit(scenario, handler, node_session=sessions)


def test_thread(run, visit, sessions):
    """A picture is drawn in a thread, and counted."""
    handler = run(PAGE, "class Drawing")["Drawing"]

    async def scenario(visitor):
        await visitor.become({"user.name": "Ann"})
        assert (await visitor.get("/")).body == b"A picture of Ann"
        await visitor.assert_has("drawings", 1)

    visit(scenario, handler, node_session=sessions)


def test_background_task(run, visit, sessions, capsys):
    """A task flashes its message after the response; if its user has logged out meanwhile, it says so."""
    names = run(PAGE, "class Export")

    async def scenario(visitor):
        await visitor.become(user="Ann")
        for log_out in (False, True):
            assert (await visitor.post("/")).code == 202
            if log_out:
                await (await sessions.driver()).destroy(visitor.id)
            while names["tasks"]:
                await next(iter(names["tasks"]))
            if not log_out:
                await visitor.assert_has("status", "Your export is ready.")
        assert capsys.readouterr().out == "the user has logged out\n"

    visit(scenario, names["Export"], node_session=sessions)


def test_sweeping(run, io_loop):
    """The periodic callback can be started, and removes nothing that is alive."""
    sweeping = run(PAGE, "PeriodicCallback")["sweeping"]
    assert isinstance(sweeping, PeriodicCallback)
    assert io_loop.run_sync(sweeping.callback) == 0


def test_stopping(tmp_path):
    """A request under way at SIGTERM is answered and saved; then the program ends with 0."""
    (program,) = (each.text for each in blocks_of(ROOT / PAGE) if "SIGTERM" in each.text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    slow = "        import os\n        os.kill(os.getpid(), 15)\n        await asyncio.sleep(0.5)\n"
    begin = "    async def get(self):\n"
    assert begin in program
    (tmp_path / "program.py").write_text(program.replace("3000", str(port)).replace(begin, begin + slow))
    process = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        for _ in range(2000):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
                    assert response.read() == b"You were here 1 times."
                break
            except urllib.error.HTTPError:
                raise
            except OSError:
                assert process.poll() is None
                time.sleep(0.05)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert '"views":1' in next((tmp_path / "sessions").glob("[!.]*")).read_text()


def test_remember_me(run, visit, sessions):
    """Who wants to be remembered has a cookie for 30 days, and others have one as usual."""
    login = run(PAGE, "set_lifetime(30 * DAY)")["Login"]

    async def scenario(visitor):
        answer = await visitor.post("/", {"name": "Ann", "remember": "on"})
        assert "Max-Age=2592000;" in answer.headers["Set-Cookie"]
        assert (await visitor.stored())["_lifetime"] == 2_592_000_000
        visitor.cookie = None
        answer = await visitor.post("/", {"name": "Bob"})
        assert "Max-Age=300;" in answer.headers["Set-Cookie"]

    visit(scenario, login, node_session=sessions)


def test_many_hosts(run, visit, config):
    """Each host has its domain, and one that is not in the list has none."""
    sessions = run(PAGE, "def cookie_domain")["Sessions"](config)

    class Page(SessionMixin, RequestHandler):
        def get(self):
            self.session.put("seen", True)

    async def scenario(visitor):
        for host, domain in (("shop.example.org", "; Domain=example.org;"), ("evil.example", None)):
            line = (await visitor.get("/", headers={"Host": host})).headers["Set-Cookie"]
            assert domain in line if domain else "Domain" not in line
        await sessions.close()

    visit(scenario, Page, node_session=sessions)
