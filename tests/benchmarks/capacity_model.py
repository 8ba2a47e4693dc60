"""The arithmetic of docs/capacity.md: from daily users and measured costs to servers.

demand = demand_of(100_000, Assumptions(clicks=50))
demand.requests, demand.live                                # 173.6 a second, 41,667 sessions
need_of(demand, costs["postgresql"], Assumptions()).store_cores

It does no I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

OPERATIONS = ("read", "write", "touch", "create")

PAGE = 8192
"""Bytes of a page of PostgreSQL."""


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What the measurements cannot know; `--clicks 50` and so on put in your own. Each has its unit in its meaning."""

    clicks: float = 30
    """Requests with a session, per user and day."""
    visits: float = 2
    """New sessions per user and day."""
    minutes: float = 10
    """Length of a visit, in minutes."""
    lifetime: float = 120
    """Minutes that a session lives on after its last request."""
    peak: float = 3
    """The busiest hour's requests, as a multiple of the day's mean."""
    writing: float = 0.2
    """Share of the requests that change the session."""
    size: float = 1000
    """Bytes of a session's stored text."""
    busy: float = 0.6
    """Share of a core that is in use at the peak; the rest is for bursts."""
    cores: float = 16
    """Cores of one database server; a Redis master uses one core of a machine, whatever there is."""
    memory: float = 32
    """GB of one Redis master. Databases on disks need it for their busiest pages only."""
    log: float = 100
    """MB a second of log (WAL, redo log, append-only file) that one server's disk takes."""
    renewed: float = 0.01
    """Share of the lifetime after which an unchanged session is renewed; the library's own."""
    checkpoint: float = 5
    """Minutes between two checkpoints of PostgreSQL, after which its log has each changed page as a whole once."""
    pool: float = 10
    """Connections to a database of one process: the option `poolSize`."""

    def __post_init__(self) -> None:
        wrong = [
            f"{each.name}: must be more than 0, not {getattr(self, each.name)!r}"
            for each in fields(self)
            if not 0 < getattr(self, each.name) < math.inf
        ]
        wrong += [
            f"{name}: is a share, at most 1, not {value!r}"
            for name in ("writing", "busy", "renewed")
            if (value := getattr(self, name)) > 1
        ]
        if wrong:
            raise ValueError("; ".join(wrong))


class Demand(NamedTuple):
    """The load of so many users at the peak.

    Attributes:
        users: A day.
        live: Sessions that the store holds.
        requests: A second.
        operations: On the store a second, by kind.
    """

    users: int
    live: float
    requests: float
    operations: dict[str, float]


class Costs(NamedTuple):
    """The measured costs of a store.

    Attributes:
        bytes: Of a session, by the size of its text.
        process: Microseconds of a Tornado process's CPU for a request that reads ("read") and that writes ("write"),
            and for an operation of the other kinds.
        store: Microseconds of the server's CPU for an operation, by kind; empty where the store has no server.
        log: Bytes of log for an operation, by kind.
        image: Bytes of log that the first change of a page after a checkpoint takes beyond that (PostgreSQL).
        one_core: Whether a server uses one core only.
    """

    bytes: dict[int, float]
    process: dict[str, float]
    store: dict[str, float]
    log: dict[str, float]
    image: float = 0
    one_core: bool = False


class Need(NamedTuple):
    """The machinery for a demand.

    Attributes:
        gigabytes: In the store.
        processes: Of Tornado, a core each.
        connections: To the store.
        store_cores: Cores of the store's servers that are in use.
        log: MB a second that the store writes to its log.
        servers: Of the store, each with a part of the sessions; 0 for a store without costs of its own.
        limit: What makes them so many: "processor", "memory" or "log".
    """

    gigabytes: float
    processes: int
    connections: int
    store_cores: float
    log: float
    servers: int
    limit: str


def demand_of(users: int, given: Assumptions) -> Demand:
    """Calculate the load of so many daily users at the peak."""
    requests = users * given.clicks / 86_400 * given.peak
    created = users * given.visits / 86_400 * given.peak
    # As many as come in a visit's length and a lifetime, at the peak's rate; never more than a day's.
    live = users * given.visits * min(1, (given.minutes + given.lifetime) / 1440 * given.peak)
    renewals = created * given.minutes / (given.lifetime * given.renewed)
    operations = {
        "read": requests,
        "write": requests * given.writing,
        "touch": min(requests * (1 - given.writing), renewals),
        "create": created,
    }
    return Demand(users, live, requests, operations)


def bytes_at(sizes: dict[int, float], size: float) -> float:
    """Calculate the bytes of a session on the straight line through two measured sizes."""
    (low, at_low), (high, at_high) = sorted(sizes.items())
    return max(size, at_low + (size - low) / (high - low) * (at_high - at_low))


def need_of(demand: Demand, costs: Costs, given: Assumptions) -> Need:
    """Calculate the machinery for a demand."""
    operations = demand.operations
    gigabytes = demand.live * bytes_at(costs.bytes, given.size) / 1e9
    # A request that writes costs what it measured, its reading included.
    asked = {**operations, "read": demand.requests * (1 - given.writing)}
    processes = math.ceil(_cores(asked, costs.process) / given.busy)
    store_cores = _cores(operations, costs.store) / given.busy
    images = _images(operations, gigabytes, given) * costs.image
    log = (sum(number * costs.log.get(kind, 0) for kind, number in operations.items()) + images) / 1e6
    wanted = {
        "processor": store_cores / (1 if costs.one_core else given.cores),
        "memory": gigabytes / given.memory if costs.one_core else 0,
        "log": log / given.log,
    }
    limit = max(wanted, key=lambda name: wanted[name])
    servers = math.ceil(wanted[limit])
    return Need(gigabytes, processes, math.ceil(processes * given.pool), store_cores, log, servers, limit)


def _images(operations: dict[str, float], gigabytes: float, given: Assumptions) -> float:
    """Calculate how many pages a second are changed for the first time since the last checkpoint."""
    changes = sum(number for kind, number in operations.items() if kind != "read")
    return min(changes, gigabytes * 1e9 / PAGE / (given.checkpoint * 60))


def _cores(operations: dict[str, float], microseconds: dict[str, float]) -> float:
    return sum(number * microseconds.get(kind, 0) for kind, number in operations.items()) / 1e6


def per_core(microseconds: float) -> float:
    """Calculate the operations a second of a core that does nothing else."""
    return 1e6 / microseconds if microseconds > 0 else math.inf
