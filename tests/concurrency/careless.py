"""Drivers that do it wrong, to show that the hammer and the storm notice; and one that has it harder."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from pathlib import Path

from node_session import NodeSession
from node_session.drivers import FileDriver, registry, rename
from node_session.drivers.base import Driver
from node_session.drivers.file_folder import Folder
from node_session.errors import ConflictError


class Careless(Driver):
    """Compare-and-swap switched off: replaces whatever is there, as the original does."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.half_written_for = driver.half_written_for

    async def write(self, id, payload, version):
        while True:
            there = await self.driver.read(id)
            with contextlib.suppress(ConflictError):
                return await self.driver.write(id, payload, None if there is None else there.version)

    async def read(self, id):
        return await self.driver.read(id)

    async def touch(self, id):
        await self.driver.touch(id)

    async def destroy(self, id, version=None):
        await self.driver.destroy(id)

    async def gc(self, lifetime):
        return await self.driver.gc(lifetime)

    async def close(self):
        await self.driver.close()


class InPlace(FileDriver):
    """Truncates the file and fills it, as the original does."""

    def __init__(self, folder: Path, lifetime: float) -> None:
        super().__init__(folder, lifetime)
        self.folder = folder

    async def write(self, id, payload, version):
        await asyncio.to_thread(self.write_in_place, id, payload.encode())
        return payload

    def write_in_place(self, id, content):
        self.folder.mkdir(exist_ok=True)
        with Folder(str(self.folder)).lock(id), (self.folder / id).open("wb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            time.sleep(0.001)
            file.write(content[len(content) // 2 :])


def forget_versions(name: str) -> None:
    """From now on the driver of this name, in this process, ignores versions."""
    make = registry._creators[name]

    async def create(config):
        driver = make(config)
        return Careless(await driver if inspect.isawaitable(driver) else driver)

    NodeSession.register_handler(name, create)


def register() -> None:
    """Make the drivers `in place` and `file without exchange` known in this process."""
    NodeSession.register_handler("in place", lambda config: InPlace(config.files, config.lifetime))
    NodeSession.register_handler("file without exchange", _without_exchange)


def _without_exchange(config) -> FileDriver:
    """The file driver as it is where the system cannot exchange two files: there the lock is all it has."""
    rename._renameat2 = None
    return FileDriver(config.files, config.lifetime)
