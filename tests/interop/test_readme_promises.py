"""The promises of the original's README, section by section, for the original and ours."""

from __future__ import annotations

import json

import pytest
from doors import Browser


@pytest.fixture(scope="module", params=["original", "ours"])
def side(request):
    return request.param


@pytest.fixture(scope="module")
def door(open_door, side):
    return open_door(side)


@pytest.fixture
def visit(door):
    """Sends the calls of one request; gives the results."""
    browser = Browser()
    return lambda *calls: browser.visit(door, [list(call) for call in calls]).results


# -------------------------------------------------------------------- Session Usage


def test_starting_a_session(door):
    """Starting a session gives the client a cookie, and a record under its id."""
    browser = Browser()
    answer = browser.visit(door, [])
    assert browser.cookie.startswith("node_session=s%3A")
    assert json.loads(answer.text) == {"_token": "<token 1>", "flash": {"old": [], "new": []}}


def test_storing_and_retrieving_an_item(visit):
    """put('key', 'value'), and get('key') in the next request."""
    visit(("put", "key", "value"))
    assert visit(("get", "key")) == ["value"]


def test_push_a_value_onto_an_array_session_value(visit):
    """push('user.teams', 'developers')."""
    visit(("push", "user.teams", "developers"))
    assert visit(("get", "user.teams"), ("get", "user")) == [["developers"], {"teams": ["developers"]}]


def test_retrieving_an_item_or_returning_a_default_value(visit):
    """get('key', 'default')."""
    assert visit(("get", "key", "default")) == ["default"]


def test_retrieving_an_item_and_forgetting_it(visit):
    """pull('key', 'default')."""
    visit(("put", "key", "value"))
    assert visit(("pull", "key", "default"), ("pull", "key", "default")) == ["value", "default"]
    assert visit(("get", "key")) == [None]


def test_retrieving_all_data(visit):
    """all()."""
    visit(("put", "key", "value"))
    assert visit(("all",)) == [{"_token": "<token 1>", "key": "value", "flash": {"old": [], "new": []}}]


def test_determining_if_an_item_exists(visit):
    """has('users')."""
    assert visit(("has", "users"), ("put", "users", 0), ("has", "users")) == [False, None, True]


def test_removing_an_item(visit):
    """forget('key')."""
    visit(("put", "key", "value"))
    assert visit(("forget", "key"), ("has", "key")) == [None, False]


def test_removing_all_items(visit):
    """flush()."""
    visit(("put", "key", "value"))
    assert visit(("flush",), ("all",)) == [None, {}]


def test_regenerating_the_session_id(door):
    """regenerate() gives another id with the same data."""
    browser = Browser()
    browser.visit(door, [["put", "key", "value"]])
    before = browser.cookie
    assert browser.visit(door, [["regenerate"]]).results == [True]
    assert browser.cookie != before
    assert browser.visit(door, [["get", "key"]]).results == ["value"]


# -------------------------------------------------------------------- Flash Data


def test_flash(visit):
    """flash('key', 'value') is there in the next request, and then gone."""
    visit(("flash", "key", "value"))
    assert visit(("get", "key")) == ["value"]
    assert visit(("get", "key")) == [None]


def test_reflash(visit):
    """reflash() keeps all flash data for another request."""
    visit(("flash", "a", 1), ("flash", "b", 2))
    visit(("reflash",))
    assert visit(("get", "a"), ("get", "b")) == [1, 2]
    assert visit(("get", "a"), ("get", "b")) == [None, None]


def test_keep(visit):
    """keep('username', 'email') keeps a subset."""
    visit(("flash", "username", "u"), ("flash", "email", "e"), ("flash", "other", "o"))
    visit(("keep", "username", "email"))
    assert visit(("get", "username"), ("get", "email"), ("get", "other")) == ["u", "e", None]


# -------------------------------------------------------------------- CSRF Token


def test_token(visit):
    """getToken() gives the session's token, which stays until regenerateToken()."""
    first = visit(("getToken",))
    assert first == ["<token 1>"] and visit(("getToken",)) == first
    assert visit(("regenerateToken",), ("getToken",)) == [None, "<token 2>"]


# -------------------------------------------------------------------- Configuration


def test_cookie_options(open_door, side):
    """cookie, path, domain and expireOnClose are what they say."""
    door = open_door(side, cookie="other", path="/app", domain="example.org", expireOnClose=True)
    browser = Browser()
    answer = browser.visit(door, [])
    assert browser.cookie.startswith("other=")
    assert answer.attributes == "Domain=example.org; Path=/app; HttpOnly"


def test_lifetime(open_door, side):
    """Lifetime is in milliseconds, Max-Age in seconds."""
    assert Browser().visit(open_door(side, lifetime=120_000), []).attributes.startswith("Max-Age=120; ")


def test_secure(open_door, side):
    """With secure, a plain http request gets no cookie."""
    door = open_door(side, secure=True)
    door.connection.request("POST", "/", b"[]")
    response = door.connection.getresponse()
    assert json.loads(response.read()) == [] and "Set-Cookie" not in response.headers


def test_encrypt(open_door, side):
    """With encrypt, what is stored cannot be read, and still is there."""
    door = open_door(side, encrypt=True)
    texts = []
    browser = Browser(lambda text, id: texts.append(text) or "{}")
    browser.visit(door, [["put", "key", "a-value-to-look-for"]])
    assert set(json.loads(texts[0])) == {"ct", "mac"} and "a-value-to-look-for" not in texts[0]
    assert browser.visit(door, [["get", "key"]]).results == ["a-value-to-look-for"]


def test_sweeping_lottery(open_door, side):
    """With lottery [1, 1], each request removes what has expired."""
    import os
    import time

    door = open_door(side, lottery=[1, 1])
    browser = Browser()
    browser.visit(door, [])
    (record,) = [each for each in door.files.iterdir() if not each.name.startswith(".")]
    os.utime(record, (1, 1))
    Browser().visit(door, [])
    deadline = time.monotonic() + 60
    while record.exists():
        assert time.monotonic() < deadline
        Browser().visit(door, [])
        time.sleep(0.05)


# -------------------------------------------------------------------- Session Drivers


def test_memory(open_door, side, tmp_path):
    """The memory driver keeps sessions without a file."""
    door = open_door(side, driver="memory", files=tmp_path)
    _, line = door.ask([["put", "key", "value"]], None)
    assert door.ask([["get", "key"]], line.partition(";")[0])[0] == ["value"]
    assert list(tmp_path.iterdir()) == []


def test_file(door):
    """The file driver keeps one file a session, named by its id."""
    browser = Browser()
    browser.visit(door, [["put", "key", "value"]])
    assert [each for each in door.files.iterdir() if each.name in browser.known]
