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

    @pytest.mark.parametrize("kind", ["view", "partitioned", "without a key", "varchar", "char", "rule"])
    def test_many_in_any_table(self, kind):
        """Many sessions in one turn work in any table; one that is too large is an error, and harms no neighbour."""

        async def main():
            config = self.config()
            table = config["table"]
            columns = {
                "varchar": "id varchar(255) UNIQUE, payload varchar(300)",
                "char": "id char(64) UNIQUE, payload text",
            }
            base = f'CREATE TABLE {table}_base (id text PRIMARY KEY, payload text, "lastActivity" bigint)'
            make = {
                "view": [base, f"CREATE VIEW {table} AS SELECT * FROM {table}_base"],
                "rule": [
                    base,
                    f"CREATE VIEW {table} AS SELECT DISTINCT * FROM {table}_base",
                    f"CREATE RULE a AS ON INSERT TO {table} DO INSTEAD INSERT INTO {table}_base VALUES "
                    '(NEW.id, NEW.payload, NEW."lastActivity")',
                    f"CREATE RULE b AS ON UPDATE TO {table} DO INSTEAD UPDATE {table}_base SET payload = NEW.payload, "
                    '"lastActivity" = NEW."lastActivity" WHERE id = OLD.id',
                ],
                "partitioned": [
                    f'CREATE TABLE {table} (id text PRIMARY KEY, payload text, "lastActivity" bigint) '
                    "PARTITION BY HASH (id)",
                    *(
                        f"CREATE TABLE {table}_{part} PARTITION OF {table} "
                        f"FOR VALUES WITH (MODULUS 2, REMAINDER {part})"
                        for part in range(2)
                    ),
                ],
                "without a key": [f'CREATE TABLE {table} (id text, payload text, "lastActivity" bigint)'],
            }.get(kind, [f'CREATE TABLE {table} ({columns.get(kind)}, "lastActivity" double precision)'])
            async with self.connected() as database:
                for statement in make:
                    await database.execute(statement)
            driver = await drivers.create(Config.from_dict(config))
            ids = [f"{number:040d}" for number in range(20)]
            versions = await asyncio.gather(*(driver.write(id, id, None) for id in ids))
            await asyncio.gather(*map(driver.touch, ids))
            assert [record.payload for record in await asyncio.gather(*map(driver.read, ids))] == ids
            texts = [id + "x" * 400 if id == ids[7] else id + "x" for id in ids]
            outcomes = await asyncio.gather(*map(driver.write, ids, texts, versions), return_exceptions=True)
            failed = [id for id, outcome in zip(ids, outcomes, strict=True) if isinstance(outcome, UnavailableError)]
            assert failed == ([ids[7]] if kind == "varchar" else [])
            texts[7] = ids[7] if failed else texts[7]
            assert [record.payload for record in await asyncio.gather(*map(driver.read, ids))] == texts
            outcomes = await asyncio.gather(*map(driver.write, ids, texts, versions), return_exceptions=True)
            conflicts = [id for id, outcome in zip(ids, outcomes, strict=True) if isinstance(outcome, ConflictError)]
            assert conflicts == [id for id in ids if id not in failed]
            await driver.close()

        asyncio.run(main())

    def test_locked_by_somebody_else(self):
        """A row that another transaction holds delays its own session, and nobody else's of the same turn."""

        async def scenario(driver):
            ids = [f"{number:040d}" for number in range(9)]
            versions = await asyncio.gather(*(driver.write(id, "old", None) for id in ids))
            async with self.connected() as database, database.acquire() as holder:
                transaction = holder.transaction()
                await transaction.start()
                await holder.execute(f"SELECT 1 FROM {driver.table} WHERE id = $1 FOR UPDATE", ids[4])
                writes = [
                    asyncio.ensure_future(driver.write(id, "new", version))
                    for id, version in zip(ids, versions, strict=True)
                ]
                await asyncio.gather(*writes[:4], *writes[5:], *map(driver.touch, ids))
                assert not writes[4].done()
                await transaction.rollback()
                await writes[4]
            assert {record.payload for record in await asyncio.gather(*map(driver.read, ids))} == {"new"}

        self._run(scenario)

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
