"""What every driver of a database server is tested for when one of many sessions in a turn is at fault."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tornado.web import RequestHandler

from drivers.on_server import OnServer
from drivers.proxy import Proxy
from drivers.serving import application
from drivers.turns_contract import gather, name, payloads
from node_session import SessionMixin, drivers
from node_session.config import Config
from node_session.drivers import Driver
from node_session.drivers.turns import Turns
from node_session.errors import ConflictError, UnavailableError


async def push(driver: Driver, id: str, value: str) -> None:
    """Add a value to a record, however many others do."""
    while True:
        record = await driver.read(id)
        with contextlib.suppress(ConflictError):
            await driver.write(id, f"{record.payload} {value}", record.version)
            return


class Pusher(SessionMixin, RequestHandler):
    """Pushes a number onto the session's list."""

    def get(self, number: str) -> None:
        self.session.push("list", int(number))
        self.write(",".join(map(str, self.session.get("list"))))


class NeighboursContract(OnServer):
    """The fault of one session harms no other session of its turn. Derive, and name the server."""

    @contextlib.asynccontextmanager
    async def through_proxy(self, **connection):
        """A proxy, and a driver with one connection through it."""
        async with Proxy(self.server.port) as proxy:
            given = {"port": proxy.port, "timeout": 5000, "poolSize": 1, **connection}
            config = await self.with_table(self.config(given))
            self.table = config["table"]
            driver = await drivers.create(Config.from_dict(config))
            try:
                yield proxy, driver
            finally:
                await driver.close()

    async def warm(self, driver: Driver) -> list[object]:
        """Have the server know each statement, so that it answers each once; gives the versions of ten records."""
        for _ in range(2):
            versions = await gather(*(driver.write(name(each), "old", None) for each in range(10)))
            for text in ("older", "old"):
                writes = (driver.write(name(each), text, version) for each, version in enumerate(versions))
                versions = await gather(*writes)
            if _ == 0:
                await gather(*(driver.destroy(name(each)) for each in range(10)))
        return versions

    @pytest.mark.parametrize("answers", range(5))
    def test_cut_after_some_answers(self, answers) -> None:
        """Whichever answer is cut off, no change of the turn is sent twice: that would be a conflict with itself."""

        async def main() -> None:
            async with self.through_proxy() as (proxy, driver):
                versions = await self.warm(driver)
                proxy.answers_left = answers
                writes = (driver.write(name(each), f"new {each}", version) for each, version in enumerate(versions))
                outcomes = await gather(*writes)
                proxy.answers_left = None
                faults = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
                assert {type(fault) for fault in faults} <= {UnavailableError}
                assert not [fault for fault in faults if "terminate()" in str(fault)]  # it says what has happened
                found = payloads(await gather(*(driver.read(name(each)) for each in range(10))))
                for each, outcome in enumerate(outcomes):
                    assert found[each] == f"new {each}" or (isinstance(outcome, Exception) and found[each] == "old")

        asyncio.run(main())

    def test_cut_off_creations(self) -> None:
        """A creation whose answer is cut off is not sent twice: that would be a conflict with itself."""

        async def main() -> None:
            async with self.through_proxy() as (proxy, driver):
                await self.warm(driver)
                proxy.answers_left = 0
                outcomes = await gather(*(driver.write(name(each), "new", None) for each in range(20, 30)))
                assert proxy.answers_left is None
                assert {type(outcome) for outcome in outcomes} == {UnavailableError}
                found = payloads(await gather(*(driver.read(name(each)) for each in range(20, 30))))
                assert set(found) <= {None, "new"}

        asyncio.run(main())

    @pytest.mark.parametrize("what", ["reads", "touches"])
    def test_cut_off_without_harm(self, what) -> None:
        """Reads and renewals whose answer is cut off on a connection used before are sent again."""

        async def main() -> None:
            async with self.through_proxy() as (proxy, driver):
                versions = await self.warm(driver)
                await gather(*(driver.read(name(each)) for each in range(10)))
                await gather(*(driver.touch(name(each)) for each in range(10)))
                ask = driver.read if what == "reads" else driver.touch
                proxy.answers_left = 0
                outcomes = await gather(*(ask(name(each)) for each in range(10)))
                assert proxy.answers_left is None
                if what == "reads":
                    assert [record.version for record in outcomes] == versions
                else:
                    assert outcomes == [None] * 10

        asyncio.run(main())

    def test_pushes_are_neither_lost_nor_doubled(self) -> None:
        """Of many sessions' pushes, with connections cut again and again, each acknowledged one is there, once."""

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                config = await self.with_table(self.config({"port": proxy.port, "timeout": 5000}))
                async with application(config, [(r"/push/(\d+)", Pusher)]) as ask:
                    cookies = [(await ask(None, "/push/0"))[2] for _ in range(20)]
                    acknowledged = [[0] for _ in cookies]
                    for number in range(1, 16):
                        proxy.answers_left = number % 5
                        answers = await asyncio.gather(*(ask(cookie, f"/push/{number}") for cookie in cookies))
                        for answer, pushed in zip(answers, acknowledged, strict=True):
                            assert answer[0] in (200, 503)
                            pushed += [number] * (answer[0] == 200)
                    proxy.answers_left = None
                    for cookie, pushed in zip(cookies, acknowledged, strict=True):
                        status, body, _ = await ask(cookie, "/push/99")
                        found = [int(number) for number in body.split(",")]
                        assert status == 200 and len(set(found)) == len(found)
                        assert set(pushed) <= set(found)

        asyncio.run(main())

    def test_hammered_session_among_others(self) -> None:
        """One session that two programs hammer loses and doubles nothing, nor do fifty others in the same turns."""

        async def main() -> None:
            config = Config.from_dict(await self.with_table(self.config({"timeout": 30_000})))
            programs = [await drivers.create(config), await drivers.create(config)]
            await gather(*(programs[0].write(name(each), "", None) for each in range(51)))

            async def hammer(client: int) -> None:
                for number in range(25):
                    await push(programs[client % 2], name(0), f"{client}.{number}")

            async def change(other: int) -> None:
                for number in range(25):
                    await push(programs[other % 2], name(other), str(number))

            await asyncio.gather(*map(hammer, range(8)), *map(change, range(1, 51)))
            found = [
                record.payload.split() for record in await asyncio.gather(*map(programs[0].read, map(name, range(51))))
            ]
            assert sorted(found[0]) == sorted(f"{client}.{number}" for client in range(8) for number in range(25))
            assert found[1:] == [[str(number) for number in range(25)]] * 50
            for program in programs:
                await program.close()

        asyncio.run(main())

    @pytest.mark.parametrize("requests", [128, 512])
    def test_many_requests(self, requests, monkeypatch) -> None:
        """However many requests there are, all answers are right, and turns begin in the order of their requests."""
        if self.name == "redis":
            pytest.skip("its commands are sent by a pipeline")

        async def main() -> None:
            driver = await drivers.create(Config.from_dict(await self.with_table(self.config({"timeout": 30_000}))))
            ids = [name(each) for each in range(requests)]
            versions = await asyncio.gather(*(driver.write(id, f"old {id}", None) for id in ids))
            begun.clear()
            found = await asyncio.gather(*map(driver.read, ids))
            assert [record.payload for record in found] == [f"old {id}" for id in ids]
            assert begun == ids
            begun.clear()
            new = await asyncio.gather(
                *(driver.write(id, f"new {id}", each) for id, each in zip(ids, versions, strict=True))
            )
            assert begun == ids
            mixed = [*map(driver.read, ids), *map(driver.touch, ids), *map(driver.write, ids, ids, new)]
            found = (await asyncio.gather(*mixed))[:requests]
            assert all(record.payload in (id, f"new {id}") for id, record in zip(ids, found, strict=True))
            assert payloads(await asyncio.gather(*map(driver.read, ids))) == ids
            await driver.close()

        async def noted(turns, turn):
            begun.extend(asked.id for asked in turn.asked)
            await send(turns, turn)

        begun: list[str] = []
        send = Turns._send
        monkeypatch.setattr(Turns, "_send", noted)
        asyncio.run(main())
