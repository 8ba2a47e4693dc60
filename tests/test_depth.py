"""The depth of values, and that orjson gets only those that it can write."""

from __future__ import annotations

import enum
import json
import os
import subprocess
import sys
import textwrap
from collections import OrderedDict
from datetime import date
from uuid import UUID

import orjson
import pytest
from counting import count_calls

from node_session import DamagedError, SerializationError
from node_session.depth import MAX_DEPTH
from node_session.json_writer import JsonWriter
from node_session.serializer import dumps, loads


def nested(depth, wrap, bottom):
    value = bottom
    for _ in range(depth):
        value = wrap(value)
    return value


def deepest(value):
    if isinstance(value, enum.Enum):
        value = value.value
    if not isinstance(value, (dict, list, tuple)):
        return 0
    return 1 + max(map(deepest, value.values() if isinstance(value, dict) else value), default=0)


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


def test_deep_tuples():
    """Tuples count as lists: what could not be read again is refused."""
    value: object = "bottom"
    for _ in range(400):
        value = (value,)
    with pytest.raises(SerializationError, match="nested more than") as caught:
        dumps({"deep": value})
    assert len(caught.traceback) < 5, "not a frame for each level: they would fill the log"


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


def test_empty_one_at_the_bottom():
    """What orjson writes at its deepest, with a number that JavaScript spells as a large integer, is read again."""
    value: list = []
    for _ in range(253):
        value = [value]
    text = dumps({"deep": value, "large": 1e16})
    assert dumps(loads(text)) == text


def test_many_shallow_containers_are_read():
    """Only depth counts, not how many containers there are."""
    attributes = {"a": [[] for _ in range(1000)], "b": {str(number): {} for number in range(1000)}}
    assert loads(dumps(attributes)) == attributes


def test_brackets_in_strings_are_no_containers():
    """Only real nesting counts, not brackets in a string."""
    attributes = {"a": "[{" * 1000, "b": ["]}" * 1000, '"[\\"[' * 1000]}
    assert loads(dumps(attributes)) == attributes


def test_deep_values_cost_no_more_than_flat_ones():
    """Nesting does not multiply the work: an attacker's small text must not take seconds."""
    flat = [(1,)] * 1000
    deep = flat
    for _ in range(MAX_DEPTH - 5):
        deep = [deep]
    cost = [count_calls(JsonWriter({"a": value}, MAX_DEPTH).text) for value in (flat, deep)]
    assert cost[1] < 2 * cost[0]


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
    """Orjson writes past its buffer if values are nested deep, so it gets no such values; the text is the same."""
    written = []

    def write(value, *rest):
        written.append(deepest(value))
        return original(value, *rest)

    original = orjson.dumps
    monkeypatch.setattr(orjson, "dumps", write)
    value = {"a": nested(depth, wrap, 1)}
    text = dumps(value, known)
    assert text == JsonWriter(value, MAX_DEPTH).text()
    assert text == dumps({**value, "d": [date(1, 1, 1), 2**53]})[: len(text) - 1] + "}"
    assert max(written, default=0) <= 51


@pytest.mark.parametrize("beside", [[], [1] * 200, [[]] * 200, [{"n": 1}] * 200, [{}, [], "x"] * 200], ids=len)
def test_the_dict_of_an_object_is_looked_into(beside):
    """Also where Python keeps an object's attributes in the object, and not in what `vars` gives."""

    class Form:
        def __init__(self, field):
            self.field = field

    form = Form(nested(300, lambda each: (each,), 1))
    with pytest.raises(SerializationError, match="nested more than"):
        dumps({"forms": [*beside, vars(form), *beside]}, "x" * 100_000)


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


def test_enums_and_uuids_are_left_to_orjson(monkeypatch):
    """One such value does not make the whole session fifty times as expensive to write."""
    monkeypatch.setattr("node_session.serializer.JsonWriter", lambda *args: pytest.fail("written in Python"))
    attributes = {"e": enum.Enum("E", {"A": "x"}).A, "i": [enum.IntEnum("I", {"A": 7}).A], "u": [UUID(int=1)]}
    assert json.loads(dumps(attributes)) == {"e": "x", "i": [7], "u": [str(UUID(int=1))]}


def test_values_with_a_class_are_not_followed():
    """What a class refers to, which is half the interpreter, is no part of the session."""
    attributes = {"a": [UUID(int=number) for number in range(1000)], "e": enum.IntEnum("I", {"A": 7}).A}
    assert json.loads(dumps(attributes)) == {"a": [str(each) for each in attributes["a"]], "e": 7}
    assert dumps(attributes, "x" * 10) == dumps(attributes)
