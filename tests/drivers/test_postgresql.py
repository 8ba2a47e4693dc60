"""The PostgreSQL driver, on a real server."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from drivers.server_contract import TableContract
from drivers.serving import ID, SECRET
from node_session import drivers
from node_session.config import Config
from node_session.drivers.postgresql import ddl
from node_session.errors import ConflictError, DamagedError, UnavailableError


class TestContract(TableContract):
    """The PostgreSQL driver keeps the contract, and survives its server."""

    name = "postgresql"
    deadlock = asyncpg.DeadlockDetectedError("deadlock detected")

    async def age(self, driver, id, milliseconds):
        async with self.connected() as database:
            await database.execute(
                f'UPDATE {driver.table} SET "lastActivity" = "lastActivity" - $1 WHERE id = $2', int(milliseconds), id
            )

    def connected(self):
        """A connection of our own."""
        at = {name: value for name, value in self.server.connection.items() if name != "adapter"}
        return asyncpg.create_pool(**at, min_size=0)

    def test_record(self):
        """The record is the original's: the text as a JSON string, the time in milliseconds."""

        async def scenario(driver):
            await driver.write(ID, '{"a":"ü\\n"}', None)
            async with self.connected() as database:
                (row,) = await database.fetch(f"SELECT * FROM {driver.table}")
            assert dict(row) == {
                "id": ID,
                "payload": '"{\\"a\\":\\"ü\\\\n\\"}"',
                "lastActivity": pytest.approx(driver_now(), abs=60_000),
            }

        self._run(scenario)

    def test_url(self):
        """A URL does as well as its parts."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            url = f"postgres://tester:pass%20word@127.0.0.1:{self.server.port}/postgres"
            config = {"secret": SECRET, "driver": "database", "table": self.table}
            other = await drivers.create(
                Config.from_dict({**config, "connection": {"adapter": "sails-postgresql", "url": url}})
            )
            assert (await other.read(ID)).payload == "text"
            await other.close()

        self._run(scenario)

    @pytest.mark.parametrize("kind", ["integer", "numeric", "double precision"])
    def test_table_made_for_the_original(self, kind):
        """A table that was made for the original, whatever the type of its number, works as it is."""
        small = kind == "integer"

        async def main():
            config = self.config()
            async with self.connected() as database:
                await database.execute(
                    f'CREATE TABLE {config["table"]} (id varchar(255) UNIQUE, payload text, "lastActivity" {kind})'
                )
            driver = await drivers.create(Config.from_dict(config))
            if small:
                with pytest.raises(UnavailableError, match=r"int32"):
                    await driver.write(ID, "text", None)
            else:
                version = await driver.write(ID, "text", None)
                with pytest.raises(ConflictError):
                    await driver.write(ID, "text", None)
                await driver.write(ID, "next", version)
                assert (await driver.read(ID)).payload == "next" and await driver.gc(1000) == 0
            await driver.close()

        asyncio.run(main())

    @pytest.mark.parametrize("payload", ["", "{", "[1]", "null", "x" * 10])
    def test_damaged(self, payload):
        """A payload that is no JSON string is damaged, and does not stop a listing."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            async with self.connected() as database:
                await database.execute(f"UPDATE {driver.table} SET payload = $1", payload)
            with pytest.raises(DamagedError):
                await driver.read(ID)
            assert [(entry.id, entry.payload) async for entry in driver.scan()] == [(ID, "")]

        self._run(scenario)

    def test_gc_uses_an_index(self):
        """Gc finds what has expired by the index."""

        async def scenario(driver):
            async with self.connected() as database, database.acquire() as connection:
                await connection.execute("SET enable_seqscan = off")
                plan = await connection.fetch(f'EXPLAIN DELETE FROM {driver.table} WHERE "lastActivity" < 5')
            assert "lastActivity" in str(plan) and "Index" in str(plan)

        self._run(scenario)


def test_ddl():
    """The DDL is what a person would write, with the schema and the mixed-case column in quotes."""
    config = Config.from_dict(
        {"secret": SECRET, "driver": "database", "table": "web.s", "connection": {"adapter": "postgresql"}}
    )
    assert ddl(config) == (
        'CREATE TABLE IF NOT EXISTS "web"."s" (\n'
        '    id text COLLATE "C" PRIMARY KEY,\n'
        "    payload text NOT NULL,\n"
        '    "lastActivity" bigint NOT NULL\n'
        ");\n"
        'CREATE INDEX IF NOT EXISTS "s_lastActivity" ON "web"."s" ("lastActivity");\n'
    )


def driver_now() -> float:
    return time.time() * 1000
