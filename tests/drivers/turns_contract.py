"""What every driver of a database server is tested for with many sessions in one turn of the event loop."""

from __future__ import annotations

import asyncio
import random

import pytest

from drivers.on_server import OnServer
from drivers.proxy import Proxy
from drivers.serving import application
from node_session import drivers
from node_session.config import Config
from node_session.drivers import Driver
from node_session.drivers.turns import Turns
from node_session.errors import ConflictError, UnavailableError


def name(number: int) -> str:
    """A valid id."""
    return f"{number:040d}"


async def gather(*asked) -> list:
    """The outcomes of what is asked for in one turn of the loop."""
    return await asyncio.gather(*asked, return_exceptions=True)


def payloads(records: list) -> list[str | None]:
    return [record and record.payload for record in records]


def sent_turns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the turns that are sent from now on."""

    async def counted(turns, turn):
        sent.append(len(turn.asked))
        await send(turns, turn)

    sent: list[int] = []
    send = Turns._send
    monkeypatch.setattr(Turns, "_send", counted)
    return sent


class TurnsContract(OnServer):
    """Many sessions in one turn do not disturb each other. Derive, and name the server."""

    async def _filled(self, driver: Driver, number: int) -> list[object]:
        """Make so many records; gives their versions."""
        versions = await gather(*(driver.write(name(each), f"old {each}", None) for each in range(number)))
        assert not [version for version in versions if isinstance(version, Exception)]
        return versions

    def test_many_in_one_turn(self) -> None:
        """Of 250 sessions in one turn, each is made, read, replaced, renewed and destroyed, and no other."""

        async def scenario(driver):
            versions = await self._filled(driver, 250)
            found = await gather(*(driver.read(name(each)) for each in range(250)), driver.read("x" * 40))
            assert payloads(found) == [*(f"old {each}" for each in range(250)), None]
            assert [record.version for record in found[:-1]] == versions
            new = await gather(*(driver.write(name(each), f"new {each}", versions[each]) for each in range(250)))
            await gather(*(driver.touch(name(each)) for each in range(250)))
            found = await gather(*(driver.read(name(each)) for each in range(250)))
            assert payloads(found) == [f"new {each}" for each in range(250)]
            assert [record.version for record in found] == new
            await gather(*(driver.destroy(name(each), new[each]) for each in range(0, 250, 2)))
            found = await gather(*(driver.read(name(each)) for each in range(250)))
            assert payloads(found) == [None if each % 2 == 0 else f"new {each}" for each in range(250)]

        self._run(scenario)

    def test_confirmations(self) -> None:
        """Of many sessions, or one, each is confirmed and renewed in its present version, if it has not expired."""

        async def scenario(driver):
            versions = await self._filled(driver, 40)
            for each in range(40):
                await self.age(driver, name(each), 30_000)
            new = await driver.write(name(3), "new", versions[3])
            await driver.destroy(name(5))
            await self.age(driver, name(7), 60_000)
            asked = [(name(each), versions[each]) for each in range(40)]
            for answers in (
                await gather(*(driver.confirm(*each) for each in asked)),
                [await driver.confirm(*each) for each in asked],
            ):
                assert [each for each, answer in enumerate(answers) if answer is not True] == [3, 5, 7]
                assert not any(answers[each] for each in (3, 5, 7))
            assert await driver.confirm(name(3), new)
            records = await gather(*(driver.read(name(each)) for each in range(40)))
            assert records[5] is records[7] is None
            assert max(record.idle for record in records if record) < 30_000

        self._run(scenario)

    def test_one_statement(self, monkeypatch) -> None:
        """What is read, renewed or made in one turn of the loop is one statement."""
        if self.name == "redis":
            pytest.skip("its commands are sent by a pipeline")

        async def scenario(driver):
            await self._filled(driver, 50)
            sent.clear()
            await gather(*(driver.read(name(each)) for each in range(50)))
            await gather(*(driver.touch(name(each)) for each in range(50)))
            await gather(*(driver.write(name(each), "text", None) for each in range(50, 100)))
            assert sent == [50, 50, 50]

        sent = sent_turns(monkeypatch)
        self._run(scenario)

    def test_one_conflict_among_many(self) -> None:
        """Of many changes in one turn, that of a changed, a destroyed and an absent record fail, and no other."""

        async def scenario(driver):
            versions = await self._filled(driver, 12)
            await driver.write(name(3), "theirs", versions[3])
            await driver.destroy(name(5))
            writes = [driver.write(name(each), f"new {each}", versions[each]) for each in range(12)]
            outcomes = await gather(*writes, driver.write("x" * 40, "new", versions[0]))
            assert [isinstance(outcome, ConflictError) for outcome in outcomes] == [
                each in (3, 5, 12) for each in range(13)
            ]
            found = payloads(await gather(*(driver.read(name(each)) for each in range(12))))
            expected = {3: "theirs", 5: None}
            assert found == [expected.get(each, f"new {each}") for each in range(12)]
            assert await driver.read("x" * 40) is None

        self._run(scenario)

    def test_one_duplicate_among_many(self) -> None:
        """Of many new records in one turn, those whose id is taken are conflicts, and the others are there."""

        async def scenario(driver):
            await self._filled(driver, 3)
            outcomes = await gather(*(driver.write(name(each), f"new {each}", None) for each in range(12)))
            assert [isinstance(outcome, ConflictError) for outcome in outcomes] == [each < 3 for each in range(12)]
            found = payloads(await gather(*(driver.read(name(each)) for each in range(12))))
            assert found == [f"{'old' if each < 3 else 'new'} {each}" for each in range(12)]

        self._run(scenario)

    def test_one_id_several_times(self) -> None:
        """Of several changes of one record in one turn one is made; all readings of it are answered."""

        async def scenario(driver):
            outcomes = await gather(*(driver.write(name(1), f"new {each}", None) for each in range(5)))
            (version,) = [outcome for outcome in outcomes if not isinstance(outcome, ConflictError)]
            outcomes = await gather(*(driver.write(name(1), f"next {each}", version) for each in range(5)))
            (version,) = [outcome for outcome in outcomes if not isinstance(outcome, ConflictError)]
            found = await gather(*(driver.read(name(each % 2)) for each in range(10)))
            assert [record and record.version for record in found[:10]] == [None, version] * 5

        self._run(scenario)

    def test_one_expired_among_many(self) -> None:
        """An expired record among many is absent, is not revived, and is replaced by who creates it or has read it."""
        if self.expired_is_gone:
            pytest.skip("this store removes expired records itself")

        async def scenario(driver):
            versions = await self._filled(driver, 8)
            for expired in (2, 4):
                await self.age(driver, name(expired), 1_500_000)
            await gather(*(driver.touch(name(each)) for each in range(8)))
            found = payloads(await gather(*(driver.read(name(each)) for each in range(8))))
            assert found == [None if each in (2, 4) else f"old {each}" for each in range(8)]
            creations = [driver.write(name(each), f"created {each}", None) for each in (2, 3, 8, 9)]
            outcomes = await gather(*creations, driver.write(name(4), "replaced", versions[4]))
            assert [isinstance(outcome, ConflictError) for outcome in outcomes] == [False, True, False, False, False]
            found = payloads(await gather(*(driver.read(name(each)) for each in (2, 3, 4, 8))))
            assert found == ["created 2", "old 3", "replaced", "created 8"]

        self._run(scenario, lifetime=1_000_000)

    def test_one_gives_up_among_many(self) -> None:
        """Requests that give up before or after their turn begins do not disturb the others."""

        async def scenario(driver):
            versions = await self._filled(driver, 20)
            for steps in range(6):
                writes = [
                    asyncio.ensure_future(driver.write(name(each), f"{steps}.{each}", versions[each]))
                    for each in range(20)
                ]
                reads = [asyncio.ensure_future(driver.read(name(each))) for each in range(20)]
                for _ in range(steps):
                    await asyncio.sleep(0)
                for each in (3, 7):
                    writes[each].cancel()
                    reads[each].cancel()
                outcomes, found = await gather(*writes), await gather(*reads)
                for each in range(20):
                    if each in (3, 7):
                        versions[each] = (await driver.read(name(each))).version  # done, or not
                        continue
                    assert not isinstance(outcomes[each], Exception), outcomes[each]
                    versions[each] = outcomes[each]
                    assert found[each].payload in (f"{steps - 1}.{each}", f"{steps}.{each}", f"old {each}")
                found = await gather(*(driver.read(name(each)) for each in range(20)))
                assert [record.version for record in found] == versions

        self._run(scenario)

    def test_ids_that_differ_by_case(self) -> None:
        """Ids that differ by case only are two sessions, also in one turn."""

        async def scenario(driver):
            ids = ["a" * 40, "A" * 40, "aB" * 20]
            outcomes = await gather(*(driver.write(id, id, None) for id in ids))
            assert payloads(await gather(*map(driver.read, [*ids, "Ab" * 20]))) == [*ids, None]
            outcomes = await gather(*(driver.write(id, id * 2, outcomes[ids.index(id)]) for id in ids))
            assert payloads(await gather(*map(driver.read, ids))) == [id * 2 for id in ids]

        self._run(scenario)

    def test_cut_off_in_the_middle(self) -> None:
        """Of a turn whose answer was lost no change is sent again, which would be a conflict with itself."""

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                config = await self.with_table(self.config({"port": proxy.port, "timeout": 1500, "poolSize": 1}))
                driver = await drivers.create(Config.from_dict(config))
                versions = await self._filled(driver, 10)
                for _ in range(2):  # so that the server knows the statement
                    versions = await gather(
                        *(driver.write(name(each), f"old {each}", versions[each]) for each in range(10))
                    )
                proxy.forget(answers=True)
                outcomes = await gather(
                    *(driver.write(name(each), f"new {each}", versions[each]) for each in range(10))
                )
                # MongoDB's client goes on with another connection after the silent one.
                assert {type(outcome) for outcome in outcomes} - {type(versions[0])} == {UnavailableError}
                found = await gather(*(driver.read(name(each)) for each in range(10)))
                assert {record.payload.split()[0] for record in found} <= {"old", "new"}
                outcomes = await gather(
                    *(driver.write(name(each), f"next {each}", found[each].version) for each in range(10))
                )
                assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
                await driver.close()

        asyncio.run(main())

    def test_cancelled_requests(self) -> None:
        """However many requests are cancelled, at whatever moment, others get through, and connections are kept."""
        choose = random.Random(11)

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                config = await self.with_table(self.config({"port": proxy.port, "poolSize": 2}))
                driver = await drivers.create(Config.from_dict(config))
                await gather(*(driver.write(name(each), "text", None) for each in range(8)))
                await gather(*(driver.read(name(each)) for each in range(8)))
                before = proxy.connections
                for number in range(100):  # one after the other
                    asked = asyncio.ensure_future(driver.read(name(number % 8)))
                    for _ in range(choose.randrange(8)):
                        await asyncio.sleep(0)
                    if choose.random() < 0.8:
                        asked.cancel()
                        await asyncio.wait([asked])
                    else:
                        assert (await asked).payload == "text"

                async def get_through() -> None:
                    for number in range(25):
                        assert (await driver.read(name(number % 8))).payload == "text"

                others = [asyncio.ensure_future(get_through()) for _ in range(3)]
                for number in range(100):  # beside others
                    asked = asyncio.ensure_future(driver.touch(name(number % 8)))
                    for _ in range(choose.randrange(8)):
                        await asyncio.sleep(0)
                    asked.cancel()
                    await asyncio.wait([asked])
                await asyncio.gather(*others)
                assert proxy.connections - before <= 3
                await driver.close()

        asyncio.run(main())

    @pytest.mark.parametrize("requests", [128, 512])
    def test_no_request_starves(self, requests) -> None:
        """However many requests share one connection, none of them is a 503."""

        async def main() -> None:
            config = await self.with_table(self.config({"poolSize": 1, "timeout": 20_000}, saveTimeout=40_000))
            async with application(config) as ask:
                cookies = [cookie for _, _, cookie in await asyncio.gather(*(ask(None) for _ in range(requests)))]
                for _ in range(2):
                    answers = await asyncio.gather(*map(ask, cookies))
                    assert {status for status, _, _ in answers} == {200}
                assert {body for _, body, _ in answers} == {"3"}

        asyncio.run(main())
