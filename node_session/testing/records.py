"""Tests of a driver: reading, writing and destroying, one operation at a time."""

from __future__ import annotations

from ..drivers import Driver
from .scenario import TEXT, DriverScenario, read_text, record_id


class RecordTests(DriverScenario):
    """A record is stored, replaced and destroyed."""

    def test_absent(self) -> None:
        """An absent record is None; touching or destroying it is no error, and makes none."""

        async def scenario(driver: Driver) -> None:
            assert await driver.read(record_id(1)) is None
            await driver.touch(record_id(1))
            await driver.destroy(record_id(1))
            assert await driver.read(record_id(1)) is None

        self._run(scenario)

    def test_round_trip(self) -> None:
        """A written text is read again, character by character."""

        async def scenario(driver: Driver) -> None:
            texts = {
                record_id(1): TEXT,
                record_id(2): "{}",
                record_id(3): "x" * 1_000_000,
                record_id(4): "\u2028\r\n\t\\'\"%;--",
            }
            for id, text in texts.items():
                await driver.write(id, text, None)
            for id, text in texts.items():
                assert await read_text(driver, id) == text

        self._run(scenario)

    def test_ids_are_case_sensitive(self) -> None:
        """Ids that differ only in case are two records."""

        async def scenario(driver: Driver) -> None:
            await driver.write("a" * 40, "lower", None)
            await driver.write("A" * 40, "upper", None)
            assert (await read_text(driver, "a" * 40), await read_text(driver, "A" * 40)) == ("lower", "upper")

        self._run(scenario)

    def test_replace(self) -> None:
        """A record is replaced with the version of a read, and with that of a write."""

        async def scenario(driver: Driver) -> None:
            await driver.write(record_id(1), "one", None)
            record = await driver.read(record_id(1))
            assert record is not None
            version = await driver.write(record_id(1), "two", record.version)
            assert await read_text(driver, record_id(1)) == "two"
            version = await driver.write(record_id(1), "a shorter or longer text", version)
            await driver.write(record_id(1), "3", version)
            assert await read_text(driver, record_id(1)) == "3"

        self._run(scenario)

    def test_destroy(self) -> None:
        """A destroyed record is gone, and may be created again."""

        async def scenario(driver: Driver) -> None:
            await driver.write(record_id(1), "one", None)
            await driver.write(record_id(2), "other", None)
            await driver.destroy(record_id(1))
            assert await driver.read(record_id(1)) is None
            assert await read_text(driver, record_id(2)) == "other"
            await driver.write(record_id(1), "again", None)
            assert await read_text(driver, record_id(1)) == "again"

        self._run(scenario)

    def test_alive(self) -> None:
        """A driver tells which of many ids have a record; their case counts, and a destroyed record does not."""

        async def scenario(driver: Driver) -> None:
            ids = [record_id(number) for number in range(1100)]
            assert await driver.alive([]) == await driver.alive(ids) == set()
            there = [*ids[::100], "a" * 40]
            for id in there:
                await driver.write(id, TEXT, None)
            await driver.destroy(ids[100])
            assert await driver.alive([*ids, ids[0], "a" * 40, "A" * 40]) == {*there} - {ids[100]}

        self._run(scenario)

    def test_set_aside(self) -> None:
        """A record that is set aside harms no other, and its id can be destroyed."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(record_id(1), "damaged", None)
            await driver.write(record_id(2), "whole", None)
            await driver.set_aside(record_id(1), version)
            await driver.set_aside(record_id(3), None)
            await driver.destroy(record_id(1))
            assert await driver.read(record_id(1)) is None
            assert await read_text(driver, record_id(2)) == "whole"

        self._run(scenario)

    def test_close_twice(self) -> None:
        """A driver may be closed twice, and also one that was never used."""

        async def scenario(driver: Driver) -> None:
            await driver.close()
            await driver.close()

        self._run(scenario)
