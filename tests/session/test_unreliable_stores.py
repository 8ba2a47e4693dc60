"""Saves that are cancelled, or whose answers get lost: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import asyncio
import random

import pytest
from rotations import logged_in
from world import Gate, is_gone, start_session

from node_session import ConflictError, TooLargeError, UnavailableError
from node_session.drivers import Driver, MemoryDriver

pytestmark = pytest.mark.gen_test


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
        choose = random.Random(seed)
        driver = Unreliable(choose, 0)
        session = await start_session(driver, strict=True, regenerate_grace=grace)
        session.put({"user": "Ann", "list": [], "n": 0})
        await session.save()
        pushed = []
        driver.rate = rate
        work = [one_task(session, choose, pushed) for _ in range(1 + choose.randrange(3))]
        await asyncio.gather(*work)
        driver.rate = 0
        await session.save()
        assert not is_gone(session), seed
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


async def test_lost_write_and_take(world):
    """Changes of a failed save count once, if a take and then another request come before the next save."""
    await world.request(lambda session: session.put({"n": 0, "once": "token"}))
    session = await world.start()
    write = world.driver.write

    async def fail(*args):
        raise UnavailableError("the connection was lost")

    session.increment("n")
    world.driver.write = fail
    with pytest.raises(UnavailableError):
        await session.save()
    world.driver.write = write
    assert await session.take("once") == "token"
    await world.request(lambda other: other.increment("n", 100))
    await session.save()
    assert (await world.stored())["n"] == 101


async def test_new_id_after_a_refused_save(world):
    """A new session whose save was refused has no old record, so under a new id it is stored only if it holds data."""
    session = await world.start(save_uninitialized=False, max_size=50)
    session.put("a", "x" * 100)
    with pytest.raises(TooLargeError):
        await session.save()
    session.regenerate(destroy=False)
    session.flush()
    await session.save()
    world.id = session.get_id()
    assert await world.text() is None


async def test_two_new_ids_around_a_save(world):
    """Increments stored under a new id that is given up meanwhile are added to those saved under the first."""
    session = await world.request(lambda session: session.put("n", 0))
    session.regenerate(destroy=True)
    session.increment("n")
    gate = Gate(world.driver)
    saving = asyncio.ensure_future(session.save())
    await gate.reached.wait()
    session.regenerate(destroy=True)
    gate.opened.set()
    await saving
    await world.request(lambda other: other.increment("n", 100))
    await session.save()
    world.id = session.get_id()
    assert (await world.stored())["n"] == 101


async def test_reload_of_a_session_that_became_damaged(world):
    """reload() of a session that a save found damaged says that it is gone."""
    session = await world.request(lambda session: session.put("n", 0))
    record = await world.driver.read(world.id)
    await world.driver.write(world.id, "[]", record.version)
    session.put("n", 1)
    await session.save()
    assert is_gone(session)
    assert await session.reload() is False
