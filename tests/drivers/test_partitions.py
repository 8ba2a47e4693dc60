"""The PostgreSQL driver on a table of partitions, as a program of many millions of sessions has it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest
from concurrency.hammer import hammer

from drivers.turns_contract import TurnsContract, gather, name, payloads
from node_session import drivers
from node_session.config import Config
from node_session.errors import ConflictError
from node_session.testing import DriverContract

PAGE = Path(__file__).parent.parent.parent / "docs" / "capacity.md"
PARTITIONS = 16


def ddl(table: str) -> str:
    """The SQL of the page on capacity, for a table of another name."""
    (sql,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return sql.replace("sessions", table)


class TestPartitions(TurnsContract, DriverContract):
    """The contract, alone and with many sessions in one turn, on a table that is partitioned by the hash of the id."""

    name = "postgresql"
    lists = True

    async def with_table(self, config: dict) -> dict:
        async with self.connected() as database:
            await database.execute(ddl(config["table"]))
        return config

    def connected(self):
        """A connection of our own."""
        at = {name: value for name, value in self.server.connection.items() if name != "adapter"}
        return asyncpg.create_pool(**at, min_size=0)

    async def age(self, driver, id, milliseconds):
        async with self.connected() as database:
            await database.execute(
                f'UPDATE {driver.table} SET "lastActivity" = "lastActivity" - $1 WHERE id = $2', int(milliseconds), id
            )

    def test_spread(self):
        """The sessions lie in all partitions, and a sweep removes those of all."""

        async def scenario(driver):
            await self._filled(driver, 200)
            async with self.connected() as database:
                sizes = [await database.fetchval(f"SELECT count(*) FROM {self.table}_{n}") for n in range(PARTITIONS)]
            assert sum(sizes) == 200 and min(sizes) > 0
            assert {entry.id async for entry in driver.scan()} == {name(each) for each in range(200)}
            async with self.connected() as database:
                even = [name(each) for each in range(0, 200, 2)]
                await database.execute(
                    f'UPDATE {self.table} SET "lastActivity" = "lastActivity" - 500000 WHERE id = ANY($1)', even
                )
            assert await driver.gc(400_000) == 100
            assert payloads(await gather(driver.read(name(0)), driver.read(name(1)))) == [None, "old 1"]

        self._run(scenario)

    def test_all_kinds_in_one_turn(self):
        """Reads, changes, renewals, new records and removals of one turn do not disturb each other."""

        async def scenario(driver):
            versions = await self._filled(driver, 100)
            outcomes = await gather(
                *(driver.write(name(each), f"new {each}", versions[each]) for each in range(40)),
                *(driver.write(name(each), "too late", "another version") for each in range(40, 60)),
                *(driver.touch(name(each)) for each in range(60, 80)),
                *(driver.destroy(name(each), versions[each]) for each in range(80, 100)),
                *(driver.write(name(each), f"new {each}", None) for each in range(100, 200)),
                *(driver.read(name(each)) for each in range(60, 80)),
            )
            failed = [each for each, outcome in enumerate(outcomes) if isinstance(outcome, Exception)]
            assert failed == [*range(40, 60)] and all(isinstance(outcomes[each], ConflictError) for each in failed)
            expected = [
                *(f"new {each}" for each in range(40)),
                *(f"old {each}" for each in range(40, 80)),
                *([None] * 20),
                *(f"new {each}" for each in range(100, 200)),
            ]
            assert payloads(await gather(*(driver.read(name(each)) for each in range(200)))) == expected

        self._run(scenario)

    def test_nothing_is_lost_by_two_processes(self):
        """Eight clients push 25 values each onto one session's list, through two processes: all are there."""
        config = asyncio.run(self.with_table(self.config({"timeout": 30_000}, saveTimeout=60_000)))
        hammer(config, 2).check()

    @pytest.mark.parametrize("statement", ["_select", "_touch_many", "_swap_many", "_select_many", "_delete_many"])
    def test_uses_the_indexes(self, statement):
        """Each statement finds its rows by the partitions' keys, and reads no partition from end to end."""
        values = {
            "_select": [name(1), 0],
            "_select_many": [[name(1), name(2)], 0],
            "_touch_many": [[name(1), name(2)], [1, 1], [name(1), name(2)], 0],
            "_swap_many": [[name(1)], [1], ["old"], ["new"], [name(1)]],
            "_delete_many": [[name(1), name(2)], 1, 100_000],
        }

        async def main():
            config = await self.with_table(self.config())
            driver = await drivers.create(Config.from_dict(config))
            async with self.connected() as database, database.acquire() as connection:
                await connection.execute(
                    f"INSERT INTO {config['table']} SELECT lpad(n::text, 40, '0'), repeat('x', 300), n"
                    " FROM generate_series(1, 100000) AS n"
                )
                await connection.execute(f"ANALYZE {config['table']}")
                for mode in ("force_custom_plan", "force_generic_plan"):  # PostgreSQL changes to the second one
                    await connection.execute(f"SET plan_cache_mode = {mode}")
                    plan = await connection.fetch(f"EXPLAIN {getattr(driver, statement)}", *values[statement])
                    lines = "\n".join(line for (line,) in plan)
                    assert "_pkey" in lines and "Seq Scan on" not in lines, lines
            await driver.close()

        asyncio.run(main())
