"""The stores of express-session as a test sees them: the config of a door, and the records, read and written raw.

Nothing here is ours or express-session's: each store is spoken to by its own client, so that a test can see what either
side has left there.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pymongo
import redis
import servers


class Stored(NamedTuple):
    """A record.

    Attributes:
        text: Its JSON.
        expires: When it ends, in seconds since 1970.
    """

    text: str
    expires: float


class Store(ABC):
    """A store, with a server of its own.

    Attributes:
        ttl: How long a record without `cookie.expires` is kept, in seconds, by the store's default.
        rounding: By how many seconds the store rounds up when a record ends.
        touch_writes_cookie: Whether a touch writes the cookie into the record; elsewhere it only moves the end.
    """

    ttl: float
    rounding: float = 0
    touch_writes_cookie = False

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What a door needs, for express_stores.js."""

    @abstractmethod
    def read(self, id: str) -> Stored | None:
        """The record of an id, also if it has expired."""

    @abstractmethod
    def write(self, id: str, text: str, expires: float) -> None:
        """Put a record there."""

    @abstractmethod
    def ids(self) -> set[str]:
        """All there are."""

    @abstractmethod
    def remove(self, id: str) -> None:
        """Remove a record."""

    @abstractmethod
    def raw(self) -> dict[str, object]:
        """All that is stored, whatever it is, by name."""

    @abstractmethod
    def close(self) -> None:
        """Stop the server."""


class FileStore(Store):
    """session-file-store: a record ends a while after `__lastAccess`."""

    ttl = 3600
    touch_writes_cookie = True

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.files = Path(self._folder.name) / "sessions"
        self.files.mkdir()

    @property
    def config(self) -> dict[str, Any]:
        return {"store": "file", "files": str(self.files)}

    def read(self, id: str) -> Stored | None:
        try:
            text = (self.files / f"{id}.json").read_text("utf-8")
        except FileNotFoundError:
            return None
        record = json.loads(text)
        lifetime = record["cookie"]["originalMaxAge"] or self.ttl * 1000
        return Stored(text, (record["__lastAccess"] + lifetime) / 1000)

    def write(self, id: str, text: str, expires: float) -> None:
        """Put a record there; when it ends is in the text."""
        (self.files / f"{id}.json").write_text(text, "utf-8")

    def ids(self) -> set[str]:
        return {each.name.removesuffix(".json") for each in self.files.iterdir()}

    def remove(self, id: str) -> None:
        (self.files / f"{id}.json").unlink()

    def raw(self) -> dict[str, object]:
        return {each.name: each.read_bytes() for each in self.files.iterdir() if not each.name.startswith(".lock")}

    def close(self) -> None:
        self._folder.cleanup()


class RedisStore(Store):
    """connect-redis."""

    ttl = 86_400
    rounding = 1

    def __init__(self) -> None:
        self.server = servers.start("redis")
        self.client = redis.Redis(port=self.server.port, password="pass word", decode_responses=True)

    @property
    def config(self) -> dict[str, Any]:
        return {"store": "redis", "connection": self.server.connection}

    def read(self, id: str) -> Stored | None:
        text = self.client.get(f"sess:{id}")
        return text if text is None else Stored(text, self.client.pexpiretime(f"sess:{id}") / 1000)

    def write(self, id: str, text: str, expires: float) -> None:
        self.client.set(f"sess:{id}", text, pxat=int(expires * 1000))

    def ids(self) -> set[str]:
        return {key.removeprefix("sess:") for key in self.client.keys("sess:*")}

    def remove(self, id: str) -> None:
        self.client.delete(f"sess:{id}")

    def raw(self) -> dict[str, object]:
        return {key: (self.client.get(key), self.client.pexpiretime(key)) for key in self.client.keys("*")}

    def close(self) -> None:
        self.client.close()
        self.server.stop()


class PostgresqlStore(Store):
    """connect-pg-simple."""

    ttl = 86_400
    rounding = 2  # the time and the lifetime

    def __init__(self) -> None:
        self.server = servers.start("postgresql")
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection | None = None

    @property
    def config(self) -> dict[str, Any]:
        return {"store": "postgresql", "connection": self.server.connection}

    def run(self, statement: str, *args: Any) -> list[asyncpg.Record]:
        """The rows of a statement."""
        if self._connection is None:
            to = {name: value for name, value in self.server.connection.items() if name != "adapter"}
            self._connection = self._wait(asyncpg.connect(**to))
        return self._wait(self._connection.fetch(statement, *args))

    def _wait(self, awaitable: Awaitable) -> Any:
        async def wait() -> Any:
            return await awaitable

        return self._loop.run_until_complete(wait())

    def read(self, id: str) -> Stored | None:
        rows = self.run(
            "SELECT sess::text, extract(epoch FROM expire::timestamptz)::float8 FROM session WHERE sid = $1", id
        )
        return Stored(*rows[0]) if rows else None

    def write(self, id: str, text: str, expires: float) -> None:
        self.run("INSERT INTO session VALUES ($1, $2::text::json, to_timestamp($3::float8))", id, text, expires)

    def ids(self) -> set[str]:
        return {id for (id,) in self.run("SELECT sid FROM session")}

    def remove(self, id: str) -> None:
        self.run("DELETE FROM session WHERE sid = $1", id)

    def raw(self) -> dict[str, object]:
        return {id: tuple(rest) for id, *rest in self.run("SELECT sid, sess::text, expire::text FROM session")}

    def close(self) -> None:
        if self._connection is not None:
            self._wait(self._connection.close())
        self._loop.close()
        self.server.stop()


class MongoStore(Store):
    """connect-mongo."""

    ttl = 1_209_600

    def __init__(self) -> None:
        self.server = servers.start("exact-mongodb")
        self.client: pymongo.MongoClient = pymongo.MongoClient("127.0.0.1", self.server.port, tz_aware=True)
        self.documents = self.client["tests"]["sessions"]

    @property
    def config(self) -> dict[str, Any]:
        return {"store": "mongodb", "connection": self.server.connection}

    def read(self, id: str) -> Stored | None:
        document = self.documents.find_one({"_id": id})
        if document is None:
            return None
        return Stored(document["session"], document["expires"].timestamp())

    def write(self, id: str, text: str, expires: float) -> None:
        date = datetime.datetime.fromtimestamp(expires, datetime.timezone.utc)
        self.documents.insert_one({"_id": id, "session": text, "expires": date})

    def ids(self) -> set[str]:
        return {each["_id"] for each in self.documents.find({}, {"_id": 1})}

    def remove(self, id: str) -> None:
        self.documents.delete_one({"_id": id})

    def raw(self) -> dict[str, object]:
        return {each["_id"]: each for each in self.documents.find({})}

    def close(self) -> None:
        self.client.close()
        self.server.stop()


STORES: dict[str, type[Store]] = {
    "file": FileStore,
    "redis": RedisStore,
    "postgresql": PostgresqlStore,
    "mongodb": MongoStore,
}
