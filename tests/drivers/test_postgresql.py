"""The PostgreSQL driver, on a real server."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import AsyncMock, Mock

import asyncpg
import pytest

from drivers.removal_contract import EXPIRED, HOUR
from drivers.server_contract import TableContract
from drivers.serving import ID, SECRET
from drivers.turns_contract import name
from node_session import drivers
from node_session.config import Config
from node_session.drivers.connection import Connection
from node_session.drivers.postgresql import PostgresqlDriver, ddl
from node_session.drivers.server_client import Result
from node_session.errors import ConflictError, DamagedError, UnavailableError


class TestContract(TableContract):
    """The PostgreSQL driver keeps the contract, and survives its server."""

    name = "postgresql"
    quote = '"'
    deadlock = asyncpg.DeadlockDetectedError("deadlock detected")
    full = asyncpg.TooManyConnectionsError("sorry, too many clients already")

    async def age(self, driver, id, milliseconds):
        async with self.connected() as database:
            await database.execute(
                f'UPDATE {driver.table} SET "lastActivity" = "lastActivity" - $1 WHERE id = $2', int(milliseconds), id
            )

    def connected(self):
        """A connection of our own."""
        at = {name: value for name, value in self.server.connection.items() if name != "adapter"}
        return asyncpg.create_pool(**at, min_size=0)

    async def execute(self, *statements):
        async with self.connected() as database:
            for statement in statements:
                await database.execute(statement)

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
                with pytest.raises(UnavailableError, match=r"int32.*make it a bigint"):
                    await driver.write(ID, "text", None)
                outcomes = await asyncio.gather(
                    *(driver.write(letter * 40, "text", None) for letter in "abc"), return_exceptions=True
                )
                assert all("make it a bigint" in str(outcome) for outcome in outcomes)
            else:
                version = await driver.write(ID, "text", None)
                with pytest.raises(ConflictError):
                    await driver.write(ID, "text", None)
                await driver.write(ID, "next", version)
                assert (await driver.read(ID)).payload == "next" and await driver.gc(1000) == 0
            await driver.close()

        asyncio.run(main())

    @pytest.mark.parametrize("kind", ["view", "partitioned", "varchar", "char", "rule", "trigger"])
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
                "trigger": [  # partitioned by hand, as before there were partitions
                    f'CREATE TABLE {table} (id text PRIMARY KEY, payload text, "lastActivity" bigint)',
                    f"CREATE TABLE {table}_child (PRIMARY KEY (id)) INHERITS ({table})",
                    f"CREATE FUNCTION {table}_put() RETURNS trigger LANGUAGE plpgsql AS "
                    f"'BEGIN INSERT INTO {table}_child VALUES (NEW.*); RETURN NULL; END'",
                    f"CREATE TRIGGER put BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_put()",
                ],
            }.get(kind, [f'CREATE TABLE {table} ({columns.get(kind)}, "lastActivity" double precision)'])
            await self.execute(*make)
            await self.change_many(config, is_narrow=kind == "varchar")

        asyncio.run(main())

    @pytest.mark.parametrize("id_type", ["citext", "char(64)"])
    def test_ids_in_another_case_in_one_turn(self, id_type):
        """An id in another case finds, changes and renews nothing, by itself or with others."""

        async def main():
            config = self.config()
            table = config["table"]
            await self.execute(
                "CREATE EXTENSION IF NOT EXISTS citext",
                f'CREATE TABLE {table} (id {id_type} PRIMARY KEY, payload citext, "lastActivity" bigint)',
            )
            driver = await drivers.create(Config.from_dict(config))
            ids, others = [letter * 40 for letter in "abc"], [letter * 40 for letter in "ABC"]
            versions = await asyncio.gather(*(driver.write(id, "text", None) for id in ids))
            query = f"SELECT *, xmin FROM {table} ORDER BY id"
            async with self.connected() as database:
                before = await database.fetch(query)
                for number in (3, 1):
                    assert not any(await asyncio.gather(*map(driver.read, others[:number])))
                    await asyncio.gather(*map(driver.touch, others[:number]))
                    await asyncio.gather(*map(driver.destroy, others[:number]))
                    outcomes = await asyncio.gather(
                        *map(driver.write, others[:number], ["mine"] * number, versions), return_exceptions=True
                    )
                    assert {type(outcome) for outcome in outcomes} == {ConflictError}
                    assert not any(await asyncio.gather(*map(driver.confirm, others[:number], versions)))
                    assert await database.fetch(query) == before
            for number in (3, 1):
                assert all(await asyncio.gather(*map(driver.confirm, ids[:number], versions)))
            mixed = [*ids, *others]
            found = await asyncio.gather(*map(driver.read, mixed))
            assert [record and record.payload for record in found] == ["text"] * 3 + [None] * 3
            outcomes = await asyncio.gather(*map(driver.write, mixed, mixed, versions * 2), return_exceptions=True)
            assert [isinstance(outcome, ConflictError) for outcome in outcomes] == [False] * 3 + [True] * 3
            assert [record.payload for record in await asyncio.gather(*map(driver.read, ids))] == ids
            assert sorted([entry.id async for entry in driver.scan()]) == ids
            # two new ids that differ by case only: one at most is made where the column cannot tell them apart
            mixed = ["d" * 40, "D" * 40, "e" * 40]
            outcomes = await asyncio.gather(*(driver.write(id, id, None) for id in mixed), return_exceptions=True)
            expected = [
                None if isinstance(outcome, ConflictError) else id for id, outcome in zip(mixed, outcomes, strict=True)
            ]
            assert expected.count(None) == (id_type == "citext")
            found = await asyncio.gather(*map(driver.read, mixed))
            assert [record and record.payload for record in found] == expected
            await driver.close()

        asyncio.run(main())

    def test_char_uses_the_index(self):
        """Many changes in one statement find their records by the index, also in a column of type char(n)."""

        async def main():
            config = self.config()
            await self.execute(
                f'CREATE TABLE {config["table"]} (id char(64) PRIMARY KEY, payload text, "lastActivity" bigint)'
            )
            driver = await drivers.create(Config.from_dict(config))
            async with self.connected() as database, database.acquire() as connection:
                await connection.execute("SET enable_seqscan = off")
                ids = [ID, ID[1:]]
                for statement, values in (
                    (driver._select_many, (ids, 0)),
                    (driver._touch_many, (ids, [1, 1], ids, 0)),
                    (driver._swap_many, (ids, [1, 1], ids, ids, ids)),
                ):
                    plan = await connection.fetch(f"EXPLAIN {statement}", *values)
                    assert "Seq Scan" not in str(plan)
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

    def test_gc_beside_a_held_record(self):
        """A sweep passes over a record that another transaction holds, and the next sweep removes it."""

        async def main():
            driver = await self._with_expired()
            async with self.connected() as database, database.acquire() as holder:
                transaction = holder.transaction()
                await transaction.start()
                await holder.execute(f"SELECT 1 FROM {driver.table} WHERE id = $1 FOR UPDATE", name(50))
                assert await driver.gc(HOUR) == EXPIRED - 1
                await transaction.rollback()
            assert await driver.gc(HOUR) == 1
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
                plan = await connection.fetch(f"EXPLAIN {driver._expired}", 0, 5)
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


def test_waiting_for_a_place_makes_nobody_impatient(monkeypatch):
    """A statement that has waited takes a slow connection for no dead one: overload must not close them all."""

    async def main():
        driver = PostgresqlDriver(Connection(adapter="postgresql", pool_size=1, timeout=1000), "sessions", 0)
        monkeypatch.setattr(driver, "_open_pool", AsyncMock())
        monkeypatch.setattr(driver, "_close_pool", AsyncMock())
        waiting, patience = asyncio.Event(), []

        async def be_slow(pool, work, seconds):
            patience.append(seconds)
            waiting.set()
            await asyncio.sleep(0.7 if len(patience) == 1 else 3600)
            return Result(0)

        monkeypatch.setattr(driver, "_run_on_pool", be_slow)
        first = asyncio.ensure_future(driver._fetch("SELECT 1"))
        await waiting.wait()
        second = asyncio.ensure_future(driver._fetch("SELECT 2"))
        await asyncio.wait([first])
        lost = Mock()
        monkeypatch.setattr(driver._trust, "lost", lost)
        await asyncio.wait([first, second])
        assert isinstance(second.exception(), UnavailableError)
        assert set(patience) == {0.5} and not lost.called
        first.exception()
        await driver.close()

    asyncio.run(main())
