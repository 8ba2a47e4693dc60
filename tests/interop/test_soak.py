"""A short soak in CI; `make soak-node` runs it as long as one likes."""

from __future__ import annotations

import asyncio

import pytest
from soak import STORES, USERS, Soak, Visitor, open_doors

REQUESTS = 2000


@pytest.mark.parametrize("store", STORES)
def test_nothing_is_lost_between_two_programs(store, open_door):
    """Fifty users at random over both programs find in every session, at every request, what they have put there."""
    with open_doors(store) as doors:
        run = Soak(doors, seed=1)
        asyncio.run(run.run(lambda run: run.requests < REQUESTS))
    assert run.differences == []
    assert run.requests >= REQUESTS + USERS


@pytest.mark.parametrize(
    ("calls", "results"),
    [
        ([["get", "a"]], [1]),
        ([["put", "a", 1], ["get", "a"]], [None, 2]),
        ([["all"]], [{"_token": "short"}]),
        ([["all"]], [{"_token": "t" * 40, "a": 1}]),
        ([["getToken"], ["getToken"]], ["t" * 40, "u" * 40]),
        ([["getToken"], ["regenerateToken"], ["getToken"]], ["t" * 40, None, "t" * 40]),
    ],
    ids=str,
)
def test_a_difference_is_noticed(calls, results):
    """A result that is not the model's, a token that changes and one that does not are differences."""
    assert any("and not" in problem for problem in Visitor().compare(calls, results, []))
