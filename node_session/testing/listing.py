"""Tests of a driver: listing the records."""

from __future__ import annotations

import asyncio
import time

from ..drivers import Driver
from .scenario import TEXT, DriverScenario, record_id


class ListingTests(DriverScenario):
    """A listing has every record."""

    def test_scan(self) -> None:
        """A listing has every record once, whatever its text, and no destroyed one."""

        async def scenario(driver: Driver) -> None:
            if not self.lists:
                await self._cannot_list(driver)
                return
            assert [entry async for entry in driver.scan()] == []
            texts = {record_id(number): f'{{"number":{number}}}' for number in range(250)}
            texts |= {record_id(250): TEXT, record_id(251): "not JSON", record_id(252): '"\\ud800"'}
            await asyncio.gather(*(driver.write(id, text, None) for id, text in texts.items()))
            await driver.destroy(record_id(0))
            entries = [entry async for entry in driver.scan()]
            assert sorted((entry.id, entry.payload) for entry in entries) == sorted(texts.items())[1:]

        self._run(scenario)

    def test_scan_tells_the_last_activity(self) -> None:
        """A listing tells the last activity in milliseconds, and has no expired record."""

        async def scenario(driver: Driver) -> None:
            await driver.write(record_id(1), "old", None)
            await self.age(driver, record_id(1), self._scaled(2500))
            await driver.write(record_id(2), "old", None)
            await self.age(driver, record_id(2), self._scaled(700))
            await driver.write(record_id(3), "young", None)
            found = {entry.id: entry.last_activity async for entry in driver.scan()}
            assert sorted(found) == [record_id(2), record_id(3)]
            assert found[record_id(3)] - found[record_id(2)] >= self._scaled(650)
            assert abs(found[record_id(3)] - time.time() * 1000) < 10 * 60_000  # the store's clock may be another

        if self.expires and self.lists:
            self._run(scenario, lifetime=self._scaled(2400))

    async def _cannot_list(self, driver: Driver) -> None:
        try:
            async for _ in driver.scan():
                break
        except NotImplementedError as error:
            assert "cannot list" in str(error)
        else:
            raise AssertionError("a driver that cannot list its records raises NotImplementedError")
