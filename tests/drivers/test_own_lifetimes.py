"""Sessions with a lifetime of their own on real servers, over HTTP."""

from __future__ import annotations

import asyncio

import pytest
from tornado.web import RequestHandler

from drivers.on_server import OnServer
from drivers.serving import application
from node_session import SessionMixin, drivers
from node_session.config import Config

DAY = 86_400_000

pytestmark = pytest.mark.filterwarnings("ignore:lifetime")


class Lifetime(SessionMixin, RequestHandler):
    """Sets the session's lifetime, and tells it."""

    def get(self):
        wanted = self.get_query_argument("ms", "")
        if wanted:
            self.session.put("user", "Ann")
            self.session.set_lifetime(None if wanted == "none" else int(wanted))
        self.write(f"{self.session.get('user', 'nobody')} {self.session.lifetime}")


class Held(SessionMixin, RequestHandler):
    """Changes nothing, for as long as another request takes."""

    begun: asyncio.Event
    may_end: asyncio.Event

    async def get(self):
        self.begun.set()
        await self.may_end.wait()


ROUTES = [("/lifetime", Lifetime), ("/held", Held)]


def id_of(cookie: str) -> str:
    return cookie.partition("=")[2][4:44]


class Lifetimes(OnServer):
    """What holds on each server. Derive, and name it."""

    def _run(self, scenario, **options) -> None:
        async def main():
            config = await self.with_table(self.config(**options))
            driver = await drivers.create(Config.from_dict(config))
            try:
                async with application(config, ROUTES) as ask:
                    await scenario(ask, driver)
            finally:
                await driver.close()

        asyncio.run(main())

    def test_a_longer_one(self):
        """A session for a day outlives those of the option, also after a renewal, and no sweep removes it."""

        async def scenario(ask, driver):
            _, _, cookie = await ask(None, f"/lifetime?ms={DAY}")
            _, _, other = await ask(None)
            for _ in range(2):
                await asyncio.sleep(1.2)
                await driver.gc(1000)
                assert (await ask(cookie, "/lifetime"))[:2] == (200, f"Ann {DAY}")
                assert await driver.read(id_of(other)) is None
            while (await driver.read(id_of(cookie))).idle > 1000 - DAY + 1200:  # the renewal after the response
                await asyncio.sleep(0.01)

        self._run(scenario, lifetime=1000)

    def test_a_shorter_one(self):
        """A session for half a second ends while others go on."""

        async def scenario(ask, driver):
            _, _, cookie = await ask(None, "/lifetime?ms=500")
            while await driver.read(id_of(cookie)) is not None:
                await asyncio.sleep(0.05)
            assert (await ask(cookie, "/lifetime"))[1] == f"nobody {DAY}"

        self._run(scenario, lifetime=DAY)

    def test_none(self):
        """A session for a day that gets None lives as long as others."""

        async def scenario(ask, driver):
            _, _, cookie = await ask(None, f"/lifetime?ms={DAY}")
            await ask(cookie, "/lifetime?ms=none")
            assert 0 <= (await driver.read(id_of(cookie))).idle < 3_600_000

        self._run(scenario, lifetime=3_600_000)

    @pytest.mark.parametrize("after", [DAY, 60_000])
    def test_a_renewal_while_it_changes(self, after):
        """A request that began before another one changed the lifetime renews the record as it is now."""

        async def scenario(ask, driver):
            _, _, cookie = await ask(None, "/lifetime")
            id, lifetime = id_of(cookie), 3_600_000
            await driver.touch(id, idle=600_000)  # due for renewal
            Held.begun, Held.may_end = asyncio.Event(), asyncio.Event()
            held = asyncio.ensure_future(ask(cookie, "/held"))
            await Held.begun.wait()
            await ask(cookie, f"/lifetime?ms={after}")
            Held.may_end.set()
            await held
            for _ in range(20):  # no renewal, now or later, moves the end
                left = lifetime - (await driver.read(id)).idle
                assert after - 60_000 < left <= after + 1000
                await asyncio.sleep(0.01)

        self._run(scenario, lifetime=3_600_000)


class TestPostgresql(Lifetimes):
    name = "postgresql"


class TestMysql(Lifetimes):
    name = "mysql"


class TestRedis(Lifetimes):
    name = driver = "redis"


del Lifetimes
