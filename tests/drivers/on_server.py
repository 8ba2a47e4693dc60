"""What every driver of a database server is tested for, besides the contract: outages, wrong settings, many loops."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import random
import re
import socket
import subprocess
import sys

import pytest
from concurrency.hammer import hammer
from rotations import log_out_against_rotations
from servers import Server, free_port, make_table, start
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from node_session import NodeSession, SessionMixin, drivers
from node_session.config import Config
from node_session.drivers import Driver
from node_session.errors import UnavailableError
from node_session.testing import DriverContract

SECRET = "a-secret-of-more-than-thirty-two-characters"
ID = "a" * 40

TABLES = (f"sessions_{number}" for number in itertools.count())


class Counter(SessionMixin, RequestHandler):
    """Counts the requests of a session."""

    def get(self):
        self.write(str(self.session.increment("count")))


class Reader(SessionMixin, RequestHandler):
    """Changes nothing."""

    def get(self):
        self.write(str(self.session.get("count")))


@contextlib.asynccontextmanager
async def application(config: dict, routes=()):
    """Serves `Counter` and `routes`; gives a function that asks with a cookie, for status, body and cookie."""
    sessions = NodeSession(config)
    server = HTTPServer(Application([("/", Counter), ("/read", Reader), *routes], node_session=sessions))
    listening, port = bind_unused_port()
    server.add_socket(listening)
    client = AsyncHTTPClient(force_instance=True, max_clients=100)

    async def ask(cookie: str | None, path: str = "/") -> tuple[int, str, str | None]:
        headers = {"Cookie": cookie} if cookie else {}
        answer = await client.fetch(
            f"http://127.0.0.1:{port}{path}", headers=headers, raise_error=False, request_timeout=30
        )
        sent = answer.headers.get("Set-Cookie", "").partition(";")[0]
        return answer.code, answer.body.decode(), sent or cookie

    try:
        yield ask
    finally:
        client.close()
        server.stop()
        await server.close_all_connections()
        await sessions.close()


# A program that ends without closing its driver, which is referred to until the end.
INTERRUPTED = """
import asyncio, json, sys
from node_session import drivers
from node_session.config import Config

async def main():
    global driver
    driver = await drivers.create(Config.from_dict(json.loads(sys.argv[1])))
    await driver.write("a" * 40, "text", None)
    assert (await driver.read("a" * 40)).payload == "text"
    raise KeyboardInterrupt

asyncio.run(main())
"""


def check_interrupted(config: dict) -> None:
    """A program that is interrupted ends at once, although nobody closes its driver."""
    program = [sys.executable, "-c", INTERRUPTED, json.dumps(config)]
    told = subprocess.run(program, capture_output=True, text=True, timeout=30).stderr.splitlines()
    assert "KeyboardInterrupt" in told


class Proxy:
    """Passes connections on to a server; can cut them all, or let them in and never pass anything on.

    Or it can forget those that are there now, as a firewall does: nothing says so, and new ones work. With
    ``answers``, only what the server says is lost.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.mute = False
        self.connections = self.forgotten = self.unanswered = 0
        self.writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Proxy:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error) -> None:
        self.server.close()
        self.cut()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()

    def forget(self, *, answers: bool = False) -> None:
        self.unanswered = self.connections
        if not answers:
            self.forgotten = self.connections

    async def serve(self, reader, writer) -> None:
        self.connections += 1
        number = self.connections
        with contextlib.suppress(OSError, asyncio.CancelledError):
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
            self.writers |= {writer, forth}
            await asyncio.gather(
                self.pump(reader, forth, lambda: self.mute or number <= self.forgotten),
                self.pump(back, writer, lambda: self.mute or number <= self.unanswered),
            )

    async def pump(self, reader, writer, is_mute) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                while is_mute():
                    await asyncio.sleep(0.01)
                writer.write(data)
                await writer.drain()
        writer.close()


async def fill_pool(proxy: Proxy, ask) -> None:
    """Have several connections in the pool, however fast each request is answered."""
    while proxy.connections < 4:
        proxy.mute = True
        asking = []
        for _ in range(4):
            asking.append(asyncio.ensure_future(ask()))
            await asyncio.sleep(0.05)
        proxy.mute = False
        assert {answer[0] for answer in await asyncio.gather(*asking)} == {200}


class ServerContract(DriverContract):
    """The contract on a real server, and what can go wrong with one. Derive, and name the server."""

    name: str
    driver = "database"
    wrong_password = True
    unknown_database: str | None = "no_such_database"

    server: Server

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _serve(cls):
        cls.server = start(cls.name)
        yield
        cls.server.stop()

    # ---------------------------------------------------------------- the contract

    def config(self, connection: dict | None = None, **options) -> dict:
        """A config dict for a table of its own."""
        given = {"secret": SECRET, "driver": self.driver, "table": next(TABLES), "lottery": [0, 1], **options}
        return {**given, "connection": {**self.server.connection, **(connection or {})}}

    async def with_table(self, config: dict) -> dict:
        """The same config, when the table is there."""
        await make_table(config)
        return config

    async def make_driver(self, lifetime: float) -> Driver:
        config = await self.with_table(self.config(lifetime=lifetime))
        self.table = config["table"]
        return await drivers.create(Config.from_dict(config))

    # ---------------------------------------------------------------- over HTTP

    def test_sessions(self) -> None:
        """A session is made, read and changed; an unchanged one is renewed, and a forged one is not."""

        async def main() -> None:
            async with application(await self.with_table(self.config())) as ask:
                _, body, cookie = await ask(None)
                assert (body, (await ask(cookie))[1], (await ask(cookie, "/read"))[1]) == ("1", "2", "2")
                assert (await ask(cookie + "x"))[1] == "1"

        asyncio.run(main())

    def test_concurrent_requests(self) -> None:
        """Of many requests of one session at once, all are counted."""

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

    # ---------------------------------------------------------------- outages

    def test_killed_and_started_again(self) -> None:
        """A server that is killed in the middle of traffic costs 503s; what was answered with 200 is there after it."""

        async def main() -> None:
            config = await self.with_table(self.config({"timeout": 2000}))
            async with application(config) as ask:
                cookies = [(await ask(None))[2] for _ in range(4)]
                acknowledged = [1] * 4
                attempts = [1] * 4
                statuses: set[int] = set()
                stop = False

                async def visit(client: int) -> None:
                    while not stop:
                        attempts[client] += 1
                        status, body, _ = await ask(cookies[client])
                        statuses.add(status)
                        if status == 200:
                            acknowledged[client] = int(body)
                        else:
                            await asyncio.sleep(0.02)

                visits = [asyncio.ensure_future(visit(client)) for client in range(4)]
                await asyncio.sleep(0.5)
                await asyncio.to_thread(self.server.kill)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(self.server.start)
                before = list(acknowledged)
                deadline = asyncio.get_running_loop().time() + 60
                while any(now <= then for now, then in zip(acknowledged, before, strict=True)):
                    assert asyncio.get_running_loop().time() < deadline, "it does not recover"
                    await asyncio.sleep(0.05)
                stop = True
                await asyncio.gather(*visits)
                assert statuses <= {200, 503}
                for client in range(4):
                    count = int((await ask(cookies[client], "/read"))[1])
                    assert acknowledged[client] <= count <= attempts[client]

        asyncio.run(main())

    def test_connections_cut(self) -> None:
        """After all connections were cut, it goes on with new ones at once or after a few 503s."""

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                config = await self.with_table(self.config())
                config["connection"]["port"] = proxy.port
                async with application(config) as ask:
                    _, _, cookie = await ask(None)
                    await asyncio.gather(*(ask(cookie) for _ in range(5)))
                    proxy.cut()
                    statuses = [(await ask(cookie, "/read"))[0] for _ in range(30)]
                    assert set(statuses) <= {200, 503} and statuses[-5:] == [200] * 5
                    assert (await ask(cookie, "/read"))[1] == "6"

        asyncio.run(main())

    def test_server_that_never_answers(self, caplog) -> None:
        """A server that takes connections and says nothing is a 503 within the time limit, for all who wait."""

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                config = await self.with_table(self.config())
                config["connection"] |= {"port": proxy.port, "timeout": 1000, "poolSize": 2}
                async with application(config) as ask:
                    _, _, cookie = await ask(None)
                    proxy.mute = True
                    answers = await asyncio.wait_for(asyncio.gather(*(ask(cookie) for _ in range(6))), 60)
                    assert {status for status, _, _ in answers} == {503}
                    proxy.mute = False
                    proxy.cut()
                    await asyncio.sleep(0.1)
                    statuses = [(await ask(cookie, "/read"))[0] for _ in range(30)]
                    assert statuses[-5:] == [200] * 5

        asyncio.run(main())

    def test_silent_from_the_start(self) -> None:
        """So is one that never said anything."""

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                proxy.mute = True
                async with application(self.config({"port": proxy.port, "timeout": 300})) as ask:
                    assert (await asyncio.wait_for(ask(None), 60))[0] == 503
                proxy.cut()

        asyncio.run(main())

    def test_forgotten_connections(self) -> None:
        """Connections that a firewall has forgotten cost neither reading nor, after that, writing an error."""

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                config = await self.with_table(self.config({"port": proxy.port, "timeout": 4000}))
                async with application(config) as ask:
                    _, _, cookie = await ask(None)
                    await fill_pool(proxy, lambda: ask(cookie, "/read"))
                    proxy.forget()
                    assert (await ask(cookie, "/read"))[:2] == (200, "1")
                    assert [(await ask(cookie))[:2] for _ in range(5)] == [(200, str(count)) for count in range(2, 7)]

        asyncio.run(main())

    def test_forgotten_while_nobody_asked(self, monkeypatch) -> None:
        """After a while without use no connection is used again, so that even a write needs no second try."""

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                config = await self.with_table(self.config({"port": proxy.port, "timeout": 4000}))
                driver = await drivers.create(Config.from_dict(config))
                version = await driver.write(ID, "text", None)
                proxy.forget()
                await asyncio.sleep(1.5)
                await driver.write(ID, "next", version)
                await driver.close()

        monkeypatch.setattr("node_session.drivers.trust.IDLE_LIMIT", 1)
        monkeypatch.setattr("node_session.drivers.mongo_client.IDLE_LIMIT", 1)
        asyncio.run(main())

    def test_write_without_an_answer(self) -> None:
        """A write that was done, and whose answer was lost, is an error, and not sent twice."""

        async def main() -> None:
            async with Proxy(self.server.port) as proxy:
                config = await self.with_table(self.config({"port": proxy.port, "timeout": 1500}))
                driver = await drivers.create(Config.from_dict(config))
                version = await driver.write(ID, "text", None)
                version = await driver.write(ID, "text", version)  # so that the server knows the statement
                proxy.forget(answers=True)
                with pytest.raises(UnavailableError):  # twice, it would be a conflict with itself
                    await driver.write(ID, "next", version)
                assert (await driver.read(ID)).payload == "next"
                await driver.close()

        asyncio.run(main())

    def test_keepalive(self, monkeypatch) -> None:
        """The system probes every connection before a firewall forgets it."""
        probed = []
        setsockopt = socket.socket.setsockopt

        def note(connection, level, option, value):
            if (level, option) == (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE):
                probed.append(value)
            return setsockopt(connection, level, option, value)

        async def main() -> None:
            driver = await drivers.create(Config.from_dict(await self.with_table(self.config())))
            probed.clear()
            monkeypatch.setattr(socket.socket, "setsockopt", note)
            await driver.write(ID, "text", None)
            await driver.close()

        asyncio.run(main())
        assert probed and max(probed) <= 120

    def test_no_server(self, caplog) -> None:
        """A refused connection is a 503 and one line of log that says what and where."""
        self._is_told(caplog, {"port": free_port(), "timeout": 1000}, "127.0.0.1")

    def test_wrong_password(self, caplog) -> None:
        """A wrong password is a 503 and one line of log, without the password."""
        if self.wrong_password:
            self._is_told(caplog, {"password": "a-wrong-secret"}, str(self.server.port))

    def test_unknown_database(self, caplog) -> None:
        """An unknown database is a 503 and one line of log that names it."""
        if self.unknown_database:
            self._is_told(caplog, {"database": self.unknown_database}, self.unknown_database)

    def _is_told(self, caplog, connection: dict, named: str) -> None:
        async def main() -> None:
            async with application(self.config(connection)) as ask:
                assert (await ask(None))[0] == 503

        caplog.set_level(logging.INFO)
        asyncio.run(main())
        lines = [
            record.getMessage()
            for record in caplog.records
            if record.levelno >= logging.WARNING
            and not re.match(r"503 GET / \(127.0.0.1\) [\d.]+ms$", record.getMessage())
        ]
        assert len(lines) == 1, lines
        assert self.name in lines[0] and named in lines[0]
        assert "a-wrong-secret" not in caplog.text and "pass word" not in caplog.text

    def test_unavailable(self) -> None:
        """Every method says that the server is not there."""

        async def main() -> None:
            driver = await drivers.create(Config.from_dict(self.config({"port": free_port(), "timeout": 500})))
            for operation in (
                lambda: driver.read(ID),
                lambda: driver.write(ID, "text", None),
                lambda: driver.destroy(ID),
                lambda: driver.gc(1000) if self.driver != "redis" else driver.read(ID),
                lambda: driver.touch(ID),
            ):
                with pytest.raises(UnavailableError):
                    await operation()
            await driver.close()

        asyncio.run(main())


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
