"""A Redis cluster of three: the sessions of one turn, on all servers, do not disturb each other."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import hiredis
import pytest
import redis
from concurrency.hammer import hammer
from servers import RedisClusterOfThree, RedisNode, free_port, require

from drivers.turns_contract import TurnsContract, gather, name, payloads, sent_turns
from node_session import drivers
from node_session.config import Config
from node_session.drivers.cluster import Cluster
from node_session.drivers.connection import Connection
from node_session.drivers.redis_client import make_client_of_one
from node_session.errors import ConflictError, UnavailableError
from node_session.testing import DriverContract


class TestClusterOfThree(TurnsContract, DriverContract):
    """Driver contract, and many sessions in one turn, on servers of which each has a third of the keys."""

    name = driver = "redis"
    lists = True
    expired_is_gone = True
    # The servers name addresses of their own, past a proxy.
    test_cut_off_in_the_middle = test_cancelled_requests = None

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _serve(cls):
        require("redis")
        cls.server = RedisClusterOfThree()
        for node in cls.server.nodes:
            node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        yield
        cls.server.stop()

    async def age(self, driver, id, milliseconds):
        key = self.key(id)
        node = self.nodes()[self.slot(id)]
        node.ask("PEXPIRE", key, max(1, int(node.ask("PTTL", key) - milliseconds)))
        await asyncio.sleep(0.01)

    def key(self, id: str) -> str:
        return f"{self.table}:{id}"

    def slot(self, id: str) -> int:
        return redis.crc.key_slot(self.key(id).encode())

    def nodes(self) -> dict[int, RedisNode]:
        """The server of each slot."""
        by_port = {node.port: node for node in self.server.nodes}
        found = {}
        for first, last, (_, port, *_), *_ in self.server.nodes[0].ask("CLUSTER", "SLOTS"):
            found |= dict.fromkeys(range(first, last + 1), by_port[port])
        return found

    def ids_on(self, node: RedisNode, number: int) -> list[str]:
        """So many ids of one server."""
        nodes = self.nodes()
        return [id for id in map(name, range(number * 20)) if nodes[self.slot(id)] is node][:number]

    @contextlib.contextmanager
    def failing(self, node: RedisNode, failure: signal.Signals):
        """While this lasts, a server is killed or silent."""
        node.process.send_signal(failure)
        try:
            yield
        finally:
            if failure is signal.SIGSTOP:
                node.process.send_signal(signal.SIGCONT)
            else:
                node.process.wait()
                node.start()

    @pytest.mark.parametrize("processes", [2, 4])
    def test_nothing_is_lost_by_several_processes(self, processes):
        """Eight clients push 25 values each onto one session's list, through several processes: all are there."""
        hammer(self.config({"timeout": 30_000}, saveTimeout=60_000), processes).check()

    def test_one_turn_for_each_server(self, monkeypatch):
        """What is asked for in one turn of the loop is one turn for each server."""

        async def scenario(driver):
            await self._filled(driver, 90)
            sent.clear()
            await gather(*(driver.read(name(each)) for each in range(90)))
            assert len(sent) == 3 and sum(sent) == 90 and min(sent) > 1

        sent = sent_turns(monkeypatch)
        self._run(scenario)

    def test_slot_that_moves(self):
        """While a slot moves to another server, each session of the turn is read, changed and made once."""

        async def check(driver, versions, new):
            found = await gather(*(driver.read(name(each)) for each in range(60)))
            assert [record.version for record in found] == versions
            writes = [driver.write(name(each), f"{new} {each}", versions[each]) for each in range(60)]
            *versions[:], conflict, made, taken = await gather(
                *writes,
                driver.write(name(1), "theirs", "old"),
                driver.write(created := next(fresh), "made", None),
                driver.write(name(7), "theirs", None),
            )
            assert not [version for version in versions if isinstance(version, Exception)]
            assert isinstance(conflict, ConflictError) and isinstance(taken, ConflictError) and made == b"made"
            await gather(*(driver.touch(name(each)) for each in range(60)), driver.destroy(created, made))
            assert await driver.read(created) is None

        async def scenario(driver):
            nonlocal fresh
            versions = await self._filled(driver, 60)
            moving = self.slot(name(7))
            fresh = (id for id in map(name, range(100, 10**9)) if self.slot(id) == moving)
            source = self.nodes()[moving]
            target = next(node for node in self.server.nodes if node is not source)
            names = {node: node.ask("CLUSTER", "MYID").decode() for node in (source, target)}
            target.ask("CLUSTER", "SETSLOT", moving, "IMPORTING", names[source])
            source.ask("CLUSTER", "SETSLOT", moving, "MIGRATING", names[target])
            await check(driver, versions, "migrating")
            source.ask("MIGRATE", "127.0.0.1", target.port, self.key(name(7)), 0, 5000, "AUTH", "pass word")
            await check(driver, versions, "migrated")
            for node in (target, source):
                node.ask("CLUSTER", "SETSLOT", moving, "NODE", names[target])
            for _ in range(2):
                await check(driver, versions, "moved")
            assert await asyncio.to_thread(target.ask, "GET", self.key(name(7))) == versions[7]

        fresh = iter(())
        self._run(scenario)

    def test_server_that_is_killed(self):
        """Of many sessions in one turn only those of a killed server are an error, until it is back."""

        async def scenario(driver):
            versions = await self._filled(driver, 60)
            nodes, killed = self.nodes(), self.server.nodes[1]
            there = [nodes[self.slot(name(each))] is not killed for each in range(60)]
            assert 10 < sum(there) < 50
            with self.failing(killed, signal.SIGKILL):
                await asyncio.to_thread(killed.process.wait)
                for _ in range(3):
                    found = await gather(*(driver.read(name(each)) for each in range(60)))
                    assert [not isinstance(record, UnavailableError) for record in found] == there
                outcomes = await gather(*(driver.write(name(each), "new", versions[each]) for each in range(60)))
                assert [not isinstance(outcome, UnavailableError) for outcome in outcomes] == there
                found = await gather(*(driver.read(name(each)) for each in range(60) if there[each]))
                assert payloads(found) == ["new"] * sum(there)
            await asyncio.to_thread(
                self.server.wait_for, lambda: "cluster_state:ok" in str(killed.ask("CLUSTER", "INFO"))
            )
            found = await gather(*(driver.read(name(each)) for each in range(60)))
            assert payloads(found) == ["new" if there[each] else f"old {each}" for each in range(60)]

        self._run(scenario)

    def test_server_that_is_silent(self):
        """However many requests wait for a silent server, those of the others are answered meanwhile."""

        async def main():
            config = self.config({"poolSize": 2, "timeout": 60_000})
            self.table = config["table"]
            driver = await drivers.create(Config.from_dict(config))
            silent, other = self.server.nodes[:2]
            ids, others = self.ids_on(silent, 20), self.ids_on(other, 20)
            await gather(*(driver.write(id, id, None) for id in [*ids, *others]))
            with self.failing(silent, signal.SIGSTOP):
                waiting = []
                for id in ids:
                    waiting.append(asyncio.ensure_future(driver.read(id)))
                    await asyncio.sleep(0.01)
                assert payloads(await gather(*map(driver.read, others))) == others
                assert not [each for each in waiting if each.done()]
            assert payloads(await gather(*waiting)) == ids
            await driver.close()

        asyncio.run(main())

    def test_connections_are_not_used_up(self):
        """However many commands are sent to another server than before, none fails for want of a connection."""

        async def main():
            config = self.config({"poolSize": 2})
            self.table = config["table"]
            driver = await drivers.create(Config.from_dict(config))
            # Nobody knows yet which servers there are, so that all are sent by themselves.
            outcomes = await gather(*(driver.write(name(each), "text", None) for each in range(100)))
            assert outcomes == [b"text"] * 100
            await driver.close()

        asyncio.run(main())

    def test_listing_of_all_servers(self, monkeypatch):
        """A listing has the records of all servers, with a few turns for each."""

        async def scenario(driver):
            await self._filled(driver, 250)
            sent.clear()
            entries = [entry async for entry in driver.scan()]
            assert {entry.id: entry.payload for entry in entries} == {name(each): f"old {each}" for each in range(250)}
            assert sum(sent) >= 250 and len(sent) < 50

        sent = sent_turns(monkeypatch)
        self._run(scenario)


class Map:
    """Stands for redis-py, which believes all keys on one server, and knows better when it follows a command."""

    def __init__(self, port: int) -> None:
        self.node = SimpleNamespace(host="127.0.0.1", port=port)
        self.nodes_manager = self
        self.looks = 0
        self.followed: list[str] = []

    def get_node_from_key(self, key: str) -> SimpleNamespace:
        return self.node

    async def initialize(self) -> None:
        self.looks += 1

    async def execute_command(self, *command: str) -> str:
        self.followed.append(command[0])
        return "followed"


@contextlib.asynccontextmanager
async def one_server(answers: Callable[[bytes], bytes | None], seconds: float):
    """Serves some answers, no bytes to close the connection; gives what asks it, and its map."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while command := parser.gets():
                answer = b"+OK\r\n" if command[0] == b"CLIENT" else answers(command[0])
                if answer == b"":
                    writer.close()
                writer.write(answer or b"")
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    known = Map(listening.sockets[0].getsockname()[1])
    to = Connection(adapter="redis", url="redis+cluster://127.0.0.1")
    cluster = Cluster(known, partial(make_client_of_one, to), 10, seconds)
    try:
        yield cluster, known
    finally:
        await cluster.close()
        listening.close()


async def outcomes(cluster: Cluster) -> list[object]:
    """What becomes of a command that may be repeated, and of one that may not, in one turn."""
    return await asyncio.gather(
        cluster.ask("a", "GET", "a", repeatable=True), cluster.ask("b", "SET", "b", "1"), return_exceptions=True
    )


def test_no_connection_to_a_server():
    """If there is no connection to a server, its commands go elsewhere: nothing was sent."""

    async def main():
        async with one_server(lambda command: b"+OK\r\n", 10) as (cluster, known):
            assert await outcomes(cluster) == [b"OK", b"OK"]
            known.node.port = free_port()
            assert await outcomes(cluster) == ["followed", "followed"]
            assert known.looks == 1 and sorted(known.followed) == ["GET", "SET"]

    asyncio.run(main())


@pytest.mark.parametrize("answer", [b"", None], ids=["broken", "silent"])
def test_lost_server(answer):
    """Of a broken connection, or a silent one after half of the time, only what may be repeated is sent elsewhere."""

    async def main():
        async with one_server(lambda command: answer, 1) as (cluster, known):
            read, written = await outcomes(cluster)
            assert read == "followed" and isinstance(written, Exception)
            assert known.followed == ["GET"] and known.looks == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer", ["MOVED 1 127.0.0.1:1", "CLUSTERDOWN The cluster is down", "TRYAGAIN Later", "LOADING It"]
)
def test_not_done_by_its_server(answer):
    """What a server says it has not done goes elsewhere, alone, and the connection is used again unless it loads."""

    async def main():
        def answers(command: bytes) -> bytes:
            return f"-{answer}\r\n".encode() if command == b"SET" else b"+OK\r\n"

        async with one_server(answers, 10) as (cluster, known):
            for _ in range(2):
                assert await outcomes(cluster) == [b"OK", "followed"]
            assert known.followed == ["SET", "SET"]

    asyncio.run(main())


def test_connection_closed_by_another():
    """A connection that redis-py closes under a request, as it looks for the servers again, is a lost connection."""

    async def main():
        for error in (AttributeError("'NoneType' object has no attribute 'writelines'"), RuntimeError(), TypeError()):

            async def fail(*command, error=error):
                raise error

            known = Map(free_port())
            known.execute_command = fail
            to = Connection(adapter="redis", url="redis+cluster://127.0.0.1")
            cluster = Cluster(known, partial(make_client_of_one, to), 1, 5)
            assert isinstance(await cluster.ask("a", "SET", "a", "1"), redis.exceptions.ConnectionError)
            await cluster.close()

    asyncio.run(main())


def test_close_while_a_key_is_moved():
    """A command under way that leads to a server not known before does not disturb the end."""

    async def main():
        gate = asyncio.Event()

        def answers(command: bytes) -> bytes:
            asyncio.get_running_loop().call_soon(gate.set)
            return f"-ASK 1 127.0.0.1:{free_port()}\r\n".encode()

        async with one_server(answers, 10) as (cluster, _):
            asking = asyncio.ensure_future(cluster.ask("a", "SET", "a", "1"))
            await gate.wait()
            await cluster.close()
            assert await asking == "followed"

    asyncio.run(main())
