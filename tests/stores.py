"""The stores that tests run on, a slow one, and a way to let time pass for all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import time
from pathlib import Path

import pytest

from node_session import NodeSession
from node_session.drivers import Driver, MemoryDriver

STORES = [{"driver": "memory"}, {"driver": "file"}, {"driver": "database"}]
SLOW = {"driver": "slow"}

all_stores = pytest.mark.parametrize("options", STORES, ids=lambda options: options["driver"])


class SlowDriver(Driver):
    """A driver over a slow network: every call takes 20 ms, and writes another 80."""

    def __init__(self, lifetime: float, *, clock=time.monotonic) -> None:
        self.memory = MemoryDriver(lifetime, clock=clock)

    async def read(self, id):
        await asyncio.sleep(0.02)
        return await self.memory.read(id)

    async def write(self, id, payload, version):
        await asyncio.sleep(0.1)
        return await self.memory.write(id, payload, version)

    async def touch(self, id):
        await asyncio.sleep(0.02)
        await self.memory.touch(id)

    async def destroy(self, id, version=None):
        await asyncio.sleep(0.02)
        await self.memory.destroy(id, version)

    async def gc(self, lifetime):
        await asyncio.sleep(0.02)
        return await self.memory.gc(lifetime)


NodeSession.register_handler("slow", lambda config: SlowDriver(config.lifetime))


class Idleness:
    """Makes all records idle for longer, while no other clock moves.

    Args:
        files: The option `files`, which names the file driver's folder and SQLite's file.
    """

    def __init__(self, files: str) -> None:
        self.folder, self.table = Path(files), Path(f"{files}.sqlite")
        self.ahead = 0.0
        NodeSession.register_handler("memory", lambda config: MemoryDriver(config.lifetime, clock=self.clock))
        NodeSession.register_handler("slow", lambda config: SlowDriver(config.lifetime, clock=self.clock))

    def clock(self) -> float:
        return time.monotonic() + self.ahead

    def __call__(self, seconds: float) -> None:
        self.ahead += seconds
        for file in self.folder.glob("[!.]*"):
            active = file.stat().st_mtime - seconds
            text = file.read_text("utf-8")
            file.write_text(re.sub('(?<="__lastAccess":)[0-9]+', lambda found: _less(found[0], seconds), text), "utf-8")
            os.utime(file, (active, active))
        if self.table.exists():
            with contextlib.closing(sqlite3.connect(self.table)) as connection, connection:
                connection.execute("UPDATE sessions SET lastActivity = lastActivity - ?", (int(seconds * 1000),))


def _less(milliseconds: str, seconds: float) -> str:
    return str(int(milliseconds) - int(seconds * 1000))


async def settle(sessions: NodeSession) -> None:
    """Wait for a program's background work; it keeps its driver."""
    driver = await sessions.driver()
    NodeSession.register_handler(sessions.config.driver, lambda config: driver)
    await sessions.close()


async def another_program(sessions: NodeSession, config: dict, encrypter=None, **changes) -> NodeSession:
    """A program with a config of its own, on the store of another one."""
    driver = await sessions.driver()
    NodeSession.register_handler("same", lambda config: driver)
    return NodeSession({**config, **changes, "driver": "same"}, encrypter)
