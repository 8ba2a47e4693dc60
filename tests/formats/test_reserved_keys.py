"""Records that look like one of ours for other purposes: farewells, and lists of devices."""

from __future__ import annotations

import pytest

from formats.conftest import make_format
from node_session import farewell, roster
from node_session.formats import NODE_SESSION


@pytest.mark.parametrize("format", [make_format(), NODE_SESSION], ids=repr)
def test_a_key_of_farewells(format):
    """An attribute of that name which leads to no id is an attribute."""
    for to in (None, 5, "", "a b"):
        assert not farewell.is_farewell({farewell.KEY: {"at": 1, "to": to}}, format)
    assert farewell.is_farewell({farewell.KEY: {"at": 1, "to": format.veil("x" * 40, "y" * 40)}}, format)


@pytest.mark.parametrize(("ids", "is_taken"), [(["a.b"], True), (["a.b", 7], False), (["a\nb"], False), ([""], False)])
def test_entries_of_other_ids(ids, is_taken):
    """An entry of a list of devices counts only if all its ids are those of the format."""
    there = roster.Roster("", "ann")
    entry = {"at": 1, "ids": ids}
    there.read({roster.KEY: {"owner": "ann", "list": {"0" * 32: entry}}}, "", make_format().ids.is_valid)
    assert bool(there.entries) is is_taken
