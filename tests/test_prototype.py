"""Keys ``__proto__``: refused when a session is written, left out when it is read."""

from __future__ import annotations

import enum
import json
import re
from datetime import date

import pytest

from node_session import SerializationError
from node_session.depth import MAX_DEPTH
from node_session.serializer import dumps, loads


class Key(str):
    """Text of a class of its own, which orjson does not take for a key."""


@pytest.mark.parametrize(
    ("attributes", "key"),
    [
        ({"__proto__": {"admin": True}}, "__proto__"),
        ({"a": {"b": {"__proto__": None}}}, "a.b.__proto__"),
        ({"a": [1, {"b": [{}, {"__proto__": []}]}]}, "a[1].b[1].__proto__"),
        ({"a": ({"__proto__": 1},)}, "a[0].__proto__"),
        ({"a": {"__proto__": date(2026, 11, 22)}}, "a.__proto__"),
        ({"a": {Key("__proto__"): 1}}, "a.__proto__"),
        ({"a": enum.Enum("E", {"A": {"__proto__": 1}}).A}, "a.__proto__"),
        ({"x": "\ud800", "a": {"__proto__": 1}}, "a.__proto__"),
    ],
    ids=str,
)
def test_proto(attributes, key):
    """A key __proto__ is refused wherever it is, and the message names where; also if it was stored before."""
    for known in (None, json.dumps(attributes, default=str, separators=(",", ":"))):
        with pytest.raises(SerializationError, match=rf": {re.escape(key)} would pollute"):
            dumps(attributes, known)


def test_proto_at_the_bottom():
    """Depth hides nothing, and costs no more than a look at each value."""
    deep: object = {"__proto__": 1}
    for _ in range(MAX_DEPTH - 2):
        deep = [deep]
    with pytest.raises(SerializationError, match=r"a\[0\].*… would pollute"):
        dumps({"a": deep})


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": "__proto__", "b": ["__proto__", '"__proto__":1', '{"__proto__":1}']},
        {'a"__proto__': 1, "__proto__ ": 2, "__PROTO__": 3, "x__proto__": 4},
        {"constructor": {"prototype": {"a": 1}}, "prototype": 1},
    ],
    ids=str,
)
def test_what_looks_like_proto(attributes):
    """The word as a value, longer keys, and keys that do no harm to Node are stored and read."""
    assert loads(dumps(attributes)) == attributes


def test_without_proto_nothing_is_searched(monkeypatch):
    """A session without such a key costs no look at each of its values, neither written nor read."""
    monkeypatch.setattr("node_session.prototype._find", lambda attributes: pytest.fail("searched"))
    attributes = {"user": {"name": "Ann", "proto": "__prot__"}, "cart": [{"qty": 1.0}]}
    assert loads(dumps(attributes)) == attributes
    assert dumps({**attributes, "note": "__proto__", "on": date(2026, 11, 22)})


@pytest.mark.parametrize(
    ("text", "left", "key"),
    [
        ('{"a":{"__proto__":{"admin":true},"b":1},"c":2}', {"a": {"b": 1}, "c": 2}, "a.__proto__"),
        ('{"a":[{"__proto__" : 1}]}', {"a": [{}]}, "a[0].__proto__"),
        ('{"__proto__":{"__proto__":1}}', {}, "__proto__"),
        (r'{"\u005F_pr\u006Fto__":{}}', {}, "__proto__"),
        (r'{"s":"\ud800","a":{"__proto__":{}}}', {"s": "\ud800", "a": {}}, "a.__proto__"),
    ],
)
def test_proto_that_is_stored(caplog, text, left, key):
    """A record that another program has written with such a key is read without it, with a warning that names it."""
    assert loads(text) == left
    (record,) = caplog.records
    assert record.levelname == "WARNING" and f"the key {key}," in record.getMessage()
    assert loads(dumps(loads(text))) == left
