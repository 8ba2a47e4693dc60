"""Concurrent saves of one session: all changes are there, and each counts once."""

from __future__ import annotations

import asyncio

import pytest
from visitors import ID
from world import Gate, start_session

from node_session.authenticated_encryption import AuthenticatedEncrypter

pytestmark = pytest.mark.gen_test


async def test_merge_on_conflict(world):
    """All changes of two concurrent requests are there."""
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
    assert await world.seen("status") == ["two"]


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
    """Two concurrent saves of one object do not merge it with itself."""
    session = await world.start()
    session.push("list", 1)
    await asyncio.gather(session.save(), session.save())
    session.push("list", 2)
    await asyncio.gather(session.save(), session.save())
    assert (await world.stored())["list"] == [1, 2]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_changes_while_a_save_is_under_way(world, before):
    """The next save stores changes made during a save, even if others save in between."""
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
    """A flush() during a save empties the record when it is saved itself."""
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
    """Refused changes are sent again together with those added meanwhile."""
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
    """The second of two concurrent saves of one object writes only the changes that the first did not."""
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
    """A transaction or reload() of one task while another task saves neither doubles nor undoes the saved changes."""
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


async def test_flush_wins(world):
    """A flushed session stays empty, even if another request stored something meanwhile."""
    await world.request(lambda session: session.put("a", 1))
    one, two = await world.start(), await world.start()
    two.put("b", 2)
    await two.save()
    one.flush()
    one.put("c", 3)
    await one.save()
    assert await world.stored() == {"c": 3, "flash": {"old": [], "new": []}}


async def test_two_first_requests_of_one_adopted_id(world):
    """Two requests that concurrently create one record are merged into it."""
    world.id = ID
    one, two = await world.start(), await world.start()
    one.put("one", 1)
    two.put("two", 2)
    await asyncio.gather(one.save(), two.save())
    assert {"one": 1, "two": 2}.items() <= (await world.stored()).items()


async def test_flash_data_shown_between_two_conflicts(world):
    """Flash data that one request stores and the next one shows stays removed, if a third conflicts with both."""
    await world.request(lambda session: session.put("n", 0))
    one = await world.start()
    one.increment("n")

    async def flash():
        await world.request(lambda session: session.flash("status", "Saved."))
        world.before_writing(world.id, show)

    async def show():  # as a request to another process does, which does not wait for our queue
        record = await world.driver.read(world.id)
        await world.driver.write(world.id, '{"n":0,"flash":{"old":[],"new":[]}}', record.version)

    world.before_writing(world.id, flash)
    await one.save()
    assert (await world.stored())["n"] == 1
    assert await world.seen("status") == [None]


async def test_writers_queue_after_a_conflict(world):
    """A request that must merge and write again is not overtaken by one that comes later."""
    await world.request(lambda session: session.put("list", []))
    one = await world.start()
    one.push("list", "one")
    await world.request(lambda session: session.push("list", "first"))
    two = await world.start()
    two.push("list", "two")
    gate = Gate(world.driver, before=True, number=2)
    saving = asyncio.ensure_future(one.save())
    await gate.reached.wait()
    later = asyncio.ensure_future(two.save())
    for _ in range(10):
        await asyncio.sleep(0)
    assert (await world.stored())["list"] == ["first"]
    gate.opened.set()
    await asyncio.gather(saving, later)
    assert (await world.stored())["list"] == ["first", "one", "two"]


async def test_others_store_the_same(world):
    """A write that others forestalled with the same content is done, and its flush() is not repeated later."""
    session = await world.request(lambda session: session.put("a", 1))
    write = world.driver.write

    async def forestalled(*args):
        world.driver.write = write
        await write(*args)
        return await write(*args)

    session.flush()
    session.put("b", 2)
    world.driver.write = forestalled
    await session.save()
    await world.request(lambda other: other.put("theirs", 3))
    session.put("c", 4)
    await session.save()
    stored = await world.stored()
    assert {key: stored[key] for key in "bc"} == {"b": 2, "c": 4} and stored["theirs"] == 3


async def test_what_counts_as_merged(world):
    """A conflict with a record that was only encrypted again counts as a conflict, not as a merge."""
    encrypter = AuthenticatedEncrypter(["secret" * 6])
    session = await start_session(world.driver, ID, encrypter=encrypter)
    session.put("n", 1)
    await session.save()

    async def encrypt_again():
        record = await world.driver.read(ID)
        text = encrypter.decrypt(record.payload, ID)
        await world.driver.write(ID, encrypter.encrypt(text, ID), record.version)

    session.put("n", 2)
    world.before_writing(ID, encrypt_again)
    await session.save()
    assert (session.report.conflicts, session.report.merged) == (1, 0)
    assert (await start_session(world.driver, ID, encrypter=encrypter)).get("n") == 2
