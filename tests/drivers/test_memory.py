"""The memory driver."""

from __future__ import annotations

import asyncio
import tracemalloc

from drivers.clock import ClockContract
from node_session import ids
from node_session.drivers import MemoryDriver

ID = "A" * 40


class TestContract(ClockContract):
    """The memory driver keeps the contract."""

    def make_driver(self, lifetime):
        return MemoryDriver(lifetime, clock=self.clock)


def test_lifetime_zero_never_expires():
    """With lifetime 0 a record is there after a century."""
    now = 0.0
    driver = MemoryDriver(0, clock=lambda: now)
    asyncio.run(driver.write(ID, "text", None))
    now = 100 * 365 * 86400.0
    assert asyncio.run(driver.read(ID)).payload == "text"


def test_gc_looks_only_at_what_it_removes():
    """Gc stops at the first record that stays, so that it costs nothing where nothing has expired."""
    now = 0.0

    class Counting(MemoryDriver):
        looks = 0

        def _is_idle(self, *args):
            Counting.looks += 1
            return super()._is_idle(*args)

    async def scenario():
        nonlocal now
        driver = Counting(0, clock=lambda: now)
        for number in range(1000):
            now += 1
            await driver.write(f"{number:040d}", "text", None)
        await driver.touch("0" * 40)
        assert await driver.gc(990_000) == 8
        assert Counting.looks == 9
        assert len(driver) == 992 and await driver.read("0" * 40)

    asyncio.run(scenario())


def test_memory_of_a_record():
    """A stored session takes at most twice the memory of its text."""
    text = "x" * 299
    driver = MemoryDriver(1000)

    async def store(number):
        for _ in range(number):
            await driver.write(ids.generate(), text[:-1] + "y", None)

    asyncio.run(store(1))  # what is imported and cached by the first one
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        asyncio.run(store(20_000))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= 2 * len(text) * 20_000
