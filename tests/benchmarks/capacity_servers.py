"""The stores of docs/capacity.md that have a server of their own.

with opened("postgresql", folder) as store:
    driver = asyncio.run(store.make_driver("sessions"))
    store.sizes("sessions")                             # {"table": 8192, "primary key": …}
    store.cpu(), store.log()                            # so far

`server` is one of tests/servers.py.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import redis
from capacity_store import Store, cpu_of, servers

PAGE = Path(__file__).parent.parent.parent / "docs" / "capacity.md"
PARTITIONED = "postgresql, partitioned"
CLUSTER = "redis cluster"
STORES = ["memory", "file", "sqlite", "redis", CLUSTER, "postgresql", PARTITIONED, "mysql", "mongodb"]


class ServerStore(Store):
    """A store with a server; `server` is of tests/servers.py."""

    log_name = ""

    def __init__(self, name: str, folder: Path, server: Any) -> None:
        super().__init__(name, folder)
        self.server = server

    def config(self, table: str) -> dict[str, Any]:
        return {**super().config(table), "driver": "database", "connection": self.server.connection}

    def cpu(self) -> float:
        return cpu_of(self.server.process.pid)

    def log(self) -> float:
        return 0


class Redis(ServerStore):
    """Redis as it is by default (an append-only file that is flushed once a second), or a cluster of three masters."""

    log_name = "append-only file"

    def __init__(self, name: str, folder: Path, server: Any) -> None:
        super().__init__(name, folder, server)
        self.nodes = server.nodes[:3] if name == CLUSTER else [server]
        self.clients = [redis.Redis(port=node.port, password="pass word") for node in self.nodes]
        for client in self.clients:
            client.config_set("appendfsync", "everysec")
            client.config_set("repl-backlog-size", 16_384)  # it counts as memory
            client.config_set("auto-aof-rewrite-percentage", 0)  # else the file shrinks in between
        self.empty = self._sum("memory", "used_memory")

    def config(self, table: str) -> dict[str, Any]:
        connection = {"url": self.server.url} if self.name == CLUSTER else self.server.connection
        return {**Store.config(self, table), "driver": "redis", "connection": connection}

    def _sum(self, section: str, name: str) -> float:
        return sum(client.info(section)[name] for client in self.clients)

    def sizes(self, table: str) -> dict[str, float]:
        if self.name == CLUSTER:
            return {}  # a session takes there what it takes in one server; the replicas' buffers would disturb
        return {"memory": self._sum("memory", "used_memory") - self.empty}

    def cpu(self) -> float:
        return sum(cpu_of(node.process.pid) for node in self.nodes)

    def log(self) -> float:
        return self._sum("persistence", "aof_current_size")


class Postgresql(ServerStore):
    """PostgreSQL as it is by default, with one table or one of partitions."""

    log_name = "WAL"

    def ask(self, statement: str) -> list[str]:
        """Run a statement; gives the fields of its first row."""
        at = f"host=127.0.0.1 port={self.server.port} user=tester password='pass word' dbname=postgres"
        command = [str(self.server.bin / "psql"), at, "-qtAc", statement]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split("|")

    async def make_table(self, config: dict[str, Any]) -> None:
        if self.name == PARTITIONED:
            self.ask(partitions(config["table"]))
        else:
            await super().make_table(config)

    def sizes(self, table: str) -> dict[str, float]:
        index = "(SELECT sum(pg_relation_size(indexrelid)) FROM pg_index WHERE indrelid = c.oid AND {} indisprimary)"
        sums = self.ask(
            "SELECT sum(pg_relation_size(oid)), sum(pg_table_size(oid) - pg_relation_size(oid)),"
            f" sum({index.format('')}), sum({index.format('NOT')}) FROM pg_class c WHERE relkind = 'r' AND (oid ="
            f" '{table}'::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = '{table}'::regclass))"
        )
        return dict(zip(["table", "TOAST", "primary key", "index on lastActivity"], map(float, sums), strict=True))

    def log(self) -> float:
        return float(self.ask("SELECT pg_current_wal_insert_lsn() - '0/0'")[0])

    def settle(self) -> None:
        self.ask("ANALYZE")
        self.ask("CHECKPOINT")


def partitions(table: str) -> str:
    """The SQL on docs/capacity.md that makes a table of partitions, for a table of another name."""
    (sql,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return sql.replace("sessions", table)


class Mysql(ServerStore):
    """MariaDB or MySQL as it is by default; the binary log is off."""

    log_name = "redo log"

    def ask(self, statement: str) -> dict[str, float]:
        """Run a statement; gives its rows of a name and a number."""
        client = "mariadb" if "maria" in self.server.server else "mysql"
        command = [client, "--no-defaults", f"--socket={self.server.folder / 'socket'}", "-uroot", "-BNe", statement]
        rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return {row.split("\t")[0]: float(row.split("\t")[-1]) for row in rows if row.split("\t")[-1].isdigit()}

    def sizes(self, table: str) -> dict[str, float]:
        self.ask(f"ANALYZE TABLE tests.{table}")
        where = f"FROM information_schema.tables WHERE table_schema = 'tests' AND table_name = '{table}'"
        index = f"SELECT 'index on lastActivity', index_length {where}"
        return self.ask(f"SELECT 'table', data_length {where} UNION {index}")

    def log(self) -> float:
        (written,) = self.ask("SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'").values()
        return written


class Mongodb(ServerStore):
    """MongoDB where the environment names one, else a stand-in, of which only the size of the documents counts."""

    def __init__(self, name: str, folder: Path, server: Any) -> None:
        super().__init__(name, folder, server)
        self.is_real = isinstance(server, servers.RunningMongo)

    def sizes(self, table: str) -> dict[str, float]:
        with pymongo.MongoClient("127.0.0.1", self.server.port) as client:
            records = client["tests"][table]
            documents = records.find_raw_batches({})
            found: dict[str, float] = {"documents (BSON)": sum(map(len, documents))}
            if self.is_real:
                told = client["tests"].command("collStats", table)
                found = {"documents, compressed": told["storageSize"], "indexes": told["totalIndexSize"]}
        return found

    def cpu(self) -> float:
        return 0 if self.is_real else super().cpu()


_CLASSES = {
    "redis": Redis,
    CLUSTER: Redis,
    "postgresql": Postgresql,
    PARTITIONED: Postgresql,
    "mysql": Mysql,
    "mongodb": Mongodb,
}


@contextlib.contextmanager
def opened(name: str, folder: Path) -> Iterator[Store]:
    """Start a store.

    Raises:
        LookupError: It cannot run here.
    """
    if name not in _CLASSES:
        yield Store(name, folder)
        return
    server_name = name.partition(",")[0].partition(" ")[0]
    make, is_there, cure = servers.NEEDS[server_name]
    if name == "mongodb" and "MONGODB_URI" in os.environ:
        make, is_there = servers.RunningMongo, lambda: True
    if not is_there():
        raise LookupError(f"no {server_name} server: {cure}")
    if server_name == "postgresql" and importlib.util.find_spec("asyncpg") is None:
        raise LookupError("no asyncpg")
    server = servers.RedisClusterOfSix() if name == CLUSTER else make()
    try:
        yield _CLASSES[name](name, folder, server)
    finally:
        server.stop()
