"""Values that orjson does not write: errors that name the key, and integers that JavaScript rounds."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_session import SerializationError
from node_session.serializer import dumps, loads


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


def test_large_integers_are_one_warning(caplog):
    """A list of integers that JavaScript would round is one line in the log, not one for each."""
    with caplog.at_level(logging.WARNING, "node_session"):
        dumps({"a": [2**60] * 1000})
    assert len(caplog.records) == 1


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
