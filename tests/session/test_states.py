"""The table of a session's states."""

from __future__ import annotations

import re

import pytest
from world import make_session

from node_session import state
from node_session.drivers import MemoryDriver
from node_session.session import work_of
from node_session.state import GONE, STORED, WAYS, State


def test_the_table_is_the_code():
    """The table in the module's docstring has the transitions that the code allows, and no others."""
    documented: dict[str, set[str]] = {}
    name = ""
    for first, text in re.findall(r"^\| *(\w*) *\| (.*) \|$", state.__doc__, re.M)[1:]:
        name = first or name
        documented.setdefault(name, set()).update(re.findall(r"→ ([A-Z]+)", text))
    assert documented == {before.name: {after.name for after in ways} for before, ways in WAYS.items()}
    assert set(WAYS) == set(State)


def test_a_transition_that_the_table_lacks():
    """A transition that is not in the table is an error of the package, and the state stays."""
    work = work_of(make_session(MemoryDriver(0)))
    work.enter(GONE)
    with pytest.raises(AssertionError, match="cannot go from GONE to STORED"):
        work.enter(STORED)
    assert work.state is GONE
