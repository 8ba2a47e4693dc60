"""Redis and other servers of its protocol (Valkey, KeyDB, Dragonfly), by redis-py.

A record is one key, `<table>:<id>` (or `<prefix><id>`, by the option `prefix`), and its value the stored text. It
expires by itself: Redis tells the time, and no clock of ours. The time that is left to it tells its last activity, and
is read with it in one round trip. (GETEX would renew it with that. But it knows neither a session with a lifetime of
its own nor a request that is no activity, and a server with a log or a replica would write each reading there.) A
changed record is compared and swapped by a script.

The client is redis-py with hiredis, which the makers of Redis maintain (see `redis_client`). The commands of concurrent
requests go through its connections together, see `pipeline`; in a cluster those for each of its servers, see `cluster`.
Measured with 32 concurrent requests, a read cost 15 µs of CPU, 1.5 of them for the time that is left. By redis-py's own
commands it was 66, by valkey-glide 46, and by coredis, which pipelines as well, 97. glide also brings threads of its
own, which do not survive a fork.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from ..errors import ConflictError, NotTextError, UnavailableError
from .base import Driver, Entry, Record, pieces
from .cluster import Cluster
from .connection import Connection
from .options import Options
from .per_loop import PerLoop
from .pipeline import Pipeline
from .redis_client import POOL_SIZE, close_client, make_client, make_client_of_one

_ABSENT = -2  # what PTTL says of a key that is not there

_FAILURES = (RedisError, RedisClusterException, OSError, ValueError, asyncio.TimeoutError)


class _Script(NamedTuple):
    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> _Script:
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# Each gives 0 if there is another text, and 1 if it was done. If there is none, a removal gives 1, and the others 0.
_SWAP = _Script.of("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
""")
_CONFIRM = _Script.of("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
""")
_DELETE = _Script.of("""
local stored = redis.call('GET', KEYS[1])
if stored and stored ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
""")


def create(options: Options, connection: Connection) -> RedisDriver:
    """Make the driver; see `node_session.drivers.databases`."""
    # Formats have the same layout here: a key, and the payload as its value.
    prefix = f"{options.table}:" if options.prefix is None else options.prefix
    return RedisDriver(connection, prefix, options.lifetime)


class _Open(NamedTuple):
    """A client of redis-py for one loop, and the way that commands go through it."""

    client: Any
    way: Pipeline | Cluster


class RedisDriver(Driver):
    """A driver that keeps records in a Redis server, cluster or Sentinel group.

    Args:
        connection: Where. Its URL begins with ``redis://``, ``rediss://`` (TLS), ``unix://``,
            ``redis+cluster://host:port,host:port`` or ``redis+sentinel://host:port,host:port/name-of-the-master``.
        prefix: Of the keys.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        clock: Gives seconds since 1970; only for the times in a listing.
    """

    def __init__(
        self, connection: Connection, prefix: str, lifetime: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._connection = connection
        self._prefix = prefix
        self._lifetime = int(lifetime)
        self._clock = clock
        self._opened = PerLoop(self._open, _close)

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        key = self._prefix + id
        stored, left = await self._ask(key, "GET", key, also=("PTTL", key), repeatable=True)
        if stored is None or left == _ABSENT:  # it may go between the two
            return None
        idle = self._lifetime - left if self._lifetime and left >= 0 else math.inf
        try:
            return Record(stored.decode(), stored, idle)
        except UnicodeDecodeError:
            raise NotTextError("the value in Redis is not text", idle) from None

    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        """See `Driver.write`."""
        stored = payload.encode()
        key = self._prefix + id
        left = self._left(idle)
        if version is None:
            done = await self._ask(key, "SET", key, stored, "NX", *(("PX", left) if left else ()))
        else:
            done = await self._run(_SWAP, key, version, stored, left)
        if not done:
            raise ConflictError("the record is no longer the one that was read")
        return stored

    async def touch(self, id: str, *, idle: float = 0) -> None:
        """See `Driver.touch`."""
        if left := self._left(idle):
            key = self._prefix + id
            await self._ask(key, "PEXPIRE", key, left, repeatable=True)

    async def confirm(self, id: str, version: object, *, idle: float = 0) -> bool:
        """See `Driver.confirm`."""
        return bool(await self._run(_CONFIRM, self._prefix + id, version, self._left(idle), repeatable=True))

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        key = self._prefix + id
        if version is None:
            await self._ask(key, "DEL", key)
        elif not await self._run(_DELETE, key, version):
            raise ConflictError("the record is no longer the one that was read")

    async def alive(self, ids: Sequence[str]) -> set[str]:
        """See `Driver.alive`."""
        found: set[str] = set()
        for some in pieces(ids):
            asked = [self._ask(key, "EXISTS", key, repeatable=True) for key in (self._prefix + id for id in some)]
            found.update(id for id, exists in zip(some, await asyncio.gather(*asked), strict=True) if exists)
        return found

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`: records expire by themselves."""
        return 0

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        try:
            way = (await self._opened.get()).way
            async for keys in way.pages(_literally(self._prefix) + "*"):
                for entry in await self._entries(way, keys):
                    yield entry
        except _FAILURES as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._opened.close()

    async def _open(self) -> _Open:
        client = make_client(self._connection)
        connections, seconds = self._connection.pool_size or POOL_SIZE, self._connection.seconds
        if isinstance(client, RedisCluster):
            make_client_of = partial(make_client_of_one, self._connection)
            return _Open(client, Cluster(client, make_client_of, connections, seconds))
        return _Open(client, Pipeline(client.connection_pool, connections, seconds))

    def _left(self, idle: float) -> int:
        """Find the milliseconds until a record expires; 0: it does not."""
        return max(1, int(self._lifetime - idle)) if self._lifetime else 0

    async def _ask(self, key: str, *command: Any, also: tuple[Any, ...] = (), repeatable: bool = False) -> Any:
        """Send a command about a key, or two; gives the answer, or raises our error."""
        try:
            opened = self._opened.opened() or await self._opened.get()
            outcome = await opened.way.ask(key, *command, also=also, repeatable=repeatable)
            if isinstance(outcome, Exception):
                raise outcome
        except NoScriptError:
            raise
        except _FAILURES as error:
            raise self._unavailable(error) from error
        return outcome

    async def _run(self, script: _Script, key: str, *args: Any, repeatable: bool = False) -> Any:
        """Run a script by its hash, or by its text if the server does not know it."""
        try:
            return await self._ask(key, "EVALSHA", script.sha, 1, key, *args, repeatable=repeatable)
        except NoScriptError:  # so it has done nothing
            return await self._ask(key, "EVAL", script.text, 1, key, *args, repeatable=repeatable)

    async def _entries(self, way: Pipeline | Cluster, keys: Sequence[bytes]) -> list[Entry]:
        """Look at the records of a page in one round trip."""
        asked = [way.ask(key, "GET", key, also=("PTTL", key), repeatable=True) for key in keys]
        now, entries = self._clock() * 1000, []
        for key, answer in zip(keys, await asyncio.gather(*asked), strict=True):
            if isinstance(answer, Exception):
                raise answer
            stored, left = answer
            if stored is not None and left != _ABSENT:  # it may be gone meanwhile
                idle = self._lifetime - left if left >= 0 else 0
                id = key.decode(errors="replace").removeprefix(self._prefix)
                entries.append(Entry(id, stored.decode(errors="replace"), now - idle))
        return entries

    def _unavailable(self, error: Exception) -> UnavailableError:
        where, milliseconds = self._connection.where, self._connection.timeout
        if isinstance(error, asyncio.TimeoutError):
            return UnavailableError(f"{where}: no answer within {milliseconds:g} ms")
        return UnavailableError(f"{where}: {type(error).__name__}: {error}")


def _literally(text: str) -> str:
    """Make a pattern of Redis that matches this text and no other."""
    return "".join("\\" + each if each in "*?[]\\" else each for each in text)


async def _close(opened: _Open) -> None:
    await opened.way.close()
    await close_client(opened.client)
