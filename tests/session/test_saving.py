"""Saving, its refusals, and reloading."""

from __future__ import annotations

import asyncio
import logging
import math

import pytest
from visitors import ID
from world import is_gone, start_session

from node_session import ConflictError, GoneError, SerializationError, SessionError, UnavailableError
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.loading import touch
from node_session.session import work_of

pytestmark = pytest.mark.gen_test


async def test_first_record(session, world):
    """A new session that nobody touched is stored as the original stores it."""
    await session.save()
    assert await world.text() == f'{{"_token":"{session.get_token()}","flash":{{"old":[],"new":[]}}}}'


async def test_callbacks(world):
    """start() calls back without arguments, save() with the error or None, and both start immediately."""
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


async def test_value_json_cannot_hold(world):
    """A value JSON cannot hold is a TypeError that names the key; the record stays as it was."""
    await world.request(lambda session: session.put("a", 1))
    before = await world.text()
    for value in ({1}, b"x", object(), {"x": {1}}):
        with pytest.raises(TypeError, match="cart"):
            await world.request(lambda session, value=value: session.put("cart.item", value))
        assert await world.text() == before


async def test_reload(world):
    """reload() takes over changes that others saved, and drops unsaved ones."""
    session = await world.request(lambda session: session.put("n", 1))
    await world.request(lambda session: session.put("n", 2))
    session.put("dropped", True)
    assert await session.reload()
    assert (session.get("n"), session.has("dropped")) == (2, False)
    await world.driver.destroy(world.id)
    assert not await session.reload()
    assert is_gone(session) and session.get("n") is None
    session.put("n", 3)
    await session.save()
    assert await world.text() is None


async def test_set_exists_while_the_session_is_reloaded(world):
    """reload() has the last word on whether there is a record, so that nothing is written again."""
    session = await world.request(lambda session: session.put("n", 1))
    world.after_reading(lambda: session.set_exists(False))
    assert await session.reload()
    world.driver.write = None  # a write would fail
    await session.save()


async def test_destroyed_by_another(world, caplog):
    """A session that another request destroyed is not written, and says so."""
    session = await world.request(lambda session: session.put("a", 1))
    await world.driver.destroy(world.id)
    session.put("a", 2)
    with caplog.at_level(logging.INFO):
        await session.save()
    assert is_gone(session) and await world.text() is None
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


async def test_what_counts_as_created(world):
    """A session is created by its first write only, not by later ones, nor by a new id."""
    session = await world.start()
    for n in range(2):
        session.put("n", n)
        await session.save()
    session.regenerate(True)
    await session.save()
    stats = work_of(session).records.events.stats
    assert (stats.created, stats.saved) == (1, 3)


async def test_a_write_renews(world):
    """A session that was just written needs no renewal."""
    session = await world.start(renew_after=60_000)
    session.put("n", 1)
    await session.save()
    assert not work_of(session).wants_touch


async def test_a_failed_write_counts_once(world):
    """A write that failed, and that a later one made good, is not counted again when others save meanwhile."""
    session, write = await world.request(lambda session: session.put("n", 0)), world.driver.write

    async def fail(*args):
        raise UnavailableError("the connection was lost")

    session.increment("n")
    world.driver.write = fail
    with pytest.raises(UnavailableError):
        await session.save()
    world.driver.write = write
    session.put("other", 1)
    await session.save()
    await world.request(lambda other: other.increment("n", 100))
    session.increment("n", 10)
    await session.save()
    assert (await world.stored())["n"] == 111


async def test_created_beside_a_session_that_moved_on(world):
    """A log-in with an old cookie of a session that has moved on creates a session of its own."""
    session = await world.request(lambda session: session.put("n", 1))
    before = session.get_id()
    session.regenerate(True)
    await session.save()
    world.id = before
    other = await world.start(regenerate_grace=0)
    other.put("n", 2)
    other.regenerate()
    await other.save()
    assert work_of(other).records.events.stats.created == 1


async def test_destroyed_by_others_counts_once(world):
    """A session that others destroyed is noted once, however often the program tries to change it."""
    session = await world.request(lambda session: session.put("n", 1))
    await world.driver.destroy(world.id)
    for _ in range(3):
        with pytest.raises(GoneError):
            async with session.transaction():
                session.put("n", 2)
    assert work_of(session).records.events.stats.not_resurrected == 1


async def test_older_encryption_is_written_once(world):
    """A record that is encrypted with an older secret is written again by one save, and not by the next one."""
    old, new = "old" * 11, "new" * 11
    session = await start_session(world.driver, ID, encrypter=AuthenticatedEncrypter([old]))
    session.put("n", 1)
    await session.save()
    session = await start_session(world.driver, ID, encrypter=AuthenticatedEncrypter([new, old]))
    await session.save()
    record = await world.driver.read(ID)
    await session.save()
    assert (await world.driver.read(ID)).payload == record.payload
    assert AuthenticatedEncrypter([new]).decrypt(record.payload, ID)


async def test_renewal_that_fails_is_tried_again(world):
    """A transaction renews an idle session, and if that fails, the next one tries it again."""
    session = await world.request(lambda session: session.put("n", 1))
    touched = []

    async def touch(id):
        touched.append(id)
        raise UnavailableError("the store is down")

    world.driver.touch = touch
    for _ in range(2):
        async with session.transaction():
            work_of(session).active_at = -math.inf
    assert touched == [world.id, world.id]
    assert work_of(session).active_at == -math.inf


async def test_gone_session_is_not_renewed(world):
    """A session that is gone has no record to renew, so none is counted as renewed."""
    session = await world.request(lambda session: session.put("n", 1))
    await world.driver.destroy(world.id)
    assert not await session.reload()
    await touch(work_of(session))
    assert work_of(session).records.events.stats.touched == 0


async def test_reload_after_flush(world):
    """reload() undoes a flush(), so that a later save merges what others have stored."""
    session = await world.request(lambda session: session.put("n", 1))
    session.flush()
    await session.reload()
    session.put("x", 1)
    await world.request(lambda other: other.put("theirs", 1))
    await session.save()
    stored = await world.stored()
    assert (stored["n"], stored["x"], stored["theirs"]) == (1, 1, 1)


async def test_reload_of_flash_data(world):
    """Flash data that reload() has found is for the next request, and stays for it."""
    await world.request(lambda session: session.put("n", 1))
    session = await world.start()
    await world.request(lambda other: other.flash("status", "Saved."))
    await session.reload()
    session.put("n", 2)
    await session.save()
    assert await world.seen("status", "n") == ["Saved.", 2]
