"""Ids of any form in cookies: those that Express signs are found, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_session import cookies, ids

IDS = [
    "kR7hZ-2m_Qw8vB5nX1cT4yU6iO9pL3sD",
    "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "0",
    "a.b.c",
    "a+b/c=",
    "it's~(me)*!",
    "ann:7%2B",
    "with space",
    "ünï ☃ 😀",
    "x" * 200,
]
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=200)


def find(value: str, *secrets: str) -> cookies.Found:
    return cookies.find(f"connect.sid={value}", "connect.sid", secrets or ["x"], "", ids.ANY)


@pytest.mark.parametrize("id", IDS, ids=ids.shorten)
def test_round_trip(id):
    """A signed id is found again, under each secret, and with each spelling of its escapes."""
    value = cookies.sign(id, "x")
    assert find(value) == (id, value, False, ())
    assert find(value, "new", "x") == (id, None, False, ())
    assert find(value.replace("%3A", ":").replace("%2F", "/")).id == id
    assert find(f'"{value}"').id == id
    assert find(value, "y") == (None, None, True, ())


@given(TEXTS, st.text(min_size=1))
def test_any_id(id, secret):
    """Whatever `genid` gives: the cookie has only characters that a cookie may have, and the id is found in it."""
    value = cookies.sign(id, secret)
    assert value.isascii()
    assert not set(value) & set(' ",;\\\t')
    assert find(value, secret) == (id, value, False, ())


@given(TEXTS, st.data())
def test_one_changed_character(id, data):
    """A value with one character changed gives no other id."""
    value = cookies.sign(id, "x")
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.sampled_from("aZ09-_.+%~"))
    assert find(value[:place] + other + value[place + 1 :]).id in (None, id)


@pytest.mark.parametrize("id", ["", "x" * 201, "a\nb", "a\0", "\u202egnol", "a\u2028"])
def test_no_id(id):
    """A signed text that could not stand in a log line, or has no limit, is no id."""
    assert find(cookies.sign(id, "x")).id is None
    assert not ids.ANY.is_valid(id)


@given(st.text())
def test_any_header(header):
    """No header raises, and none without a signature gives an id."""
    for each in (header, f"connect.sid={header}", f"connect.sid=s:{header}", f"connect.sid=s%3A{header}." + "A" * 43):
        assert cookies.find(each, "connect.sid", ["secret"], "", ids.ANY).id is None


def test_the_default_stays_strict():
    """Without the format, an id of Express is none."""
    value = cookies.sign("kR7hZ-2m_Qw8vB5nX1cT4yU6iO9pL3sD", "x")
    assert cookies.find(f"n={value}", "n", ["x"]).id is None
    assert cookies.find(f"n={cookies.sign('A' * 40, 'x')}", "n", ["x"]).id == "A" * 40


def test_new_ids():
    """A new id is 24 random bytes, as express-session makes them."""
    made = {ids.ANY.generate() for _ in range(100)}
    assert len(made) == 100
    assert {len(each) for each in made} == {32}
    assert all(ids.ANY.is_valid(each) for each in made)


@pytest.mark.parametrize("id", ["", "a", "user1", "kR7hZ-2m_Qw8", "A" * 40])
def test_short_ids_in_logs(id):
    """A log line has at most half of an id."""
    assert len(ids.shorten(id)) - 1 <= len(id) / 2
    assert ids.shorten("A" * 40) == "AAAAAA…"
