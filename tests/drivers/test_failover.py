"""Another server takes over while requests are served: no acknowledged change is doubled, and how long that takes.

The seconds of 503 are printed (``-s``); docs/drivers.md tells them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections import Counter

import asyncmy
import pytest
import redis.asyncio
from servers import Mysql, Postgresql, PostgresqlStandby, RedisClusterOfSix, RedisReplica, Sentinel, make_table, require
from servers import Redis as RedisServer
from tornado.web import RequestHandler

from drivers.proxy import Proxy, fill_pool
from drivers.serving import ID, SECRET, TABLES, application
from node_session import SessionMixin, drivers
from node_session.config import Config


class Pusher(SessionMixin, RequestHandler):
    """Counts, and puts a value on a list."""

    def get(self):
        self.session.increment("count")
        self.session.push("pushed", self.get_argument("value"))


class Reader(SessionMixin, RequestHandler):
    """The session's content."""

    def get(self):
        self.write({"count": self.session.get("count", 0), "pushed": self.session.get("pushed", [])})


ROUTES = [("/push", Pusher), ("/all", Reader)]


class Traffic:
    """Clients that push onto the lists of their sessions, two on each, and remember what was acknowledged."""

    def __init__(self, ask, sessions: int = 8) -> None:
        self.ask = ask
        self.sessions = sessions
        self.acknowledged: list[set[str]] = [set() for _ in range(sessions)]
        self.attempted: list[set[str]] = [set() for _ in range(sessions)]
        self.failures: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.stop = False

    async def __aenter__(self) -> Traffic:
        self.cookies = [(await self.ask(None, "/push?value=first"))[2] for _ in range(self.sessions)]
        assert all(self.cookies)
        for session in range(self.sessions):
            self.acknowledged[session].add("first")
            self.attempted[session].add("first")
        self.clients = [
            asyncio.ensure_future(self.push(session, client)) for session in range(self.sessions) for client in "ab"
        ]
        await self.progress()
        return self

    async def __aexit__(self, *error) -> None:
        self.stop = True
        await asyncio.gather(*self.clients)

    async def push(self, session: int, client: str) -> None:
        number = 0
        while not self.stop:
            value = f"{client}{number}"
            number += 1
            self.attempted[session].add(value)
            status, _, _ = await self.ask(self.cookies[session], f"/push?value={value}")
            self.statuses[status] += 1
            if status == 200:
                self.acknowledged[session].add(value)
            else:
                self.failures.append(time.monotonic())
            await asyncio.sleep(0.02)

    async def progress(self) -> None:
        """Wait until each session's changes are acknowledged."""
        before = [len(each) for each in self.acknowledged]
        deadline = time.monotonic() + 60
        while any(len(now) < then + 3 for now, then in zip(self.acknowledged, before, strict=True)):
            assert time.monotonic() < deadline, f"it does not recover: {self.statuses}"
            await asyncio.sleep(0.02)

    async def check(self, *, may_lose: bool = False) -> None:
        """Nothing is there twice, nothing that nobody pushed, and all that was acknowledged."""
        assert set(self.statuses) <= {200, 503}, self.statuses
        for session, cookie in enumerate(self.cookies):
            status, body, _ = await self.ask(cookie, "/all")
            found = json.loads(body)
            pushed = found["pushed"]
            assert status == 200 and len(pushed) == len(set(pushed)) == found["count"]
            assert set(pushed) <= self.attempted[session]
            assert may_lose or self.acknowledged[session] <= set(pushed)

    def tell(self, what: str) -> None:
        seconds = self.failures[-1] - self.failures[0] if self.failures else 0
        print(f"{what}: {self.statuses[503]} of {self.statuses.total()} requests were a 503, within {seconds:.1f} s")


@pytest.fixture
def run():
    """Starts servers; they are stopped in the end."""
    with contextlib.ExitStack() as stack:

        def run(make, *args):
            server = make(*args)
            stack.callback(server.stop)
            return server

        yield run


async def under_traffic(what: str, config: dict, fail, *, may_lose: bool = False) -> None:
    """Let something fail under traffic: it recovers, and nothing is doubled."""
    async with application(config, ROUTES) as ask:
        async with Traffic(ask) as traffic:
            await fail()
            await traffic.progress()
        traffic.tell(what)
        await traffic.check(may_lose=may_lose)


def to_redis(url: str, **connection) -> dict:
    """A config for Redis."""
    return {
        **{"secret": SECRET, "driver": "redis", "table": next(TABLES), "lottery": [0, 1]},
        "connection": {"url": url, **connection},
    }


def to_database(connection: dict) -> dict:
    """A config for a database."""
    return {"secret": SECRET, "driver": "database", "table": next(TABLES), "lottery": [0, 1], "connection": connection}


# ---------------------------------------------------------------- the server behind one address becomes a replica


async def check_switchover(config: dict, proxy: Proxy, switch) -> None:
    """After a switchover that leaves the old connections open, no request at all fails."""
    config["connection"] |= {"port": proxy.port}
    async with application(config, ROUTES) as ask:
        _, _, cookie = await ask(None)
        await fill_pool(proxy, lambda: ask(cookie, "/read"))
        await switch()
        assert [(await ask(cookie))[:2] for _ in range(6)] == [(200, str(count)) for count in range(2, 8)]


@pytest.fixture
def postgresql(run):
    """A server, and one that follows it."""
    require("postgresql")
    primary = run(Postgresql)
    return primary, run(PostgresqlStandby, primary)


def demote(primary: Postgresql) -> None:
    primary.run_sql("ALTER SYSTEM SET default_transaction_read_only = on")
    primary.run_sql("SELECT pg_reload_conf()")


@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "busy"])
def test_postgresql_switchover(postgresql, busy):
    """PostgreSQL: the old server takes no writes any more, the new one answers at the same address."""
    primary, standby = postgresql

    async def main():
        async with Proxy(primary.port) as proxy:

            async def switch():
                await asyncio.to_thread(demote, primary)
                await asyncio.to_thread(standby.promote)
                proxy.target = standby.port

            config = to_database(primary.connection)
            await make_table(config)
            if busy:
                config["connection"] |= {"port": proxy.port}
                await under_traffic("PostgreSQL, switchover behind one address", config, switch)
            else:
                await check_switchover(config, proxy, switch)

    asyncio.run(main())


@pytest.fixture
def two_redis(run):
    """A server, and one that follows it."""
    require("redis")
    master = run(RedisServer)
    return master, run(RedisReplica, master)


@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "busy"])
def test_redis_switchover(two_redis, busy):
    """Redis with a plain URL: the old server becomes a replica, the new one answers at the same address."""
    master, replica = two_redis

    async def main():
        async with Proxy(master.port) as proxy:

            async def switch():
                async with redis.asyncio.Redis(port=master.port, password="pass word") as old:
                    await old.config_set("masterauth", "pass word")
                    await old.client_pause(60_000, all=False)  # no more writes, so that the other one has them all
                    await old.wait(1, 10_000)
                    async with redis.asyncio.Redis(port=replica.port, password="pass word") as new:
                        await new.execute_command("REPLICAOF", "NO", "ONE")
                    proxy.target = replica.port
                    await old.execute_command("REPLICAOF", "127.0.0.1", replica.port)
                    await old.client_unpause()

            config = to_redis(f"redis://:pass%20word@127.0.0.1:{proxy.port}")
            if busy:
                await under_traffic("Redis, switchover behind one address", config, switch, may_lose=True)
            else:
                del config["connection"]["url"]
                config["connection"] |= master.connection
                await check_switchover(config, proxy, switch)

    asyncio.run(main())


def test_mysql_switchover(run):
    """MySQL: the old server takes no writes any more, the new one answers at the same address."""
    require("mysql")
    old, new = run(Mysql), run(Mysql)

    async def main():
        async with Proxy(old.port) as proxy:
            config = to_database(dict(old.connection))
            moved = {**config, "connection": dict(new.connection)}
            await make_table(config)
            await make_table(moved)

            async def switch():
                root = await asyncmy.connect(unix_socket=str(old.folder / "socket"), user="root")
                async with root.cursor() as cursor:
                    await cursor.execute("SET GLOBAL read_only = 1")
                await root.ensure_closed()
                source = await drivers.create(Config.from_dict({**config, "connection": old.connection}))
                target = await drivers.create(Config.from_dict(moved))
                async for record in source.scan():
                    await target.write(record.id, record.payload, None)
                await source.close()
                await target.close()
                proxy.target = new.port

            await check_switchover(config, proxy, switch)

    asyncio.run(main())


# ---------------------------------------------------------------- URLs that name several servers


@pytest.mark.parametrize("options", ["", "?target_session_attrs=read-write"])
def test_postgresql_of_several_hosts(postgresql, options):
    """PostgreSQL: of two servers in the URL one is killed, and the other is promoted."""
    primary, standby = postgresql

    async def main():
        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
        config = to_database(
            {"adapter": "postgresql", "url": f"postgres://tester:pass%20word@{hosts}/postgres{options}"}
        )
        await make_table(config)

        async def fail():
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.promote)

        await under_traffic("PostgreSQL, two hosts in the URL", config, fail)

    asyncio.run(main())


def test_postgresql_of_a_silent_host(run):
    """PostgreSQL: nobody answers at the first address, and the second one is asked in time."""
    require("postgresql")
    server = run(Postgresql)

    async def main():
        async with Proxy(server.port) as silent:
            silent.mute = True
            hosts = f"127.0.0.1:{silent.port},127.0.0.1:{server.port}"
            url = f"postgres://tester:pass%20word@{hosts}/postgres"
            driver = await drivers.create(
                Config.from_dict(to_database({"adapter": "postgresql", "url": url, "timeout": 4000}))
            )
            await driver.create_table()
            assert await driver.read(ID) is None
            await driver.close()

    asyncio.run(main())


def test_sentinel(two_redis, run):
    """Redis with Sentinel: the master is killed, one Sentinel does not answer, and the replica takes over."""
    master, _ = two_redis
    sentinel = run(Sentinel, master)

    async def main():
        async with redis.asyncio.Redis(port=sentinel.port) as client, Proxy(sentinel.port) as silent:
            silent.mute = True
            while not await client.execute_command("SENTINEL", "REPLICAS", "sessions"):
                await asyncio.sleep(0.1)
            sentinels = f"127.0.0.1:{silent.port},127.0.0.1:{sentinel.port}"
            config = to_redis(f"redis+sentinel://:pass%20word@{sentinels}/sessions")
            fail = asyncio.to_thread(master.kill)
            await under_traffic("Redis, Sentinel", config, lambda: fail, may_lose=True)

    asyncio.run(main())


@pytest.mark.parametrize("silently", [False, True], ids=["killed", "silent"])
def test_cluster(run, silently):
    """A Redis cluster of six: one master is killed, or hangs, and its replica takes over."""
    require("redis")
    cluster = run(RedisClusterOfSix)
    master = cluster.nodes[0]

    async def main():
        async def fail():
            master.process.send_signal(signal.SIGSTOP if silently else signal.SIGKILL)

        what = "Redis, cluster of six, one " + ("silent" if silently else "killed")
        await under_traffic(what, to_redis(cluster.url), fail, may_lose=True)

    try:
        asyncio.run(main())
    finally:
        master.process.send_signal(signal.SIGCONT)
