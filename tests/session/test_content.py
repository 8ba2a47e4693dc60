"""Reading and changing what a session holds."""

from __future__ import annotations

import pytest

from node_session import PathError

pytestmark = pytest.mark.gen_test


async def test_put_and_get(session):
    """get() returns the values that put() stored, by name, by path, and from a mapping of several."""
    session.put("key", "value")
    session.put({"a.b": 1, "list": [1, {"x": "y"}]})
    session.set("deep.er.still", True)
    assert session.get("key") == "value"
    assert session.get("a") == {"b": 1}
    assert session.get("list[1].x") == "y"
    assert session.get("deep") == {"er": {"still": True}}
    assert session.get("nothing") is None
    assert session.get("nothing.at.all", "default") == "default"


async def test_null_is_a_value(session):
    """A stored None is got as None rather than as the default; has() says no, exists() says yes."""
    session.put("none", None)
    assert session.get("none", "default") is None
    assert (session.has("none"), session.exists("none"), session.missing("none")) == (False, True, True)


@pytest.mark.parametrize("value", [0, "", False, [], {}], ids=repr)
async def test_empty_values_are_there(session, value):
    """has() is true for empty values, and pull() gives and removes them."""
    session.put("key", value)
    assert session.has("key")
    assert session.pull("key", "default") == value
    assert not session.exists("key")
    assert session.pull("key", "default") == "default"
    assert session.pull("key") is None


async def test_push(session, caplog):
    """push() makes the list and adds to it; on any other value it does nothing and logs a warning."""
    assert session.push("user.teams", "developers") is None
    session.push("user.teams", "testers")
    assert session.get("user.teams") == ["developers", "testers"]
    session.put("name", "Ann")
    session.push("name", "x")
    assert session.get("name") == "Ann"
    assert "push('name') did nothing" in caplog.text


async def test_parents_that_are_no_containers(session):
    """A parent that is a string, a number or None becomes an object."""
    session.put({"s": "text", "n": 1, "none": None})
    for key in ("s.a", "n.a.b", "none.a"):
        session.set(key, 1)
    assert session.only("s", "n", "none") == {"s": {"a": 1}, "n": {"a": {"b": 1}}, "none": {"a": 1}}


async def test_pull_and_forget_know_paths(session):
    """pull() and forget() take the literal key first, then the path; forget() takes a list too."""
    session.put({"a": {"b": 1, "c": 2}, "x": 1, "y": 2})
    session.all()["a.b"] = "literal"
    assert session.pull("a.b") == "literal"
    assert session.pull("a.b") == 1
    assert session.forget(["a.c", "x", "nothing"]) is None
    session.forget("y")
    assert session.only(["a", "x", "y"]) == {"a": {}}


@pytest.mark.parametrize("key", ["user-name", "1", "my key", "constructor", "__class__", "", "a..b", "process.exit()"])
async def test_any_string_is_a_key(session, key):
    """No key runs code, throws, or finds a value that was not stored."""
    assert session.get(key) is None and key not in session
    session.put(key, 1)
    assert session.get(key) == 1
    session.forget(key)
    assert not session.exists(key)


@pytest.mark.parametrize("key", [1, None, b"key", ("a",)], ids=repr)
async def test_key_that_is_no_string(session, key):
    """A key that is no string is a TypeError that quotes it."""
    for method in (session.get, session.has, session.pull, lambda key: session.set(key, 1)):
        with pytest.raises(TypeError, match="session keys are strings"):
            method(key)


async def test_path_into_a_list(session):
    """A name inside a list is an error that leaves the list as it was."""
    session.put("list", [1])
    with pytest.raises(PathError):
        session.set("list.name", 1)
    assert session.get("list") == [1]


async def test_mapping(session):
    """A session is a mapping of its attributes."""
    session["user.name"] = "Ann"
    session.update({"x": 1})
    assert session["user.name"] == "Ann"
    assert "user.name" in session and "user.age" not in session and 7 not in session
    assert set(session) == {"_token", "user", "x"} and len(session) == 3
    assert session.setdefault("x", 2) == 1
    del session["user.name"]
    assert session["user"] == {}
    with pytest.raises(KeyError):
        session["user.name"]
    with pytest.raises(KeyError):
        del session["nothing"]
    session.clear()
    assert dict(session) == {}


async def test_increment(session):
    """increment() and decrement() count from 0, by any amount, and give the new value."""
    assert session.increment("n") == 1
    assert session.increment("n", 2.5) == 3.5
    assert session.decrement("a.b", 2) == -2
    session.put("name", "Ann")
    for key, amount in (("name", 1), ("n", "1"), ("n", True)):
        with pytest.raises(TypeError, match="is no number"):
            session.increment(key, amount)


async def test_remember(session):
    """remember() calls back only where there is no value."""
    calls = []
    for _ in range(2):
        assert session.remember("key", lambda: calls.append(1) or "made") == "made"
    assert calls == [1]

    async def coroutine():
        return 1

    with pytest.raises(TypeError, match="plain function"):
        session.remember("other", coroutine)
    assert not session.exists("other")


async def test_flush(world):
    """flush() empties everything, even the token, which the next start makes again."""
    await world.request(lambda session: session.put("key", 1))
    token = (await world.stored())["_token"]
    session = await world.request(lambda session: session.flush())
    assert await world.stored() == {"flash": {"old": [], "new": []}}
    session = await world.start()
    assert session.get_token() and session.get_token() != token
