"""Tests of a driver: the lifetime of a record."""

from __future__ import annotations

from ..drivers import Driver
from .scenario import DriverScenario, read_text, record_id


class ExpiryTests(DriverScenario):
    """A record expires when it has been idle for longer than the lifetime."""

    def test_expired_is_absent(self) -> None:
        """A record idle for longer than the lifetime is absent.

        Touching does not revive it, and it can be created.
        """

        async def scenario(driver: Driver) -> None:
            await driver.write(record_id(1), "old", None)
            await self.age(driver, record_id(1), self._scaled(1500))
            assert await driver.read(record_id(1)) is None
            await driver.touch(record_id(1))
            assert await driver.read(record_id(1)) is None
            await driver.write(record_id(1), "new", None)
            assert await read_text(driver, record_id(1)) == "new"

        if self.expires:
            self._run(scenario, lifetime=self._scaled(1000))

    def test_expired_is_replaced(self) -> None:
        """A record that has expired is still replaced by the request that read it."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(record_id(1), "old", None)
            await self.age(driver, record_id(1), self._scaled(1500))
            if self.expired_is_gone:
                await self._conflicts(driver.write(record_id(1), "mine", version))
                assert await driver.read(record_id(1)) is None
                return
            version = await driver.write(record_id(1), "mine", version)
            assert await read_text(driver, record_id(1)) == "mine"
            await driver.write(record_id(1), "mine again", version)
            assert await read_text(driver, record_id(1)) == "mine again"

        if self.expires and self.versions:
            self._run(scenario, lifetime=self._scaled(1000))

    def test_expired_is_replaced_only_in_that_version(self) -> None:
        """Replacing an expired record that somebody has changed or removed is a conflict."""

        async def scenario(driver: Driver) -> None:
            versions = {number: await driver.write(record_id(number), "old", None) for number in range(1, 5)}
            await driver.write(record_id(1), "theirs", versions[1])
            for number in versions:
                await self.age(driver, record_id(number), self._scaled(1500))
            await driver.write(record_id(2), "theirs", None)
            await driver.destroy(record_id(3), versions[3])
            for number in (1, 2, 3):
                await self._conflicts(driver.write(record_id(number), "mine", versions[number]))
            await driver.gc(self._scaled(1000))
            await self._conflicts(driver.write(record_id(4), "mine", versions[4]))
            found = [await read_text(driver, record_id(number)) for number in versions]
            assert found == [None, "theirs", None, None]

        if self.expires and self.versions:
            self._run(scenario, lifetime=self._scaled(1000))

    def test_expired_is_destroyed_only_in_that_version(self) -> None:
        """Destroying another version than the expired one that is there is a conflict."""

        async def scenario(driver: Driver) -> None:
            old = await driver.write(record_id(1), "old", None)
            new = await driver.write(record_id(1), "new", old)
            await self.age(driver, record_id(1), self._scaled(1500))
            await self._conflicts(driver.destroy(record_id(1), old))
            await driver.write(record_id(1), "newer", new)
            assert await read_text(driver, record_id(1)) == "newer"

        if self.expires and self.versions and not self.expired_is_gone:
            self._run(scenario, lifetime=self._scaled(1000))

    def test_use_renews(self) -> None:
        """A record that is touched or written in time lives on; both count from now."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(record_id(1), "one", None)
            await self.age(driver, record_id(1), self._scaled(900))
            await driver.touch(record_id(1))
            await self.age(driver, record_id(1), self._scaled(900))
            assert await read_text(driver, record_id(1)) == "one"
            await driver.write(record_id(1), "two", version)
            await self.age(driver, record_id(1), self._scaled(900))
            assert await read_text(driver, record_id(1)) == "two"

        if self.expires:
            self._run(scenario, lifetime=self._scaled(1500))

    def test_alive_renews_nothing(self) -> None:
        """An expired record is not alive, and the question whether it is does not renew it."""

        async def scenario(driver: Driver) -> None:
            await driver.write(record_id(1), "one", None)
            await self.age(driver, record_id(1), self._scaled(900))
            assert await driver.alive([record_id(1)]) == {record_id(1)}
            record = await driver.read(record_id(1))
            assert record is not None and record.idle >= self._scaled(850)
            await self.age(driver, record_id(1), self._scaled(1700))
            assert await driver.alive([record_id(1)]) == set()

        if self.expires:
            self._run(scenario, lifetime=self._scaled(1500))

    def test_gc(self) -> None:
        """Gc removes and counts the records idle for longer than it is told, and no other."""

        async def scenario(driver: Driver) -> None:
            assert await driver.gc(self._scaled(1000)) == 0
            for number in (1, 2):
                await driver.write(record_id(number), "old", None)
            for number in (1, 2):
                await self.age(driver, record_id(number), self._scaled(1500))
            await driver.write(record_id(3), "young", None)
            removed = await driver.gc(self._scaled(1000))
            assert removed in (0, 2)  # none: the store expires records by itself
            assert await driver.gc(self._scaled(1000)) == 0
            assert await driver.read(record_id(1)) is None and await driver.read(record_id(2)) is None
            assert await read_text(driver, record_id(3)) == "young"

        if self.expires:
            self._run(scenario, lifetime=self._scaled(1000))
