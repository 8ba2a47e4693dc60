"""Sessions that take another id, while others save, log in and log out."""

from __future__ import annotations

import asyncio

import pytest
from rotations import logged_in
from visitors import SECRET
from world import Gate, is_gone

from node_session import GoneError, Session, UnavailableError
from node_session.encryption import choose
from node_session.farewell import Farewell
from node_session.policy import Policy
from node_session.records import Records
from node_session.session import work_of
from node_session.state import STORED

pytestmark = pytest.mark.gen_test


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
    """Another request's changes during a log-in are there under the new id."""
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
    assert is_gone(slow)
    assert await world.driver.read(slow.get_id()) is None


async def test_invalidate(world):
    """invalidate() empties the session, gives it a new id and destroys the old record."""
    await world.request(lambda session: session.put("user", "Ann"))
    old = world.id
    await world.request(lambda session: session.invalidate())
    assert world.id != old and await world.driver.read(old) is None
    assert "user" not in await world.stored()


@pytest.mark.parametrize("before", [True, False], ids=["not done", "done"])
async def test_a_new_id_while_a_save_is_under_way(world, before):
    """regenerate() while another task saves takes its changes along, and the record stays a session."""
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
    """So does one while a save waits to merge; the old session is not looked for under the new id."""
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


async def test_a_new_id_while_the_session_is_reloaded(world):
    """regenerate() while another task reloads takes the stored content along, and the record stays a session."""
    session = await world.request(lambda session: session.push("list", 1))
    await world.request(lambda session: session.push("list", 2))
    world.after_reading(lambda: session.regenerate(True))
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
    old, write = session.get_id(), world.driver.write
    session.regenerate(True)

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
    assert not is_gone(session) and await world.is_left(old)
    assert [each["user"] for each in await logged_in(world.driver)] == ([] if then == "invalidate" else ["Ann"])


async def test_giving_up_a_new_id(world):
    """So does one that cannot get rid of the old id, as others save under it again and again."""
    await world.request(lambda session: session.put("a", 1))
    session = await world.start(save_timeout=30)
    old = session.get_id()

    async def lose():
        await world.request(lambda session: session.increment("n"))
        world.before_writing(old, lose)

    world.before_writing(world.id, lose)
    session.regenerate(True)
    with pytest.raises(UnavailableError, match=r"each of \d+ tries"):
        await session.save()


async def test_write_under_the_old_id_while_it_is_destroyed(world):
    """Another request's changes between a login's save and the end of its old record come along as well."""
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
    assert is_gone(login)
    assert await world.driver.read(login.get_id()) is None and await world.text() is None


async def test_a_login_after_the_session_was_destroyed(world):
    """A login in a session that another request destroyed holds what this request has set, and nothing that it had."""
    session = await world.request(lambda session: session.put({"user": "Ann", "n": 1}))
    token = session.get_token()
    await world.driver.destroy(world.id)
    session.increment("n", 5)
    await session.save()
    assert is_gone(session)
    session.put("user", "Bob")
    session.regenerate(True)
    assert session.get("_token") not in (None, token)
    await session.save()
    world.id = session.get_id()
    assert await world.seen("user") == ["Bob"]


async def test_a_login_after_the_new_record_was_destroyed(world):
    """A session whose move was done half way, and which was destroyed then, comes back with none of its data."""
    session = await world.request(lambda session: session.put("cart", ["a"]))
    old, write = world.id, world.driver.write

    async def fail(id, *args):
        if id == old:
            raise UnavailableError("the connection was lost")
        return await write(id, *args)

    session.regenerate(True)
    world.driver.write = fail
    with pytest.raises(UnavailableError):
        await session.save()
    world.driver.write = write
    await world.driver.destroy(session.get_id())
    with pytest.raises(GoneError):
        async with session.transaction():
            session.put("n", 1)
    session.regenerate(True)
    session.put("user", "Bob")
    await session.save()
    world.id = session.get_id()
    stored = await world.stored()
    assert stored["user"] == "Bob" and "cart" not in stored


@pytest.mark.parametrize("is_late", [True, False], ids=["late", "under way"])
async def test_two_logins_with_one_cookie_share_nothing(world, is_late):
    """The second of two logins with one cookie takes along nothing that the first has put into its own session."""
    await world.request(lambda session: session.put("cart", ["a"]))
    one, two = [await world.start(regenerate_grace=10_000) for _ in range(2)]
    one.put("user", "Ann")
    one.regenerate(True)
    await one.save()
    if is_late:
        two = await world.start(regenerate_grace=10_000)
    two.put("theme", "dark")
    two.regenerate(True)
    await two.save()
    assert work_of(two).state is STORED
    world.id = two.get_id()
    stored = await world.stored()
    assert (stored["cart"], stored["theme"], "user" in stored) == (["a"], "dark", False)


async def test_a_logout_of_a_destroyed_session_begins_a_new_one(world):
    """What invalidate() leaves of a session that another request has destroyed is a new one, as after any log-out."""
    await world.request(lambda session: session.put("user", "Ann"))
    session = await world.start()
    await world.driver.destroy(world.id)
    session.invalidate()
    session.put("status", "Bye.")
    await session.save()
    world.id = session.get_id()
    assert not is_gone(session) and (await world.stored())["status"] == "Bye."


async def test_logout_elsewhere_while_a_late_login_is_saved(world):
    """A late login whose session is logged out, under the id it has now, leaves no record under its own id either."""
    await world.request(lambda session: session.put("cart", ["a"]))
    one = await world.start(regenerate_grace=10_000)
    one.regenerate(True)
    await one.save()
    late = await world.start(regenerate_grace=10_000)
    world.before_writing(one.get_id(), lambda: world.driver.destroy(one.get_id()))
    late.regenerate(True)
    await late.save()
    assert is_gone(late) and await world.driver.read(late.get_id()) is None


async def test_a_new_id_while_a_transaction_begins(world):
    """regenerate() while a transaction reads what others have stored takes that along, and ends the old record."""
    session = await world.request(lambda session: session.push("list", 1))
    await world.request(lambda session: session.push("list", 2))
    world.after_reading(lambda: session.regenerate(True))
    async with session.transaction():
        session.put("n", 1)
    await session.save()
    assert await world.is_left(world.id)
    world.id = session.get_id()
    stored = await world.stored()
    assert (stored["list"], stored["n"]) == ([1, 2], 1)


async def test_the_old_record_of_a_session_that_was_emptied(world):
    """An emptied session leaves nothing to read under its old id, be there a grace, without `saveUninitialized`."""
    await world.request(lambda session: session.put("user", "Ann"))
    session = await world.start(save_uninitialized=False, regenerate_grace=10_000)
    session.regenerate(True)
    session.flush()
    await session.save()
    assert await world.text() is None and await world.driver.read(session.get_id()) is None


@pytest.mark.parametrize("rotates", [True, False], ids=["rotates", "saves"])
async def test_a_logout_while_another_saves(world, rotates):
    """A log-out that stores no other session leaves no record, although another request has just saved or moved it."""
    await world.request(lambda session: session.put("user", "Ann"))
    session, destroy = await world.start(save_uninitialized=False), world.driver.destroy

    async def interrupted(id, version=None):
        world.driver.destroy = destroy
        await world.request(lambda other: other.regenerate(True) if rotates else other.put("n", 1))
        await destroy(id, version)

    session.invalidate()
    world.driver.destroy = interrupted
    await session.save()
    assert await logged_in(world.driver) == []


async def test_regenerate_with_and_without_destroy(world):
    """What one of two regenerations in a request is to destroy is destroyed, whatever the other says."""
    await world.request(lambda session: session.put("user", "Ann"))
    old = world.id
    await world.request(lambda session: (session.regenerate(True), session.regenerate()))
    assert await world.is_left(old) and (await world.stored())["user"] == "Ann"


async def test_logout_of_a_new_session_whose_write_got_lost(world):
    """A log-out ends the record of a new session, too, that was written although the driver said it failed."""
    session, write = await world.start(), world.driver.write

    async def fail(*args):
        await write(*args)
        raise UnavailableError("the connection was lost")

    session.put("user", "Ann")
    world.driver.write = fail
    with pytest.raises(UnavailableError):
        await session.save()
    world.driver.write = write
    session.invalidate()
    await session.save()
    assert await logged_in(world.driver) == []


async def test_a_farewell_is_encrypted(world):
    """With encryption the record that a regenerated session leaves is encrypted as well."""
    records = Records(world.driver, Policy(regenerate_grace=10_000), choose(True, (SECRET,)))
    session = Session("node_session", records)
    await session.start()
    await session.save()
    old = session.get_id()
    session.regenerate(True)
    await session.save()
    assert "_left" not in (await world.driver.read(old)).payload
    assert isinstance(await records.load(old), Farewell)


async def test_second_login_that_saves_first(world):
    """A log-in whose save found the session moved on ends it under its new id, too."""
    session = await world.request(lambda session: session.put("n", 1))
    other = await world.start()
    other.regenerate(destroy=True)
    await other.save()
    session.put("n", 2)
    await session.save()
    session.regenerate(destroy=True)
    await session.save()
    world.id = other.get_id()
    assert await world.text() is None or await world.is_left(world.id)
