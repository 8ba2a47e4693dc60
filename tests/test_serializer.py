"""The stored text: what JSON.stringify would write, or an error that names the key."""

from __future__ import annotations

import contextlib
import enum
import json
import math
import os
import shutil
import subprocess
from collections import OrderedDict, namedtuple
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import NamedTuple
from uuid import UUID

import pytest
from counting import count_calls
from hypothesis import example, given
from hypothesis import strategies as st

from node_session import DamagedError
from node_session.depth import MAX_DEPTH
from node_session.json_writer import JsonWriter
from node_session.serializer import dumps, loads

KEYS = st.text().filter(lambda key: key != "__proto__")  # which is refused
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats() | st.text(st.characters()),
    lambda children: st.lists(children) | st.dictionaries(KEYS, children),
    max_leaves=20,
)
ZONE = timezone(timedelta(hours=2))
OBJECTS = st.dictionaries(KEYS, JSON)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ({"a": "ü\u2028\U0001f600/"}, '{"a":"ü\u2028\U0001f600/"}'),
        ({"a": '"\\\n\t\b\f\r\x00\x1f\x7f'}, '{"a":"\\"\\\\\\n\\t\\b\\f\\r\\u0000\\u001f\x7f"}'),
        ({"b": 1, "a": [True, False, None]}, '{"b":1,"a":[true,false,null]}'),
        ({"n": [math.nan, math.inf, -math.inf]}, '{"n":[null,null,null]}'),
        ({"n": [1.0, -0.0, 0.1, -1.5, 100.0]}, '{"n":[1,0,0.1,-1.5,100]}'),
        ({"n": [1e15, 1e16, 1e21, 1.5e300]}, '{"n":[1000000000000000,10000000000000000,1e+21,1.5e+300]}'),
        ({"n": 1e20}, '{"n":100000000000000000000}'),
        ({"n": 1.0}, '{"n":1}'),
        ({"n": [0.05, 2.0]}, '{"n":[0.05,2]}'),
        ({"n": [0.05, 2.0, 3.05]}, '{"n":[0.05,2,3.05]}'),
        ({"n": -0.0}, '{"n":0}'),
        ({"n": 1.5e-6}, '{"n":0.0000015}'),
        ({"n": 1e16}, '{"n":10000000000000000}'),
        ({"n": [1e-5, 1e-6, 1.5e-6, 1e-7, 5e-324]}, '{"n":[0.00001,0.000001,0.0000015,1e-7,5e-324]}'),
        ({"n": 123456789012345680000.0, "s": "1.0 and 1e+16"}, '{"n":123456789012345680000,"s":"1.0 and 1e+16"}'),
        ({"s": '",1.0,"', 'k1.0"': 1.0}, '{"s":"\\",1.0,\\"","k1.0\\"":1}'),
        ({"d": datetime(2026, 11, 22, 20, 27, tzinfo=timezone.utc)}, '{"d":"2026-11-22T20:27:00.000Z"}'),
        ({"d": datetime(2026, 1, 1, 1, 0, 0, 123456, ZONE)}, '{"d":"2025-12-31T23:00:00.123Z"}'),
        ({"d": date(2026, 11, 22)}, '{"d":"2026-11-22T00:00:00.000Z"}'),
        ({"t": (1, (2,))}, '{"t":[1,[2]]}'),
        ({"t": namedtuple("T", "x y")(1, 2)}, '{"t":[1,2]}'),
        ({"o": OrderedDict(b=1, a=2)}, '{"o":{"b":1,"a":2}}'),
        ({"e": enum.Enum("E", {"A": "x"}).A, "i": enum.IntEnum("I", {"A": 7}).A}, '{"e":"x","i":7}'),
        ({"u": UUID(int=1)}, '{"u":"00000000-0000-0000-0000-000000000001"}'),
        ({1: "a", False: "b", None: "c", 2.0: "d"}, '{"1":"a","false":"b","null":"c","2":"d"}'),
        ({"s": "\ud83d"}, '{"s":"\\ud83d"}'),
        ({"s": "\ud83d\ude00", "\udead": 1.0}, '{"s":"\U0001f600","\\udead":1}'),
    ],
    ids=str,
)  # fmt: skip
def test_text(value, text):
    """The text is the one JSON.stringify gives for the same data."""
    assert dumps(value) == text
    assert JsonWriter(value, MAX_DEPTH).text() == text


@given(OBJECTS)
def test_round_trip(value):
    """A written text is read again, and writing its values gives the same text."""
    text = dumps(value)
    assert dumps(loads(text)) == text
    assert not _is_exact(value) or loads(text) == value


def _is_exact(value):
    if isinstance(value, (dict, list)):
        return all(map(_is_exact, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or abs(value) < 2**53


@given(OBJECTS)
def test_both_ways_to_write(value):
    """Orjson's text, the one written here, and the one written by both are the same."""
    text = dumps(value)
    assert JsonWriter(value, MAX_DEPTH).text() == text
    odd = {"date": date(1, 1, 1), "value": value, 1: [(value, 2**53)]}
    assert dumps(odd) == JsonWriter(odd, MAX_DEPTH).text()


DATES = st.dates() | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.none() | st.just(ZONE))


@given(st.recursive(DATES | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_dates_are_spelled_in_one_way(value):
    """A date has the same text in orjson's text and in the one written here, at any place."""
    assert dumps({"value": value}) == JsonWriter({"value": value}, MAX_DEPTH).text()


class Pair(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (datetime(2026, 11, 22, tzinfo=timezone.utc), '"2026-11-22T00:00:00.000Z"'),
        ([date(2026, 11, 22)], '["2026-11-22T00:00:00.000Z"]'),
        (2**60, "1152921504606846976"),
        ({"id": [2**60]}, '{"id":[1152921504606846976]}'),
        (Pair(1, 2), "[1,2]"),
        ({1: "x"}, '{"1":"x"}'),
        ("\ud800", '"\\ud800"'),
        ({"a": {"b": {"c": [[2**60]]}}}, '{"a":{"b":{"c":[[1152921504606846976]]}}}'),
    ],
    ids=repr,
)
@pytest.mark.parametrize("place", [lambda rest, odd: {"rows": rest, "odd": odd}, lambda rest, odd: {"a": [rest, odd]}])
def test_one_odd_value_is_written_alone(odd, text, place):
    """A value that orjson does not write leaves the rest of the session to orjson, however large that is."""
    calls = []
    for count in (500, 5000):
        rows = [{"id": number, "name": "x", "price": 1.5} for number in range(count)]
        attributes = place(rows, odd)
        calls.append(count_calls(partial(dumps, attributes)))
        assert dumps(attributes) == dumps(place(rows, "ODD")).replace('"ODD"', text)
    assert calls[0] == calls[1] < 200


@pytest.mark.skipif(shutil.which("node") is None and "CI" not in os.environ, reason="needs Node")
def test_numbers_and_strings_as_node_writes_them():
    """Node parses our texts and writes the very same."""
    collected = []

    @given(OBJECTS)
    @example({"n": [1e21, 1e-7, 123456789012345680000.0, 1e20, 4.35, 0.1 + 0.2, 1.7976931348623157e308]})
    def collect(value):
        if not any(key.isdigit() for key in _keys(value)):
            collected.append(dumps(value))

    collect()
    program = """
        const lines = require('fs').readFileSync(0, 'utf8').split('\\n');
        for (const line of lines) console.log(JSON.stringify(JSON.parse(line)));
    """
    texts = "\n".join(collected)
    done = subprocess.run(["node", "-e", program], input=texts, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n") == texts


def _keys(value):
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _keys(each)
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each)


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", '{"a', "[1]", "1", "null", '"text"', "{}x", "{'a':1}", '{"a":NaN}', '{"a":Infinity}', "\ufeff{}",
     "[" * 100_000, '{"a":' * 100_000, '{"a":"\n"}', "\x00", '{"a":\ud800}'],
)  # fmt: skip
def test_damaged(text):
    """Anything but a JSON object is damaged, and the message shows nothing of it."""
    with pytest.raises(DamagedError) as caught:
        loads(text)
    assert str(caught.value) in ("its text is not JSON", "its text is empty", "its text is JSON, but not an object")


@given(st.text() | JSON.map(json.dumps).flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end])))
def test_any_text(text):
    """No text is another exception than DamagedError."""
    with contextlib.suppress(DamagedError):
        assert isinstance(loads(text), dict)


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a":"\\ud83d"}', {"a": "\ud83d"}), ('{"a":1e400}', {"a": math.inf}), (' {"a" : 1 }\n', {"a": 1})],
)
def test_what_json_parse_takes(text, value):
    """Texts that orjson refuses and JSON.parse accepts are read."""
    assert loads(text) == value
