"""Taking a value that only one may have, and transactions."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from world import Gate, is_gone

from node_session import GoneError, SerializationError, SessionError, UnavailableError

pytestmark = pytest.mark.gen_test


async def test_take_gives_to_one(world):
    """One of many requests that concurrently take a value gets it; pull() would have given it to all."""
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
    assert not is_gone(sessions[1]) and (await world.stored())["user"] == "Ann"
    assert "once" not in await world.stored()


async def test_take_what_this_request_put(session, world):
    """A value that this request has put and not saved is taken from it."""
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
    assert is_gone(session) and await world.text() is None


async def test_transaction(world):
    """A transaction works on the stored content, and saves earlier changes with it."""
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
    """Concurrent transactions of one session lose no increment and no push."""
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
    assert await world.seen("status", "n") == [None, 1]


async def test_transaction_that_is_cancelled(world):
    """A transaction whose task is cancelled undoes its changes, as one that raises does."""
    session = await world.request(lambda session: session.put("n", 1))
    begun = asyncio.Event()

    async def work():
        async with session.transaction():
            session.put("n", 2)
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.get("n") == 1


async def test_what_a_transaction_undid_is_not_merged(world):
    """Of a transaction that raised, nothing is merged with what others save; what came before it is, once."""
    session = await world.request(lambda session: session.put("n", 1))
    session.increment("n")
    with pytest.raises(RuntimeError, match="within"):
        async with session.transaction():
            session.increment("n", 10)
            session.flush()
            raise RuntimeError("within")
    await world.request(lambda other: (other.increment("n", 100), other.put("theirs", True)))
    await session.save()
    stored = await world.stored()
    assert (stored["n"], stored["theirs"]) == (102, True)


async def test_transaction_in_an_empty_session(world):
    """A transaction that puts nothing into a new session stores none, without `saveUninitialized`."""
    session = await world.start(save_uninitialized=False)
    async with session.transaction():
        pass
    assert await world.text() is None and session.report.saved == "left alone"


async def test_transaction_that_changes_nothing(world):
    """A transaction that changes nothing renews the session, and writes nothing."""
    await world.request(lambda session: session.put("n", 1))
    session = await world.start()
    async with session.transaction():
        pass
    assert session.report.saved == "touched"


async def test_transaction_after_regenerate(world):
    """A transaction that changes nothing still saves a session that was regenerated before it."""
    session = await world.request(lambda session: session.put("n", 1))
    session.regenerate(True)
    async with session.transaction():
        pass
    world.id = session.get_id()
    assert (await world.stored())["n"] == 1


async def test_transactions_leave_nothing_in_their_task(world):
    """A task that opens many transactions, as a WebSocket's, keeps nothing of those that have ended."""
    session = await world.start()

    async def context():
        async with session.transaction():
            session.increment("n")
        return dict(contextvars.copy_context())

    assert await context() == await context()


async def test_take_from_a_session_that_is_gone(world):
    """Nothing is taken from a session that was found destroyed, even if another takes its id meanwhile."""
    session = await world.request(lambda session: session.put("once", 1))
    text = await world.text()
    await world.driver.destroy(world.id)
    session.put("n", 1)
    await session.save()
    await world.driver.write(world.id, text, None)
    assert is_gone(session) and await session.take("once", "gone") == "gone"
    assert await world.text() == text


async def test_take_under_another_id(world):
    """After set_id() a value is taken from this request's own session: there is no record, which is no end of it."""
    session = await world.request(lambda session: session.put("once", 1))
    session.set_id()
    assert await session.take("once") == 1
    assert not is_gone(session) and "once" not in session


async def test_take_while_a_save_is_under_way(world):
    """A value that one task takes while another saves the same object leaves the list as both have made it."""
    session = await world.request(lambda session: session.put({"once": 1, "list": [0]}))
    session.push("list", 1)
    gate = Gate(world.driver)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    taking = asyncio.ensure_future(session.take("once"))
    await asyncio.sleep(0)
    gate.opened.set()
    await saving
    assert await taking == 1
    await session.save()
    assert (await world.stored())["list"] == session.get("list") == [0, 1]


async def test_save_within_and_beside_a_transaction(world):
    """A save in a transaction's own task is part of it; that of another task waits until the transaction has ended."""
    session = await world.request(lambda session: session.put("n", 1))
    async with session.transaction():
        session.put("n", 2)
        await asyncio.wait_for(session.save(), 60)
        assert (await world.stored())["n"] == 2
        session.put("n", 3)
        beside = contextvars.Context().run(asyncio.ensure_future, session.save())
        for _ in range(10):
            await asyncio.sleep(0)
        assert (await world.stored())["n"] == 2 and not beside.done()
    await beside
    assert (await world.stored())["n"] == 3


async def test_flash_data_of_a_transaction_after_the_page(world):
    """What a transaction flashes after the page's save, as in a WebSocket, is for the next request, and no other."""
    session = await world.request(lambda session: session.put("n", 1))
    async with session.transaction():
        session.flash("status", "Saved.")
    assert [await world.seen("status") for _ in range(2)] == [["Saved."], [None]]


async def test_take_what_this_request_has_changed(world):
    """A value that is taken does not come back with what this request has put under its key before."""
    session = await world.request(lambda session: session.put("once", 1))
    session.put("once", 2)
    assert await session.take("once") == 1
    await session.save()
    assert "once" not in session and "once" not in await world.stored()


async def test_take_after_a_save_whose_answer_got_lost(world):
    """A write that was done although it seemed to fail is not done again by the save after a take."""
    session = await world.request(lambda session: session.put({"once": 1, "n": 0, "list": [0]}))
    write = world.driver.write

    async def fail(*args):
        await write(*args)
        raise UnavailableError("the connection was lost")

    session.push("list", 1)
    session.increment("n")
    world.driver.write = fail
    with pytest.raises(UnavailableError):
        await session.save()
    world.driver.write = write
    assert await session.take("once") == 1
    await session.save()
    assert ((await world.stored())["list"], (await world.stored())["n"]) == ([0, 1], 1)


async def test_transaction_that_would_store_a_farewell(world):
    """A transaction that leaves nothing but what looks like a farewell is refused, and nothing is written."""
    await world.request(lambda session: session.put("n", 1))
    session, before = await world.start(), await world.text()
    with pytest.raises(SerializationError, match="reserved"):
        async with session.transaction():
            session.flush()
            session.put("_left", {"at": 1, "to": "B" * 40})
    assert await world.text() == before


async def test_what_a_save_within_stored_counts_once(world):
    """Increments before a transaction that a save within it has stored are not added again after it raises."""
    await world.request(lambda session: session.put("n", 0))
    session = await world.start()
    session.increment("n")
    with pytest.raises(RuntimeError, match="within"):
        async with session.transaction():
            await session.save()
            raise RuntimeError("within")
    await world.request(lambda other: other.increment("n", 100))
    session.put("x", 1)
    await session.save()
    assert (await world.stored())["n"] == 101


async def test_task_that_outlives_its_transaction(world):
    """A task that a transaction started is no longer part of it once it has ended: its own transaction saves."""
    session = await world.request(lambda session: session.put("n", 0))
    ended = asyncio.Event()

    async def outlive():
        await ended.wait()
        async with session.transaction():
            session.put("n", 1)

    async with session.transaction():
        task = asyncio.ensure_future(outlive())
    ended.set()
    await task
    assert (await world.stored())["n"] == 1


@pytest.mark.parametrize("value", [1, object()], ids=["stored", "refused"])
async def test_flash_data_of_a_transaction_that_raises_after_a_save(world, value):
    """Flash data is gone after the request, although a transaction that tried to save raised."""
    await world.request(lambda session: session.flash("status", "Saved."))
    session = await world.start()
    with pytest.raises((RuntimeError, SerializationError)):
        async with session.transaction():
            session.put("value", value)
            await session.save()
            raise RuntimeError("within")
    assert session.get("status") == "Saved."
    await session.save()
    assert await world.seen("status", "value") == [None, None]


async def test_flash_data_that_a_save_within_a_transaction_stored(world):
    """Flash data that a save within a transaction stored, and the next request showed, does not come back."""
    session = await world.request(lambda session: session.put("n", 0))
    session = await world.start()
    session.flash("status", "Saved.")
    session.put("value", object())
    with pytest.raises(SerializationError):
        await session.save()
    session.forget("value")
    with pytest.raises(RuntimeError, match="within"):
        async with session.transaction():
            await session.save()
            raise RuntimeError("within")
    assert await world.seen("status") == ["Saved."]
    session.put("n", 1)
    await session.save()
    assert await world.seen("status", "n") == [None, 1]
