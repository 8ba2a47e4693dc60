"""Redis and what speaks its protocol (Valkey, KeyDB, Dragonfly), by redis-py.

A record is one key, `<table>:<id>`, and its value the stored text. It expires by itself. Reading renews it in the same
round trip (GETEX), so an unchanged session costs one round trip and no touch; a changed one is compared and swapped by
a script, in one more.

The client is redis-py with hiredis, which the makers of Redis keep. Measured at 32 requests at once, it cost 52 µs of
CPU for a read and 84 for a write; coredis, which pipelines, 63 and 74; valkey-glide 37 and 40, but it brings a runtime
with threads of its own, which does not survive a fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from async_timeout import timeout
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from ..errors import ConflictError, DamagedError, UnavailableError
from .base import Driver, Entry, Record
from .database.connection import Connection
from .database.per_loop import PerLoop

if TYPE_CHECKING:
    from ..config import Config

_ALSO_TO_SENTINELS = ("socket_timeout", "socket_connect_timeout", "retry", "ssl")

_POOL_SIZE = 50  # connections; to Redis they are cheap, and to wait for one costs more than to have it

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
    """What one loop has.

    Attributes:
        client: Of redis-py.
        swap: A script it has registered.
        delete: Another one.
        gate: Lets so many in as may have a connection. redis-py's own limits differ between a server and a cluster,
            where more than that is an error instead of a queue.
    """

    client: Any
    swap: Any
    delete: Any
    gate: asyncio.Semaphore


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
        renew = ("PX", self._lifetime) if self._lifetime else ()
        stored = await self._ask(lambda to: to.client.execute_command("GETEX", self._prefix + id, *renew))
        if stored is None:
            return None
        try:
            return Record(stored.decode(), stored)
        except UnicodeDecodeError:
            raise DamagedError("the value in Redis is not text") from None

    async def write(self, id: str, payload: str, version: object) -> object:
        """See `Driver.write`."""
        stored = payload.encode()
        key = self._prefix + id
        if version is None:
            done = await self._ask(lambda to: to.client.set(key, stored, nx=True, px=self._lifetime or None))
        else:
            done = await self._ask(lambda to: to.swap(keys=[key], args=[version, stored, self._lifetime]))
        if not done:
            raise ConflictError("the record is no longer the one that was read")
        return stored

    async def touch(self, id: str) -> None:
        """See `Driver.touch`."""
        if self._lifetime:
            await self._ask(lambda to: to.client.pexpire(self._prefix + id, self._lifetime))

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        key = self._prefix + id
        if version is None:
            await self._ask(lambda to: to.client.delete(key))
        elif not await self._ask(lambda to: to.delete(keys=[key], args=[version])):
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
        gate = asyncio.Semaphore(self._connection.pool_size or _POOL_SIZE)
        return _Open(client, client.register_script(_SWAP), client.register_script(_DELETE), gate)

    def _make_client(self) -> Any:
        to = self._connection
        options: dict[str, Any] = {
            "socket_timeout": None,  # the limit is on the whole of a command, see _ask
            "socket_connect_timeout": to.seconds,
            "max_connections": to.pool_size or _POOL_SIZE,
            # What was sent may have been done: a swap that is tried again would take its own work for another's.
            "retry": Retry(NoBackoff(), 0),
            # With version 3, whose servers may speak unasked, redis-py takes a connection that was closed, or on which
            # something was left unread, for a good one.
            "protocol": 2,
        }
        parts = urlsplit(to.url or "")
        user = unquote(parts.username) if parts.username else to.user
        password = unquote(parts.password) if parts.password else to.password
        if user:
            options["username"] = user
        if password:
            options["password"] = password
        scheme = parts.scheme
        if scheme in ("rediss+cluster", "rediss+sentinel") or (to.ssl and not to.url):
            options["ssl"] = True  # with the checks of redis-py's own context
        if to.url and scheme in ("redis+cluster", "rediss+cluster"):
            nodes = [ClusterNode(host, port) for host, port in _addresses(to.url, 6379)]
            return RedisCluster(startup_nodes=nodes, **options)
        if to.url and scheme in ("redis+sentinel", "rediss+sentinel"):
            master, _, database = parts.path.strip("/").partition("/")
            limits = {name: value for name, value in options.items() if name in _ALSO_TO_SENTINELS}
            sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
                _addresses(to.url, 26379), sentinel_kwargs=limits
            )
            return sentinel.master_for(master or "mymaster", db=int(database or 0), **options)
        if to.url:
            return Redis.from_url(to.url, **options)
        return Redis(host=to.host, port=to.port or 6379, db=int(to.database or 0), **options)

    async def _ask(self, command: Callable[[_Open], Awaitable[Any]]) -> Any:
        with self._translated():
            async with timeout(self._connection.seconds):
                opened = await self._opened.get()
                async with opened.gate:
                    return await command(opened)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except asyncio.TimeoutError as error:
            where, milliseconds = self._connection.where, self._connection.timeout
            raise UnavailableError(f"{where}: no answer within {milliseconds:g} ms") from error
        except (RedisError, RedisClusterException, OSError, ValueError) as error:
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
    pool = getattr(opened.client, "connection_pool", None)
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", []):
        await sentinel.aclose()
