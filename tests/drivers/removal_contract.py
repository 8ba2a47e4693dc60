"""What every driver of a database server is tested for when expired records are removed in steps."""

from __future__ import annotations

import asyncio

import pytest

from drivers.on_server import OnServer
from drivers.proxy import Proxy
from drivers.turns_contract import gather, name
from node_session import NodeSession, drivers
from node_session.config import Config
from node_session.drivers import Driver

STEP, LOOK = 10, 30
EXPIRED = 95  # three looks and a short one
HOUR = 3_600_000


class RemovalContract(OnServer):
    """A sweep removes what has expired, all of it and nothing else, and others have their turn in between."""

    @pytest.fixture(autouse=True)
    def _small_steps(self, monkeypatch) -> None:
        monkeypatch.setattr("node_session.drivers.removal.STEP", STEP)
        for module in ("removal", "sql", "mongo_bulk"):
            monkeypatch.setattr(f"node_session.drivers.{module}.LOOK", LOOK)

    async def age_all(self, driver: Driver, milliseconds: int) -> None:
        """Make the last activity of every record earlier, by one millisecond more for each."""
        raise NotImplementedError

    async def _with_expired(self, connection: dict | None = None) -> Driver:
        """A driver with `EXPIRED` records that have been idle for two hours, and three others."""
        config = await self.with_table(self.config(connection, lifetime=24 * HOUR))
        self.table = config["table"]
        driver = await drivers.create(Config.from_dict(config))
        await gather(*(driver.write(name(each), "old", None) for each in range(EXPIRED)))
        await self.age_all(driver, 2 * HOUR)
        await gather(*(driver.write(name(each), "new", None) for each in range(1000, 1003)))
        return driver

    async def _left(self, driver: Driver) -> list[str]:
        return sorted([entry.id async for entry in driver.scan()])

    def test_gc_in_steps(self) -> None:
        """A sweep goes in steps, and counts what it has removed: all that has expired, and nothing else."""

        async def main() -> None:
            driver = await self._with_expired()
            assert [step async for step in driver.gc_in_steps(HOUR)] == [*[STEP] * 9, 5]
            assert await self._left(driver) == [name(each) for each in range(1000, 1003)]
            assert await driver.gc(HOUR) == 0
            await driver.close()

        asyncio.run(main())

    def test_sweep(self) -> None:
        """`sessions.sweep()` gives the exact number."""

        async def main() -> None:
            driver = await self._with_expired()
            config = {**self.config(lifetime=HOUR), "table": self.table}
            sessions = NodeSession(config)
            assert await sessions.sweep() == EXPIRED
            await sessions.close()
            await driver.close()

        asyncio.run(main())

    def test_two_sweeps(self) -> None:
        """Two concurrent sweeps do not disturb each other, and count each record once."""

        async def main() -> None:
            one = await self._with_expired()
            other = await drivers.create(Config.from_dict({**self.config(lifetime=24 * HOUR), "table": self.table}))
            removed = sum(await asyncio.gather(one.gc(HOUR), other.gc(HOUR)))
            assert (
                removed + await one.gc(HOUR) == EXPIRED
            )  # a record that the other one held is left for the next sweep
            assert await self._left(one) == [name(each) for each in range(1000, 1003)]
            await one.close()
            await other.close()

        asyncio.run(main())

    def test_renewed_meanwhile(self) -> None:
        """A record that is renewed after it was found expired, and before its step, stays."""

        async def main() -> None:
            driver = await self._with_expired()
            steps = driver.gc_in_steps(HOUR)
            removed = await steps.__anext__()
            found = sorted(set(map(name, range(EXPIRED))) & set(await self._left(driver)))
            assert len(found) == EXPIRED - STEP
            await gather(*map(driver.touch, found[::5]))
            removed += sum([step async for step in steps])
            assert removed == EXPIRED - len(found[::5])
            assert set(await self._left(driver)) == {*found[::5], *(name(each) for each in range(1000, 1003))}
            await driver.close()

        asyncio.run(main())

    def test_others_have_their_turn(self, monkeypatch) -> None:
        """With one connection, a write that comes during a step is done before the next one."""
        gate = asyncio.Event()
        sent: list[str] = []

        async def main() -> None:
            driver = await self._with_expired({"poolSize": 1})
            way = "_work" if hasattr(driver, "_work") else "_run"
            send = getattr(driver, way)

            async def gated(turn, *args, **options):
                sent.append("write" if turn.kind is driver._creations else "step")
                await gate.wait()
                return await send(turn, *args, **options)

            steps = driver.gc_in_steps(HOUR)
            await steps.__anext__()  # has looked as well
            monkeypatch.setattr(driver, way, gated)

            async def go_on() -> int:
                return sum([step async for step in steps])

            removing = asyncio.ensure_future(go_on())
            while not sent:
                await asyncio.sleep(0)
            writing = asyncio.ensure_future(driver.write("w" * 40, "text", None))
            for _ in range(10):
                await asyncio.sleep(0)
            gate.set()
            await writing
            assert await removing == EXPIRED - STEP
            assert sent[:3] == ["step", "write", "step"]
            await driver.close()

        asyncio.run(main())

    @pytest.mark.parametrize("lost", ["connection", "answer"])
    def test_cut_off_half_way(self, lost) -> None:
        """A sweep goes on after its connection broke, before a step or before its answer; the count is exact."""

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                driver = await self._with_expired({"port": proxy.port, "poolSize": 1})
                steps = driver.gc_in_steps(HOUR)
                removed = await steps.__anext__()
                if lost == "answer":
                    proxy.answers_left = 0
                else:
                    proxy.cut()
                removed += sum([step async for step in steps])
                assert removed == EXPIRED
                assert proxy.answers_left is None
                assert await self._left(driver) == [name(each) for each in range(1000, 1003)]
                await driver.close()

        asyncio.run(main())
