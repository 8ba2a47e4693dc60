"""Tests of a driver: records that live longer or shorter than the others, by their time of last activity."""

from __future__ import annotations

import asyncio
import math
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence

from ..drivers import Driver
from .scenario import DriverScenario, read_text, record_id

_HOUR = 3_600_000
_DAY = 24 * _HOUR

_WAYS = 5  # see `_each_way`


class IdleTests(DriverScenario):
    """A record keeps the last activity that it is given; for drivers whose methods take the argument `idle`."""

    def test_a_record_may_live_longer(self) -> None:
        """A record whose last activity is in the future outlives the others, whatever operation has put it there.

        Neither gc removes it, a listing has it, and its idle time is less than 0.
        """

        async def scenario(driver: Driver) -> None:
            await driver.write(record_id(0), "old", None)
            ids = await self._each_way(driver, -_DAY, lifetime * 1.5)
            await self.age(driver, record_id(0), lifetime * 1.5)
            assert await driver.read(record_id(0)) is None
            await driver.gc(lifetime)
            async for _ in driver.gc_in_steps(lifetime):
                pass
            assert [await read_text(driver, id) for id in ids] == ["text"] * len(ids)
            assert set(await _idle_hours(driver, ids)) <= {-24, None}
            if self.lists:
                listed = {entry.id: entry.last_activity - time.time() * 1000 async for entry in driver.scan()}
                assert sorted(listed) == ids and {round(later / _HOUR) for later in listed.values()} == {24}

        lifetime = 1000 if type(self).age is DriverScenario.age else _HOUR  # the former waits
        self._run_with_idle(scenario, lifetime)

    def test_a_record_may_live_shorter(self) -> None:
        """A record that is written, touched or confirmed as idle for longer than the lifetime has expired."""

        async def scenario(driver: Driver) -> None:
            ids = await self._each_way(driver, 2 * _HOUR)
            await asyncio.sleep(0.05)  # a store that removes it by itself may take a moment
            assert [await driver.read(id) for id in ids] == [None] * len(ids)
            await driver.write(ids[0], "new", None)
            assert await read_text(driver, ids[0]) == "new"

        self._run_with_idle(scenario, lifetime=_HOUR)

    def test_each_has_its_own_last_activity(self) -> None:
        """Many records that are written, replaced, renewed or confirmed concurrently each get their own idle time."""

        async def scenario(driver: Driver) -> None:
            ids = [record_id(number) for number in range(30)]

            async def told(turn: int, operation: Callable[[str, int], Awaitable[object]]) -> list[object]:
                hours = [number % 7 - 3 + turn for number in range(30)]
                done = await asyncio.gather(*(operation(id, hour * _HOUR) for id, hour in zip(ids, hours, strict=True)))
                found = await _idle_hours(driver, ids)
                if done[0] is not False:
                    assert found in (hours, [None] * len(ids))
                return list(done)

            versions = await told(0, lambda id, idle: driver.write(id, "one", None, idle=idle))
            of = dict(zip(ids, versions, strict=True))
            of = dict(zip(ids, await told(1, lambda id, idle: driver.write(id, "two", of[id], idle=idle)), strict=True))
            await told(2, lambda id, idle: driver.touch(id, idle=idle))
            await told(3, lambda id, idle: driver.confirm(id, of[id], idle=idle))

        self._run_with_idle(scenario, lifetime=1000 * _HOUR)

    def test_no_lifetime(self) -> None:
        """Without a lifetime no record expires, whatever its last activity is."""

        async def scenario(driver: Driver) -> None:
            for idle in (-_DAY, _DAY):
                ids = await self._each_way(driver, idle)
                assert [await read_text(driver, id) for id in ids] == ["text"] * len(ids)
                for id in ids:
                    await driver.destroy(id)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a config warns of such a lifetime
            self._run_with_idle(scenario, lifetime=0)

    async def _each_way(self, driver: Driver, idle: float, older: float = 0) -> list[str]:
        """Make records with the text "text", each by another operation, that have been idle for so long.

        One of them replaces a record that was made older before.
        """
        ids = [record_id(number) for number in range(1, _WAYS + 1)]
        created, replaced, renewed, confirmed, again = ids
        await driver.write(created, "text", None, idle=idle)
        await driver.write(replaced, "text", await driver.write(replaced, "one", None), idle=idle)
        await driver.write(renewed, "text", None)
        await driver.touch(renewed, idle=idle)
        version = await driver.write(confirmed, "text", None)
        if not await driver.confirm(confirmed, version, idle=idle):
            await driver.touch(confirmed, idle=idle)  # it cannot confirm anything
        await driver.write(again, "old", None)
        if older:
            await self.age(driver, again, older)
        there = await driver.read(again)
        await driver.write(again, "text", there and there.version, idle=idle)
        return ids

    def _run_with_idle(self, scenario: Callable[[Driver], Awaitable[None]], lifetime: float) -> None:
        async def if_it_takes_it(driver: Driver) -> None:
            if driver.takes_idle:
                await scenario(driver)

        if self.expires:
            self._run(if_it_takes_it, lifetime)


async def _idle_hours(driver: Driver, ids: Sequence[str]) -> list[int | None]:
    """Find for how many hours records were idle; None for one whose driver does not tell."""
    records = await asyncio.gather(*map(driver.read, ids))
    assert None not in records
    return [round(each.idle / _HOUR) if each and each.idle < math.inf else None for each in records]
