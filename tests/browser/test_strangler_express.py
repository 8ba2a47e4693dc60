"""The sample of an Express application that moves, in real Chromium: passport, connect-flash and csurf for both."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import servers
from pages import Visitor
from selenium.webdriver.common.by import By

SAMPLE = Path(__file__).parent.parent.parent / "samples" / "strangler-express"
HAS_NODE = shutil.which("node") is not None and (SAMPLE / "node_modules" / "express-session").is_dir()

pytestmark = pytest.mark.skipif(
    not HAS_NODE and os.environ.get("CI") != "true", reason="the sample's Node side is not installed: make test does it"
)


@pytest.fixture(scope="module")
def redis():
    """A server of Redis."""
    server = servers.start("redis")
    yield server
    server.stop()


@pytest.fixture(params=["file", "redis"])
def store(request, monkeypatch):
    """Where the sample keeps the sessions."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    if request.param == "redis":
        connection = request.getfixturevalue("redis").connection
        monkeypatch.setenv("REDIS_URL", f"redis://:pass%20word@{connection['host']}:{connection['port']}")


@pytest.fixture(params=["loans,logout", "loans"], ids=["logout by Tornado", "logout by Node"])
def visitor(browser, start, store, request):
    """A visitor whose Node and Tornado have just started."""
    return Visitor(browser, start("strangler-express/express_demo", request.param))


def log_in(visitor: Visitor, name: str, password: str = "tea") -> None:
    visitor.open("login", by="Node")
    visitor.browser.find_element(By.NAME, "username").send_keys(name)
    visitor.browser.find_element(By.NAME, "password").send_keys(password)
    visitor.press("#login")


def test_one_session_of_two_programs(visitor):
    """A login by passport, loans, flash messages, CSRF tokens and logout work across the two programs."""
    visitor.open("", by="Node")
    # Nobody is logged in: Tornado sends the browser to Node's login, which refuses a wrong password.
    visitor.browser.get(visitor.url + "loans")
    assert (visitor.text("#by"), visitor.text("h1")) == ("Node", "Log in")
    # The same with a form of Node's that Tornado answers.
    visitor.open("", by="Node")
    visitor.press("[value=dune]")
    assert (visitor.text("#by"), visitor.text("h1")) == ("Node", "Log in")
    log_in(visitor, "Jörg <b>", "coffee")
    assert (visitor.text("#by"), visitor.text(".message")) == ("Node", "The password is: tea.")
    before = visitor.cookie("connect.sid")

    # passport has logged in and Node has sent the browser on to Tornado, which knows the user and Node's message.
    log_in(visitor, "Jörg <b>")
    assert (visitor.text("#by"), visitor.text("#user")) == ("Tornado", "Jörg <b>")
    assert visitor.text(".message") == "Node says: you are logged in."
    assert visitor.cookie("connect.sid") != before
    # Each message is shown once.
    for path, by in (("loans", "Tornado"), ("", "Node")):
        visitor.open(path, by=by)
        assert visitor.text(".message") is None and visitor.text("#user") == "Jörg <b>"

    # A form of Node's, with csurf's token, is taken by Tornado; its message is shown once by Node.
    visitor.press("button[value=dune]")
    assert (visitor.text("#by"), visitor.text(".message")) == ("Node", "Tornado says: you have borrowed Dune.")
    visitor.press("button[value=emma]")
    visitor.open("", by="Node")
    assert visitor.text(".message") is None
    visitor.open("loans", by="Tornado")
    assert visitor.text("#loans") == "Dune\nEmma"

    # A form of Tornado's, with a token of ours, is taken by Node; the message goes the other way.
    visitor.press("#return")
    assert (visitor.text("#by"), visitor.text(".message")) == ("Tornado", "Node says: you have returned all.")
    assert visitor.text("#loans") == ""

    # Logged out by either, from a page of the other as well: out on both, and the cookie of before is of no use.
    logged_in = visitor.cookie("connect.sid")
    visitor.press("#logout")
    assert_logged_out(visitor)
    visitor.browser.delete_all_cookies()
    visitor.browser.add_cookie({"name": "connect.sid", "value": logged_in})
    assert_logged_out(visitor)

    # Another login, and a logout by a form of the other side.
    log_in(visitor, "Ann")
    visitor.open("", by="Node")
    assert visitor.text("#user") == "Ann"
    visitor.press("#logout")
    assert_logged_out(visitor)


def assert_logged_out(visitor: Visitor) -> None:
    """Assert that neither side knows a user."""
    visitor.open("", by="Node")
    assert visitor.text("#user") is None and visitor.text("a[href='/login']") == "Log in"
    visitor.browser.get(visitor.url + "loans")
    assert (visitor.text("#by"), visitor.text("h1")) == ("Node", "Log in")


def test_a_busy_port(monkeypatch):
    """A port that another program has is one line of error with the cure, and Node ends as well."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        command = [sys.executable, SAMPLE / "express_demo.py", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # Node has the same pipes
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"port {port} cannot be used (") and done.stderr.endswith("another: PORT=3001\n")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_the_end(monkeypatch, tmp_path, stop):
    """Ctrl-C, which both programs get, or a SIGTERM to the first ends both, without a traceback."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a background job ignores it
    script = f"import os, sys; {restore}; os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", script, sys.executable, str(SAMPLE / "express_demo.py"), "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes) as process:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        (os.killpg if stop is signal.SIGINT else os.kill)(process.pid, stop)
        assert process.communicate(timeout=60) == ("", "")  # ends with the last of both
    assert process.returncode == 0


def test_a_lost_redis(monkeypatch, tmp_path):
    """While Redis is away the demo says so, and afterwards goes on: no error ends Node."""
    server = servers.start("redis")
    url = f"redis://:pass%20word@127.0.0.1:{server.port}"
    command = [sys.executable, str(SAMPLE / "express_demo.py"), "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    try:
        with subprocess.Popen(command, env={**os.environ, "REDIS_URL": url}, cwd=tmp_path, **pipes) as process:
            at = process.stdout.readline().strip()
            server.kill()
            assert process.stderr.readline().startswith("Redis: ")
            server.start()
            while True:  # until Node is connected again, its library waits
                with urllib.request.urlopen(at + "login", timeout=60) as response:
                    if b"served by" in response.read():
                        break
            process.terminate()
            process.communicate(timeout=60)
    finally:
        server.stop()


@pytest.mark.parametrize(("path", "by", "button"), [("", "Node", "[value=dune]"), ("loans", "Tornado", "#return")])
def test_a_forged_form(browser, start, monkeypatch, path, by, button):
    """Either side refuses a form of the other's whose token was changed."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    visitor = Visitor(browser, start("strangler-express/express_demo"))
    log_in(visitor, "Ann")
    visitor.open("", by="Node")
    visitor.press("[value=emma]")
    visitor.open(path, by=by)
    browser.execute_script("document.querySelectorAll('[name=_csrf]').forEach((field) => { field.value += 'x'; })")
    visitor.press(button)
    assert visitor.text("#by") is None
    assert "403" in browser.page_source or "invalid csrf token" in browser.page_source
    visitor.open("loans", by="Tornado")
    assert visitor.text("#loans") == "Emma" and visitor.text(".message") is None
