"""The tests of every database server's driver: contract, use over HTTP, several processes, outages."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys

import pytest
from concurrency.hammer import hammer
from rotations import log_out_against_rotations

from drivers.outages import Outages
from drivers.serving import ID, application, check_interrupted
from drivers.turns_contract import TurnsContract
from node_session import NodeSession, drivers
from node_session.config import Config
from node_session.errors import UnavailableError
from node_session.testing import DriverContract


class ServerContract(Outages, TurnsContract, DriverContract):
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

    @pytest.mark.parametrize("processes", [2, 4])
    def test_nothing_is_lost_by_several_processes(self, processes) -> None:
        """Eight clients push 25 values each onto one session's list, through several processes: all are there."""
        config = asyncio.run(self.with_table(self.config({"timeout": 30_000}, saveTimeout=60_000)))
        hammer(config, processes).check()

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


class TableContract(ServerContract):
    """A database whose table somebody has to make, and which breaks statements off in favour of others."""

    deadlock: Exception

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

    def test_broken_off_in_favour_of_another(self, monkeypatch):
        """A statement that a deadlock broke off is run again; for ever, it is an error, and never a conflict."""

        async def scenario(driver):
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
