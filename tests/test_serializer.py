"""The stored text: what JSON.stringify would write, or an error that names the key."""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time as clock
import traceback
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node_session import DamagedError, SerializationError
from node_session.depth import MAX_DEPTH
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
    assert dumps({"k": value, "d": date(1, 1, 1)})[5 : 5 + len(text)] == text  # written without orjson


@given(OBJECTS)
def test_round_trip(value):
    """What is written is read again, and the same text is written of it."""
    text = dumps(value)
    assert dumps(loads(text)) == text
    assert not _is_exact(value) or loads(text) == value


def _is_exact(value):
    if isinstance(value, (dict, list)):
        return all(map(_is_exact, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or abs(value) < 2**53


@given(OBJECTS)
def test_both_ways_to_write(value):
    """Orjson's text and the one written here, where orjson refuses a value, are the same."""
    quick, slow = dumps(value), dumps({"date": date(1, 1, 1), "value": value})
    assert slow == f'{{"date":"0001-01-01T00:00:00.000Z","value":{quick}}}'


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


@dataclass
class Thing:
    x: int = 1


@pytest.mark.parametrize(
    ("attributes", "key", "type"),
    [
        ({"a": {1}}, "a", "set"),
        ({"cart": [{"price": Decimal(1)}]}, "cart[0].price", "Decimal"),
        ({"a": {"b-c": {"d.e": b"x"}}}, 'a.b-c["d.e"]', "bytes"),
        ({"a": [[Thing()]]}, "a[0][0]", "Thing"),
        ({"a": deque()}, "a", "deque"),
        ({"a": object}, "a", "type"),
        ({"a": lambda: 1}, "a", "function"),
        ({"a": timedelta(1)}, "a", "timedelta"),
        ({"a": 1j}, "a", "complex"),
        ({"a": {(1, 2): 3}}, "a", "tuple"),
        ({b"a": 1}, "the session", "bytes"),
    ],
    ids=repr,
)
def test_no_form(attributes, key, type):
    """A value that JSON has no form for is a TypeError that names its key and its type."""
    with pytest.raises(SerializationError) as caught:
        dumps(attributes)
    assert isinstance(caught.value, TypeError)
    assert f"{key} is of type {type}" in str(caught.value) or f"{key} has a key of type {type}" in str(caught.value)


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": {1}},
        {"a": Decimal(1)},
        {"a": b"x"},
        {"a": Thing()},
        {"a": {(1, 2): 3}},
        {"a": 10**5000},
        {"a": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))},
        {"a": [[[]]], "__proto__": 1},
    ],
    ids=lambda attributes: type(attributes["a"]).__name__,
)
def test_one_error(attributes):
    """A traceback shows the message that names the key, and no other error before it."""
    with pytest.raises(SerializationError) as caught:
        dumps(attributes)
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback") == 1 and shown.count("cannot store the session") == shown.count("Error: ") == 1


@pytest.fixture
def local_zone(monkeypatch):
    """Sets the zone of this process, by a rule that needs no zone data."""

    def set_zone(rule: str) -> None:
        monkeypatch.setenv("TZ", rule)
        clock.tzset()

    yield set_zone
    monkeypatch.undo()
    clock.tzset()


BERLIN, NEW_YORK = "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0"


@pytest.mark.parametrize(
    ("zone", "moment", "text"),
    [
        (BERLIN, datetime(2026, 1, 22, 20, 27), "2026-01-22T19:27:00.000Z"),
        (BERLIN, datetime(2026, 7, 22, 20, 27, 1, 999999), "2026-07-22T18:27:01.999Z"),
        (BERLIN, datetime(2026, 10, 25, 2, 30), "2026-10-25T00:30:00.000Z"),
        (BERLIN, datetime(2026, 10, 25, 2, 30, fold=1), "2026-10-25T01:30:00.000Z"),
        (BERLIN, datetime(1900, 1, 1), "1899-12-31T23:00:00.000Z"),
        (BERLIN, datetime.max, "9999-12-31T22:59:59.999Z"),
        (BERLIN, datetime.min, None),
        (NEW_YORK, datetime(2026, 7, 22, 20, 27), "2026-07-23T00:27:00.000Z"),
        (NEW_YORK, datetime.min, "0001-01-01T05:00:00.000Z"),
        (NEW_YORK, datetime.max, None),
        ("UTC0", datetime.min, "0001-01-01T00:00:00.000Z"),
    ],
    ids=str,
)
def test_datetime_without_a_zone(local_zone, zone, moment, text):
    """It is local time, in summer and winter and in the hour between; only beyond UTC's years it is an error."""
    local_zone(zone)
    if text is None:
        with pytest.raises(SerializationError, match=r"a\.at is a date that UTC has no year for"):
            dumps({"a": {"at": moment}})
    else:
        assert dumps({"at": moment}) == f'{{"at":"{text}"}}'


def test_a_date_is_the_same_day_in_each_zone(local_zone):
    """A date is no moment: it is midnight in UTC, as for JavaScript, or its day would change."""
    for zone in (BERLIN, NEW_YORK):
        local_zone(zone)
        assert dumps({"on": date(2026, 11, 22)}) == '{"on":"2026-11-22T00:00:00.000Z"}'


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
    deep = nested(MAX_DEPTH - 2, lambda each: [each], {"__proto__": 1})
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


def test_circular():
    """A value that contains itself is an error that names its key, not a RecursionError."""
    value = {}
    value["x"] = [value]
    with pytest.raises(SerializationError, match=r"a\.x\[0\]"):
        dumps({"a": value})


def test_too_deep():
    """So is a value nested too deep."""
    value = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(SerializationError, match="nested more than"):
        dumps({"a": value})


def test_what_is_read_can_be_saved():
    """The deepest text that is read is written again, by both ways to write; one level more is damaged."""
    nested = "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH
    attributes = loads(f'{{"a":{nested}}}')
    assert dumps(attributes) == f'{{"a":{nested}}}'
    assert dumps({**attributes, "b": (1,)}) == f'{{"a":{nested},"b":[1]}}'
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        text = '{"a":' + opening * (MAX_DEPTH + 1) + "1" + closing * (MAX_DEPTH + 1) + "}"
        for each in (text, text.replace("1", r'"\ud800"')):  # the latter is read by the standard library
            with pytest.raises(DamagedError, match="nested more than"):
                loads(each)


def test_many_shallow_containers_are_read():
    """Only depth counts, not how many containers there are."""
    attributes = {"a": [[] for _ in range(1000)], "b": {str(number): {} for number in range(1000)}}
    assert loads(dumps(attributes)) == attributes


def count_calls(work):
    """How many Python functions and generators were entered: what work costs, without a clock."""
    count = [0]

    def profile(frame, event, argument):
        count[0] += event == "call"

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count[0]


def test_deep_values_cost_no_more_than_flat_ones():
    """Nesting does not multiply the work: an attacker's small text must not take seconds."""
    flat = [(1,)] * 1000
    deep = flat
    for _ in range(MAX_DEPTH - 5):
        deep = [deep]
    cost = [count_calls(lambda value=value: dumps({"a": value, "b": 2**53})) for value in (flat, deep)]
    assert cost[1] < 2 * cost[0]


def test_large_integers_are_one_warning(caplog):
    """A list of integers that JavaScript would round is one line in the log, not one for each."""
    with caplog.at_level(logging.WARNING, "node_session"):
        dumps({"a": [2**60] * 1000})
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "name", ["a\nCRITICAL all is lost", "a\r\x1b[2J", "\u2028", "\ud800", "\u202e", "x" * 10_000], ids=ascii
)
def test_names_in_messages(name, caplog):
    """A name from a user can neither write a log line of its own, nor fill the log, nor break its encoding."""
    with caplog.at_level(logging.WARNING, "node_session"):
        dumps({name: 2**60})
    with pytest.raises(SerializationError) as caught:
        dumps({name: {1}})
    for message in (caplog.records[0].getMessage(), str(caught.value)):
        assert message.isprintable() and len(message) < 200


@pytest.mark.parametrize("value", [10**5000, datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))], ids=type)
def test_values_beyond_any_text(value):
    """A number of thousands of digits, and a date beyond the last one, are errors that name the key."""
    with pytest.raises(SerializationError, match=r"a\.b is "):
        dumps({"a": {"b": value}})


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**64, 10**400])
def test_large_integer(number, caplog):
    """An integer that JavaScript would round is written in full, with a warning that names its key."""
    with caplog.at_level(logging.WARNING, "node_session"):
        assert dumps({"a": {"id": number}}) == f'{{"a":{{"id":{number}}}}}'
    assert ["a.id" in record.getMessage() for record in caplog.records] == [True]
    assert dumps({"id": 2**53 - 1}) and len(caplog.records) == 1


@given(
    st.dictionaries(
        st.text() | st.integers() | st.tuples() | st.dates(),
        st.sampled_from([bytes, set[int], complex, datetime, timedelta, Decimal, UUID, slice, range, float, int, Thing])
        .flatmap(st.from_type)
        .flatmap(lambda value: st.sampled_from([value, [value], {"a": value}, (value,)])),
    )
)
def test_any_object(attributes):
    """No Python object is another exception than SerializationError."""
    with contextlib.suppress(SerializationError):
        assert isinstance(loads(dumps(attributes)), dict)


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
    """What orjson refuses and JSON.parse takes is read."""
    assert loads(text) == value


def test_empty_one_at_the_bottom():
    """What orjson writes at its deepest, with a number that JavaScript spells as a large integer, is read again."""
    value: list = []
    for _ in range(253):
        value = [value]
    text = dumps({"deep": value, "large": 1e16})
    assert dumps(loads(text)) == text


def test_deep_tuples():
    """Tuples count as lists: what could not be read again is refused."""
    value: object = "bottom"
    for _ in range(400):
        value = (value,)
    with pytest.raises(SerializationError, match="nested more than") as caught:
        dumps({"deep": value})
    assert len(caught.traceback) < 5, "not a frame for each level: they would fill the log"


def nested(depth, wrap, bottom):
    value = bottom
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("known", [None, "x" * 100_000])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: (value,),
        lambda value: {"a": value},
        lambda value: OrderedDict(a=value),
        lambda value: enum.Enum("E", {"A": [value]}).A,
        lambda value: [1.5, "text", [[]], value, UUID(int=1), {"b": [2]}],
    ],
    ids=["list", "tuple", "dict", "subclass", "enum", "siblings"],
)
@pytest.mark.parametrize("depth", [30, 51, 52, 60, 120])
def test_orjson_gets_nothing_deep(depth, wrap, known, monkeypatch):
    """Orjson writes past its buffer where much is nested, so it is given only what is not; the text is the same."""
    written = []

    def write(value, *rest):
        written.append(deepest(value))
        return original(value, *rest)

    original = orjson.dumps
    monkeypatch.setattr(orjson, "dumps", write)
    value = {"a": nested(depth, wrap, 1)}
    text = dumps(value, known)
    assert text == dumps({**value, "d": date(1, 1, 1)})[: len(text) - 1] + "}"
    assert max(written, default=0) <= 51


def test_the_dict_of_an_object_is_looked_into():
    """Also where Python keeps an object's attributes in the object, and not in what `vars` gives."""

    class Form:
        def __init__(self, field):
            self.field = field

    form = Form(nested(300, lambda each: (each,), 1))
    with pytest.raises(SerializationError, match="nested more than"):
        dumps({"form": vars(form)})


def deepest(value):
    if isinstance(value, enum.Enum):
        value = value.value
    if not isinstance(value, (dict, list, tuple)):
        return 0
    return 1 + max(map(deepest, value.values() if isinstance(value, dict) else value), default=0)


def test_deep_lists_do_not_kill_the_process():
    """Lists from somebody's JSON, so deep and so long that orjson alone would write past the end of its buffer."""
    program = """
        from node_session.serializer import dumps, loads

        def nested(depth, value=1):
            for _ in range(depth):
                value = [value]
            return value

        for before in range(202):
            start = [nested(100) for _ in range(17)] + [nested(before // 2, 10 ** (before % 2))]
            text = dumps({"a": [start, nested(250)]})
        assert dumps(loads(text)) == text
    """
    env = {**os.environ, "PYTHONMALLOC": "debug"}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:1000]


@pytest.mark.parametrize("depth", [0, 2])
def test_what_contains_itself_twice(depth):
    """Nor does it take ages, where each level has twice as many values as the one before."""
    value = []
    value += [value, value]
    with pytest.raises(SerializationError, match="contains itself"):
        dumps({"a": nested(depth, lambda each: (each,), value)}, "x" * 100_000)


def test_values_with_a_class_are_not_followed():
    """What a class refers to, which is half the interpreter, is no part of the session."""
    attributes = {"a": [UUID(int=number) for number in range(1000)], "e": enum.IntEnum("I", {"A": 7}).A}
    assert json.loads(dumps(attributes)) == {"a": [str(each) for each in attributes["a"]], "e": 7}
    assert dumps(attributes, "x" * 10) == dumps(attributes)


def test_brackets_in_strings_are_no_containers():
    """Only what is nested counts, not what looks so in a string."""
    attributes = {"a": "[{" * 1000, "b": ["]}" * 1000, '"[\\"[' * 1000]}
    assert loads(dumps(attributes)) == attributes


def test_usual_numbers_are_not_searched_for(monkeypatch):
    """Prices with cents are written by orjson alone: to go through the text once more takes longer than all else."""
    monkeypatch.setattr("node_session.javascript._strings_and_numbers", None)
    assert dumps({"prices": [12.05, 0.5, 100, 1e-7], "note": "3.0"}) == '{"prices":[12.05,0.5,100,1e-7],"note":"3.0"}'
