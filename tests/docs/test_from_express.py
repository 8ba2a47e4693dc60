"""docs/from-express.md: every line of its Python runs, in front of its Express application, on a session of both."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
import sys
import time

import pytest

from docs.pages import ROOT, rows, section
from docs.two_programs import Client, Page, Tornado, free_port, node_programs
from node_session import NodeSession, Session

PAGE = Page(
    "from-express.md", "strangler-express", "express-session", {"/login": "Login", "/logout": "Logout"}, "_csrf"
)
(EXPRESS,) = PAGE.javascript
SECRET = "a-secret-that-both-programs-know-0123456789"

# What the table of idioms starts with.
CONTENT = {
    "views": 1,
    "user": {"name": "Ann"},
    "cart": ["tea"],
    "passport": {"user": "ann"},
    "flash": {"info": ["Hello.", "Welcome!"], "error": ["No."]},
}
IDIOMS = [
    [cell.strip("`") for cell in row]
    for row in rows(section("docs/from-express.md", "From req.session to session").split("Plain JavaScript")[0])
]

RUN_IDIOMS = """
require('util').isArray ??= Array.isArray; // gone since Node 23, and connect-flash is older
const flash = require('connect-flash')();
const { content, idioms } = JSON.parse(process.argv[2]);
console.log(JSON.stringify(idioms.map((idiom) => {
  const req = { session: structuredClone(content) };
  flash(req, {}, () => {});
  const value = new Function('req', `return (${idiom})`)(req);
  return [value, req.session];
})));
"""


@pytest.fixture
def options():
    """The sessions of the page."""
    return {"format": "express-session"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in which everything runs, with the page's secret."""
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "samples" / "strangler"))
    return tmp_path


@pytest.fixture
def start_node(folder):
    """Starts the page's application; gives its port."""
    with node_programs(PAGE, folder) as start:
        yield start


def log_in(client: Client) -> str:
    client.open("/login")
    return client.open("/login", username=" Jörg <b> ", password="tea")


def test_versions():
    """The page names the versions that the tests run."""
    text = " ".join(section("docs/from-express.md", "").split())
    packages = json.loads((ROOT / "tests" / "interop" / "package.json").read_text())["dependencies"]
    minor = {name: version.removeprefix("npm:express@").rpartition(".")[0] for name, version in packages.items()}
    assert f"Express {minor['express']} and {minor['express5']}, express-session {minor['express-session']}," in text
    for name in ("connect-redis", "connect-pg-simple", "connect-mongo"):
        assert f"{name} {minor[name].removesuffix('.0')}," in text
    for name in ("session-file-store", "passport", "connect-flash", "csurf", "csrf-sync"):
        assert f"{name} {minor[name]}" in text


def test_every_line_of_python(folder):
    """Run with nobody behind it, every line of the page's Python is reached, and does what the page says."""
    tornado = Tornado(PAGE, free_port(), *PAGE.later)

    def visit(client: Client) -> None:
        assert "Log in" in client.open("/account")
        assert "Log in" in client.open("/login", username="Ann", password="coffee")
        account = log_in(client)
        assert "<p>Welcome!</p>" in account and "<p> Jörg &lt;b&gt; : 0 in the cart</p>" in account
        account = client.open("/cart", product="tea")
        assert "1 in the cart" in account and "<p>It is in your cart.</p>" in account
        assert "It is in your cart." not in client.open("/account")
        assert client.refused("/cart", product="tea", _csrf="wrong") == 403
        assert client.refused("/nowhere") == 502
        assert "Log in" in client.open("/logout", button="")
        assert "Log in" in client.open("/account")

    tornado.serve(visit)
    assert tornado.missed() == []


@pytest.mark.parametrize("moved", [(), ("/login",), ("/logout",), ("/login", "/logout")], ids=str)
def test_in_front_of_express(folder, start_node, moved):
    """With the first routes moved, and login or logout or neither, one session goes through Tornado and Express."""
    tornado = Tornado(PAGE, start_node(EXPRESS), *moved)

    def visit(client: Client) -> None:
        assert "Log in" in client.open("/account")  # Tornado sends on to the login
        account = log_in(client)  # which sends back to Tornado
        assert "<p>Welcome!</p>" in account and "<p> Jörg &lt;b&gt; : 0 in the cart</p>" in account
        assert "1 in the cart" in client.open("/cart", product="tea")
        assert client.refused("/logout", _csrf="wrong") == 403
        assert "Log in" in client.open("/logout", button="")
        assert "Log in" in client.open("/account")

    tornado.serve(visit)


@pytest.mark.parametrize("moved", [(), ("/login", "/logout")], ids=str)
def test_express_alone(folder, start_node, moved):
    """Before and after the move, Express serves all of it: also a session that Tornado has begun."""
    port = start_node(EXPRESS)

    def visit(client: Client) -> None:
        log_in(client)
        client.open("/cart", product="tea")
        express = Client(f"http://127.0.0.1:{port}", PAGE.field, client.cookies)
        account = express.open("/account")
        assert "<p> Jörg &#60;b&#62; : 1 in the cart</p>" in account
        assert "2 in the cart" in express.open("/cart", product="pot")
        assert "<p>It is in your cart.</p>" not in client.open("/account")
        assert "Log in" in express.open("/logout", button="")
        assert "Log in" in client.open("/account")

    Tornado(PAGE, port, *moved).serve(visit)


def test_the_cookie_of_before_a_login(folder, start_node):
    """After a login in Tornado, the old cookie still shows Tornado the old content, and Express nobody."""
    port = start_node(EXPRESS)

    def visit(client: Client) -> None:
        log_in(client)
        client.open("/cart", product="tea")
        before = [copy.copy(cookie) for cookie in client.cookies]
        assert "1 in the cart" in log_in(client)
        assert [cookie.value for cookie in client.cookies] != [cookie.value for cookie in before]
        for url, shown in ((client.url, "1 in the cart"), (f"http://127.0.0.1:{port}", "Log in")):
            late = Client(url, PAGE.field)
            for cookie in before:
                late.cookies.set_cookie(cookie)
            assert shown in late.open("/account")
        assert "1 in the cart" in client.open("/account")

    Tornado(PAGE, port, *PAGE.later).serve(visit)


def test_idioms(names, tmp_path, start_node):
    """Both sides of a row of the table leave the same in the session, and give the same if they give anything."""
    start_node(EXPRESS)  # with its packages beside it
    (tmp_path / "idioms.js").write_text(RUN_IDIOMS)
    asked = json.dumps({"content": CONTENT, "idioms": [javascript for javascript, _ in IDIOMS]})
    done = subprocess.run(["node", "idioms.js", asked], cwd=tmp_path, capture_output=True, text=True, check=True)
    session = names["session"]
    for (javascript, python), (value, content) in zip(IDIOMS, json.loads(done.stdout), strict=True):
        session.flush()
        session.update(json.loads(json.dumps(CONTENT)))
        own = None
        if " = " in python:
            exec(python, names)
        else:
            own = eval(python, names)
        assert session.all() == content, javascript
        assert own is None or own == value, javascript
    assert len(IDIOMS) >= 12


def test_methods():
    """The other table names methods that there are, and so does the text."""
    named = set(re.findall(r"`(?:await )?session\.([a-z_]+)\(", section("docs/from-express.md", "")))
    assert len(named) >= 10 and named <= set(dir(Session))


@pytest.mark.filterwarnings("ignore:secret")
def test_config(folder):
    """The config of the command line is that of the page's program."""
    names = {}
    exec(PAGE.first, names)
    shown, used = NodeSession(json.loads(PAGE.json)).config, names["sessions"].config
    for option in ("format", "driver", "files", "lifetime", "cookie", "expire_on_close"):
        assert getattr(shown, option) == getattr(used, option)


def test_every_command(folder):
    """Every command of the page does its work on a session of Express."""
    config = {**json.loads(PAGE.json), "secret": SECRET}
    (folder / "express.json").write_text(json.dumps(config))
    (folder / "new.json").write_text(json.dumps({**config, "files": "new"}))
    files = folder / "sessions"
    files.mkdir(0o700)
    cookie = {"originalMaxAge": 3600000, "expires": "2026-11-26T21:35:04.000Z", "httpOnly": True, "path": "/"}
    content = {"cookie": cookie, "passport": {"user": "Ann"}, "__lastAccess": int(time.time() * 1000)}
    for command in PAGE.commands:
        (files / "abcdefghijklmnopqrstuvwxyz-_0123.json").write_text(json.dumps(content))
        done = subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if " ls " in command:
            assert "\n1 session," in done.stdout
        if " destroy " in command:
            assert done.stdout.startswith("destroyed 1 session") and not list(files.glob("*.json"))
    (copied,) = (folder / "new").glob("*.json")
    assert json.loads(copied.read_text())["passport"] == {"user": "Ann"} and len(PAGE.commands) == 4
