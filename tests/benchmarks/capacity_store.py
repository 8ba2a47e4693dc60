"""A store of docs/capacity.md: bytes of its sessions, bytes of its log, CPU time; those in this process."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

from contestants import SECRET

from node_session import drivers
from node_session.config import Config

sys.path.insert(0, str(Path(__file__).parent.parent))
import servers

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """List a process and those below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += tree(int(child))
    return found


def cpu_of(pid: int) -> float:
    """Seconds of CPU time so far, of a process and those below it, those that have ended included."""
    seconds = 0.0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            seconds += sum(map(int, fields[13:15])) / _TICKS  # of its children that have ended
            for task in Path(f"/proc/{each}/task").glob(
                "*/schedstat"
            ):  # in nanoseconds; stat has hundredths of a second
                seconds += int(task.read_text().split()[0]) / 1e9
    return seconds


class Store:
    """A store in this process.

    Attributes:
        log_name: What `log` counts.
    """

    log_name = "bytes given to the kernel"

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder

    def config(self, table: str) -> dict[str, Any]:
        """The config dict for a table of its own."""
        driver = "database" if self.name == "sqlite" else self.name
        connection = {"adapter": "sqlite"} if self.name == "sqlite" else False
        common = {"secret": SECRET, "lottery": [0, 100], "lifetime": 3_600_000, "table": table}
        return {**common, "driver": driver, "files": str(self.folder / table), "connection": connection}

    async def make_driver(self, table: str) -> drivers.Driver:
        """Make the table, and a driver on it."""
        config = self.config(table)
        await self.make_table(config)
        return await drivers.create(Config.from_dict(config))

    async def make_table(self, config: dict[str, Any]) -> None:
        await servers.make_table(config)

    def sizes(self, table: str) -> dict[str, float]:
        """Bytes of the sessions by part."""
        if self.name == "file":
            found = [entry.stat() for entry in os.scandir(self.folder / table) if not entry.name.startswith(".lock")]
            content = sum(stat.st_size for stat in found)
            return {"content": content, "rest of the blocks": sum(stat.st_blocks for stat in found) * 512 - content}
        if self.name == "sqlite":
            with contextlib.closing(sqlite3.connect(self.folder / f"{table}.sqlite")) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                rows = dict(database.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
            own = rows.pop(table, 0)
            key = sum(rows.pop(name) for name in list(rows) if name.startswith("sqlite_autoindex"))
            return {"table": own, "primary key": key, "index on lastActivity": sum(rows.values())}
        return {}

    def cpu(self) -> float:
        """Seconds of CPU time of the servers so far; 0 where this process is the store."""
        return 0

    def log(self) -> float:
        """Bytes of log so far."""
        if self.name == "memory":
            return 0
        (written,) = re.findall(r"wchar: (\d+)", Path("/proc/self/io").read_text())
        return int(written)

    def settle(self) -> None:
        """Do what a database does by itself some time after many changes."""
