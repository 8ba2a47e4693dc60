"""The session API, on the memory driver; what each call leaves in the record."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time

import pytest
from rotations import logged_in

from node_session import ConflictError, GoneError, PathError, SerializationError, SessionError, Store, UnavailableError
from node_session.attributes import Attributes
from node_session.drivers import Driver, MemoryDriver
from node_session.ids import is_valid
from node_session.serializer import dumps
from node_session.store import Terms

pytestmark = pytest.mark.gen_test

ID = "A" * 40


class World:
    """A store, and requests that come one after the other or at once."""

    def __init__(self) -> None:
        self.driver = MemoryDriver(300_000)
        self.id: str | None = None

    def session(self, others=(), **terms) -> Store:
        return Store("node_session", self.driver, self.id, others=others, terms=Terms(**terms))

    async def start(self, others=(), **terms) -> Store:
        session = self.session(others, **terms)
        await session.start()
        self.id = session.get_id()
        return session

    async def text(self) -> str | None:
        record = await self.driver.read(self.id)
        return None if record is None else record.payload

    async def stored(self):
        text = await self.text()
        return None if text is None else json.loads(text)

    async def is_left(self, id) -> bool:
        """Whether the session has gone on from an id, where nobody can read it any more."""
        return list(json.loads((await self.driver.read(id)).payload)) == ["_left"]

    def before_writing(self, id, work) -> None:
        """Have something done right before the next write to a record."""
        write = self.driver.write

        async def interrupted(other, payload, version):
            if other == id:
                self.driver.write = write
                await work()
            return await write(other, payload, version)

        self.driver.write = interrupted

    async def request(self, work) -> Store:
        session = await self.start()
        work(session)
        await session.save()
        self.id = session.get_id()
        return session


@pytest.fixture
def world():
    return World()


@pytest.fixture
def session(world, io_loop):
    """A started session without a record."""
    return io_loop.run_sync(world.start)


# -------------------------------------------------------------------- reading and changing


async def test_put_and_get(session):
    """What is put is got, by name, by path, and from a mapping of several."""
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
    """push() makes the list and adds to it; on what is no list it does nothing and logs a warning."""
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
    """No key runs code, throws, or finds what was not stored."""
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
    """flush() empties everything, the token too, which the next start makes anew."""
    await world.request(lambda session: session.put("key", 1))
    token = (await world.stored())["_token"]
    session = await world.request(lambda session: session.flush())
    assert await world.stored() == {"flash": {"old": [], "new": []}}
    session = await world.start()
    assert session.get_token() and session.get_token() != token


# -------------------------------------------------------------------- flash data


async def seen(world, *keys):
    """What the next request finds under keys."""
    found = []
    await world.request(lambda session: found.extend(session.get(key) for key in keys))
    return found


async def test_flash_lives_for_one_request(world):
    """Flash data is there in its own request and in the next, and then gone; a dotted key too."""
    await world.request(lambda session: (session.flash("status", "Saved."), session.flash("form.name", "Ann")))
    assert await seen(world, "status", "form.name") == ["Saved.", "Ann"]
    assert await seen(world, "status", "form.name") == [None, None]


async def test_now(world):
    """now() is there for this request only."""
    session = await world.request(lambda session: session.now("status", "here"))
    assert await seen(world, "status") == [None]
    session = await world.start()
    session.now("status", "here")
    assert session.get("status") == "here"


async def test_reflash_and_keep(world):
    """reflash() keeps all flash data for one more request, keep() what it is told to."""
    await world.request(lambda session: [session.flash(key, key) for key in "abc"])
    await world.request(lambda session: session.reflash())
    await world.request(lambda session: (session.keep("a"), session.keep(["b"])))
    assert await seen(world, *"abc") == ["a", "b", None]
    assert await seen(world, *"abc") == [None, None, None]


async def test_flash_again(world):
    """What is flashed again in the request that sees it lives for another one."""
    await world.request(lambda session: session.flash("status", 1))
    await world.request(lambda session: session.flash("status", 2))
    assert await seen(world, "status") == [2]


async def test_manual_save_does_not_age_twice(world):
    """A save() in the middle of a request does not cost the next one its flash data."""
    session = await world.start()
    session.flash("status", "Saved.")
    await session.save()
    await session.save()
    session.flash("late", "too")
    await session.save()
    assert await seen(world, "status", "late") == ["Saved.", "too"]
    assert await seen(world, "status", "late") == [None, None]


async def test_flash_input(world):
    """Flashed form input is found field by field in the next request."""
    await world.request(lambda session: session.flash_input({"name": "Ann", "address": {"city": "Ulm"}}))
    assert (await world.stored())["_old_input"] == [{"name": "Ann", "address": {"city": "Ulm"}}]
    session = await world.start()
    assert session.get_old_input("name") == "Ann"
    assert session.get_old_input("address.city") == "Ulm"
    assert session.get_old_input("age", 7) == 7
    await session.save()
    assert (await world.start()).get_old_input("name") is None


async def test_broken_flash_lists(world):
    """Flash lists that are none do no harm."""
    for flash in (None, 7, [], {"old": "x"}, {"new": [1, None], "old": [{}]}):
        await world.request(lambda session, flash=flash: session.put("flash", flash))
        await world.request(lambda session: session.flash("status", 1))
        assert await seen(world, "status") == [1]


# -------------------------------------------------------------------- token and identity


async def test_token(world):
    """The token is made at the start, stays, and is made anew when asked."""
    session = await world.request(lambda session: None)
    token = session.get_token()
    assert is_valid(token)
    session = await world.start()
    assert session.get_token() == token
    session.regenerate_token()
    assert session.get_token() != token
    assert session.verify_token(session.get_token())
    assert not any(map(session.verify_token, [token, "", None, 7, "é", "\ud800", session.get_token() + "x"]))
    session.put("_token", "?")  # not one of ours, but a program may set its own
    assert session.verify_token("?") and not session.verify_token("\ud800")


@pytest.mark.parametrize("token", [None, "", 0, False], ids=repr)
async def test_falsy_token_is_made_anew(world, token):
    """A missing or falsy token is replaced at the start; no empty value ever verifies."""
    session = await world.request(lambda session: session.put("_token", token))
    assert not session.verify_token("") and not session.verify_token(token)
    assert is_valid((await world.start()).get_token())


@pytest.mark.parametrize("method", ["regenerate", "migrate"])
@pytest.mark.parametrize("destroy", [False, True])
async def test_regenerate(world, method, destroy):
    """regenerate() gives a new id with data and token; the old record stays unless told otherwise."""
    await world.request(lambda session: session.put("user", "Ann"))
    old, token = world.id, (await world.stored())["_token"]
    await world.request(lambda session: getattr(session, method)(destroy) is True or pytest.fail("must be True"))
    assert world.id != old
    assert (await world.stored())["user"] == "Ann" and (await world.stored())["_token"] == token
    assert await world.is_left(old) is destroy


async def test_regenerate_twice(world):
    """Of two regenerations in one request only the last id gets a record, and the first one's is destroyed."""
    await world.request(lambda session: session.put("user", "Ann"))
    old = world.id
    await world.request(lambda session: (session.regenerate(), session.regenerate(True)))
    assert await world.is_left(old)
    assert (await world.stored())["user"] == "Ann"


async def test_regenerated_session_takes_along_what_others_saved(world):
    """What another request saves while one logs in under a new id is there under the new id."""
    await world.request(lambda session: session.put("cart", ["a"]))
    login = await world.start()
    await world.request(lambda session: session.push("cart", "b"))
    login.put("user", "Ann")
    login.regenerate(True)
    await login.save()
    world.id = login.get_id()
    assert (await world.stored())["cart"] == ["a", "b"]
    assert (await world.stored())["user"] == "Ann"


async def test_regenerated_session_does_not_undo_a_logout(world):
    """A request that regenerates a session which another has destroyed meanwhile brings nothing back."""
    await world.request(lambda session: session.put("user", "Ann"))
    slow = await world.start()
    await world.driver.destroy(world.id)
    slow.regenerate()
    await slow.save()
    assert slow.is_gone
    assert await world.driver.read(slow.get_id()) is None


async def test_invalidate(world):
    """invalidate() empties the session, gives it a new id and destroys the old record."""
    await world.request(lambda session: session.put("user", "Ann"))
    old = world.id
    await world.request(lambda session: session.invalidate())
    assert world.id != old and await world.driver.read(old) is None
    assert "user" not in await world.stored()


async def test_identity(world):
    """The accessors of the original."""
    session = world.session()
    assert is_valid(session.get_id())
    session.set_id(ID)
    assert session.get_id() == ID
    for invalid in (None, "", "x", ID + "A", ID[:-1] + "/", ID + "\n", 7):
        session.set_id(invalid)
        assert is_valid(session.get_id()) and session.get_id() != ID
    assert session.get_name() == "node_session"
    assert session.get_handler() is world.driver


async def test_set_exists(world):
    """set_exists(False) has the next save create a record: beside one that is there, it is merged with it."""
    session = await world.request(lambda session: session.put("a", 1))
    session.set_exists(True)
    session.set_exists(False)
    session.put("b", 2)
    await session.save()
    assert {"a": 1, "b": 2}.items() <= (await world.stored()).items()


async def test_repr_shows_no_secret(session):
    """A repr, as it gets into logs, shows neither the id nor the content."""
    session.put("password", "1234")
    assert session.get_id() not in repr(session) and "1234" not in repr(session)


# -------------------------------------------------------------------- loading and saving


async def test_first_record(session, world):
    """A new session that nobody touched is stored as the original stores it."""
    await session.save()
    assert await world.text() == f'{{"_token":"{session.get_token()}","flash":{{"old":[],"new":[]}}}}'


async def test_set_before_start(world):
    """What was set before start() stays, and stored values win."""
    await world.request(lambda session: session.put({"a": {"x": 1}, "b": "stored"}))
    session = world.session()
    session.put({"a": {"x": 9, "y": 2}, "b": "mine", "c": 3})
    await session.start()
    assert session.only("a", "b", "c") == {"a": {"x": 1, "y": 2}, "b": "stored", "c": 3}


async def test_callbacks(world):
    """start() calls back without arguments, save() with the error or None, and both at once."""
    calls = []
    session = world.session()
    assert await session.start(lambda *args: calls.append(args)) is True
    await session.save(lambda *args: calls.append(args))
    session.put("bad", {1})
    await session.save(callback=lambda *args: calls.append(args))
    assert calls[:2] == [(), (None,)]
    assert isinstance(calls[2][0], SerializationError)


async def test_callback_without_await(world):
    """With a callback the operation runs although nobody awaits it, as in Node."""
    session = world.session()
    started = asyncio.get_running_loop().create_future()
    session.start(lambda: started.set_result(True))
    assert await started


async def test_save_without_start(world):
    """A session that was never loaded cannot be saved over the stored one."""
    with pytest.raises(SessionError, match="not started"):
        await world.session().save()


async def test_unchanged_session_is_not_written(world):
    """A request that changes nothing writes nothing, so it can undo nothing; a change inside a value counts."""
    await world.request(lambda session: session.put("cart", {"items": [1]}))
    writes = []
    write = world.driver.write

    async def count(*args):
        writes.append(1)
        return await write(*args)

    world.driver.write = count
    await world.request(lambda session: session.get("cart"))
    assert writes == []
    await world.request(lambda session: session.get("cart")["items"].append(2))
    assert writes == [1]
    assert (await world.stored())["cart"] == {"items": [1, 2]}


# A change by every method there is, or in what it returns.
CHANGES = {
    "age_flash_data": lambda session: session.age_flash_data(),
    "all": lambda session: session.all().update(n=2),
    "clear": lambda session: session.clear(),
    "decrement": lambda session: session.decrement("n"),
    "flash": lambda session: session.flash("status", "Saved."),
    "flash_input": lambda session: session.flash_input({"name": "Ann"}),
    "flush": lambda session: session.flush(),
    "forget": lambda session: session.forget("n"),
    "get": lambda session: session.get("user").update(name="Bea"),
    "get_old_input": lambda session: session.get_old_input("tags").append("new"),
    "get_token": lambda session: session.get_token().append("odd"),
    "increment": lambda session: session.increment("n"),
    "items": lambda session: dict(session.items())["list"].append(2),
    "keep": lambda session: session.keep("shown"),
    "now": lambda session: session.now("status", "Saved."),
    "only": lambda session: session.only("list")["list"].append(2),
    "pop": lambda session: session.pop("n"),
    "popitem": lambda session: session.popitem(),
    "pull": lambda session: session.pull("n"),
    "push": lambda session: session.push("list", 2),
    "put": lambda session: session.put("user.name", "Bea"),
    "reflash": lambda session: session.reflash(),
    "regenerate_token": lambda session: session.regenerate_token(),
    "remember": lambda session: session.remember("user", dict).update(name="Bea"),
    "set": lambda session: session.set("n", 2),
    "setdefault": lambda session: session.setdefault("list", []).append(2),
    "update": lambda session: session.update(n=2),
    "values": lambda session: [value.append(2) for value in session.values() if value == [1]],
    "session[key]": lambda session: session["user"].update(name="Bea"),
    "session[key] = value": lambda session: session.__setitem__("n", 2),
    "del session[key]": lambda session: session.__delitem__("n"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_every_change_is_seen(world, monkeypatch, change):
    """Whichever way something is changed, it is saved, although nothing is compared where nothing can have changed."""
    monkeypatch.setattr("node_session.ids.generate", lambda: "B" * 40)
    stored = {"_token": ["odd"], "n": 1, "list": [1], "user": {"name": "Ann"}, "_old_input": [{"tags": []}]}
    world.id = ID
    await world.driver.write(ID, dumps({**stored, "flash": {"old": ["shown"], "new": []}, "shown": True}), None)
    session, compared = await world.start(), await world.start()
    for each in (session, compared):
        each.ages_flash = False  # or that would be a change as well
    assert session.stage() is None
    change(session)
    change(compared)
    compared._is_pristine = False
    assert session.stage() == compared.stage()


async def test_a_session_just_made_needs_no_confirmation(world):
    """A handler that has saved its new session itself is not taken for one that began long ago."""
    session = await world.start()
    await session.save()
    assert not session.needs_confirmation


async def test_aging_alone_is_a_change(world):
    """Flash data that was stored as new is the previous request's after one that only looks."""
    world.id = ID
    await world.driver.write(ID, '{"_token":"t","flash":{"old":[],"new":["status"]},"status":"Saved."}', None)
    await world.request(lambda session: session.get("status"))
    assert (await world.stored())["flash"] == {"old": ["status"], "new": []}


def test_changes_are_all_there_are():
    """The list above names every method that could change something."""
    public = {name for name in dir(Attributes) if not name.startswith("_")}
    reading = {"exists", "has", "is_late", "keys", "missing", "verify_token"}
    assert public - reading == {name for name in CHANGES if name.isidentifier()}


async def test_reading_compares_nothing(world, monkeypatch):
    """Plain values that were read cannot have changed, so the session is not written out to see."""
    await world.request(lambda session: session.put("user", {"name": "Ann", "age": 30}))
    session = await world.start()
    monkeypatch.setattr("node_session.serializer.dumps_quickly", lambda *args, **options: pytest.fail("compared"))
    assert (session.get("user.name"), session["user.age"], session.has("user.name")) == ("Ann", 30, True)
    assert (next(iter(session)), len(session), "user.name" in session) == ("_token", 3, True)
    assert session.only("user.age", "none") == {"user.age": 30}
    assert session.verify_token(session.get_token())
    assert session.stage() is None


async def test_value_json_cannot_hold(world):
    """A value JSON cannot hold is a TypeError that names the key; the record stays as it was."""
    await world.request(lambda session: session.put("a", 1))
    before = await world.text()
    for value in ({1}, b"x", object(), {"x": {1}}):
        with pytest.raises(TypeError, match="cart"):
            await world.request(lambda session, value=value: session.put("cart.item", value))
        assert await world.text() == before


async def test_reload(world):
    """reload() takes over what others saved and drops what was not."""
    session = await world.request(lambda session: session.put("n", 1))
    await world.request(lambda session: session.put("n", 2))
    session.put("dropped", True)
    assert await session.reload()
    assert (session.get("n"), session.has("dropped")) == (2, False)
    await world.driver.destroy(world.id)
    assert not await session.reload()
    assert session.is_gone and session.get("n") is None
    session.put("n", 3)
    await session.save()
    assert await world.text() is None


async def test_strict(world):
    """An id without a record is replaced where strict, and adopted otherwise."""
    world.id = ID
    assert (await world.start(strict=True)).get_id() != ID
    world.id = ID
    assert (await world.start(strict=False)).get_id() == ID


async def test_first_of_several_ids_with_a_record(world):
    """Of several ids the first that has a record counts; where none has, the rule is that for the first."""
    ids = [letter * 40 for letter in "ABC"]
    for id in ids[1:]:
        await world.driver.write(id, f'{{"_token":"t","is":"{id[0]}"}}', None)
    world.id = ids[0]
    session = await world.start(strict=True, others=ids[1:])
    assert (session.get_id(), session.get("is")) == (ids[1], "B")
    session.put("seen", True)
    await session.save()
    assert (await world.stored())["seen"] and await world.driver.read(ids[0]) is None
    world.id = ids[0]
    for id in ids[1:]:
        await world.driver.destroy(id)
    assert (await world.start(others=ids[1:])).get_id() == ids[0]
    assert (await world.start(strict=True, others=ids[1:])).get_id() not in ids


@pytest.mark.parametrize("how", ["reload", "transaction", "take", "save"])
async def test_end_of_a_long_connection(world, how):
    """A session ends after its absolute lifetime in a WebSocket and a long handler, too, however they go on."""
    await world.request(lambda session: session.put("n", 1))
    session = await world.start(absolute_lifetime=3_600_000)
    other = await world.start()
    other.put("_created", time.time() * 1000 - 3_700_000)
    await other.save()
    if how == "reload":
        assert await session.reload() is False
    elif how == "transaction":
        with pytest.raises(GoneError):
            async with session.transaction():
                pass
    elif how == "take":
        assert await session.take("n") is None
    else:
        session.put("n", 2)
        await session.save()
    assert session.is_gone
    assert await world.stored() is None


@pytest.mark.parametrize("created", ["never", None, [], True])
async def test_beginning_that_is_no_time(world, created):
    """A session whose beginning is no time begins now, rather than never to end."""
    await world.request(lambda session: session.put("_created", created))
    session = await world.start(absolute_lifetime=3_600_000)
    await session.save()
    assert abs((await world.stored())["_created"] - time.time() * 1000) < 10_000


# -------------------------------------------------------------------- at once


async def test_merge_on_conflict(world):
    """What two requests changed at once is all there."""
    await world.request(lambda session: session.put({"list": [0], "n": 1, "gone": 1}))
    one, two = await world.start(), await world.start()
    one.push("list", 1)
    one.increment("n")
    one.forget("gone")
    two.push("list", 2)
    two.increment("n", 10)
    two.flash("status", "two")
    await one.save()
    await two.save()
    stored = await world.stored()
    assert (stored["list"], stored["n"], "gone" in stored, stored["status"]) == ([0, 1, 2], 12, False, "two")
    assert await seen(world, "status") == ["two"]


async def test_set_after_increment(world):
    """A number that is set after it was counted is a value, not a sum."""
    await world.request(lambda session: session.put({"n": 1, "m": {"k": 1}}))
    one, two = await world.start(), await world.start()
    one.increment("n")
    two.increment("n", 5)
    two.put("n", 0)
    two.increment("m.k", 5)
    two.put("m", {"k": 0})
    one.increment("m.k")
    await one.save()
    await two.save()
    assert (await world.stored())["n"] == 0
    assert (await world.stored())["m"] == {"k": 0}


async def test_saved_again_and_again(world):
    """Two sessions that save in turn, any number of times, count every increment once."""
    await world.request(lambda session: session.put("n", 0))
    one, two = await world.start(), await world.start()
    for _ in range(5):
        for each in (one, two):
            each.increment("n")
            each.push("list", "x")
            await each.save()
    assert (await world.stored())["n"] == 10
    assert len((await world.stored())["list"]) == 10


async def test_same_session_saved_twice_at_once(world):
    """Two saves of one object at once do not merge it with itself."""
    session = await world.start()
    session.push("list", 1)
    await asyncio.gather(session.save(), session.save())
    session.push("list", 2)
    await asyncio.gather(session.save(), session.save())
    assert (await world.stored())["list"] == [1, 2]


class Gate:
    """Stops the next write of a driver, or one after it, before or after it is done, until it is opened."""

    def __init__(self, driver, *, before: bool = False, number: int = 1) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        write = driver.write
        left = number

        async def gated(*args):
            nonlocal left
            left -= 1
            if left:
                return await write(*args)
            driver.write = write
            if not before:
                version = await write(*args)
            self.reached.set()
            await self.opened.wait()
            return await write(*args) if before else version

        driver.write = gated


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_changes_while_a_save_is_under_way(world, before):
    """What is changed while a save is under way is saved by the next one, whatever others save in between."""
    await world.request(lambda session: session.put({"n": 0, "old": 1}))
    session = await world.start()
    session.increment("n")
    gate = Gate(world.driver, before=before)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    session.increment("n", 10)
    gate.opened.set()
    await saving
    assert (await world.stored())["n"] == 1
    await world.request(lambda session: session.increment("n", 100))
    await session.save()
    assert (await world.stored())["n"] == 111


async def test_flush_while_a_save_is_under_way(world):
    """A flush() while a save is under way empties what is there when it is saved itself."""
    session = await world.request(lambda session: session.put("a", 1))
    session.put("b", 1)
    gate = Gate(world.driver)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    session.flush()
    gate.opened.set()
    await saving
    await world.request(lambda session: session.put("c", 1))
    await session.save()
    assert not {"a", "b", "c"} & set(await world.stored())


async def test_increment_after_a_conflict_in_which_another_was_saved(world):
    """What was sent and refused is sent again with what was added meanwhile."""
    await world.request(lambda session: session.put("n", 0))
    session = await world.start()
    session.increment("n")
    gate = Gate(world.driver, before=True)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    await world.request(lambda session: session.increment("n", 100))
    session.increment("n", 10)
    gate.opened.set()
    await saving
    await session.save()
    assert (await world.stored())["n"] == 111


async def test_save_while_a_save_is_under_way(world):
    """Of two saves of one object at once the second writes only what the first one could not."""
    session = await world.request(lambda session: session.put("n", 0))
    session.increment("n")
    gate = Gate(world.driver)
    saves = [asyncio.ensure_future(session.save())]
    await gate.reached.wait()
    saves.append(asyncio.ensure_future(session.save()))
    await asyncio.sleep(0)
    session.push("list", 1)
    gate.opened.set()
    await asyncio.gather(*saves)
    stored = await world.stored()
    assert (stored["n"], stored["list"]) == (1, [1])


async def use_transaction(session) -> None:
    async with session.transaction():
        session.put("a", 1)


async def use_reload(session) -> None:
    await session.reload()
    session.put("a", 1)
    await session.save()


@pytest.mark.parametrize("before", [True, False], ids=["not done", "done"])
@pytest.mark.parametrize("use", [use_transaction, use_reload])
async def test_reading_while_a_save_is_under_way(world, use, before):
    """A transaction or reload() of one task while another task saves neither doubles nor undoes what is saved."""
    session = await world.request(lambda session: session.push("list", 1))
    session.push("list", 2)
    gate = Gate(world.driver, before=before)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    using = asyncio.ensure_future(use(session))
    for _ in range(10):
        await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(saving, using)
    stored = await world.stored()
    assert (stored["list"], stored["a"]) == ([1, 2], 1)


@pytest.mark.parametrize("before", [True, False], ids=["not done", "done"])
async def test_a_new_id_while_a_save_is_under_way(world, before):
    """regenerate() while another task saves takes along what is being saved, and the record stays a session."""
    session = await world.request(lambda session: session.push("list", 1))
    session.push("list", 2)
    gate = Gate(world.driver, before=before)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    session.regenerate(True)
    gate.opened.set()
    await saving
    await session.save()
    assert await world.is_left(world.id)
    world.id = session.get_id()
    assert (await world.stored())["list"] == [1, 2]


async def test_a_new_id_while_a_save_meets_another(world):
    """So does one while a save waits to merge; the old session is not what is looked for under the new id."""
    session = await world.request(lambda session: session.push("list", 1))
    await world.request(lambda session: session.push("list", 2))
    session.push("list", 3)
    gate = Gate(world.driver, before=True)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    session.regenerate(True)
    gate.opened.set()
    await saving
    await session.save()
    world.id = session.get_id()
    assert (await world.stored())["list"] == [1, 2, 3]


@pytest.mark.parametrize("write", [1, 2], ids=["the new record", "the old record"])
@pytest.mark.parametrize("before", [True, False], ids=["not done", "done"])
async def test_a_log_out_while_a_new_id_is_saved(world, write, before):
    """invalidate() while a regenerated session is being saved leaves no record that is logged in."""
    session = await world.request(lambda session: session.put("user", "Ann"))
    session.regenerate(True)
    gate = Gate(world.driver, before=before, number=write)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    session.invalidate()
    gate.opened.set()
    await saving
    await session.save()
    assert await logged_in(world.driver) == []


@pytest.mark.parametrize("before", [True, False], ids=["not done", "done"])
@pytest.mark.parametrize("others", [True, False], ids=["others", "alone"])
async def test_cancelled_save(world, before, others):
    """A save that was cancelled, be it that it was done or not, and then called again, saves everything once."""
    await world.request(lambda session: session.put({"n": 0, "list": [0]}))
    session = await world.start()
    session.increment("n")
    session.push("list", 1)
    gate = Gate(world.driver, before=before)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    if others and before:
        await world.request(lambda session: session.increment("n", 100))
    session.increment("n", 10)
    session.push("list", 2)
    await session.save()
    stored = await world.stored()
    assert (stored["n"], stored["list"]) == (111 if others and before else 11, [0, 1, 2])


@pytest.mark.parametrize("done", [[True], [False, True], [True, False], [True, True]], ids=str)
async def test_saves_whose_answers_got_lost(world, done):
    """A write that was done although the driver says it failed is not done a second time by the next save."""
    session = await world.request(lambda session: session.put({"n": 0, "list": []}))
    write = world.driver.write
    for number, is_done in enumerate(done):

        async def fail(*args, is_done=is_done):
            if is_done:
                await write(*args)
            raise UnavailableError("the connection was lost")

        session.increment("n")
        session.push("list", number)
        world.driver.write = fail
        with pytest.raises((UnavailableError, ConflictError)):
            await session.save()
        world.driver.write = write
    session.increment("n")
    session.push("list", "last")
    await session.save()
    stored = await world.stored()
    assert (stored["n"], stored["list"]) == (len(done) + 1, [*range(len(done)), "last"])


class Unreliable(Driver):
    """Takes a few turns for a call, and fails now and then, before or after it is done."""

    def __init__(self, choose, rate: float) -> None:
        self.memory, self.choose, self.rate = MemoryDriver(300_000), choose, rate

    async def _ask(self, method, *args):
        await self._pause()
        result = await method(*args)
        await self._pause()
        return result

    async def _pause(self) -> None:
        for _ in range(self.choose.randrange(4)):
            await asyncio.sleep(0)
        if self.choose.random() < self.rate:
            raise UnavailableError("the connection was lost")

    async def read(self, id):
        return await self._ask(self.memory.read, id)

    async def write(self, id, payload, version):
        return await self._ask(self.memory.write, id, payload, version)

    async def touch(self, id):
        await self._ask(self.memory.touch, id)

    async def destroy(self, id, version=None):
        await self._ask(self.memory.destroy, id, version)

    async def gc(self, lifetime):
        return 0


@pytest.mark.parametrize("rate", [0, 0.1])
@pytest.mark.parametrize("grace", [0, 10_000])
async def test_tasks_of_one_session_in_any_order(rate, grace):
    """Tasks that save, change the id, take, open transactions and are cancelled lose nothing, and double nothing.

    After a log-out no record is logged in.
    """
    for seed in range(250):
        choose, terms = random.Random(seed), Terms(strict=True, grace=grace)
        driver = Unreliable(choose, 0)
        session = Store("node_session", driver, terms=terms)
        await session.start()
        session.put({"user": "Ann", "list": [], "n": 0})
        await session.save()
        pushed = []
        driver.rate = rate
        work = [one_task(session, choose, pushed) for _ in range(1 + choose.randrange(3))]
        await asyncio.gather(*work)
        driver.rate = 0
        await session.save()
        assert not session.is_gone, seed
        [stored] = await logged_in(driver.memory)
        assert (sorted(stored["list"]), stored["n"]) == (sorted(pushed), len(pushed)), seed
        session.invalidate()
        await session.save()
        assert await logged_in(driver.memory) == [], seed


async def one_task(session, choose, pushed: list[int]) -> None:
    def push() -> None:
        pushed.append(len(pushed))
        session.push("list", pushed[-1])
        session.increment("n")

    for _ in range(1 + choose.randrange(4)):
        for _ in range(choose.randrange(5)):
            await asyncio.sleep(0)
        does = choose.randrange(6)
        try:
            if does == 0:
                session.regenerate(True)
            elif does == 1:
                await session.take("nothing")
            elif does == 2:
                async with session.transaction():
                    push()
                    await asyncio.sleep(0)
            else:
                push()
                saving = asyncio.ensure_future(session.save())
                if does == 3:
                    for _ in range(choose.randrange(12)):
                        await asyncio.sleep(0)
                    saving.cancel()
                await saving
        except (UnavailableError, asyncio.CancelledError):
            pass


async def test_a_new_id_while_the_session_is_reloaded(world):
    """regenerate() while another task reloads takes along what is stored, and the record stays a session."""
    session = await world.request(lambda session: session.push("list", 1))
    await world.request(lambda session: session.push("list", 2))
    read = world.driver.read

    async def regenerate(id):
        world.driver.read = read
        record = await read(id)
        session.regenerate(True)
        return record

    world.driver.read = regenerate
    assert await session.reload()
    await session.save()
    assert await world.is_left(world.id)
    world.id = session.get_id()
    assert (await world.stored())["list"] == [1, 2]


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("then", ["save", "regenerate", "invalidate"])
async def test_an_old_record_that_could_not_be_settled(world, is_done, then):
    """If the write of the old record fails, or its answer gets lost, the next save ends that record and no other."""
    session = await world.request(lambda session: session.put("user", "Ann"))
    session.regenerate(True)
    old, write = session._left.id, world.driver.write

    async def fail(id, *args):
        if id != old:
            return await write(id, *args)
        world.driver.write = write
        if is_done:
            await write(id, *args)
        raise UnavailableError("the connection was lost")

    world.driver.write = fail
    with pytest.raises(UnavailableError):
        await session.save()
    if then != "save":
        getattr(session, then)(*[True] * (then == "regenerate"))
    await session.save()
    assert not session.is_gone and await world.is_left(old)
    assert [each["user"] for each in await logged_in(world.driver)] == ([] if then == "invalidate" else ["Ann"])


async def test_flush_wins(world):
    """What flush() emptied stays empty, whatever another request stored meanwhile."""
    await world.request(lambda session: session.put("a", 1))
    one, two = await world.start(), await world.start()
    two.put("b", 2)
    await two.save()
    one.flush()
    one.put("c", 3)
    await one.save()
    assert await world.stored() == {"c": 3, "flash": {"old": [], "new": []}}


async def test_destroyed_by_another(world, caplog):
    """A session that another request destroyed is not written, and says so."""
    session = await world.request(lambda session: session.put("a", 1))
    await world.driver.destroy(world.id)
    session.put("a", 2)
    with caplog.at_level(logging.INFO):
        await session.save()
    assert session.is_gone and await world.text() is None
    assert "destroyed" in caplog.text and world.id not in caplog.text


async def test_giving_up(world):
    """A save that meets others again and again gives up in time, and says how often it tried."""
    session = await world.start(save_timeout=30)
    await session.save()
    write = world.driver.write

    async def lose(id, payload, version):
        record = await world.driver.read(id)
        await write(id, record.payload[:-1] + ',"x":1}', record.version)
        raise ConflictError("another was first")

    world.driver.write = lose
    session.put("a", 1)
    with pytest.raises(UnavailableError, match=r"each of \d+ tries"):
        await session.save()


async def test_giving_up_a_new_id(world):
    """So does one that cannot get rid of the old id, as others save under it again and again."""
    session = await world.request(lambda session: session.put("a", 1))
    session._terms = Terms(save_timeout=30)

    async def lose():
        await world.request(lambda session: session.increment("n"))
        world.before_writing(session._left.id, lose)

    world.before_writing(world.id, lose)
    session.regenerate(True)
    with pytest.raises(UnavailableError, match=r"each of \d+ tries"):
        await session.save()


async def test_two_first_requests_of_one_adopted_id(world):
    """Two requests that create one record at once are merged into it."""
    world.id = ID
    one, two = await world.start(), await world.start()
    one.put("one", 1)
    two.put("two", 2)
    await asyncio.gather(one.save(), two.save())
    assert {"one": 1, "two": 2}.items() <= (await world.stored()).items()


async def test_write_under_the_old_id_while_it_is_destroyed(world):
    """What another request saves between a login's save and the end of its old record comes along as well."""
    await world.request(lambda session: session.put("cart", ["a"]))
    login = await world.start()

    async def late():
        await world.request(lambda session: (session.push("cart", "late"), session.increment("visits", 10)))

    world.before_writing(world.id, late)
    login.increment("visits")
    login.put("user", "Ann")
    login.regenerate(True)
    old = world.id
    await login.save()
    world.id = login.get_id()
    stored = await world.stored()
    assert (stored["cart"], stored["user"], stored["visits"]) == (["a", "late"], "Ann", 11)
    assert await world.is_left(old)


async def test_logout_while_another_logs_in(world):
    """A session that is destroyed while another request moves it to a new id leaves no record under either."""
    await world.request(lambda session: session.put("cart", ["a"]))
    login = await world.start()

    async def late():
        await world.request(lambda session: session.push("cart", "late"))
        await world.driver.destroy(world.id)

    world.before_writing(world.id, late)
    login.regenerate(True)
    await login.save()
    assert login.is_gone
    assert await world.driver.read(login.get_id()) is None and await world.text() is None


# -------------------------------------------------------------------- take and transaction


async def test_take_gives_to_one(world):
    """Of many requests that take a value at once, one gets it; pull() would have given it to all."""
    await world.request(lambda session: session.put({"once": "token", "list": [0]}))
    sessions = [await world.start() for _ in range(8)]
    for number, session in enumerate(sessions, 1):
        session.push("list", number)
    taken = await asyncio.gather(*(session.take("once", "gone") for session in sessions))
    assert sorted(taken) == ["gone"] * 7 + ["token"]
    assert "once" not in await world.stored()
    for session in sessions:
        assert not session.exists("once")
        await session.save()
    assert sorted((await world.stored())["list"]) == list(range(9))


async def test_take_after_regenerate(world):
    """Nor do two requests that take a one-time token, and log in under a new id, both get it."""
    await world.request(lambda session: session.put({"once": "token", "cart": [1]}))
    sessions = [await world.start() for _ in range(3)]
    for session in sessions:
        session.regenerate(True)
    taken = [await session.take("once", "gone") for session in sessions]
    assert taken == ["token", "gone", "gone"]
    await sessions[0].save()
    world.id = sessions[0].get_id()
    stored = await world.stored()
    assert (stored["cart"], "once" in stored) == ([1], False)


async def test_take_in_the_second_of_two_logins(world):
    """A session that takes a value after regenerate(), and has gone on meanwhile, gets nothing and logs in."""
    await world.request(lambda session: session.put("once", "token"))
    sessions = [await world.start() for _ in range(2)]
    for session in sessions:
        session.regenerate(True)
    await sessions[0].save()
    assert await sessions[1].take("once", "gone") == "gone"
    sessions[1].put("user", "Ann")
    await sessions[1].save()
    world.id = sessions[1].get_id()
    assert not sessions[1].is_gone and (await world.stored())["user"] == "Ann"
    assert "once" not in await world.stored()


async def test_take_what_this_request_put(session, world):
    """What this request itself has put and not saved is taken from it."""
    session.put("once", 1)
    assert await session.take("once") == 1
    await session.save()
    session.put("again", 2)
    assert await session.take("again") == 2
    assert await session.take("again", "gone") == "gone"


async def test_take_from_a_destroyed_session(world):
    """Nothing is taken from a session that another request has destroyed, and it stays so."""
    session = await world.request(lambda session: session.put("once", 1))
    await world.driver.destroy(world.id)
    assert await session.take("once", "gone") == "gone"
    assert session.is_gone and await world.text() is None


async def test_transaction(world):
    """A transaction works on what is stored now, and saves what was changed before with it."""
    await world.request(lambda session: session.put("n", 1))
    one, two = await world.start(), await world.start()
    one.put("mine", True)
    await world.request(lambda session: session.put("n", 5))
    async with one.transaction() as session:
        assert session is one and one.get("n") == 5
        one.put("n", one.get("n") * 2)
    async with two.transaction():
        two.put("n", two.get("n") + 1)
    assert {"n": 11, "mine": True}.items() <= (await world.stored()).items()


async def test_transaction_without_start(world):
    """A session that was never loaded has no transactions either."""
    with pytest.raises(SessionError, match="not started"):
        async with world.session().transaction():
            pytest.fail("there is nothing to work on")


async def test_transactions_at_once(world):
    """Transactions of one session at once lose no increment and no push."""
    await world.request(lambda session: session.put("n", 0))
    sessions = [await world.start() for _ in range(8)]

    async def work(session):
        for _ in range(5):
            async with session.transaction():
                session.increment("n")
                session.push("list", 1)
                await asyncio.sleep(0)

    await asyncio.gather(*map(work, sessions))
    assert (await world.stored())["n"] == 40 and len((await world.stored())["list"]) == 40


async def test_transactions_of_one_object(world):
    """Two tasks' transactions on one object come one after the other: one that raises undoes nothing of the other's."""
    session = await world.request(lambda session: session.put({"n": 0, "list": []}))

    async def work(number):
        async with session.transaction():
            n = session.get("n")
            session.push("list", number)
            await asyncio.sleep(0.001)
            session.put("n", n + 1)
            if number % 2:
                raise RuntimeError("within")

    await asyncio.gather(*map(work, range(8)), return_exceptions=True)
    stored = await world.stored()
    assert (stored["n"], stored["list"]) == (4, [0, 2, 4, 6])


async def test_transaction_within_a_transaction(world):
    """A transaction within another one of the same task is part of it: saved with it, and undone with it."""
    session = await world.request(lambda session: session.put("n", 0))
    async with session.transaction():
        session.increment("n")
        async with session.transaction():
            session.increment("n")
        assert (await world.stored())["n"] == 0
    assert (await world.stored())["n"] == 2
    with pytest.raises(RuntimeError, match="outer"):
        async with session.transaction():
            async with session.transaction():
                session.increment("n")
            raise RuntimeError("outer")
    assert (session.get("n"), (await world.stored())["n"]) == (2, 2)


async def test_transaction_that_raises(world):
    """A transaction that raises saves nothing, and undoes its changes in the session, too."""
    session = await world.request(lambda session: session.put("n", 1))
    session.increment("n")
    with pytest.raises(RuntimeError, match="within"):
        async with session.transaction():
            session.increment("n", 10)
            session.flush()
            raise RuntimeError("within")
    assert (session.get("n"), (await world.stored())["n"]) == (2, 1)
    await session.save()
    assert (await world.stored())["n"] == 2


async def test_transaction_of_a_destroyed_session(world):
    """A transaction in a destroyed session is an error, before or after its block, and saves nothing."""
    session = await world.request(lambda session: session.put("n", 1))
    with pytest.raises(GoneError):
        async with session.transaction():
            session.put("n", 2)
            await world.driver.destroy(world.id)
    with pytest.raises(GoneError):
        async with session.transaction():
            pytest.fail("there is nothing to work on")
    assert await world.text() is None


async def test_transaction_leaves_flash_data_to_the_page(world):
    """Flash data is still there after a transaction, and gone after the request."""
    await world.request(lambda session: session.flash("status", "Saved."))
    session = await world.start()
    async with session.transaction():
        session.put("n", 1)
    assert session.get("status") == "Saved."
    await session.save()
    assert await seen(world, "status", "n") == [None, 1]
