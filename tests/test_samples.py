"""Every sample, started with its one command and used."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

SAMPLES = Path(__file__).parent.parent / "samples"


class Visitor:
    """A browser that keeps all its cookies."""

    def __init__(self, url: str) -> None:
        self.scheme, self.host = re.fullmatch(r"(https?)://([\d.:]+)/", url).groups()
        self.cookies: dict[str, str] = {}
        self.lines: list[str] = []

    def visit(self, path="/", method="GET", **form):
        if self.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(self.host, context=context)
        else:
            connection = http.client.HTTPConnection(self.host)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, urlencode(form) if form else None, headers)
        response = connection.getresponse()
        body = response.read().decode()
        self.lines = response.headers.get_all("Set-Cookie") or []
        for line in self.lines:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        return response.status, body


def test_page_views(start, tmp_path):
    """Views are counted for each page and browser, survive a restart, and end with the session."""
    url = start("page_views")
    one, two = Visitor(url), Visitor(url)
    assert "You viewed this page 1 times" in one.visit("/foo")[1]
    assert "You viewed this page 2 times" in one.visit("/foo")[1]
    assert "You viewed this page 1 times" in one.visit("/bar")[1]
    assert "You viewed this page 1 times" in two.visit("/foo")[1]
    assert "<script>" not in one.visit('/"]<script>')[1]
    start.stop()
    one.host = Visitor(start("page_views")).host
    assert "You viewed this page 3 times" in one.visit("/foo")[1]
    assert one.visit("/forget", "POST")[0] == 302
    assert "You viewed this page 1 times" in one.visit("/foo")[1]
    assert len(list((tmp_path / "sessions").glob("[!.]*"))) == 2


def test_https(start, tmp_path):
    """The cookie is for https and this host only, the records are encrypted, the form is protected."""
    browser = Visitor(start("https"))
    assert browser.scheme == "https"
    page = browser.visit()[1]
    (line,) = browser.lines
    assert line.startswith("__Host-session=") and "; Secure" in line and "; Path=/;" in line
    token = re.search(r'name="_token" value="([^"]+)"', page)[1]
    assert browser.visit(method="POST", note="x", _token="wrong")[0] == 403
    assert browser.visit(method="POST", note="a note & more", _token=token)[0] == 302
    page = browser.visit()[1]
    assert 'value="a note &amp; more"' in page and "Saved." in page
    assert "Saved." not in browser.visit()[1]
    (record,) = (tmp_path / "sessions").glob("[!.]*")
    assert json.loads(record.read_text())["v"] == 2 and "a note" not in record.read_text()


def test_callback_style(start):
    """Callback and await count in the same session."""
    browser = Visitor(start("callback_style"))
    for path, views in (("/", 1), ("/await", 2), ("/", 3)):
        assert browser.visit(path)[1] == f"You were here {views} times."


def test_custom_driver(start):
    """The driver of twenty lines keeps the words."""
    browser = Visitor(start("custom_driver"))
    assert "Say it" in browser.visit()[1]
    browser.visit("/?word=hello")
    assert browser.visit("/?word=world")[1] == "hello world"


@pytest.mark.gen_test
async def test_websocket(start):
    """Messages over the WebSocket are on the page, and of one session."""
    url = start("websocket")
    browser = Visitor(url)
    browser.visit()
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    connection = await websocket_connect(HTTPRequest(url.replace("http", "ws") + "socket", headers={"Cookie": cookie}))
    for message, all_of_them in (("hello", ["hello"]), ("<b>", ["hello", "<b>"])):
        await connection.write_message(message)
        assert json.loads(await connection.read_message()) == {"messages": all_of_them}
    connection.close()
    assert "<li>hello</li><li>&lt;b&gt;</li>" in browser.visit()[1]
    assert "<li>" not in Visitor(url).visit()[1]


def token(page: str) -> str:
    return re.search(r'name="csrf-token" content="([^"]+)"', page)[1]


@pytest.mark.parametrize("driver", ["file", "memory", "sqlite"])
def test_shop(start, driver, tmp_path):
    """The shop sells: cart, flash, old input after an error, an order, signing in and out."""
    browser = Visitor(start("shop/shop", "--driver", driver))
    page = browser.visit()[1]
    assert browser.visit("/cart/add", "POST", product="mug")[0] == 403
    assert browser.visit("/cart/add", "POST", product="<b>", _token=token(page))[0] == 404
    assert browser.visit("/cart/add", "POST", product="mug", _token=token(page))[0] == 302
    page = browser.visit()[1]
    assert "Stoneware mug: in your cart." in page and 'id="count">1<' in page
    assert "in your cart." not in browser.visit()[1]
    order = {"name": "Ann", "email": "<nowhere>", "_token": token(page)}
    assert browser.visit("/order", "POST", **order)[0] == 302
    page = browser.visit("/cart")[1]
    assert "That is no e-mail address." in page and 'value="&lt;nowhere&gt;"' in page and 'value="Ann"' in page
    assert browser.visit("/order", "POST", **{**order, "email": "ann@example.org"})[0] == 302
    page = browser.visit("/cart")[1]
    assert "Thank you, Ann!" in page and "1 × Stoneware mug" in page and 'id="count">0<' in page
    before = dict(browser.cookies)
    assert browser.visit("/sign-in", "POST", name="Ann", password="coffee", _token=token(page))[0] == 302
    assert "the password: tea." in browser.visit("/sign-in")[1] and browser.cookies == before
    assert browser.visit("/sign-in", "POST", name="Ann", password="tea", _token=token(page))[0] == 302
    assert browser.cookies != before and "Max-Age" not in browser.lines[0]
    page = browser.visit()[1]
    assert "Welcome, Ann." in page and "Sign out" in page
    old = Visitor(f"http://{browser.host}/")
    old.cookies = before
    assert "Sign out" not in old.visit("/cart")[1] and not old.lines
    assert browser.visit("/sign-out", "POST", _token=token(page))[0] == 302
    page = browser.visit("/cart")[1]
    assert "You are signed out" in page and "Your orders" not in page
    assert (tmp_path / "sessions").exists() == (driver != "memory")


def test_shop_remembers_a_device(start):
    """With "remember this device" the cookie has an end of its own, on the following pages too."""
    browser = Visitor(start("shop/shop"))
    page = browser.visit("/sign-in")[1]
    browser.visit("/sign-in", "POST", name="Ann", password="tea", remember="yes", _token=token(page))
    browser.visit("/cart")
    assert "; Max-Age=604800;" in browser.lines[0]


def run_shop(folder, *options: str) -> str:
    """The one line of error of a shop that does not start."""
    command = [sys.executable, SAMPLES / "shop" / "shop.py", *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and result.stderr.count("\n") == 1 and not result.stdout
    return result.stderr


def test_shop_with_a_wrong_driver(tmp_path):
    """A driver nobody knows is one line of error that names all there are."""
    error = run_shop(tmp_path, "0", "--driver", "papyrus")
    assert "'papyrus' is not known" in error
    assert "'file', 'memory', 'sqlite', 'redis', 'mongodb', 'postgresql', 'mysql'" in error


def test_shop_at_a_busy_port(tmp_path):
    """A port that another program has is one line of error with the cure."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        error = run_shop(tmp_path, str(port))
    assert f"port {port} cannot be used (" in error and "make demo PORT=" in error


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_shop_at_no_port(port, tmp_path):
    """A port that is none is one line of error, too."""
    assert f"a port is a number from 0 to 65535, not '{port}'" in run_shop(tmp_path, "--", port)


def test_shop_ends_by_ctrl_c(tmp_path):
    """Ctrl-C ends the shop without a traceback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, SAMPLES / "shop" / "shop.py", str(port), "--driver", "sqlite"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as shop:
        assert Visitor(shop.stdout.readline().strip()).visit()[0] == 200
        shop.send_signal(signal.SIGINT)
        assert shop.communicate()[1] == "" and shop.returncode == 0


@pytest.mark.parametrize(
    ("variables", "extra", "options"),
    [
        ([], ".", "shop.py  --driver 'file' --connection '{}'"),
        (["PORT=3001"], ".", "shop.py 3001 --driver 'file'"),
        (["ARGS=3001"], ".", "--connection '{}' 3001"),
        (["DRIVER=sqlite"], ".", "--driver 'sqlite'"),
        (["DRIVER=redis", 'CONNECTION={"port": 1}'], ".[redis]", """--driver 'redis' --connection '{"port": 1}'"""),
        (["DRIVER=postgresql"], ".[postgresql]", "--driver 'postgresql'"),
        (["DRIVER=mysql"], ".[mysql]", "--driver 'mysql'"),
    ],
    ids=str,
)
def test_make_demo(variables, extra, options):
    """`make demo` installs the library, with the client of the chosen store, and hands on what it was asked for."""
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", "demo", *variables]
    # Not what an outer make hands down.
    outside = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    made = subprocess.run(command, cwd=SAMPLES.parent, env=outside, capture_output=True, text=True, check=True).stdout
    install, run = "".join(made.splitlines()[:-1]), made.splitlines()[-1]
    assert f"--editable '{extra}'" in install and "--group" not in install
    assert options in run


def test_every_sample_is_tested():
    """No sample is without a test, or without its line in samples/README.md. The stranglers' are in tests/browser."""
    files = [each for each in SAMPLES.rglob("*.py") if not {"strangler", "strangler-express"} & {*each.parts}]
    names = {each.relative_to(SAMPLES).with_suffix("").as_posix() for each in files}
    assert {f"test_{Path(name).stem}" for name in names} <= set(globals())
    readme = (SAMPLES / "README.md").read_text()
    assert all(f"`python samples/{name}.py`" in readme for name in names)
