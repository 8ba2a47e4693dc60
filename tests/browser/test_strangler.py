"""The sample of a migration in real Chromium: Node and Tornado behind one address, and nobody notices which."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from pages import Visitor
from selenium.webdriver.common.by import By

SAMPLE = Path(__file__).parent.parent.parent / "samples" / "strangler"
HAS_NODE = shutil.which("node") is not None and (SAMPLE / "node_modules" / "express").is_dir()

pytestmark = pytest.mark.skipif(
    not HAS_NODE and os.environ.get("CI") != "true", reason="the sample's Node side is not installed: make test does it"
)

MOVED = ["cart,logout", "cart"]  # logging out by Tornado, and by Node


@pytest.fixture(params=MOVED, ids=["logout by Tornado", "logout by Node"])
def visitor(browser, start, request):
    """A visitor whose Node and Tornado have just started."""
    return Visitor(browser, start("strangler/demo", request.param))


def test_one_session_of_two_programs(visitor):
    """Login, cart, flash messages, CSRF tokens and logout work across the two programs."""
    visitor.open("", by="Node")
    before = visitor.cookie("node_session")
    visitor.open("login", by="Node")
    visitor.browser.find_element(By.NAME, "name").send_keys("Jörg <b>")
    visitor.press("#login")
    # Node has logged in and sent the browser on to a page of Tornado, which knows who it is and what Node had to say.
    assert visitor.text("#by") == "Tornado"
    assert visitor.text("#user") == "Jörg <b>"
    assert visitor.text("#status") == "Node says: you are logged in."
    assert visitor.cookie("node_session") != before
    # A flash message of Node's is shown once by Tornado, and by neither afterwards.
    visitor.open("cart", by="Tornado")
    assert visitor.text("#status") is None
    visitor.open("", by="Node")
    assert visitor.text("#status") is None

    # A form of Node's, with its token, is taken by Tornado; its flash message is shown once by Node.
    visitor.press("button[value=tea]")
    assert (visitor.text("#by"), visitor.text("#status")) == ("Node", "Tornado says: a Tea is in your cart.")
    visitor.press("button[value=tea]")
    visitor.press("button[value=pot]")
    visitor.open("", by="Node")
    assert visitor.text("#status") is None
    visitor.open("cart", by="Tornado")
    assert visitor.text("#cart") == "2 × Tea\n1 × Pot"

    # A form of Tornado's, with its token, is taken by Node; the flash message goes the other way.
    visitor.press("#order")
    assert (visitor.text("#by"), visitor.text("#status")) == ("Tornado", "Node says: your order is on its way.")
    assert visitor.text("#cart") == ""

    # Logged out by either, out on both, and the cookie of before is of no use.
    logged_in = visitor.cookie("node_session")
    visitor.press("#logout")
    for path, by in (("", "Node"), ("cart", "Tornado")):
        visitor.open(path, by=by)
        assert visitor.text("#user") is None and visitor.text("a[href='/login']") == "Log in"
    visitor.browser.delete_all_cookies()
    visitor.browser.add_cookie({"name": "node_session", "value": logged_in})
    for path, by in (("cart", "Tornado"), ("", "Node")):
        visitor.open(path, by=by)
        assert visitor.text("#user") is None


@pytest.mark.parametrize(("path", "button"), [("", "button[value=tea]"), ("cart", "#order")])
def test_a_forged_form(browser, start, path, button):
    """Either side refuses a form of the other's whose token was changed."""
    visitor = Visitor(browser, start("strangler/demo"))
    visitor.browser.get(visitor.url + path)
    browser.execute_script("document.querySelectorAll('[name=_token]').forEach((field) => { field.value += 'x'; })")
    visitor.press(button)
    assert visitor.text("#by") is None
    assert "403" in browser.page_source or "The form has expired" in browser.page_source
    visitor.open("cart", by="Tornado")
    assert visitor.text("#cart") == "" and visitor.text("#status") is None
