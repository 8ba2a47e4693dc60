"""What drivers say of themselves: whether they take idle times."""

from __future__ import annotations

import asyncio

import pytest

from node_session.drivers import MemoryDriver, PlainDriver
from node_session.drivers.hashed import HashedDriver

ID = "A" * 40


class Plain:
    """Three methods, as of the original."""

    async def read(self, id):
        return None

    async def write(self, id, text):
        pass

    async def destroy(self, id):
        pass


class TakesIdle(Plain):
    """Remembers the idle times that it is given."""

    def __init__(self):
        super().__init__()
        self.idle = []

    async def write(self, id, text, idle=0):
        self.idle.append(idle)

    async def touch(self, id, idle=0):
        self.idle.append(idle)


class WriteTakesIdle(TakesIdle):
    """Cannot renew a record that lives longer."""

    async def touch(self, id):
        self.idle.append("touched")


class ThirdArgument(Plain):
    """Has an argument of its own, which is not ours."""

    async def write(self, id, text, ttl=60):
        assert ttl == 60


class Old(MemoryDriver):
    """Written for an earlier version."""

    async def write(self, id, payload, version):
        return await super().write(id, payload, version)


class OldTouch(MemoryDriver):
    """Written for an earlier version, too."""

    async def touch(self, id):
        await super().touch(id)


class TakesAnything(Old):
    """Passes on what it does not know."""

    async def write(self, *args, **options):
        return await MemoryDriver.write(self, *args, **options)


@pytest.mark.parametrize(
    ("plain", "given"),
    [(TakesIdle, [-5, 7, 0]), (WriteTakesIdle, [0, "touched", 0]), (ThirdArgument, None), (Plain, None)],
)
def test_idle_of_a_plain_driver(plain, given):
    """Only a driver of three methods whose methods have the argument is given an idle time, and no other fails."""
    driver = PlainDriver(plain())
    assert driver.takes_idle == (plain is TakesIdle)

    async def scenario():
        await driver.write(ID, "text", None, idle=-5)
        await driver.touch(ID, idle=7)
        await driver.write(ID, "text", None)
        assert not await driver.confirm(ID, "text", idle=7)

    asyncio.run(scenario())
    assert getattr(driver.plain, "idle", None) == given


def test_a_driver_of_an_earlier_version():
    """Whether a driver takes idle times is known by its methods; with hashed ids it is called as it is written."""

    async def scenario():
        for kind, takes in ((MemoryDriver, True), (Old, False), (OldTouch, False), (TakesAnything, True)):
            driver = HashedDriver(kind(1000))
            assert kind.takes_idle is driver.takes_idle is takes
            version = await driver.write(ID, "text", None, idle=-5000)
            assert ((await driver.read(ID)).idle < -4000) is takes
            await driver.touch(ID, idle=-10_000)
            assert ((await driver.read(ID)).idle < -9000) is takes
            assert await driver.confirm(ID, version, idle=-20_000)
            assert ((await driver.read(ID)).idle < -19_000) is takes

    asyncio.run(scenario())
