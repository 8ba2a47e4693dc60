"""The start of a session: its record, the values set before, the greatest age."""

from __future__ import annotations

import asyncio
import time

import pytest
from visitors import ID
from world import is_gone

from node_session import GoneError
from node_session.saving import confirm
from node_session.session import work_of

pytestmark = pytest.mark.gen_test


async def test_set_before_start(world):
    """Values set before start() stay, and stored values win."""
    await world.request(lambda session: session.put({"a": {"x": 1}, "b": "stored"}))
    session = world.session()
    session.put({"a": {"x": 9, "y": 2}, "b": "mine", "c": 3})
    await session.start()
    assert session.only("a", "b", "c") == {"a": {"x": 1, "y": 2}, "b": "stored", "c": 3}


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
    assert is_gone(session)
    assert await world.stored() is None


@pytest.mark.parametrize("created", ["never", None, [], True])
async def test_beginning_that_is_no_time(world, created):
    """A session whose beginning is no time begins now, rather than never to end."""
    await world.request(lambda session: session.put("_created", created))
    session = await world.start(absolute_lifetime=3_600_000)
    await session.save()
    assert abs((await world.stored())["_created"] - time.time() * 1000) < 10_000


async def test_no_end_without_an_absolute_lifetime(world):
    """A session that was begun long ago goes on, once the program has no absolute lifetime any more."""
    await world.request(lambda session: session.put("_created", 1))
    session = await world.start()
    assert session.get("_created") == 1
    await confirm(work_of(session))
    session.put("n", 1)
    await session.save()
    assert (await world.stored())["n"] == 1


@pytest.mark.parametrize("is_regenerated", [True, False], ids=["regenerated", "as it was"])
async def test_end_between_start_and_save(world, is_regenerated):
    """A session whose absolute lifetime ends during a request leaves no record, under an old or a new id."""
    await world.request(lambda session: session.put("_created", int(time.time() * 1000)))
    session = await world.start(absolute_lifetime=3_600_000)
    if is_regenerated:
        session.regenerate()
    session.put("n", 1)
    work_of(session).records.clock = lambda: time.time() + 3700
    await session.save()
    assert is_gone(session)
    assert await world.text() is None and await world.driver.read(session.get_id()) is None


async def test_increment_before_start(world):
    """An increment before the start gives way to the stored number, and is not added to what others store later."""
    await world.request(lambda session: session.put("n", 5))
    session = world.session()
    session.increment("n")
    session.flush()
    session.increment("n")
    await session.start()
    session.put("x", 1)
    await world.request(lambda other: (other.increment("n", 10), other.put("theirs", 1)))
    await session.save()
    stored = await world.stored()
    assert (stored["n"], stored["x"], stored["theirs"]) == (15, 1, 1)


async def test_token_set_before_start(world):
    """A token that was set before the start of a new session stays."""
    session = world.session()
    session.put("_token", "mine")
    await session.start()
    assert session.get_token() == "mine"


@pytest.mark.parametrize("save_uninitialized", [True, False])
async def test_stored_without_a_token(world, save_uninitialized):
    """A stored session without a token gets one as it starts, and saves it."""
    world.id = ID
    await world.driver.write(ID, '{"n":1}', None)
    session = await world.start(save_uninitialized=save_uninitialized)
    assert session.exists("_token")
    await session.save()
    assert (await world.stored())["_token"] == session.get_token()


async def test_time_of_loading(world):
    """The report has the time that loading took."""
    await world.request(lambda session: session.put("n", 1))
    read = world.driver.read

    async def read_slowly(id):
        await asyncio.sleep(0.01)
        return await read(id)

    world.driver.read = read_slowly
    session = await world.start()
    assert session.report.load_microseconds > 1000


async def test_damaged_under_another_cookie(world):
    """A report says that a record was damaged, also if it was that of another cookie than the first."""
    await world.driver.write(ID, "[]", None)
    world.id = "B" * 40
    session = await world.start(others=[ID])
    assert session.report.found == "damaged"


async def test_damaged_under_an_adopted_id(world):
    """The id of a damaged record is not used again, even if ids without a record are adopted."""
    await world.driver.write(ID, "[]", None)
    world.id = ID
    session = await world.start(strict=False)
    assert session.get_id() != ID and session.report.found == "damaged"
