"""The queue of a session's writes: who waits in it need not read what this process has just stored."""

from __future__ import annotations

import asyncio
import gc

import pytest
from pushes import push_concurrently
from tornado.web import RequestHandler
from world import is_gone, start_session

from node_session import SessionMixin, UnavailableError, queues
from node_session.drivers import MemoryDriver


class Remote(MemoryDriver):
    """A driver whose calls take a turn of the loop, as over a network; tells which were made."""

    def __init__(self) -> None:
        super().__init__(0)
        self.calls: list[str] = []
        self.after_write = None

    async def read(self, id):
        self.calls.append("read")
        await asyncio.sleep(0)
        return await super().read(id)

    async def write(self, id, payload, version):
        self.calls.append("write")
        number = self.calls.count("write")
        await asyncio.sleep(0)
        try:
            version = await super().write(id, payload, version)
            if self.after_write is not None:
                await self.after_write(number)
            return version
        finally:
            await asyncio.sleep(0)


@pytest.fixture
def driver():
    return Remote()


async def tabs(driver, number: int = 3):
    """A stored session, loaded so often, with a value pushed in each."""
    first = await start_session(driver)
    await first.save()
    loaded = [await start_session(driver, first.get_id()) for _ in range(number)]
    for each, tab in enumerate(loaded):
        tab.push("list", each)
    driver.calls.clear()
    return loaded


async def save_all(loaded) -> list:
    return await asyncio.gather(*(tab.save() for tab in loaded), return_exceptions=True)


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize(
    ("options", "reads"), [({"driver": "file"}, 4), ({"driver": "database"}, 4), ({"driver": "memory"}, 9)], ids=str
)
async def test_nothing_is_read_again(sessions, reads):
    """Ten concurrent pushes read hardly anything; in memory no write waits, so there is no queue, and nine read.

    Where threads are at work an answer may come late, and then one reads.
    """
    operations = await push_concurrently(sessions, 10)
    assert operations.get("read", 0) <= reads and 19 <= operations["write"] <= 19 + reads


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("options", [{"driver": "file"}, {"driver": "database"}], ids=str)
async def test_a_page_of_ten_requests(app, visitor, sessions):
    """Ten concurrent requests of a page, each with a push, read their session about once each, and lose nothing."""
    there = asyncio.Event()
    waiting = []

    class Push(SessionMixin, RequestHandler):
        async def get(self):
            waiting.append(None)
            if len(waiting) == 10:
                there.set()
            await there.wait()
            self.session.push("list", self.get_query_argument("value"))

    class Page(SessionMixin, RequestHandler):
        def get(self):
            self.session.put("list", [])

    app.add_handlers(".*", [("/page", Page), ("/push", Push)])
    await visitor.get("/page")
    driver, reads = await sessions.driver(), []
    read = driver.read

    async def counting(id):
        reads.append(id)
        return await read(id)

    driver.read = counting
    await asyncio.gather(*(visitor.get(f"/push?value={each}") for each in range(10)))
    assert 10 <= len(reads) <= 14  # and not 19; an answer from a thread may come late, and then one reads
    assert sorted((await visitor.stored())["list"]) == [str(each) for each in range(10)]


@pytest.mark.gen_test
async def test_another_process_is_first(driver):
    """If another process writes in between, that is a conflict, then read and merged: nothing is lost."""
    loaded = await tabs(driver)
    id = loaded[0].get_id()

    async def write_first(number):
        if number == 1:
            record = await MemoryDriver.read(driver, id)
            await MemoryDriver.write(driver, id, record.payload.replace("[0]", '[0,"other"]'), record.version)

    driver.after_write = write_first
    assert await save_all(loaded) == [None] * 3
    driver.after_write = None
    assert sorted(map(str, (await start_session(driver, id)).get("list"))) == ["0", "1", "2", "other"]
    assert driver.calls[:6] == ["write", "write", "write", "write", "read", "write"]


@pytest.mark.gen_test
@pytest.mark.parametrize("changes", [True, False])
async def test_destroyed_by_another_process(driver, changes):
    """A session that another process has destroyed since is not stored again, and counts as gone for the others."""
    loaded = await tabs(driver)
    if not changes:  # all store the same
        for tab in loaded:
            tab.put("list", [])
    id = loaded[0].get_id()

    async def destroy(number):
        if number == 1:
            await driver.destroy(id)

    driver.after_write = destroy
    await save_all(loaded)
    assert [is_gone(tab) for tab in loaded] == [False, True, True]
    assert await driver.read(id) is None


@pytest.mark.gen_test
async def test_an_outcome_that_is_unknown(driver):
    """After a write whose answer is lost, the next reads what there is, and does not try with what was before."""
    loaded = await tabs(driver)

    async def lose_answer(number):
        if number == 4:
            raise UnavailableError("the connection was lost")

    driver.after_write = lose_answer
    outcomes = await save_all(loaded)
    assert [type(each) for each in outcomes] == [type(None), UnavailableError, type(None)]
    assert driver.calls == ["write", "write", "write", "write", "read", "write"]
    assert sorted((await start_session(driver, loaded[0].get_id())).get("list")) == [0, 1, 2]


@pytest.mark.gen_test
async def test_nothing_is_kept(driver):
    """When the last write is done, neither queue nor text is kept."""
    loaded = await tabs(driver)
    gc.collect()
    before = len(queues._queues)
    saving = asyncio.ensure_future(save_all(loaded))
    while len(driver.calls) < 4:
        await asyncio.sleep(0)
    during = len(queues._queues)
    await saving
    gc.collect()
    assert (during, len(queues._queues)) == (before + 1, before)


@pytest.mark.gen_test
async def test_a_newcomer_waits_for_its_turn(driver):
    """After a conflict a later request waits in the queue, and does not try before the others."""
    loaded = await tabs(driver, 4)
    late = loaded.pop()
    saving = asyncio.ensure_future(save_all(loaded))
    while len(driver.calls) < 4:
        await asyncio.sleep(0)
    await late.save()
    await saving
    assert driver.calls == ["write"] * 6
    assert (await start_session(driver, late.get_id())).get("list") == [0, 1, 2, 3]


@pytest.mark.gen_test
async def test_each_has_a_copy_of_its_own(driver):
    """Sessions that are merged with the same stored text share no object."""
    loaded = await tabs(driver)
    loaded[0].put("address", {"town": "Bonn"})
    await save_all(loaded)
    assert all(tab.get("address") == {"town": "Bonn"} for tab in loaded)
    assert len({id(tab.get("address")) for tab in loaded}) == 3
