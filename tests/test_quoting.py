"""Keys and values in messages: quoted, and never so long that they fill a log."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.web import RequestHandler

from node_session import SessionMixin
from node_session.quoting import quote

LONG = 500_000


class Odd:
    def __repr__(self):
        raise ValueError("no repr")


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("user.name", "'user.name'"),
        ("a\n\x1b\udc80", r"'a\n\x1b\udc80'"),
        ("k" * LONG, f"'{'k' * 79}…' (500000 characters)"),
        (b"k" * LONG, f"b'{'k' * 80}'… (500000 bytes)"),
        ([1, 2], "[1, 2]"),
        ([0] * LONG, "[0, 0, 0, 0, 0, 0, ...] (500000 items)"),
        (10**5000, "<int>"),
        (None, "None"),
        (0.5, "0.5"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_quote(value, quoted):
    """A value is spelt as Python spells it; a long one is cut, and its length named."""
    assert quote(value) == quoted


def test_quote_of_an_object_that_cannot_be_spelt():
    """An object whose own repr raises costs no message."""
    assert quote(Odd()).startswith("<Odd")
    assert quote([Odd()]).startswith("[<Odd")


LEAVES = st.none() | st.floats() | st.integers() | st.text() | st.binary()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_quote_is_short_whatever_the_value(value):
    """No value raises or takes more than a line or two."""
    assert len(quote(value)) < 20_000 and "\n" not in quote(value)


class Keys(SessionMixin, RequestHandler):
    """Does something with a key from the request's body."""

    async def post(self, what: str):
        key = self.request.body.decode()
        session = self.session
        if what == "push":
            session.put("n", {"a": 1})
            session[f"n.{key}"] = 1
            session.push(f"n.{key}", 1)
        elif what == "increment":
            session.put(f'["{key}"]', "text")
            session.increment(f'["{key}"]')
        elif what == "amount":
            session.increment("n", key)
        elif what == "remember":
            session.remember(key, self.remembered)
        elif what == "get":
            session[key]
        elif what == "del":
            del session[key]
        elif what == "pop":
            session.pop(key)
        elif what == "list":
            session.put("l", [1])
            session.put(f"l.{key}", 1)
        elif what == "depth":
            session.put(key.replace("kkk", "k.k"), 1)
        elif what == "no string":
            session.get([key])
        elif what == "bytes":
            session.put(key.encode(), 1)
        elif what == "value":
            session.put(key, {key: {1}})
        elif what == "many":
            session.put({f"{number}{key[:1000]}": 1 for number in range(500)})
        else:
            session.put(key, 1)

    async def remembered(self):
        pass


WAYS = [
    "push",
    "increment",
    "amount",
    "remember",
    "get",
    "del",
    "pop",
    "list",
    "depth",
    "no string",
    "bytes",
    "value",
    "many",
    "put",
]


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "file"}, {"driver": "database"}], ids=str)
@pytest.mark.parametrize("what", WAYS)
async def test_a_key_of_half_a_megabyte(app, visitor, sessions, caplog, what):
    """Whatever a program does with a user's long key, no line in the log is long, traceback and events included."""
    events = []
    sessions.on_event = lambda name, attributes: events.append(attributes)
    app.add_handlers(".*", [("/(.*)", Keys)])
    with caplog.at_level(logging.DEBUG):
        await visitor.post(f"/{what.replace(' ', '%20')}", csrf=False, body="k" * LONG)
    lines = [logging.Formatter().format(record) for record in caplog.records]
    assert lines and max(map(len, lines)) < 10_000
    assert sum(len(repr(each)) for each in events) < 10_000
    # Of these, one has no such key, and the others are cut elsewhere, without a length.
    if what not in ("many", "value", "depth", "no string", "put"):
        assert any("50000" in line for line in lines), lines
