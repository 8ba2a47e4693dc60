"""One run: a store, a server process, and the visitors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import servers
from tornado.httpclient import AsyncHTTPClient

from .client import Tally
from .judgement import Findings
from .memory import MALLOC
from .visitor import Visitor

DRIVERS = ["memory", "file", "sqlite", "redis", "postgresql", "mysql", "mongodb"]

TESTS = Path(__file__).parents[1]
LIFETIME = 5.0  # seconds; short, so that sessions expire all the time
GRACE = 2.0  # seconds
WARM_UP = 1 / 3  # of the time

# The load is the same on each machine, as long as it can carry it, and leaves it idle most of the time.
USERS = 20
PAUSE = 0.4  # seconds between two acts of a user, at most
ROBOTS_EVERY, ROBOTS = 3.0, 300  # so many sessions, of which nobody hears again

CONFIG = {
    "secret": "a-secret-for-endurance-0123456789abcdef",
    "lifetime": LIFETIME * 1000,
    "regenerateGrace": GRACE * 1000,
    "saveTimeout": 60_000,  # long, as a busy machine must not make an answer a 503
}
LONG = {"timeout": 60_000}


@contextlib.contextmanager
def open_store(name: str) -> Iterator[dict[str, Any]]:
    """The config for one of `DRIVERS`, with a server started for it if it needs one."""
    with contextlib.ExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        config = {**CONFIG, "files": f"{folder}/sessions"}
        if name in ("memory", "file"):
            config["driver"] = name
        elif name == "sqlite":
            config |= {"driver": "database", "connection": {"adapter": "sqlite", **LONG}}
        else:
            server = servers.start(name)
            closing.callback(server.stop)
            driver = "redis" if name == "redis" else "database"
            config |= {"driver": driver, "connection": {**server.connection, **LONG}}
            asyncio.run(servers.make_table(config))
        yield config


class Program:
    """The server process; see server.py."""

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, config: dict[str, Any], seed: str, broken: str | None) -> AsyncIterator[Program]:
        options = json.dumps({"config": config, "seed": seed, "broken": broken})
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "endurance.server", options),
            stdin=pipe,
            stdout=pipe,
            cwd=TESTS,
            env={**os.environ, **MALLOC, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
            limit=2**24,
        )
        try:
            yield cls(process, int(await process.stdout.readline()))
        finally:
            process.stdin.close()  # which ends it
            await process.wait()

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    async def ask(self, command: str) -> dict[str, Any]:
        """The answer to a command."""
        self._process.stdin.write(f"{command}\n".encode())
        return json.loads(await self._process.stdout.readline())


class Traffic:
    """The visitors of a run.

    Args:
        port: Of the server.
        seed: All that they choose follows from it.
        users: How many.
        rest: Seconds that each of them rests now and then.
    """

    def __init__(self, port: int, seed: str, users: int = USERS, rest: float = 0.6 * LIFETIME) -> None:
        self.tally = Tally()
        self._port, self._seed, self._rest = port, seed, rest
        self._client = AsyncHTTPClient(force_instance=True, max_clients=users * 10)
        self._users = [self._visitor(f"user {number}") for number in range(users)]

    def _visitor(self, name: str) -> Visitor:
        chance = random.Random(f"{self._seed} {name}")
        times = {"lifetime": LIFETIME, "rest": self._rest}
        return Visitor(name, self._port, self._client, self.tally, **times, chance=chance)

    async def flow(self, seconds: float) -> None:
        """Let all come for so long."""
        until = time.monotonic() + seconds
        robots = asyncio.ensure_future(self._send_robots())
        try:
            await self.act(lambda: time.monotonic() < until)
        finally:
            robots.cancel()
            await asyncio.wait([robots])

    async def act(self, go_on: Callable[[], bool], pause: float = PAUSE) -> None:
        """Let the users act until they are told to stop."""
        await asyncio.gather(*(user.visit(go_on, pause) for user in self._users))

    async def _send_robots(self) -> None:
        while True:
            for _ in range(ROBOTS // 10):
                await asyncio.gather(*(self._visitor("robot").visit(lambda: False, 0) for _ in range(10)))
            await asyncio.sleep(ROBOTS_EVERY)

    def close(self) -> None:
        self._client.close()


async def endure(config: dict[str, Any], seconds: float, seed: str, broken: str | None = None) -> Findings:
    """Warm the server up, measure it, let the traffic go on, and measure it again."""
    async with Program.start(config, seed, broken) as program:
        with contextlib.closing(Traffic(program.port, seed)) as traffic:
            await traffic.flow(seconds * WARM_UP)
            warm = await _measure_when_idle(program)
            await traffic.flow(seconds * (1 - WARM_UP))
            end = await _measure_when_idle(program)
            return Findings(traffic.tally, warm, end, await program.ask("finish"))


async def endure_briefly(
    config: dict[str, Any], acts: int, seed: str, broken: str | None = None, users: int = 5
) -> Findings:
    """Let each user act so often, without pauses; that is too short to measure the memory."""
    async with Program.start(config, seed, broken) as program:
        with contextlib.closing(Traffic(program.port, seed, users, rest=0)) as traffic:
            most = traffic.tally.counts["acts"] + acts * users
            await traffic.act(lambda: traffic.tally.counts["acts"] < most, pause=0)
            return Findings(traffic.tally, None, await program.ask("measure"), await program.ask("finish"))


async def _measure_when_idle(program: Program) -> dict[str, Any]:
    await asyncio.sleep(LIFETIME * 1.2)  # until all sessions have expired
    return await program.ask("measure")
