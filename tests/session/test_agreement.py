"""What a session knows of its record stays true, whatever happens to the record or the session while it is asked."""

from __future__ import annotations

import pytest
from world import make_session, start_session

from node_session import GoneError
from node_session.saving import confirm
from node_session.session import work_of
from node_session.state import STORED

pytestmark = pytest.mark.gen_test


class Dated:
    """An encrypter that finds the records of its predecessor outdated."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def encrypt(self, text, id):
        return self.mark + text

    def decrypt(self, payload, id):
        return payload[1:]

    def is_current(self, payload):
        return payload[0] == self.mark


@pytest.mark.parametrize("how", ["save", "reload", "transaction", "confirm"])
async def test_a_record_that_is_damaged_meanwhile(world, how):
    """A session whose record is damaged later gives up its id, and its report says why."""
    session = await world.request(lambda session: session.put("a", 1))
    before = session.get_id()
    world.driver._put(before, "{")
    session.put("a", 2)
    if how == "save":
        await session.save()
    elif how == "reload":
        assert not await session.reload()
    elif how == "confirm":
        await confirm(work_of(session))
    else:
        with pytest.raises(GoneError):
            async with session.transaction():
                pass
    assert session.report.found == "damaged"
    assert session.get_id() != before


async def test_set_exists_during_a_reload(world):
    """A reload that sets the version of the record also says that there is one."""
    session = await world.request(lambda session: session.put("a", 1))
    read = world.driver.read

    async def interrupted(id):
        session.set_exists(False)
        return await read(id)

    world.driver.read = interrupted
    assert await session.reload()
    assert work_of(session).state is STORED


async def test_a_merged_record_is_outdated_as_it_is_stored(world):
    """After a merge that wrote nothing, the session knows in which way the record is encrypted now."""
    session = await start_session(world.driver, encrypter=Dated("B"))
    session.put("a", 1)
    await session.save()
    world.driver._put(session.get_id(), "A" + world.driver._records[session.get_id()][0][1:])
    session.set_exists(False)
    await session.save()  # a conflict, and then nothing to write
    assert world.driver._records[session.get_id()][0][0] == "A"
    await session.save()
    assert world.driver._records[session.get_id()][0][0] == "B"


async def test_a_withheld_session_is_not_stored_under_an_id_that_it_takes(world):
    """A session in a request of another site is not stored, even if a program gives it an id with a record."""
    await world.request(lambda session: session.put("a", 1))
    session = make_session(world.driver)
    work_of(session).is_withheld = True
    session.set_id(world.id)
    await session.start()
    session.put("a", 2)
    await session.save()
    assert (await world.stored())["a"] == 1


async def test_a_second_start_counts_changes_again(world):
    """The flash data that a save has aged before a second start counts as aged no longer."""
    await world.request(lambda session: session.put("a", 1))
    session = await world.start()
    await session.save()
    await session.start()
    assert not work_of(session).content.changes.aged
