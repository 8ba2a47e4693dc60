"""The failures of a database server: outages, broken networks, wrong settings."""

from __future__ import annotations

import asyncio
import logging
import re
import socket

import pytest
from servers import free_port

from drivers.on_server import OnServer
from drivers.proxy import Proxy, fill_pool
from drivers.serving import ID, application
from node_session import drivers
from node_session.config import Config
from node_session.errors import UnavailableError


class Outages(OnServer):
    """A server that is down, silent, cut off or not the right one costs a 503, and no session."""

    wrong_password = True
    unknown_database: str | None = "no_such_database"

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
        """After all connections were cut, it goes on with new ones immediately or after a few 503s."""

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
