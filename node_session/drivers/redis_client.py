"""The client of redis-py: for one server, a cluster, or a group with Sentinel."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio import Connection as RedisConnection
from redis.asyncio import Redis, RedisCluster, Sentinel, cluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff

from .connection import Connection
from .trust import keepalive_options

POOL_SIZE = 50
"""Connections. To Redis they are cheap: to wait for one costs more than to have it."""

_ALSO_TO_SENTINELS = ("retry", "ssl", "socket_keepalive", "socket_keepalive_options")


def make_client(to: Connection) -> Any:
    """Make the client; it connects when it is used."""
    parts = urlsplit(to.url or "")
    options = _options(to, parts)
    if to.url and parts.scheme in ("redis+cluster", "rediss+cluster"):
        nodes = [ClusterNode(host, port) for host, port in _addresses(to.url, 6379)]
        # In the other half of the time a command may be sent again, or the cluster asked where the keys are now.
        options |= dict.fromkeys(("socket_timeout", "socket_connect_timeout"), to.seconds / 2)
        # On one MOVED in so many, redis-py would close all connections, also those that are in use.
        return RedisCluster(startup_nodes=nodes, reinitialize_steps=0, **options)
    if to.url and parts.scheme in ("redis+sentinel", "rediss+sentinel"):
        return _of_sentinels(_addresses(to.url, 26379), to, parts.path, options)
    if to.url:
        return Redis.from_url(to.url, **options)
    return Redis(host=to.host, port=to.port or 6379, db=int(to.database or 0), **options)


def make_client_of_one(to: Connection, host: str, port: int) -> Redis:
    """Make a client of one of a cluster's servers."""
    client = Redis(host=host, port=port, **_options(to, urlsplit(to.url or "")))
    parser = getattr(cluster, "ClusterParser", None)
    if parser is not None:  # the usual parser of redis-py 5 does not tell MOVED and the like from other errors
        client.connection_pool.connection_kwargs["parser_class"] = parser
    return client


def _options(to: Connection, parts: SplitResult) -> dict[str, Any]:
    """Collect what all kinds of client take."""
    options: dict[str, Any] = {
        "socket_timeout": None,  # the limit is on the whole of a command, see Pipeline
        "socket_connect_timeout": to.seconds,
        "max_connections": to.pool_size or POOL_SIZE,
        # A command that was sent may have been done: a swap that is tried again would take its own work for another's.
        "retry": Retry(NoBackoff(), 0),
        # With version 3, whose servers may speak unasked, redis-py takes a connection that was closed, or on which
        # something was left unread, for a good one.
        "protocol": 2,
    }
    user = unquote(parts.username) if parts.username else to.user
    password = unquote(parts.password) if parts.password else to.password
    if user:
        options["username"] = user
    if password:
        options["password"] = password
    if parts.scheme != "unix":
        options |= {"socket_keepalive": True, "socket_keepalive_options": keepalive_options()}
    if parts.scheme in ("rediss+cluster", "rediss+sentinel") or (to.ssl and not to.url):
        options["ssl"] = True  # with the checks of redis-py's own context
    return options


def _of_sentinels(sentinels: list[tuple[str, int]], to: Connection, path: str, options: dict[str, Any]) -> Any:
    """Make a client of the master that sentinels name.

    The path is ``/name-of-the-master/database``.
    """
    master, _, database = path.strip("/").partition("/")
    limits = {name: value for name, value in options.items() if name in _ALSO_TO_SENTINELS}
    # So that the last one is asked in time if nobody answers at the addresses of the others.
    each = to.seconds / len(sentinels) / 2
    limits |= dict.fromkeys(("socket_timeout", "socket_connect_timeout"), each)
    sentinel: Any = Sentinel(sentinels, sentinel_kwargs=limits)  # type: ignore[no-untyped-call]
    options["connection_class"] = _OfSentinelByTls if options.get("ssl") else _OfSentinel
    return sentinel.master_for(master or "mymaster", db=int(database or 0), **options)


async def close_client(client: Any) -> None:
    """Close a client, and its connections to sentinels."""
    await client.aclose()
    servers = getattr(client, "nodes_manager", None)
    if servers is not None:  # a cluster's client closes nothing while it is about to look for the servers again
        await servers.aclose()
        await servers.aclose("startup_nodes")
    pool = getattr(client, "connection_pool", None)
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", []):
        await sentinel.aclose()


class _OfSentinel(SentinelManagedConnection):
    """A connection that passes on the answer "read-only" as it is.

    So the other commands of the pipeline get their answers as well.
    """

    read_response = RedisConnection.read_response  # type: ignore[assignment]


class _OfSentinelByTls(SentinelManagedSSLConnection):
    """The same with TLS."""

    read_response = RedisConnection.read_response  # type: ignore[assignment]


def _addresses(url: str, default_port: int) -> list[tuple[str, int]]:
    """List the servers of a URL that names several, with commas."""
    servers = urlsplit(url).netloc.rpartition("@")[2].split(",")
    found = [urlsplit("//" + server) for server in servers]
    return [(each.hostname or "127.0.0.1", each.port or default_port) for each in found]
