"""Redis and what speaks its protocol (Valkey, KeyDB, Dragonfly), by redis-py.

A record is one key, `<table>:<id>`, and its value the stored text. It expires by itself. Reading renews it in the same
round trip (GETEX), so an unchanged session costs one round trip and no touch; a changed one is compared and swapped by
a script, in one more.

The client is redis-py with hiredis, which the makers of Redis keep. Measured at 32 requests at once, it cost 52 µs of
CPU for a read and 84 for a write; coredis, which pipelines, 63 and 74; valkey-glide 37 and 40, but it brings a runtime
with threads of its own, which does not survive a fork.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ..errors import ConflictError, DamagedError, UnavailableError
from .base import Driver, Entry, Record
from .database.connection import Connection
from .database.per_loop import PerLoop

if TYPE_CHECKING:
    from ..config import Config

# In both: 1 if it was done, 0 if another text is there, or none.
_SWAP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""
_DELETE = """
local stored = redis.call('GET', KEYS[1])
if stored and stored ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
"""


def create(config: Config, connection: Connection) -> RedisDriver:
    """Make the driver; see `node_session.drivers.database`."""
    return RedisDriver(connection, config.table, config.lifetime)


class _Open(NamedTuple):
    """The client of one loop, and the scripts it has registered."""

    client: Any
    swap: Any
    delete: Any


class RedisDriver(Driver):
    """Keeps records as keys of a Redis server, cluster, or group with Sentinel.

    Args:
        connection: Where. Its URL begins with ``redis://``, ``rediss://`` (TLS), ``unix://``,
            ``redis+cluster://host:port,host:port`` or ``redis+sentinel://host:port,host:port/name-of-the-master``.
        prefix: Of the keys.
        lifetime: Milliseconds a record may be idle; 0: for ever.
    """

    renews_on_read = True

    def __init__(self, connection: Connection, prefix: str, lifetime: float) -> None:
        self._connection = connection
        self._prefix = prefix + ":"
        self._lifetime = int(lifetime)
        self._opened = PerLoop(self._open, _close)

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        with self._translated():
            client = (await self._opened.get()).client
            key = self._prefix + id
            stored = await (client.getex(key, px=self._lifetime) if self._lifetime else client.get(key))
        if stored is None:
            return None
        try:
            return Record(stored.decode(), stored)
        except UnicodeDecodeError:
            raise DamagedError("the value in Redis is not text") from None

    async def write(self, id: str, payload: str, version: object) -> object:
        """See `Driver.write`."""
        stored = payload.encode()
        with self._translated():
            client, swap, _ = await self._opened.get()
            key = self._prefix + id
            if version is None:
                done = await client.set(key, stored, nx=True, px=self._lifetime or None)
            else:
                done = await swap(keys=[key], args=[version, stored, self._lifetime])
        if not done:
            raise ConflictError("the record is no longer the one that was read")
        return stored

    async def touch(self, id: str) -> None:
        """See `Driver.touch`."""
        if self._lifetime:
            with self._translated():
                await (await self._opened.get()).client.pexpire(self._prefix + id, self._lifetime)

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        with self._translated():
            client, _, delete = await self._opened.get()
            key = self._prefix + id
            if version is None:
                await client.delete(key)
            elif not await delete(keys=[key], args=[version]):
                raise ConflictError("the record is no longer the one that was read")

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`: records expire by themselves."""
        return 0

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        with self._translated():
            client = (await self._opened.get()).client
            async for key in client.scan_iter(match=_literally(self._prefix) + "*", count=500):
                stored, left = await client.get(key), await client.pttl(key)
                if stored is not None:
                    idle = self._lifetime - left if left >= 0 else 0
                    id = key.decode(errors="replace").removeprefix(self._prefix)
                    yield Entry(id, stored.decode(errors="replace"), time.time() * 1000 - idle)

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._opened.close()

    async def _open(self) -> _Open:
        client = self._make_client()
        return _Open(client, client.register_script(_SWAP), client.register_script(_DELETE))

    def _make_client(self) -> Any:
        to = self._connection
        options: dict[str, Any] = {
            "socket_timeout": to.seconds,
            "socket_connect_timeout": to.seconds,
            # What was sent may have been done: a swap that is tried again would take its own work for another's.
            "retry": Retry(NoBackoff(), 0),
        }
        parts = urlsplit(to.url or "")
        user = unquote(parts.username) if parts.username else to.user
        password = unquote(parts.password) if parts.password else to.password
        if user:
            options["username"] = user
        if password:
            options["password"] = password
        scheme = parts.scheme
        if to.url and scheme in ("redis+cluster", "rediss+cluster"):
            nodes = [ClusterNode(host, port) for host, port in _addresses(to.url, 6379)]
            return RedisCluster(startup_nodes=nodes, ssl=scheme.startswith("rediss"), **options)
        if to.url and scheme in ("redis+sentinel", "rediss+sentinel"):
            master, _, database = parts.path.strip("/").partition("/")
            limits = {"socket_timeout": to.seconds, "socket_connect_timeout": to.seconds}
            sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
                _addresses(to.url, 26379), sentinel_kwargs=limits
            )
            options["ssl"] = scheme.startswith("rediss")
            return sentinel.master_for(master or "mymaster", db=int(database or 0), **options)
        pool_options: dict[str, Any] = {"max_connections": to.pool_size, "timeout": to.seconds, **options}
        if to.url:
            return Redis.from_pool(BlockingConnectionPool.from_url(to.url, **pool_options))
        where: dict[str, Any] = {"host": to.host, "port": to.port or 6379, "db": int(to.database or 0)}
        return Redis.from_pool(BlockingConnectionPool(**where, **pool_options))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise UnavailableError(f"{self._connection.where}: {type(error).__name__}: {error}") from error


def _addresses(url: str, default_port: int) -> list[tuple[str, int]]:
    """The servers of a URL that names several, with commas."""
    servers = urlsplit(url).netloc.rpartition("@")[2].split(",")
    found = [urlsplit("//" + server) for server in servers]
    return [(each.hostname or "127.0.0.1", each.port or default_port) for each in found]


def _literally(text: str) -> str:
    """A pattern of Redis that matches this text and no other."""
    return "".join("\\" + each if each in "*?[]\\" else each for each in text)


async def _close(opened: _Open) -> None:
    await opened.client.aclose()
