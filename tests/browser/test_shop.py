"""The shop in real Chromium: cookies as a browser keeps them, two tabs, the back button, other sites, the live view.

``make screenshots`` runs the same and puts its pictures into docs/.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pages import press
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

DOCS = Path(__file__).parent.parent.parent / "docs"


class Shop:
    """A visitor to the shop, in the tab that has the focus."""

    def __init__(self, browser, url: str) -> None:
        self.browser = browser
        self.url = url

    def visit(self, path: str = "") -> None:
        self.browser.get(self.url + path)

    def one(self, selector: str):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "main") -> str:
        return self.one(selector).text

    def press(self, selector: str) -> None:
        press(self.browser, selector)

    def wait(self, condition, message: str = "") -> None:
        """Wait until it is so; elements may come, go and be replaced meanwhile."""
        WebDriverWait(self.browser, 30, ignored_exceptions=[WebDriverException]).until(lambda _: condition(), message)

    def wait_for(self, selector: str, text: str) -> None:
        self.wait(lambda: text in self.text(selector), f"{selector} does not come to say {text!r}")

    def add(self, product: str) -> None:
        """Put one into the cart."""
        self.press(f"#add-{product}")
        assert "in your cart" in self.text(".flash")

    def sign_in(self, name: str = "Ann", password: str = "tea", remember: bool = False) -> None:
        self.visit("sign-in")
        self.one("[name=name]").send_keys(name)
        self.one("[name=password]").send_keys(password)
        if remember:
            self.one("[name=remember]").click()
        self.press("main button")
        if password == "tea":
            assert "Welcome" in self.text(".flash")
        else:
            assert "the password: tea" in self.text(".error")

    def sign_out(self) -> None:
        self.press("nav form button")
        assert "signed out" in self.text(".flash")

    def cookie(self):
        """The session's cookie as the browser keeps it; None for none."""
        return self.browser.get_cookie("node_session")

    def sessions(self) -> list[str]:
        """The ids of the records that a session can go on with."""
        others = ('{"_left"', '{"_devices"')
        files = [each for each in self.records.glob("[!.]*") if not each.read_text().startswith(others)]
        return [each.name for each in files]

    def session_id(self) -> str:
        return re.match(r"s%3A([\w-]{40})\.", self.cookie()["value"])[1]

    def records_of(self, folder: Path) -> Path:
        """The file of this visitor's session."""
        return folder / self.session_id()

    def panel(self) -> str:
        return self.text(".session-panel")


@pytest.fixture
def shop(browser, start, tmp_path):
    """A shop of its own for each test, with its page open."""
    shop = Shop(browser, start("shop/shop"))
    shop.records = tmp_path / "sessions"
    shop.visit()
    return shop


@pytest.fixture
def picture(browser, tmp_path):
    """Takes a picture of the page, as high as it is, or of an element."""

    def picture(name: str, selector: str = "") -> None:
        folder = DOCS if os.environ.get("SCREENSHOTS") else tmp_path
        folder.mkdir(exist_ok=True)
        metrics = {"width": 1320, "height": 600, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        try:
            metrics["height"] = browser.execute_script("return document.body.offsetHeight")
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            element = browser.find_element(By.CSS_SELECTOR, selector) if selector else None
            png = browser.get_screenshot_as_png() if element is None else element.screenshot_as_png
            (folder / f"{name}.png").write_bytes(png)
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    return picture


# -------------------------------------------------------------------- the cookie


def test_cookie_as_the_browser_keeps_it(shop):
    """HttpOnly, SameSite=Lax, for this host and all paths, until the browser ends; JavaScript cannot see it."""
    cookie = shop.cookie()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax" and not cookie["secure"]
    assert (cookie["domain"], cookie["path"]) == ("127.0.0.1", "/") and "expiry" not in cookie
    assert shop.browser.execute_script("return document.cookie") == ""


def test_remember_this_device(shop):
    """With it the browser keeps the cookie for a week from each visit; without it, as long as it is open."""
    shop.sign_in()
    assert "expiry" not in shop.cookie()
    shop.sign_out()
    shop.sign_in(remember=True)
    week = 7 * 24 * 60 * 60
    assert week - 60 < shop.cookie()["expiry"] - time.time() <= week + 1
    shop.visit("cart")
    assert "expiry" in shop.cookie()


@pytest.mark.parametrize("remember", [True, False], ids=["remembered", "not"])
def test_closing_the_browser(start_chromium, start, tmp_path, remember):
    """Closed and opened again, a browser is still signed in exactly if its user said "remember this device"."""
    profile = tmp_path / "profile"
    url = start("shop/shop")
    shop = Shop(start_chromium(profile), url)
    shop.sign_in(remember=remember)
    shop.browser.get("about:blank")
    shop.browser.quit()
    shop = Shop(start_chromium(profile), url)
    shop.visit()
    assert ("Ann" in shop.text("nav")) == remember
    shop.browser.quit()


def test_secure_cookie_over_https(browser, start):
    """A __Host- cookie for https only is taken and kept over https, with a certificate made by the sample itself."""
    url = start("https")
    browser.get(url)
    cookie = browser.get_cookie("__Host-session")
    assert cookie["secure"] and cookie["httpOnly"] and cookie["path"] == "/"
    browser.find_element(By.NAME, "note").send_keys("kept")
    press(browser, "button")
    assert browser.find_element(By.NAME, "note").get_dom_attribute("value") == "kept"
    assert browser.get_cookie("__Host-session")["value"] == cookie["value"]


def test_expired_cookie(shop):
    """When its time is over, the browser drops the cookie, and the visitor has a new session."""
    shop.sign_in(remember=True)
    before = shop.cookie()
    shop.browser.add_cookie({**before, "expiry": int(time.time()) + 1})
    shop.wait(lambda: shop.cookie() is None)
    shop.visit()
    assert "Sign in" in shop.text("nav") and shop.cookie()["value"] != before["value"]


# -------------------------------------------------------------------- signing in and out


def test_sign_in_changes_the_id_and_sign_out_ends_the_session(shop):
    """At sign-in the id changes and the cart stays; at sign-out it is another again, and no session but one is left."""
    shop.add("mug")
    ids = [shop.session_id()]
    shop.sign_in()
    ids.append(shop.session_id())
    assert shop.text("#count") == "1"
    assert shop.sessions() == [ids[-1]]
    shop.sign_out()
    ids.append(shop.session_id())
    assert shop.text("#count") == "0" and len(set(ids)) == 3
    assert shop.sessions() == [ids[-1]]


def test_your_devices(shop, start_chromium, tmp_path):
    """Each browser that has signed in is on the page, and a button signs it out, or all others."""
    others = [Shop(start_chromium(tmp_path / name), shop.url) for name in ("one", "other")]
    for each in (shop, *others):
        each.sign_in()
        each.visit("devices")
    shop.browser.refresh()
    rows = shop.browser.find_elements(By.CSS_SELECTOR, ".devices tr")
    assert len(rows) == 3 and all("Chrome" in row.text and "127.0.0.1" in row.text for row in rows)
    assert "This one" in rows[0].text
    others[0].press(".devices tr:first-child button")  # its own
    assert "Sign in" in others[0].text("nav") and "Sign in" in others[0].text("h1")
    shop.press("#others")
    assert "Signed out elsewhere: 1" in shop.text(".flash")
    assert len(shop.browser.find_elements(By.CSS_SELECTOR, ".devices tr")) == 1
    others[1].browser.refresh()
    assert "Sign in" in others[1].text("h1")
    for each in others:
        each.browser.quit()


def test_one_device_of_many(shop, start_chromium, tmp_path):
    """The button of another device signs that one out, and no other user can do so."""
    other = Shop(start_chromium(tmp_path / "other"), shop.url)
    other.sign_in()
    shop.sign_in(name="Bob")
    shop.visit("devices")
    theirs = json.loads((other.records_of(shop.records)).read_text())["_device"]
    field = ".devices [name=device]"
    shop.browser.execute_script(f"document.querySelector('{field}').value = arguments[0]", theirs)
    shop.press(".devices button")
    other.visit()
    assert "Ann" in other.text("nav")
    shop.sign_out()
    shop.sign_in()
    shop.visit("devices")
    shop.press(".devices tr:last-child button")
    assert "That device is signed out." in shop.text(".flash")
    other.visit()
    assert "Sign in" in other.text("nav")
    other.browser.quit()


def test_back_button_after_signing_out(shop):
    """Going back to a page from before the sign-out loads it again, and it shows a stranger."""
    shop.sign_in()
    shop.visit("cart")
    assert "Ann" in shop.text("nav")
    shop.sign_out()
    shop.browser.back()
    shop.wait_for("h1", "Your cart")
    assert "Ann" not in shop.text("nav") and "Sign in" in shop.text("nav")


def test_wrong_password(shop):
    """After an error the form has what was typed, but never the password; the message is gone after one page."""
    shop.sign_in(name="Ann & Bob", password="coffee")
    assert shop.one("[name=name]").get_attribute("value") == "Ann & Bob"
    assert shop.one("[name=password]").get_attribute("value") == ""
    shop.browser.refresh()
    assert not shop.browser.find_elements(By.CSS_SELECTOR, ".error")
    assert shop.one("[name=name]").get_attribute("value") == ""


# -------------------------------------------------------------------- the cart


def test_flash_is_shown_once(shop):
    """A message is on the page after the redirect, and not on the next."""
    shop.add("kettle")
    assert shop.text(".flash") == "Steel kettle: in your cart."
    shop.browser.refresh()
    assert not shop.browser.find_elements(By.CSS_SELECTOR, ".flash")
    assert shop.text("#count") == "1"


def test_order(shop, picture):
    """A form with errors comes back filled in; a good one makes an order of what was in the cart."""
    for product in ("mug", "pot", "mug"):
        shop.add(product)
    shop.visit("cart")
    assert shop.text("#quantity-mug") == "2" and "€ 67.00" in shop.text(".total")
    shop.press("[aria-label='less Stoneware mug']")
    assert shop.text("#quantity-mug") == "1"
    shop.one("[name=name]").send_keys("Ann")
    shop.one("[name=email]").send_keys("nowhere")
    shop.one("[name=note]").send_keys("<b>quickly</b>")
    shop.press("#order")
    assert "That is no e-mail address." in shop.text(".error")
    assert shop.one("[name=note]").get_attribute("value") == "<b>quickly</b>"
    picture("panel", ".session-panel")
    shop.one("[name=email]").send_keys("@example.org")
    shop.press("#order")
    assert "Thank you, Ann!" in shop.text(".flash")
    assert "1 × Stoneware mug, 1 × Clay teapot: € 53.00" in shop.text() and shop.text("#count") == "0"


def test_two_tabs(shop):
    """Two tabs have one session: what one puts into the cart is there in the other, and nothing is lost."""
    first = shop.browser.current_window_handle
    shop.browser.switch_to.new_window("tab")
    shop.visit()
    shop.add("mug")
    shop.browser.switch_to.window(first)
    shop.add("pot")  # from a page that was loaded before the mug was there
    assert shop.text("#count") == "2"


def test_twenty_requests_at_once(shop):
    """Of twenty concurrent fetches that each change the session, all twenty are in it, whatever was merged."""
    shop.add("mug")
    shop.one("#burst").click()
    shop.wait_for("#burst-result", "20 of 20 arrived")
    assert len(shop.browser.find_elements(By.CSS_SELECTOR, "#dots .arrived")) == 20
    stored = json.loads((shop.records / shop.session_id()).read_text())
    assert sorted(stored["arrived"]) == list(range(1, 21))
    assert stored["cart"] == {"mug": {"quantity": 1}, "sugar": {"quantity": 20}}
    shop.wait(lambda: re.search(r"merged \d", shop.panel()))


def test_live_view(shop, picture):
    """What another tab does arrives over the WebSocket, without a reload; so does that the session has ended."""
    for product in ("mug", "pot"):
        shop.add(product)
    shop.one("#burst").click()
    shop.wait_for("#burst-result", "20 of 20 arrived")
    shop.wait_for("#live-state", "connected")
    first = shop.browser.current_window_handle
    shop.browser.switch_to.new_window("tab")
    shop.visit("cart")
    shop.press("[aria-label='more Stoneware mug']")
    assert shop.text("#quantity-mug") == "2"
    second = shop.browser.current_window_handle
    shop.browser.switch_to.window(first)
    shop.wait_for("#live", "Stoneware mug: 1 → 2")
    assert shop.text("#count") == "23"
    picture("shop")
    shop.browser.switch_to.window(second)
    shop.sign_in()
    shop.browser.switch_to.window(first)
    shop.wait_for("#live-state", "This session has ended")


# -------------------------------------------------------------------- the panel


def test_panel(shop):
    """Beside the page stands what its session is: id, cookie, stored text, what was read, changed and written."""
    shop.add("mug")
    panel = shop.panel()
    assert shop.session_id()[:6] + "…" in panel and shop.session_id()[:7] not in panel
    assert "HttpOnly" in panel and "SameSite=Lax" in panel
    assert "will be saved GET /\nloaded\nfound, in" in panel and "changes\nflash.old, status" in panel
    assert '"quantity": 1' in panel and "POST /cart/add" in panel
    shop.browser.refresh()
    assert "unchanged GET /" in shop.panel()


def test_panel_escapes(shop):
    """A visitor's input is text in the panel, too."""
    shop.sign_in(name="</pre><img src=x onerror=\"document.title='owned'\">")
    assert "onerror" in shop.panel() and shop.browser.title == "Leaf & Kettle"
    assert not shop.browser.find_elements(By.CSS_SELECTOR, "img")


# -------------------------------------------------------------------- other sites


class Elsewhere(BaseHTTPRequestHandler):
    """A page of another site, which has the visitor's browser post to the shop."""

    target = token = ""

    def do_GET(self):
        form = f"""<form method="post" action="{self.target}"><input name="product" value="kettle">
            <input name="_token" value="{self.token}"></form><script>document.forms[0].submit()</script>"""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(form.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def elsewhere():
    """A server of another site: localhost is one, as against 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("stolen", [False, True], ids=["without token", "with the right token"])
def test_other_sites_are_refused(shop, elsewhere, stolen):
    """A form that another site submits is answered 403, even with the right token, and the visitor's cart is left."""
    shop.add("mug")
    Elsewhere.target = shop.url + "cart/add"
    Elsewhere.token = shop.one("meta[name=csrf-token]").get_attribute("content") if stolen else ""
    before = shop.cookie()
    shop.browser.get(elsewhere)
    shop.wait_for("h1", "403")
    assert "another site made this request" in shop.text()
    shop.visit("cart")
    assert shop.cookie()["value"] == before["value"]
    assert "Stoneware mug" in shop.text() and "Steel kettle" not in shop.text()


def test_own_form_without_token(shop):
    """A form of the shop's own page, but without its token, is refused as well."""
    shop.browser.execute_script("document.querySelector('.mug [name=_token]').remove()")
    shop.press("#add-mug")
    assert shop.text("h1") == "403"
    assert "CSRF token missing" in shop.text()
