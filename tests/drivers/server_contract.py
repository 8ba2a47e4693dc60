"""The tests of every database server's driver: contract, use over HTTP, several processes, outages."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from unittest.mock import Mock

import pytest
from concurrency.hammer import hammer
from pushes import push_concurrently
from rotations import log_out_against_rotations
from world import start_session_of

from drivers.activity_contract import ActivityContract
from drivers.neighbours_contract import NeighboursContract
from drivers.outages import Outages
from drivers.removal_contract import RemovalContract
from drivers.serving import ID, application, check_interrupted
from drivers.sockets_contract import SocketsContract
from drivers.turns_contract import TurnsContract
from node_session import NodeSession, drivers
from node_session.config import Config
from node_session.errors import ConflictError, UnavailableError
from node_session.testing import DriverContract


class ServerContract(ActivityContract, Outages, SocketsContract, TurnsContract, NeighboursContract, DriverContract):
    """The contract on a real server, and what can go wrong with one. Derive, and name the server."""

    def test_sessions(self) -> None:
        """A session is made, read and changed; an unchanged one is renewed, and a forged one is not."""

        async def main() -> None:
            async with application(await self.with_table(self.config())) as ask:
                _, body, cookie = await ask(None)
                assert (body, (await ask(cookie))[1], (await ask(cookie, "/read"))[1]) == ("1", "2", "2")
                assert (await ask(cookie + "x"))[1] == "1"

        asyncio.run(main())

    def test_concurrent_requests(self) -> None:
        """Of many concurrent requests of one session, all are counted."""

        async def main() -> None:
            async with application(await self.with_table(self.config())) as ask:
                _, _, cookie = await ask(None)
                await asyncio.gather(*(ask(cookie) for _ in range(20)))
                assert (await ask(cookie, "/read"))[1] == "21"

        asyncio.run(main())

    @pytest.mark.parametrize("grace", [10_000, 0])
    def test_log_out_against_rotations(self, grace) -> None:
        """After the answer to a log-out no logged-in record of that session is left, however rotations interleave."""

        async def main() -> None:
            sessions = NodeSession(await self.with_table(self.config(regenerateGrace=grace)))
            choose = random.Random(4).randrange
            for _ in range(100):
                await log_out_against_rotations(sessions, choose)
            await sessions.close()

        asyncio.run(main())

    def test_the_queue_reads_nothing_again(self) -> None:
        """Ten concurrent pushes onto one session's list read again at most twice what this process has stored."""

        async def main() -> None:
            sessions = NodeSession(await self.with_table(self.config()))
            counts = await push_concurrently(sessions, 10)
            # A conflict may be answered before the write that won, which then tells of it too late.
            assert counts["read"] <= 2 and counts["write"] <= 20
            await sessions.close()

        asyncio.run(main())

    @pytest.mark.filterwarnings("ignore::node_session.errors.ConfigWarning")
    @pytest.mark.parametrize("lifetime", [300_000, 0])
    def test_the_old_record_is_gone_after_the_grace(self, lifetime) -> None:
        """The old record of a regenerated session is destroyed when its grace is over; the new one stays."""

        async def main() -> None:
            config = await self.with_table(self.config(lifetime=lifetime, regenerateGrace=20))
            sessions = NodeSession(config)
            session = await start_session_of(sessions, None)
            await session.save()
            old = session.get_id()
            session.regenerate(True)
            await session.save()
            driver = await sessions.driver()
            while await driver.read(old) is not None:
                await asyncio.sleep(0.01)
            assert await driver.read(session.get_id()) is not None
            await sessions.close()

        asyncio.run(main())

    @pytest.mark.parametrize("processes", [2, 4])
    def test_nothing_is_lost_by_several_processes(self, processes) -> None:
        """Eight clients push 25 values each onto one session's list, through several processes: all are there."""
        config = asyncio.run(self.with_table(self.config({"timeout": 30_000}, saveTimeout=60_000)))
        hammer(config, processes).check()

    @pytest.mark.parametrize("options", [{}, {"hashIds": True, "encrypt": True}], ids=str)
    def test_devices_of_a_user(self, options) -> None:
        """A user's devices are listed, all but one are logged out, and the list outlives each session."""

        async def main() -> None:
            sessions = NodeSession({**await self.with_table(self.config()), **options})
            made = []
            for _ in range(3):
                made.append(await start_session_of(sessions, None))
                made[-1].set_owner("ann")
                await made[-1].save()
            assert [each.is_this for each in await sessions.devices("ann", made[1])] == [True, False, False]
            assert await sessions.log_out("ann", except_=made[1]) == 2
            assert [(await start_session_of(sessions, each.get_id())).owner for each in made] == [None, "ann", None]
            assert len(await sessions.devices("ann")) == 1
            await sessions.close()

        asyncio.run(main())

    def test_two_loops(self) -> None:
        """One driver serves several event loops, one after the other, and reads in each what it wrote in another."""
        config = asyncio.run(self.with_table(self.config()))
        driver = asyncio.run(drivers.create(Config.from_dict(config)))

        async def write() -> None:
            await driver.write(ID, "text", None)
            await driver.close()

        async def read() -> str:
            record = await driver.read(ID)
            await driver.close()
            return record.payload

        asyncio.run(write())
        assert asyncio.run(read()) == "text"

    def test_interrupted(self) -> None:
        """See `check_interrupted`."""
        check_interrupted(asyncio.run(self.with_table(self.config())))

    def test_command_line(self, tmp_path) -> None:
        """The command line prints the SQL of the table and makes it, tries the store, and lists what is in it."""
        file = tmp_path / "config.json"
        config = self.config()
        file.write_text(json.dumps(config))

        def run(*arguments: str) -> str:
            command = [sys.executable, "-m", "node_session", *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

        sql = run("table", str(file))
        needs_table = self.name in ("postgresql", "mysql")
        assert sql.startswith("CREATE TABLE IF NOT EXISTS") if needs_table else "nothing is needed" in sql
        for _ in range(2):
            assert ("is there" in run("table", str(file), "--create")) is needs_table
        assert json.loads(run("check", str(file), "--json"))["problems"] == []

        async def use() -> None:
            async with application(config) as ask:
                await ask(None)

        asyncio.run(use())
        assert len(json.loads(run("ls", str(file), "--json"))) == 1


class TableContract(RemovalContract, ServerContract):
    """A database whose table somebody has to make, and which breaks statements off in favour of others."""

    deadlock: Exception
    full: Exception
    quote: str

    def test_missing_table(self):
        """A missing table is an error that names the command which makes it."""

        async def main():
            driver = await drivers.create(Config.from_dict(self.config()))
            with pytest.raises(UnavailableError, match="python -m node_session table"):
                await driver.read(ID)
            await driver.create_table()
            assert await driver.read(ID) is None
            await driver.create_table()
            await driver.close()

        asyncio.run(main())

    async def execute(self, *statements: str) -> None:
        """Run statements on a connection of our own."""
        raise NotImplementedError

    async def change_many(self, config: dict, *, is_narrow: bool) -> None:
        """Make, renew, read and replace twenty sessions in one turn each; a payload of 442 bytes may be too large."""
        driver = await drivers.create(Config.from_dict(config))
        ids = [f"{number:040d}" for number in range(20)]
        versions = await asyncio.gather(*(driver.write(id, id, None) for id in ids))
        await asyncio.gather(*map(driver.touch, ids))
        assert [record.payload for record in await asyncio.gather(*map(driver.read, ids))] == ids
        texts = [id + "x" * 400 if id == ids[7] else id + "x" for id in ids]
        outcomes = await asyncio.gather(*map(driver.write, ids, texts, versions), return_exceptions=True)
        failed = [id for id, outcome in zip(ids, outcomes, strict=True) if isinstance(outcome, UnavailableError)]
        assert failed == ([ids[7]] if is_narrow else [])
        if failed:
            texts[7] = ids[7]
            assert "442 bytes" in str(outcomes[7]) and "make the column payload larger" in str(outcomes[7])
        assert [record.payload for record in await asyncio.gather(*map(driver.read, ids))] == texts
        known = [outcomes[number] if number % 2 and number != 7 else versions[number] for number in range(20)]
        outcomes = await asyncio.gather(*map(driver.write, ids, ids, known), return_exceptions=True)
        conflicts = [number for number in range(20) if isinstance(outcomes[number], ConflictError)]
        assert conflicts == [number for number in range(20) if number % 2 == 0 or (number == 7 and not failed)]
        expected = [texts[number] if number in conflicts else ids[number] for number in range(20)]
        assert [record.payload for record in await asyncio.gather(*map(driver.read, ids))] == expected
        new = [f"{number:040d}" for number in range(15, 25)]  # half of them are there
        outcomes = await asyncio.gather(*(driver.write(id, "new", None) for id in new), return_exceptions=True)
        assert [isinstance(outcome, ConflictError) for outcome in outcomes] == [True] * 5 + [False] * 5
        await driver.close()

    async def age_all(self, driver, milliseconds) -> None:
        later = f"{driver.last} - {milliseconds} - CAST(RIGHT(id, 4) AS decimal)"
        await self.execute(f"UPDATE {driver.table} SET {driver.last} = {later}")

    @pytest.mark.parametrize("key", ["", "UNIQUE (id, payload)"])
    def test_table_without_a_key(self, key, tmp_path) -> None:
        """In a table in which an id can have two records nothing is written, and an error names the cure."""
        config = self.config()
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config))
        columns = ", ".join(filter(None, ["id varchar(64)", "payload varchar(300)", "{0}lastActivity{0} bigint", key]))
        table = f"CREATE TABLE {config['table']} ({columns})".format(self.quote)

        async def main() -> None:
            await self.execute(table)
            driver = await drivers.create(Config.from_dict(config))
            ids = [f"{number:040d}" for number in range(10)]
            assert await asyncio.gather(*map(driver.read, ids)) == [None] * 10
            for version in (None, "old"):
                writes = (driver.write(id, "text", version) for id in ids)
                outcomes = await asyncio.gather(*writes, return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} == {UnavailableError}
                assert len({id(outcome) for outcome in outcomes}) == 10  # each request has an error of its own
                assert config["table"] in str(outcomes[0]) and "ADD PRIMARY KEY (id)" in str(outcomes[0])
            assert [entry async for entry in driver.scan()] == []
            command = [sys.executable, "-m", "node_session", "check", str(file)]
            told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            assert told.returncode and "ADD PRIMARY KEY (id)" in told.stdout + told.stderr
            await self.execute(f"ALTER TABLE {config['table']} ADD PRIMARY KEY (id)")
            await asyncio.gather(*(driver.write(id, "text", None) for id in ids))
            assert {record.payload for record in await asyncio.gather(*map(driver.read, ids))} == {"text"}
            await driver.close()

        asyncio.run(main())

    def test_no_connection_when_the_table_is_asked_about(self, monkeypatch):
        """A first change that gets no connection fails; a later one asks about the table all the same."""

        async def main() -> None:
            config = self.config()
            columns = f"id varchar(64), payload varchar(300), {self.quote}lastActivity{self.quote} bigint"
            await self.execute(f"CREATE TABLE {config['table']} ({columns})")
            driver = await drivers.create(Config.from_dict(config))

            with monkeypatch.context() as patch:
                patch.setattr(driver, "_acquire", Mock(side_effect=self.full))
                with pytest.raises(UnavailableError, match=r"(?i)too many"):
                    await driver.write(ID, "text", None)
            with pytest.raises(UnavailableError, match="no unique index"):
                await driver.write(ID, "text", None)
            await driver.close()

        asyncio.run(main())

    def test_broken_off_in_favour_of_another(self, monkeypatch):
        """A statement that a deadlock broke off is run again; for ever, it is an error, and never a conflict."""

        async def scenario(driver):
            await driver.write("c" * 40, "text", None)  # the first change asks about the table
            run, tries = driver._run_on_pool, []

            async def break_off(*args):
                tries.append(1)
                if len(tries) < times:
                    raise self.deadlock
                return await run(*args)

            monkeypatch.setattr(driver, "_run_on_pool", break_off)
            times = 3
            await driver.write(ID, "text", None)
            assert len(tries) == 3 and (await driver.read(ID)).payload == "text"
            times = 1000
            with pytest.raises(UnavailableError, match="deadlock"):
                await driver.write("b" * 40, "text", None)

        self._run(scenario)
