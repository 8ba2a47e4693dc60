"""The server of an endurance run.

    PYTHONPATH=tests python -m endurance.server '{"config": {"driver": "file", …}}'

It prints its port. Then it answers each line on its standard input by a line of JSON: ``measure``, and ``finish``,
after which it ends. ``broken`` names something to do wrong, to show that it is noticed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import sys
import time
from collections import Counter
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from node_session import NodeSession

from .broken import BROKEN
from .handlers import ROUTES
from .memory import bytes_in_use, empty_caches, give_memory_back, open_files, resident_bytes

TICK = 0.01  # seconds between two looks at the clock
SWEEP_EVERY = 2.0  # seconds, beside the sweeps of the lottery
PATIENCE = 60  # seconds that tasks may take to end


# Not ours, and harmless: asyncpg says so if connecting is cancelled right after the connection was accepted; and on
# Python 3.10, Tornado of each handler that was cancelled.
HARMLESS = ("unexpected connection_lost() call", "Exception in callback _HandlerDelegate.execute")


class Errors(logging.Handler):
    """Keeps what is logged as an error: among it, exceptions that nobody has retrieved."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = f" {record.exc_info[1]!r}" if record.exc_info else ""
        line = f"{record.name}: {record.getMessage()}{error}"
        if not any(each in line for each in HARMLESS):
            self.lines.append(line[:500])


class Endured:
    """The program under test, and its measures."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.errors = Errors()
        logging.getLogger().addHandler(self.errors)
        logging.getLogger("tornado.access").disabled = True
        self._own = asyncio.all_tasks()
        self._files = open_files()
        self.sessions = NodeSession(config)
        self.server = HTTPServer(Application(ROUTES, node_session=self.sessions))
        self.server.add_sockets(bind_sockets(0, "127.0.0.1"))
        self.port = next(iter(self.server._sockets.values())).getsockname()[1]
        self.patience = PATIENCE
        self._stall = 0.0
        self._work = [asyncio.ensure_future(self._watch_clock()), asyncio.ensure_future(self._sweep())]

    async def _watch_clock(self) -> None:
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self._stall = max(self._stall, time.monotonic() - due)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            await self.sessions.sweep()

    async def measure(self) -> dict[str, Any]:
        """Measure the memory, when nothing is under way and all sessions have expired."""
        await self.sessions.sweep()
        stall = self._stall  # without the following
        empty_caches()
        gc.collect()
        give_memory_back()
        kinds = Counter(type(each).__qualname__ for each in gc.get_objects())
        await asyncio.sleep(2 * TICK)
        self._stall = stall
        removed = self.sessions.stats.removed
        return {
            "memory": bytes_in_use(),
            "resident": resident_bytes(),
            "objects": kinds.total(),
            "kinds": kinds,
            "stall": stall,
            "removed": removed,
        }

    async def finish(self) -> dict[str, Any]:
        """End everything; what is left then should not be there."""
        self.server.stop()
        await self.server.close_all_connections()
        for task in self._work:
            task.cancel()
        ended = await asyncio.gather(*self._work, return_exceptions=True)
        self.errors.lines += [repr(each) for each in ended if not isinstance(each, asyncio.CancelledError)]
        await self.sessions.close()
        until = time.monotonic() + self.patience
        while self._tasks_left() and time.monotonic() < until:
            await asyncio.sleep(TICK)
        gc.collect()  # so that tasks and futures that were given up say so in the log
        tasks = [task.get_coro().__qualname__ for task in self._tasks_left()]
        files = [file for file in open_files() if file not in self._files]
        return {"tasks": tasks, "files": files, "errors": self.errors.lines, "stats": vars(self.sessions.stats)}

    def _tasks_left(self) -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - self._own - {asyncio.current_task()}


async def main(config: dict[str, Any], seed: str, broken: str | None) -> None:
    random.seed(seed)
    if broken is not None:
        BROKEN[broken](config["driver"])
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    endured = Endured(config)
    endured.patience = PATIENCE if broken is None else 1
    print(endured.port, flush=True)
    while line := await lines.readline():
        command = line.decode().strip()
        print(json.dumps(await getattr(endured, command)()), flush=True)
        if command == "finish":
            break


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
