"""Changes that comparing before and after cannot tell."""

from __future__ import annotations

import json

import pytest

from node_session import Session
from node_session.changes import Changes
from node_session.drivers import MemoryDriver
from node_session.records import Records


@pytest.mark.parametrize(
    ("work", "result"),
    [
        (lambda session: None, {"a": {"n": 11}, "a.n": "x"}),
        (lambda session: session.__setitem__("a.n", "y"), {"a": {"n": 11}, "a.n": "y"}),
        (lambda session: session.__delitem__("a.n"), {"a": {"n": 11}}),
        (lambda session: session.put("a.n", 1), {"a": {"n": 1}, "a.n": "x"}),
        (lambda session: [session.pop("a.n"), session.pop("a.n")], {"a": {"n": 10}}),  # a change outlives a removal
        (lambda session: [session.pop("a.n"), session.__setitem__("a.n", 1)], {"a": {"n": 1}}),
    ],
)
@pytest.mark.gen_test
async def test_increments_beside_a_literal_key(work, result):
    """An increment of a path still adds up if a literal key of that spelling is set or removed, not if the path is."""
    driver, content = MemoryDriver(60_000), {"_token": "t", "a": {"n": 0}, "a.n": "x"}
    await driver.write("B" * 40, json.dumps(content), None)
    one, other = (Session("s", Records(driver), "B" * 40) for _ in range(2))
    await one.start()
    await other.start()
    other.increment("a.n", 10)
    await other.save()
    one.increment("a.n")
    work(one)
    await one.save()
    stored = json.loads((await driver.read("B" * 40)).payload)
    assert {key: stored[key] for key in stored if key.startswith("a")} == result


def changes(increments=(), *, flushed=False, aged=False):
    made = Changes()
    if flushed:
        made.flush()
    for key, amount in increments:
        made.add(key, amount)
    made.aged = aged
    return made


def test_a_value_is_no_sum():
    """A value that is set ends the sums above it and below it, under any spelling, and no others."""
    made = changes([("a.b", 1), ('a["b"]', 2), ("a", 1), ("a.b.c", 1), ("a.c", 1), ("b", 1)])
    made.forget(("a", "b"))
    assert made.increments == {"a.c": 1, "b": 1}
    made.add("a.b", 3)
    assert made.increments == {"a.c": 1, "b": 1, "a.b": 3}
    made.forget(("a", "b"))
    assert made == changes([("a.c", 1), ("b", 1)])


def test_flush_ends_all_sums():
    """An emptied session has no sums; those that are added later are found, and can be forgotten."""
    made = changes([("a", 1), ("b", 1)])
    made.forget(("a",))
    made.flush()
    made.add("b", 2)
    assert made.as_arguments() == {"increments": {"b": 2}, "flushed": True, "aged": False, "flash_key": "flash"}
    made.forget(("b",))
    assert made == changes(flushed=True)
    made.clear()
    assert made == Changes()


@pytest.mark.parametrize(
    ("later", "sent", "both"),
    [
        (changes([("n", 1)]), changes([("n", 2), ("m", 1)]), changes([("n", 3), ("m", 1)])),
        (changes([("n", 1)], flushed=True), changes([("n", 2)]), changes([("n", 1)], flushed=True)),
        (
            changes([("n", 1)]),
            changes([("n", 2)], flushed=True, aged=True),
            changes([("n", 3)], flushed=True, aged=True),
        ),
    ],
)
def test_put_back(later, sent, both):
    """Changes that were sent in vain are saved with the later ones, unless the session was emptied in between."""
    later = later.copy()
    later.put_back(sent)
    assert later == both


def test_a_copy_is_on_its_own():
    """A copy, and the arguments for merging, stay as they are."""
    made = changes([("n", 1)])
    copied, arguments = made.copy(), made.as_arguments()
    made.add("n", 1)
    assert copied == changes([("n", 1)]) and arguments["increments"] == {"n": 1} and copied != made
