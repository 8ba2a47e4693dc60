"""Merging two writers' sessions: nothing that either did is lost."""

from __future__ import annotations

import copy
import datetime
import itertools
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node_session import forms, paths, serializer
from node_session.depth import MAX_DEPTH
from node_session.merge import merge
from node_session.paths import MISSING

scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, "", "x"])
names = st.sampled_from(["a", "b", "c", "flash", "old", "new"])
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3), max_leaves=12
)
flash_keys = st.lists(st.sampled_from(["a", "b", "c"]) | scalars, max_size=3)
sessions = st.dictionaries(names, json_values, max_size=4) | st.builds(
    lambda values, old, new: {**values, "flash": {"old": old, "new": new}},
    st.dictionaries(names, json_values, max_size=4),
    flash_keys,
    flash_keys,
)


def merged(base: Any, mine: Any, theirs: Any, **options: Any) -> dict[str, Any]:
    """`merge` of copies: the examples below share objects between the sides, which real sides do not."""
    return merge(copy.deepcopy(base), copy.deepcopy(mine), copy.deepcopy(theirs), **options)


def exactly(value: Any) -> str:
    """A text that differs for True and 1, which == does not tell apart."""
    return repr(value)


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "result"),
    [
        # one side changed
        ({"a": 1}, {"a": 2}, {"a": 1, "b": 1}, {"a": 2, "b": 1}),
        ({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 3, "b": 1}, {"a": 3, "b": 2}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 2, "y": 1}}, {"a": {"x": 1, "y": 2}}, {"a": {"x": 2, "y": 2}}),
        ({"a": 1, "b": 0}, {"a": True, "b": 0}, {"a": 1, "b": 1}, {"a": True, "b": 1}),
        ({"a": 1, "b": 0}, {"a": 1.0, "b": 1}, {"a": 5, "b": 0}, {"a": 5, "b": 1}),
        ({"a": {"x": 1}, "b": 0}, {"a": {"x": 1}, "b": 1}, {"a": "text", "b": 0}, {"a": "text", "b": 1}),
        ({"a": None}, {"a": {"x": 1}}, {"a": {"y": 1}}, {"a": {"y": 1, "x": 1}}),
        # both changed
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}),
        ({"a": {"x": 1}}, {"a": "mine"}, {"a": {"x": 2}}, {"a": "mine"}),
        ({"a": {"x": 1}}, {"a": {"x": 2}}, {"a": "theirs"}, {"a": {"x": 2}}),
        # deleted
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2}, {"b": 2}),
        ({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"b": 1}, {"b": 2}),
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 1}),
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"b": 1}, {"b": 1, "a": 2}),
        ({"a": 1}, {}, {}, {}),
        # deleted by one, changed within by the other: the old parts are gone, changed and added ones are not
        ({"a": [1], "b": 1}, {"a": [1, 2], "b": 1}, {"b": 1}, {"b": 1, "a": [2]}),
        ({"a": [1], "b": 1}, {"b": 1}, {"a": [1, 2], "b": 1}, {"a": [2], "b": 1}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 1, "y": 2}}, {}, {"a": {"y": 2}}),
        ({"a": {"x": 1, "y": 1}}, {}, {"a": {"x": 1, "y": 2}}, {"a": {"y": 2}}),
        ({"a": {"x": {"n": 1, "m": 1}, "y": 1}}, {"a": {"x": {"n": 1, "m": 1, "o": 1}}}, {}, {"a": {"x": {"o": 1}}}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 1}}, {"b": 1}, {"b": 1}),
        ({"a": [{"n": 1}]}, {"a": [{"n": 2}]}, {"b": 1}, {"b": 1, "a": [{"n": 2}]}),
        ({"a": [1]}, {"a": []}, {"b": 1}, {"b": 1, "a": []}),
        ({"a": [1]}, {"a": {"x": 1}}, {"b": 1}, {"b": 1, "a": {"x": 1}}),
        # added
        ({}, {"a": 1}, {"a": 2}, {"a": 1}),
        ({}, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"y": 2, "x": 1}}),
        ({}, {"a": [1]}, {"a": [2]}, {"a": [2, 1]}),
        ({}, {"a": [1]}, {"a": [1]}, {"a": [1, 1]}),
        # lists
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 3, 2]}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}, {"a": [1, 2, 2]}),
        ({"a": [{"n": 1}]}, {"a": [{"n": 2}]}, {"a": [{"n": 1}, 9]}, {"a": [{"n": 2}, 9]}),
        ({"a": [{"n": 1}]}, {"a": [{"n": 1}, 9]}, {"a": [{"n": 2}]}, {"a": [{"n": 2}, 9]}),
        ({"a": [{"n": 1}, 5]}, {"a": [{"n": 1, "m": 1}, 5]}, {"a": [{"n": 2}, 6]}, {"a": [{"n": 2, "m": 1}, 6]}),
        ({"a": [1, 2]}, {"a": [2]}, {"a": [1, 2, 3]}, {"a": [2, 3]}),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, {"a": [2]}, {"a": [2, 3]}),
        ({"a": [1, 2]}, {"a": [2, 3]}, {"a": [1, 2, 4]}, {"a": [2, 3, 4]}),
        ({"a": [1, 2]}, {"a": [2]}, {"a": [1]}, {"a": [2]}),
        ({"a": [1, 2, 3]}, {"a": [1, 3, 2]}, {"a": [2, 3, 1]}, {"a": [1, 3, 2]}),
        (
            {"a": [{"id": 1, "n": 1}, {"id": 2, "n": 1}]},
            {"a": [{"id": 2, "n": 1}, {"id": 3, "n": 1}]},
            {"a": [{"id": 1, "n": 7}, {"id": 2, "n": 1}]},
            {"a": [{"id": 2, "n": 1}, {"id": 3, "n": 1}]},
        ),
        ({"a": [0, 1]}, {"a": [False, 1]}, {"a": [0, 1, 2]}, {"a": [False, 1, 2]}),
    ],
)
def test_merge(base: Any, mine: Any, theirs: Any, result: Any) -> None:
    """The table of the rules: objects key by key, lists item by item, changed beats untouched, mine beats theirs."""
    assert exactly(merged(base, mine, theirs)) == exactly(result)


def test_live_values_are_compared_by_what_is_stored() -> None:
    """A tuple, a date and an infinity that have been stored already are no change of mine."""
    date = datetime.datetime(2026, 11, 22, 20, 27, tzinfo=datetime.timezone.utc)
    mine = {"tuple": (1, 2), "date": date, "infinite": float("inf"), "mine": 1}
    base = serializer.loads(serializer.dumps({**mine, "infinite": None, "mine": 0}))
    theirs = {**base, "tuple": [3], "date": "theirs", "infinite": 1}
    assert merge(base, mine, theirs) == {"tuple": [3], "date": "theirs", "infinite": 1, "mine": 1}


def test_an_untouched_live_value_stays_as_it_is() -> None:
    """If nothing changed, the live object is kept, not its stored form."""
    pair = (1, 2)
    result = merge({"pair": [1, 2]}, {"pair": pair, "a": 1}, {"pair": [1, 2], "b": 1})
    assert result["pair"] is pair


def test_what_cannot_be_stored_is_kept_for_saving_to_refuse() -> None:
    """An object without a stored form does not break the merge; it is a change of mine."""
    odd = object()
    result = merge({"a": 1, "list": [1]}, {"a": odd, "list": [1, odd]}, {"a": 2, "list": [1, 2]})
    assert result == {"a": odd, "list": [1, 2, odd]}


def nested(value: Any, times: int) -> Any:
    for _ in range(times):
        value = [value]
    return value


def test_deep_lists_cost_no_more_than_flat_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value is looked at a few times, however deep: two requests of an attacker must not take minutes."""
    looked_at = [0]

    def container(self: Any, value: Any) -> Any:
        looked_at[0] += len(value)
        return original(self, value)

    original = forms.Forms._container
    monkeypatch.setattr(forms.Forms, "_container", container)
    for times in (1, 100):
        looked_at[0] = 0
        sides = [{"a": nested([*range(100)], times)} for _ in range(3)]
        assert merge(sides[0], {**sides[1], "mine": 1}, {**sides[2], "theirs": 2})["theirs"] == 2
        assert looked_at[0] < 3000


def test_integers_with_one_hash() -> None:
    """Integers chosen to have one hash in Python are compared by their parsed text, which has many."""
    hashed = {forms.canonical(number * (2**61 - 1)) for number in range(16, 1000)}
    assert len({hash(number) for number in hashed}) > 100


def test_deep_lists_are_merged_item_by_item() -> None:
    """Containers within lists within lists merge, and equal ones of different kinds are not mixed up."""
    base = {"a": nested([{"n": 1}, [], {}, (), ""], 50)}
    mine = {"a": nested([{"n": 1, "mine": [1]}, [], {}, (), ""], 50)}
    theirs = {"a": nested([{"n": 2}, [], {"x": []}, [], "", "new"], 50)}
    merged = merge(base, mine, theirs)
    assert merged == {"a": nested([{"n": 2, "mine": [1]}, [], {"x": []}, (), "", "new"], 50)}


def test_the_deepest_value_that_one_side_deleted() -> None:
    """A value as deep as can be stored is merged within Python's recursion limit, also on a server's stack."""

    def deep(bottom: dict[str, Any]) -> dict[str, Any]:
        value = bottom
        for _ in range(MAX_DEPTH - 1):
            value = {"a": value}
        return {"deep": value, "n": 1}

    def inside(frames: int) -> None:
        if frames:
            inside(frames - 1)
            return
        assert merge(deep({"n": 1}), {"n": 1}, deep({"n": 1, "new": 2})) == deep({"new": 2})
        assert merge(deep({"n": 1}), deep({"n": 1, "new": 2}), {"n": 1}) == deep({"new": 2})

    inside(50)


def test_numbers_too_large_to_add() -> None:
    """An integer beyond every float is a value like any other, and breaks no sum."""
    mine = merge({"n": 10**400}, {"n": 10**400 + 1}, {"n": 5}, increments={"n": 0.5})
    assert mine == {"n": 10**400 + 1} or mine == {"n": 5}


def test_references_stay_references() -> None:
    """A container that a handler holds is still part of the session, with the other side's changes in it."""
    item = {"qty": 1}
    cart = [item]
    shop: dict[str, Any] = {"cart": cart}
    mine = {"shop": shop, "n": 1}
    result = merge({"shop": {"cart": [{"qty": 1}]}}, mine, {"shop": {"cart": [{"qty": 5}, {"qty": 9}], "open": True}})
    assert result is mine
    assert result == {"shop": {"cart": [{"qty": 5}, {"qty": 9}], "open": True}, "n": 1}
    assert result["shop"] is shop
    assert shop["cart"] is cart
    assert cart[0] is item


def test_one_list_in_two_places() -> None:
    """A live list under two keys is merged once for each, not twice into itself."""
    shared = [1, 9]
    result = merge({"a": [1], "b": [1]}, {"a": shared, "b": shared}, {"a": [1, 2], "b": [1, 3]})
    assert result == {"a": [1, 2, 9], "b": [1, 3, 9]}


def test_one_object_twice_of_which_one_place_changed() -> None:
    """A place that nobody else changed does not take back what another place of the same object has merged."""
    for first, second in (("a", "b"), ("b", "a")):
        shared = {"n": 1, "mine": 1}
        base, theirs = {"a": {"n": 1}, "b": {"n": 1}}, {first: {"n": 2}, second: {"n": 1}}
        result = merge(base, {first: shared, second: shared}, theirs)
        assert result == {first: {"n": 2, "mine": 1}, second: {"n": 1, "mine": 1}}


def test_flush_empties_whatever_is_there() -> None:
    """After a flush the result is mine alone."""
    mine = {"b": 1}
    assert merge({"a": 1}, mine, {"a": 2, "c": 3}, flushed=True) is mine
    assert mine == {"b": 1}


def test_base_and_theirs_are_not_changed() -> None:
    """Only my own containers are filled."""
    base: dict[str, Any] = {"a": [1], "b": {"x": 1}}
    theirs: dict[str, Any] = {"a": [1, 2], "b": {"x": 1, "y": 1}, "n": 5}
    merge(base, {"a": [1, 3], "b": {"x": 2}, "n": 1}, theirs, increments={"n": 1})
    assert (base, theirs) == ({"a": [1], "b": {"x": 1}}, {"a": [1, 2], "b": {"x": 1, "y": 1}, "n": 5})


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "increments", "result"),
    [
        ({"n": 1}, {"n": 2}, {"n": 5}, {"n": 1}, {"n": 6}),
        ({"n": 1}, {"n": -1}, {"n": 5}, {"n": -2}, {"n": 3}),
        ({}, {"n": 1}, {"n": 1}, {"n": 1}, {"n": 2}),
        ({}, {"s": {"n": 1}}, {"s": {"n": 1, "m": 1}}, {"s.n": 1}, {"s": {"n": 2, "m": 1}}),
        ({"n": 1}, {"n": 2}, {"m": 1}, {"n": 1}, {"m": 1, "n": 1}),
        ({"n": 1}, {"n": 2}, {"n": None}, {"n": 1}, {"n": 1}),
        ({"n": 1}, {"n": 2}, {"n": "text"}, {"n": 1}, {"n": 2}),
        ({"n": 5}, {"n": 6}, {"n": True}, {"n": 1}, {"n": 6}),
        ({"n": 0.1}, {"n": 0.1 + 0.2 + 0.3}, {"n": 1}, {"n": 0.2 + 0.3}, {"n": 1.5}),
        ({"n": 1, "a": 0}, {"n": 1, "a": 1}, {"a": 0}, {"n": 0}, {"a": 1}),
        ({"n": 1}, {"n": 100}, {"n": 5}, {"n": 1}, {"n": 100}),
        ({}, {"n": 0}, {"n": 5}, {"n": 0}, {"n": 5}),
        ({"n": None}, {"n": 0}, {"n": None, "m": 1}, {"n": 0}, {"n": 0, "m": 1}),
        ({"n": 1}, {"n": 1}, {"n": [1]}, {"n": 0}, {"n": [1]}),
        ({"s": {"n": 1}}, {"s": {"n": 1}}, {"s": []}, {"s.n": 1e-12}, {"s": []}),
        ({"a.n": 1}, {"a.n": 1, "a": {"n": 2}}, {"a.n": 1, "a": {"n": 2}}, {"a.n": 1}, {"a.n": 1, "a": {"n": 3}}),
        ({"c": [{"n": 1}]}, {"c": [{"n": 2}]}, {"c": [{"n": 4}, 9]}, {"c[0].n": 1}, {"c": [{"n": 5}, 9]}),
        ({"c": [{"n": 1}, 7]}, {"c": [{"n": 2}, 7]}, {"c": [7]}, {"c[0].n": 1}, {"c": [{"n": 2}, 7]}),
    ],
)
def test_increments(base: Any, mine: Any, theirs: Any, increments: Any, result: Any) -> None:
    """An increment adds to the number stored now; where there is none any more, the other rules hold."""
    assert exactly(merged(base, mine, theirs, increments=increments)) == exactly(result)


def flash(*old: str, **values: Any) -> dict[str, Any]:
    """A session as it is between requests, with some flashed values."""
    return {**values, "flash": {"old": list(old), "new": []}}


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "result"),
    [
        pytest.param(
            flash("x", x=1), flash("b", b=1), flash("a", a=1), flash("a", "b", a=1, b=1), id="both expire, both flash"
        ),
        pytest.param(flash(), flash(n=1), flash("a", a=1), flash("a", a=1, n=1), id="flashed meanwhile"),
        pytest.param(flash("x", x=1), flash(n=1), flash("x", x=2), flash("x", x=2, n=1), id="flashed again by them"),
        pytest.param(flash("x", x=1), flash(n=1), flash("x", x=1, m=1), flash("x", x=1, m=1, n=1), id="kept by them"),
        pytest.param(flash("x", x=1), flash("x", x=1, n=1), flash(m=1), flash("x", m=1, n=1, x=1), id="kept by me"),
        pytest.param(flash("x", x=1), flash("x", x=3), flash("x", x=2), flash("x", x=3), id="flashed again by both"),
        pytest.param(flash("x", x=1), flash(n=1), flash(m=1), flash(m=1, n=1), id="both expire"),
        pytest.param(
            flash("u.x", u={"x": 1, "y": 1}),
            flash(u={"y": 1}, n=1),
            flash("u.x", u={"x": 1, "y": 1}, m=1),
            flash("u.x", u={"y": 1, "x": 1}, m=1, n=1),
            id="dotted",
        ),
        pytest.param({}, flash("b", b=1), flash("a", a=1), flash("a", "b", a=1, b=1), id="first requests"),
        pytest.param(flash("x", x=1), flash("b", b=1), {}, flash("b", b=1), id="flushed by them"),
    ],
)
def test_flash(base: Any, mine: Any, theirs: Any, result: Any) -> None:
    """I expire data that was old when I loaded; data that either flashed since is listed once, for the next request."""
    outcome = merged(base, mine, theirs)
    assert outcome == result
    assert outcome["flash"]["old"] == result["flash"]["old"]


def test_flash_carried_along_without_aging() -> None:
    """A WebSocket that saves again does not bring back the flash data that a page has shown meanwhile."""
    socket = flash("x", "y", x=1, y=1, n=1)
    assert merged(flash("x", x=1), socket, flash(m=1), aged=False) == flash("y", m=1, y=1, n=1)


def test_flash_again_without_aging() -> None:
    """What a WebSocket flashes again with another value is flash data, although a page has shown the first one."""
    assert merged(flash("x", x=1), flash("x", x=2), flash(m=1), aged=False) == flash("x", m=1, x=2)


def test_flash_that_i_did_not_touch() -> None:
    """If I changed nothing at all, what I list is nothing I flashed."""
    unchanged = flash("x", x=1)
    assert merged(unchanged, unchanged, flash(m=1)) == flash(m=1)


@given(sessions, sessions)
def test_theirs_if_i_changed_nothing(base: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Without a change of mine the result is theirs, in their order."""
    assert exactly(merged(base, base, theirs)) == exactly(theirs)


@given(sessions, sessions)
def test_mine_if_they_changed_nothing(base: dict[str, Any], mine: dict[str, Any]) -> None:
    """Without a change of theirs the result is mine."""
    assert exactly(merged(base, mine, base)) == exactly(mine)


@given(sessions, sessions, sessions)
def test_anything_can_be_merged(base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """No three sessions make the merge fail, and every key of the result is one of a side."""
    result = merged(base, mine, theirs)
    assert set(result) <= {*mine, *theirs, *(each for each in ("a", "b", "c"))}


changes = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 1)), scalars, max_size=6)


@given(changes, changes)
def test_disjoint_changes_commute(mine: dict[tuple[int, int], Any], theirs: dict[tuple[int, int], Any]) -> None:
    """Changes of different keys give the same in either order, and both are in the result."""
    assume(not mine.keys() & theirs.keys())
    base = {f"o{number}": {"k0": "old", "k1": "old"} for number in range(6)}

    def changed(by: dict[tuple[int, int], Any]) -> dict[str, Any]:
        session: dict[str, Any] = copy.deepcopy(base)
        for (number, key), value in by.items():
            if value is None:
                del session[f"o{number}"][f"k{key}"]
            else:
                session[f"o{number}"][f"k{key}"] = value
        return session

    one = merged(base, changed(mine), changed(theirs))
    assert one == merged(base, changed(theirs), changed(mine)) == changed({**mine, **theirs})


class Writer:
    """A session's work on its attributes, without waiting: load, change, save by compare-and-swap."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.base: dict[str, Any] = {}
        self.mine: dict[str, Any] = {}
        self.increments: dict[str, float] = {}

    def load(self, stored: dict[str, Any]) -> None:
        self.base, self.mine = copy.deepcopy(stored), copy.deepcopy(stored)
        self.increments = {}

    def push(self, key: str) -> tuple[str, int]:
        self.count += 1
        values = paths.find(self.mine, key)
        values = [] if values is MISSING else values
        values.append([self.name, self.count])
        paths.assign(self.mine, key, values)
        return (self.name, self.count)

    def increment(self, key: str, delta: float) -> None:
        before = paths.find(self.mine, key)
        paths.assign(self.mine, key, (0 if before is MISSING else before) + delta)
        self.increments[key] = self.increments.get(key, 0) + delta

    def save(self, stored: dict[str, Any]) -> dict[str, Any]:
        if stored != self.base:
            self.mine = merge(self.base, self.mine, copy.deepcopy(stored), increments=self.increments)
        self.base = copy.deepcopy(self.mine)
        self.increments = {}
        return copy.deepcopy(self.mine)


steps = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["load", "push", "push", "increment", "save", "save", "own"]),
        st.sampled_from(["list", "deep.list", "deep.other"]),
    ),
    max_size=60,
)


@given(steps)
def test_writers_in_any_order_lose_nothing(plan: list[tuple[int, str, str]]) -> None:
    """However loads, changes and saves of four writers interleave: all that was saved is there, once and in order."""
    writers = [Writer(f"w{number}") for number in range(4)]
    pending: list[list[tuple[str, str, Any]]] = [[] for _ in writers]  # changed, but not saved yet
    saved: list[tuple[str, str, Any]] = []
    stored: dict[str, Any] = {}
    for number, step, key in itertools.chain(plan, ((number, "save", "") for number in range(4))):
        writer = writers[number]
        if step == "load":
            writer.load(stored)
            pending[number] = []
        elif step == "push":
            pending[number].append(("push", key, writer.push(key)))
        elif step == "increment":
            writer.increment("deep.sum", number + 1)
            pending[number].append(("sum", "deep.sum", number + 1))
        elif step == "own":
            writer.count += 1
            writer.mine[writer.name] = writer.count
            pending[number].append(("own", writer.name, writer.count))
        else:
            stored = writer.save(stored)
            saved += pending[number]
            pending[number] = []
    for key in ("list", "deep.list", "deep.other"):
        found = paths.find(stored, key)
        pushed = [tuple(item) for item in (found if found is not MISSING else [])]
        expected = [value for kind, where, value in saved if (kind, where) == ("push", key)]
        assert sorted(pushed) == sorted(expected)
        for writer in writers:
            own = [count for name, count in pushed if name == writer.name]
            assert own == sorted(own)
    total = sum(value for kind, _, value in saved if kind == "sum")
    assert (paths.find(stored, "deep.sum") if total else 0) == total
    for kind, name, value in saved:
        if kind == "own":
            assert stored[name] >= value


def test_one_object_in_two_places():
    """What another request stores for one of two keys that hold the same object stays out of the other."""
    address = {"street": "B"}
    merged = merge(
        {"shipping": {"street": "B"}, "billing": {"street": "A"}},
        {"shipping": address, "billing": address},
        {"shipping": {"street": "B"}, "billing": {"street": "A", "vat": "DE1"}},
    )
    assert merged == {"shipping": {"street": "B"}, "billing": {"street": "B", "vat": "DE1"}}
    assert merged["shipping"] is address


def test_lone_surrogate_is_no_difference():
    """A record with half an emoji in it, as JavaScript may store, is still seen to be the one that was loaded."""
    stored = {"half": "\ud83d", "flash": {"old": [], "new": ["a"]}, "a": 1}
    mine = {"half": "\ud83d", "flash": {"old": ["a"], "new": []}, "a": 1}
    assert merge(stored, mine, copy.deepcopy(stored)) == {
        "half": "\ud83d",
        "flash": {"old": ["a"], "new": []},
        "a": 1,
    }


def test_orjson_gets_nothing_deep(monkeypatch):
    """Values are compared by their JSON, but not those whose JSON orjson would write past the end of its buffer."""
    written = []

    def write(value, *rest):
        written.append(deepest(value))
        return original(value, *rest)

    def deepest(value):
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        return 1 + max(map(deepest, inner), default=0)

    def deep(bottom="x"):
        value = [bottom]
        for _ in range(100):
            value = [value]
        return {"deep": [value, 1], "flat": {"n": 1}}

    original = orjson.dumps
    monkeypatch.setattr(orjson, "dumps", write)
    merged = merge(deep(), {**deep(), "mine": 1}, {**deep("y"), "flat": 2}, increments={})
    assert merged == {**deep("y"), "mine": 1, "flat": 2}
    assert 0 < max(written) <= 51
