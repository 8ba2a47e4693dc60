"""The MySQL driver, on a real server (MariaDB)."""

from __future__ import annotations

import asyncio
import contextlib

import asyncmy
import pytest

from drivers.removal_contract import EXPIRED, HOUR
from drivers.server_contract import TableContract
from drivers.serving import ID, SECRET
from drivers.turns_contract import name
from node_session import drivers
from node_session.config import Config
from node_session.drivers.connection import Connection
from node_session.drivers.mysql import MysqlDriver
from node_session.errors import ConflictError, DamagedError, UnavailableError


class TestContract(TableContract):
    """The MySQL driver keeps the contract, and survives its server."""

    name = "mysql"
    quote = "`"
    deadlock = asyncmy.errors.OperationalError(1213, "deadlock found")
    full = asyncmy.errors.OperationalError(1040, "Too many connections")

    async def run(self, statement: str, *values):
        """Run a statement on a connection of our own."""
        at = {name: value for name, value in self.server.connection.items() if name != "adapter"}
        connection = await asyncmy.connect(**at, autocommit=True, charset="utf8mb4")
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(statement, values or None)
                return await cursor.fetchall() if cursor.description else None
        finally:
            await connection.ensure_closed()

    async def execute(self, *statements):
        for statement in statements:
            await self.run(statement)

    async def age(self, driver, id, milliseconds):
        await self.run(
            f"UPDATE {driver.table} SET lastActivity = lastActivity - %s WHERE id = %s", int(milliseconds), id
        )

    def test_record(self):
        """The record is the original's: the text as a JSON string, the time in milliseconds."""

        async def scenario(driver):
            await driver.write(ID, '{"a":"ü\\n\U0001f600"}', None)
            ((id, payload, last_activity),) = await self.run(f"SELECT id, payload, lastActivity FROM {driver.table}")
            assert (id, payload) == (ID, '"{\\"a\\":\\"ü\\\\n\U0001f600\\"}"')
            assert last_activity > 1_600_000_000_000

        self._run(scenario)

    async def make_original_table(self, config: dict) -> None:
        """Make the table as the original does, in which texts are compared without case."""
        await self.run(
            f"CREATE TABLE {config['table']} (id varchar(255) UNIQUE, payload longtext, lastActivity bigint) "
            "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
        )

    def test_texts_are_compared_byte_by_byte(self):
        """A text that differs only in case, accents or spaces at the end is another version."""

        async def main():
            config = self.config()
            await self.make_original_table(config)
            driver = await drivers.create(Config.from_dict(config))
            version = await driver.write(ID, "text", None)
            for text in ("TEXT", "téxt", "text "):
                other = await driver.write(ID, text, version)
                with pytest.raises(ConflictError):
                    await driver.write(ID, "mine", version)
                with pytest.raises(ConflictError):
                    await driver.destroy(ID, version)
                version = await driver.write(ID, "text", other)
            await driver.close()

        asyncio.run(main())

    def test_ids_are_compared_byte_by_byte(self):
        """An id in another case finds, changes and destroys nothing in the original's table, whose index is used."""

        async def main():
            config = self.config()
            await self.make_original_table(config)
            driver = await drivers.create(Config.from_dict(config))
            version = await driver.write("a" * 40, "text", None)
            other = "A" * 40
            assert await driver.read(other) is None
            with pytest.raises(ConflictError):
                await driver.write(other, "mine", version)
            await driver.destroy(other)
            await driver.destroy(other, version)
            await driver.touch(other)
            assert (await driver.read("a" * 40)).payload == "text"
            plan = await self.run("EXPLAIN " + driver._select % {"v1": "'" + "a" * 40 + "'", "v2": "0"})
            assert "const" in plan[0]
            await driver.close()

        asyncio.run(main())

    @pytest.mark.parametrize("kind", ["view", "partitioned", "varchar", "MyISAM"])
    def test_many_in_any_table(self, kind):
        """Many sessions in one turn work in any table; one that is too large is an error, and harms no neighbour."""

        async def main():
            config = self.config()
            table = config["table"]
            usual = "id varchar(255) PRIMARY KEY, payload longtext, lastActivity bigint"
            make = {
                "view": [f"CREATE TABLE {table}_base ({usual})", f"CREATE VIEW {table} AS SELECT * FROM {table}_base"],
                "partitioned": [f"CREATE TABLE {table} ({usual}) PARTITION BY KEY (id) PARTITIONS 3"],
                "MyISAM": [f"CREATE TABLE {table} ({usual}) CHARACTER SET latin1 ENGINE=MyISAM"],
                "varchar": [f"CREATE TABLE {table} (id char(80) UNIQUE, payload varchar(300), lastActivity double)"],
            }
            await self.execute(*make[kind])
            await self.change_many(config, is_narrow=kind == "varchar")

        asyncio.run(main())

    def test_held_by_somebody_else(self):
        """A row that another transaction holds delays its own session, and nobody else's for more than a moment."""

        async def scenario(driver):
            ids = [f"{number:040d}" for number in range(9)]
            versions = await asyncio.gather(*(driver.write(id, "old", None) for id in ids))
            async with self.holding(f"SELECT 1 FROM {driver.table} WHERE id = '{ids[4]}' FOR UPDATE") as let_go:
                writes = [
                    asyncio.ensure_future(driver.write(id, "new", version))
                    for id, version in zip(ids, versions, strict=True)
                ]
                await asyncio.gather(*writes[:4], *writes[5:])
                touches = [asyncio.ensure_future(driver.touch(id)) for id in ids]
                await asyncio.gather(*touches[:4], *touches[5:])
                assert not writes[4].done() and not touches[4].done()
                await let_go()
                await asyncio.gather(writes[4], touches[4])
            assert {record.payload for record in await asyncio.gather(*map(driver.read, ids))} == {"new"}

        self._run(scenario)

    def test_gc_beside_a_held_record(self):
        """A sweep passes over a step with a record that another transaction holds; the next sweep removes it."""

        async def main():
            driver = await self._with_expired()
            async with self.holding(f"SELECT 1 FROM {driver.table} WHERE id = '{name(50)}' FOR UPDATE"):
                removed = await driver.gc(HOUR)
                assert name(50) in await self._left(driver)
            assert removed + await driver.gc(HOUR) == EXPIRED  # others may be held with it, if the table is small
            await driver.close()

        asyncio.run(main())

    def test_held_new_record(self):
        """So does a record that another transaction has made and not committed."""

        async def scenario(driver):
            ids = [f"{number:040d}" for number in range(60)]
            async with self.holding(f"INSERT INTO {driver.table} VALUES ('{ids[4]}', '\"theirs\"', 1)") as let_go:
                writes = [asyncio.ensure_future(driver.write(id, "new", None)) for id in ids]
                await asyncio.gather(*writes[:4], *writes[5:])
                assert not writes[4].done()
                await let_go()
                await writes[4]
            assert {record.payload for record in await asyncio.gather(*map(driver.read, ids))} == {"new"}

        self._run(scenario)

    @contextlib.asynccontextmanager
    async def holding(self, statement):
        """A transaction that has run a statement; gives a function that takes it back."""
        at = {name: value for name, value in self.server.connection.items() if name != "adapter"}
        connection = await asyncmy.connect(**at)
        try:
            async with connection.cursor() as cursor:
                await cursor.execute("BEGIN")
                await cursor.execute(statement)
            yield connection.rollback
        finally:
            connection.close()

    def test_ids_in_another_case_in_one_turn(self):
        """In the original's table an id in another case finds, changes and renews nothing, also with others."""

        async def main():
            config = self.config()
            await self.make_original_table(config)
            driver = await drivers.create(Config.from_dict(config))
            ids, others = [letter * 40 for letter in "abc"], [letter * 40 for letter in "ABC"]
            versions = await asyncio.gather(*(driver.write(id, "text", None) for id in ids))
            await self.run(f"UPDATE {config['table']} SET lastActivity = lastActivity - 10000")
            before = await self.run(f"SELECT id, lastActivity FROM {config['table']} ORDER BY id")
            assert not any(await asyncio.gather(*map(driver.read, others)))
            await asyncio.gather(*map(driver.touch, others))
            outcomes = await asyncio.gather(
                *(driver.write(id, "mine", version) for id, version in zip(others, versions, strict=True)),
                return_exceptions=True,
            )
            assert {type(outcome) for outcome in outcomes} == {ConflictError}
            assert await self.run(f"SELECT id, lastActivity FROM {config['table']} ORDER BY id") == before
            found = await asyncio.gather(*map(driver.read, [*ids, *others]))
            assert [record and record.payload for record in found] == ["text"] * 3 + [None] * 3
            await driver.close()

        asyncio.run(main())

    def test_same_text_at_the_same_time(self):
        """A record that is replaced by itself within a millisecond is replaced, and no conflict."""

        async def main():
            config = await self.with_table(self.config())
            to, _ = Connection.from_options(config["connection"], "mysql")
            driver = MysqlDriver(to, config["table"], 0, clock=lambda: 1_700_000_000.0)
            version = await driver.write(ID, "text", None)
            assert await driver.write(ID, "text", version) == version
            await driver.close()

        asyncio.run(main())

    def test_forgotten_cancellation(self, monkeypatch):
        """A time limit holds even where connecting forgets that it was over, as it may before Python 3.12."""

        class Forgetful:
            """The module asyncio, but for a `wait_for` that is always cancelled at the moment it is done."""

            def __getattr__(self, name):
                return getattr(asyncio, name)

            @staticmethod
            async def wait_for(awaitable, timeout):
                result = await awaitable
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)
                return result

        monkeypatch.setattr(asyncmy.connection, "asyncio", Forgetful())
        self.test_silent_from_the_start()

    def test_too_long_for_its_column(self):
        """A text that does not fit is an error that says so, not one that is cut off."""

        async def main():
            config = self.config()
            await self.run(
                f"CREATE TABLE {config['table']} (id varchar(255) UNIQUE, payload varchar(255), lastActivity bigint)"
            )
            driver = await drivers.create(Config.from_dict(config))
            with pytest.raises(UnavailableError, match="payload"):
                await driver.write(ID, "x" * 300, None)
            assert await driver.read(ID) is None
            await driver.close()

        asyncio.run(main())

    def test_too_large_for_a_packet(self):
        """Of changes that are together larger than a packet may be, each is made, but for one that is so by itself."""

        async def scenario(driver):
            ids = [f"{number:040d}" for number in range(30)]
            large = {id: '"' * (700_000 if id == ids[7] else 10_000) for id in ids}
            versions = await asyncio.gather(*(driver.write(id, "old", None) for id in ids))
            for version in versions, [None] * 30:
                writes = (driver.write(id, large[id], each) for id, each in zip(ids, version, strict=True))
                outcomes = await asyncio.gather(*writes, return_exceptions=True)
                assert [isinstance(outcome, Exception) for outcome in outcomes] == [id == ids[7] for id in ids]
                assert isinstance(outcomes[7], UnavailableError) and "max_allowed_packet" in str(outcomes[7])
                found = [record and record.payload for record in await asyncio.gather(*map(driver.read, ids))]
                assert found[:7] + found[8:] == [large[id] for id in ids if id != ids[7]]
                assert found[7] == (None if version[0] is None else "old")
                await asyncio.gather(*map(driver.destroy, ids))

        async def limit(size):
            root = await asyncmy.connect(host="127.0.0.1", port=self.server.port, user="root")
            async with root.cursor() as cursor:
                await cursor.execute(f"SET GLOBAL max_allowed_packet = {size}")
            await root.ensure_closed()

        asyncio.run(limit(1 << 20))
        try:
            self._run(scenario)
        finally:
            asyncio.run(limit(1 << 24))

    @pytest.mark.parametrize("payload", ["", "{", "[1]", "null"])
    def test_damaged(self, payload):
        """A payload that is no JSON string is damaged, and does not stop a listing."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            await self.run(f"UPDATE {driver.table} SET payload = %s", payload)
            with pytest.raises(DamagedError):
                await driver.read(ID)
            assert [(entry.id, entry.payload) async for entry in driver.scan()] == [(ID, "")]

        self._run(scenario)

    def test_tls_is_not_left_out(self):
        """With ssl, a server that cannot prove who it is is refused, rather than spoken to in plain text."""

        async def main():
            driver = await drivers.create(Config.from_dict(self.config({"ssl": True})))
            with pytest.raises(UnavailableError, match=r"(?i)ssl|certificate"):
                await driver.read(ID)
            await driver.close()

        asyncio.run(main())

    def test_url(self):
        """A URL does as well as its parts."""

        async def scenario(driver):
            await driver.write(ID, "text", None)
            url = f"mysql://tester:pass%20word@127.0.0.1:{self.server.port}/tests"
            config = {"secret": SECRET, "driver": "database", "table": self.table}
            other = await drivers.create(
                Config.from_dict({**config, "connection": {"adapter": "sails-mysql", "url": url}})
            )
            assert (await other.read(ID)).payload == "text"
            await other.close()

        self._run(scenario)
