"""No record that ours has written pollutes the process of the npm original, which merges records into its objects."""

from __future__ import annotations

import json

import pytest
from doors import SECRET

from node_session import cookies

ID = "A" * 40
COOKIE = f"node_session={cookies.sign(ID, SECRET)}"

VALUES = [
    {"__proto__": {"polluted": 1}},
    {"x": [{"__proto__": {"polluted": 1}}]},
    {"constructor": {"prototype": {"polluted": 1}}},
    {"constructor": {"__proto__": {"polluted": 1}}},
    {"prototype": {"polluted": 1}, "toString": {"polluted": 1}},
]


@pytest.mark.parametrize("value", VALUES, ids=json.dumps)
def test_ours_pollutes_nothing(open_door, value):
    """Whatever ours is asked to put into a session, the original finds no attribute in it that nobody has put there."""
    ours = open_door("ours")
    original = open_door("original", files=ours.files)
    _, line = ours.ask([["put", "n", 1]], None)
    cookie = line.partition(";")[0]
    refused = "__proto__" in json.dumps(value)
    ours.connection.request("POST", "/", json.dumps([["put", "form", value]]), {"Cookie": cookie})
    response = ours.connection.getresponse()
    response.read()
    assert response.status == (500 if refused else 200)
    calls = [["get", "n"], ["get", "polluted"], ["get", "form"]]
    assert original.ask(calls, cookie)[0] == [1, None, None if refused else value]
    assert original.ask([["get", "polluted"]], None)[0] == [None]  # nor does another user


@pytest.mark.parametrize("value", VALUES[:2], ids=json.dumps)
def test_the_original_can_be_polluted(open_door, value):
    """That this is seen: a record which holds such a key gives every session of the process what is below it."""
    door = open_door("original")
    (door.files / ID).write_text(json.dumps({"_token": "t", "form": value}))
    assert door.ask([["get", "polluted"]], COOKIE)[0] == [1]
    assert door.ask([["get", "polluted"]], None)[0] == [1]


def test_ours_cleans_what_the_original_has_written(open_door):
    """A session that the original has stored with such a key is kept; once ours has changed it, it does no harm."""
    ours = open_door("ours")
    writer, reader = (open_door("original", files=ours.files) for _ in range(2))
    _, line = writer.ask([["put", "user", "ann"], ["put", "form", VALUES[0]]], None)
    cookie = line.partition(";")[0]
    assert "__proto__" in next(ours.files.iterdir()).read_text()
    assert ours.ask([["get", "user"], ["get", "form"], ["put", "n", 1]], cookie)[0] == ["ann", {}, None]
    assert reader.ask([["get", "user"], ["get", "n"], ["get", "polluted"]], cookie)[0] == ["ann", 1, None]
