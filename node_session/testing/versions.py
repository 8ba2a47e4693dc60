"""Tests of a driver: if two change the same record, one learns of the other."""

from __future__ import annotations

import asyncio

from ..drivers import Driver
from ..errors import ConflictError
from .scenario import DriverScenario, read_text, record_id


class VersionTests(DriverScenario):
    """A record is replaced or destroyed only in the version that was read."""

    def test_create_only_if_absent(self) -> None:
        """Creating a record that is there is a conflict, and leaves it as it is."""

        async def scenario(driver: Driver) -> None:
            await driver.write(record_id(1), "theirs", None)
            await self._conflicts(driver.write(record_id(1), "mine", None))
            assert await read_text(driver, record_id(1)) == ("theirs" if self.versions else "mine")

        self._run(scenario)

    def test_replace_only_that_version(self) -> None:
        """Replacing an old version is a conflict, and leaves the one that is there."""

        async def scenario(driver: Driver) -> None:
            old = await driver.write(record_id(1), "one", None)
            await driver.write(record_id(1), "two", old)
            await self._conflicts(driver.write(record_id(1), "mine", old))
            assert await read_text(driver, record_id(1)) == ("two" if self.versions else "mine")

        self._run(scenario)

    def test_destroyed_stays_destroyed(self) -> None:
        """Replacing a record that was destroyed is a conflict, and does not bring it back."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(record_id(1), "one", None)
            await driver.destroy(record_id(1))
            await self._conflicts(driver.write(record_id(1), "mine", version))
            assert (await driver.read(record_id(1)) is None) is self.versions

        self._run(scenario)

    def test_confirm_only_that_version(self) -> None:
        """Only the present version of a record is confirmed, unless the driver confirms nothing."""

        async def scenario(driver: Driver) -> None:
            old = await driver.write(record_id(1), "one", None)
            new = await driver.write(record_id(1), "two", old)
            assert not await driver.confirm(record_id(1), old)
            assert not await driver.confirm(record_id(2), new)
            await driver.confirm(record_id(1), new)
            assert await read_text(driver, record_id(1)) == "two"
            await driver.destroy(record_id(1))
            assert not await driver.confirm(record_id(1), new)
            assert await driver.read(record_id(1)) is None

        if self.versions:
            self._run(scenario)

    def test_destroy_only_that_version(self) -> None:
        """Destroying an old version is a conflict; a current or absent one is none."""

        async def scenario(driver: Driver) -> None:
            old = await driver.write(record_id(1), "one", None)
            new = await driver.write(record_id(1), "two", old)
            await self._conflicts(driver.destroy(record_id(1), old))
            assert (await driver.read(record_id(1)) is not None) is self.versions
            await driver.destroy(record_id(1), new)
            assert await driver.read(record_id(1)) is None
            await driver.destroy(record_id(1), new)

        self._run(scenario)

    def test_touch_is_no_new_version(self) -> None:
        """A touched record keeps its version and its text."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(record_id(1), "one", None)
            await driver.touch(record_id(1))
            assert await read_text(driver, record_id(1)) == "one"
            await driver.write(record_id(1), "two", version)
            assert await read_text(driver, record_id(1)) == "two"

        self._run(scenario)

    def test_one_creator(self) -> None:
        """If many create a record concurrently, one succeeds, and its text stays."""

        async def scenario(driver: Driver) -> None:
            outcomes = await asyncio.gather(
                *(driver.write(record_id(1), str(number), None) for number in range(20)), return_exceptions=True
            )
            winners = [str(number) for number, each in enumerate(outcomes) if not isinstance(each, BaseException)]
            assert all(isinstance(each, ConflictError) for each in outcomes if isinstance(each, BaseException))
            assert len(winners) == (1 if self.versions else 20)
            assert await read_text(driver, record_id(1)) in winners

        self._run(scenario)

    def test_nothing_lost_concurrently(self) -> None:
        """Many that count up one record, reading again after a conflict, miss no count."""

        async def scenario(driver: Driver) -> None:
            await driver.write(record_id(1), "0", None)

            async def count() -> None:
                for _ in range(5):
                    while True:
                        record = await driver.read(record_id(1))
                        assert record is not None
                        try:
                            await driver.write(record_id(1), str(int(record.payload) + 1), record.version)
                            break
                        except ConflictError:
                            await asyncio.sleep(0)

            await asyncio.gather(*(count() for _ in range(8)))
            assert await read_text(driver, record_id(1)) == "40"

        if self.versions:
            self._run(scenario)
