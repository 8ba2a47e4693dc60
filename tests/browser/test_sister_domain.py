"""A sister domain in real Chromium: what it plants for a ``__Host-`` cookie takes no session's place."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from pages import press
from selenium.webdriver.common.by import By

NAME = "__Host-session"


class Sister(BaseHTTPRequestHandler):
    """A page on another host of the same domain, which sets a cookie for all of them, byte for byte."""

    planted = b""

    def do_GET(self):
        if self.path == "/":  # not the browser's own request for an icon
            self.server.seen = self.headers.get("Cookie", "")
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n")
        self.wfile.write(b"Set-Cookie: " + self.planted + b"; Domain=example.test; Path=/\r\n\r\n<h1>Sister</h1>")

    def log_message(self, *args):
        pass


@pytest.fixture
def sister():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sister)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def cookie_of_an_attacker(port: int) -> bytes:
    """The signed cookie of a live session that is not the visitor's."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urlopen(f"https://127.0.0.1:{port}/", context=context) as response:
        return response.headers["Set-Cookie"].partition("=")[2].partition(";")[0].encode()


def own_cookie(browser) -> str:
    """The visitor's; the planted one has the same name here, as WebDriver leaves out what is no UTF-8."""
    (value,) = [each["value"] for each in browser.get_cookies() if each["name"] == NAME and each["secure"]]
    return value


@pytest.mark.parametrize("before", [b"\xa0", b"\x85", b"\xa0 \x85"], ids=repr)
def test_a_planted_host_cookie(browser, start, sister, before):
    """A name that begins with a no-break space, which Chromium lets a sister domain set, is not taken for ours."""
    port = urlsplit(start("https")).port
    value = cookie_of_an_attacker(port)
    page, evil = f"https://www.example.test:{port}/", f"http://evil.example.test:{sister.server_port}/"
    Sister.planted = before + NAME.encode() + b"=" + value
    browser.get(evil)
    browser.get(page)
    own = own_cookie(browser)
    assert own.encode() != value
    browser.find_element(By.NAME, "note").send_keys("the visitor's")
    press(browser, "button")
    browser.get(evil)
    assert sister.seen.encode("latin1") == Sister.planted, "Chromium has not kept what was planted"
    browser.get(page)
    assert browser.find_element(By.NAME, "note").get_dom_attribute("value") == "the visitor's"
    assert own_cookie(browser) == own
