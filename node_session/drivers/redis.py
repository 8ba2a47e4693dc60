"""Redis and what speaks its protocol (Valkey, KeyDB, Dragonfly), by redis-py.

A record is one key, `<table>:<id>`, and its value the stored text. It expires by itself. Reading renews it in the same
round trip (GETEX), so an unchanged session costs one round trip and no touch; a changed one is compared and swapped by
a script, in one more.

The client is redis-py with hiredis, which the makers of Redis keep. The commands of requests that are served at once go
through its connections together, see `pipeline`; in a cluster, where each goes to its key's server, one by one.
Measured at 32 requests at once, a read cost 15 µs of CPU. By redis-py's own commands it was 66, by valkey-glide 46, and
by coredis, which pipelines as well, 97. glide also brings threads of its own, which do not survive a fork.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from async_timeout import timeout
from redis.asyncio import Connection as RedisConnection
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import TimeoutError as SilentError

from ..errors import ConflictError, DamagedError, UnavailableError
from .base import Driver, Entry, Record
from .connection import Connection
from .per_loop import PerLoop
from .pipeline import Pipeline
from .trust import keepalive_options

if TYPE_CHECKING:
    from ..config import Config

_ALSO_TO_SENTINELS = ("retry", "ssl", "socket_keepalive", "socket_keepalive_options")

_FAILURES = (RedisError, RedisClusterException, OSError, ValueError, asyncio.TimeoutError)

_POOL_SIZE = 50  # connections; to Redis they are cheap, and to wait for one costs more than to have it


class _Script(NamedTuple):
    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> _Script:
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# In both: 1 if it was done, 0 if another text is there, or none.
_SWAP = _Script.of("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
""")
_DELETE = _Script.of("""
local stored = redis.call('GET', KEYS[1])
if stored and stored ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
""")


def create(config: Config, connection: Connection) -> RedisDriver:
    """Make the driver; see `node_session.drivers.databases`."""
    return RedisDriver(connection, config.table, config.lifetime)


class _OneByOne:
    """Sends each command by itself, as in a cluster it depends on the key to which server."""

    def __init__(self, client: Any, connections: int, seconds: float) -> None:
        self._client = client
        self._gate = asyncio.Semaphore(connections)  # redis-py's own limit is an error there instead of a queue
        self._seconds = seconds

    async def ask(self, *command: Any, repeatable: bool = False) -> Any:
        async with timeout(self._seconds), self._gate:
            try:
                return await self._execute(*command)
            except (BusyLoadingError, ClusterDownError, ReadOnlyError):  # nothing was done
                pass
            except (BrokenError, SilentError):  # redis-py closes that server's other connections, too
                if not repeatable:
                    raise
            return await self._execute(*command)

    async def _execute(self, *command: Any) -> Any:
        try:
            return await self._client.execute_command(*command)
        except (AttributeError, RuntimeError, TypeError) as error:
            # Redis-py closes all connections where it looks for the servers again, those that others use among them. To
            # those it is a TypeError from Python 3.12 on.
            raise BrokenError("the connection was closed, as the cluster changes") from error

    async def close(self) -> None:
        pass


class _OfSentinel(SentinelManagedConnection):
    """Redis-py's, which gives "read-only" as it is, so that the others in the pipeline have their answers as well."""

    read_response = RedisConnection.read_response  # type: ignore[assignment]


class _OfSentinelByTls(SentinelManagedSSLConnection):
    """The same."""

    read_response = RedisConnection.read_response  # type: ignore[assignment]


class _Open(NamedTuple):
    """What one loop has: a client of redis-py, and the way commands go to its connections."""

    client: Any
    way: Pipeline | _OneByOne


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
        stored = await self._ask("GETEX", self._prefix + id, *renew, repeatable=True)
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
            expires = ("PX", self._lifetime) if self._lifetime else ()
            done = await self._ask("SET", key, stored, "NX", *expires)
        else:
            done = await self._run(_SWAP, key, version, stored, self._lifetime)
        if not done:
            raise ConflictError("the record is no longer the one that was read")
        return stored

    async def touch(self, id: str) -> None:
        """See `Driver.touch`."""
        if self._lifetime:
            await self._ask("PEXPIRE", self._prefix + id, self._lifetime, repeatable=True)

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        key = self._prefix + id
        if version is None:
            await self._ask("DEL", key)
        elif not await self._run(_DELETE, key, version):
            raise ConflictError("the record is no longer the one that was read")

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`: records expire by themselves."""
        return 0

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        try:
            client = (await self._opened.get()).client
            async for key in client.scan_iter(match=_literally(self._prefix) + "*", count=500):
                stored, left = await client.get(key), await client.pttl(key)
                if stored is not None:
                    idle = self._lifetime - left if left >= 0 else 0
                    id = key.decode(errors="replace").removeprefix(self._prefix)
                    yield Entry(id, stored.decode(errors="replace"), time.time() * 1000 - idle)
        except _FAILURES as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._opened.close()

    async def _open(self) -> _Open:
        client = self._make_client()
        connections, seconds = self._connection.pool_size or _POOL_SIZE, self._connection.seconds
        if isinstance(client, RedisCluster):
            return _Open(client, _OneByOne(client, connections, seconds))
        return _Open(client, Pipeline(client.connection_pool, connections, seconds))

    def _make_client(self) -> Any:
        to = self._connection
        options: dict[str, Any] = {
            "socket_timeout": None,  # the limit is on the whole of a command, see Pipeline
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
        if scheme != "unix":
            options |= {"socket_keepalive": True, "socket_keepalive_options": keepalive_options()}
        if scheme in ("rediss+cluster", "rediss+sentinel") or (to.ssl and not to.url):
            options["ssl"] = True  # with the checks of redis-py's own context
        if to.url and scheme in ("redis+cluster", "rediss+cluster"):
            nodes = [ClusterNode(host, port) for host, port in _addresses(to.url, 6379)]
            # In the other half of the time a command may be asked for once more, or the cluster where the keys are now.
            options |= dict.fromkeys(("socket_timeout", "socket_connect_timeout"), to.seconds / 2)
            return RedisCluster(startup_nodes=nodes, **options)
        if to.url and scheme in ("redis+sentinel", "rediss+sentinel"):
            master, _, database = parts.path.strip("/").partition("/")
            sentinels = _addresses(to.url, 26379)
            limits = {name: value for name, value in options.items() if name in _ALSO_TO_SENTINELS}
            # So that the last one is asked in time where nobody answers at the address of the others.
            each = to.seconds / len(sentinels) / 2
            limits |= dict.fromkeys(("socket_timeout", "socket_connect_timeout"), each)
            sentinel: Any = Sentinel(sentinels, sentinel_kwargs=limits)  # type: ignore[no-untyped-call]
            options["connection_class"] = _OfSentinelByTls if options.get("ssl") else _OfSentinel
            return sentinel.master_for(master or "mymaster", db=int(database or 0), **options)
        if to.url:
            return Redis.from_url(to.url, **options)
        return Redis(host=to.host, port=to.port or 6379, db=int(to.database or 0), **options)

    async def _ask(self, *command: Any, repeatable: bool = False) -> Any:
        try:
            return await (await self._opened.get()).way.ask(*command, repeatable=repeatable)
        except NoScriptError:
            raise
        except _FAILURES as error:
            raise self._unavailable(error) from error

    async def _run(self, script: _Script, key: str, *args: Any) -> Any:
        """Run a script by its hash; or by its text, where the server does not know it, or no longer."""
        try:
            return await self._ask("EVALSHA", script.sha, 1, key, *args)
        except NoScriptError:  # so it has done nothing
            return await self._ask("EVAL", script.text, 1, key, *args)

    def _unavailable(self, error: Exception) -> UnavailableError:
        where, milliseconds = self._connection.where, self._connection.timeout
        if isinstance(error, asyncio.TimeoutError):
            return UnavailableError(f"{where}: no answer within {milliseconds:g} ms")
        return UnavailableError(f"{where}: {type(error).__name__}: {error}")


def _addresses(url: str, default_port: int) -> list[tuple[str, int]]:
    """The servers of a URL that names several, with commas."""
    servers = urlsplit(url).netloc.rpartition("@")[2].split(",")
    found = [urlsplit("//" + server) for server in servers]
    return [(each.hostname or "127.0.0.1", each.port or default_port) for each in found]


def _literally(text: str) -> str:
    """A pattern of Redis that matches this text and no other."""
    return "".join("\\" + each if each in "*?[]\\" else each for each in text)


async def _close(opened: _Open) -> None:
    await opened.way.close()
    await opened.client.aclose()
    pool = getattr(opened.client, "connection_pool", None)
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", []):
        await sentinel.aclose()
