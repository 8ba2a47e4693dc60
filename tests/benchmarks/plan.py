"""The measurements, and their goals."""

from __future__ import annotations

from contestants import Setup
from goals import ORIGINAL, OURS, SIGNED, Cell, Group, cost, part, rate
from load_plan import LOAD_GROUPS, LOAD_SMOKE

_BARES = ["Tornado, bare", "Node, bare"]
_PEER_BARES = ["Starlette, bare", "aiohttp, bare", "Flask, bare", "Django, bare", "Express, bare"]
DRIVERS = ["memory", "file", "sqlite", "redis", "postgresql", "mysql", "mongodb"]


def _pair(driver: str, path: str, **setup) -> tuple[Cell, Cell]:
    """Ours and the original."""
    connections = setup.pop("connections", 32)
    return tuple(Cell(name, Setup(driver, **setup), path, connections) for name in (OURS, ORIGINAL))


def _both(driver: str, **setup) -> list[Cell]:
    """Ours and the original, reading and writing."""
    return [cell for path in ("/read", "/write") for cell in _pair(driver, path, **setup)]


def _bares(names: list[str], connections: int = 32) -> list[Cell]:
    return [Cell(name, connections=connections) for name in names]


_signed = Cell(SIGNED)
_tornado = Cell("Tornado, bare")

_BESIDE_REDIS = {
    "/read": {"postgresql": 1.3, "mysql": 1.3, "mongodb": 1.8},
    "/write": {"postgresql": 1.5, "mysql": 2.0, "mongodb": 4.0},
}

_drivers = Group(
    "drivers",
    "A session of 0.3 KB, 32 connections",
    [
        *_bares(_BARES),
        _signed,
        *(
            cell
            for driver in ("memory", "file")
            for path in ("/read", "/write", "/new")
            for cell in _pair(driver, path)
        ),
        *(Cell(OURS, Setup(driver), path) for driver in DRIVERS[2:] for path in ("/read", "/write", "/new")),
    ],
    [
        cost("memory, reading: cost beside the original's", 0.40, *_pair("memory", "/read")),
        cost("memory, writing: cost beside the original's", 0.40, *_pair("memory", "/write")),
        cost("memory, reading: cost beside a signed cookie's", 0.5, Cell(OURS, Setup("memory")), _signed),
        cost("memory, writing: cost beside a signed cookie's", 0.5, Cell(OURS, Setup("memory"), "/write"), _signed),
        cost("file, reading: cost beside the original's", 0.15, *_pair("file", "/read")),
        rate("file, reading: requests a second beside the original's", 3.0, *_pair("file", "/read")),
        rate("file, writing: requests a second beside the original's", 1.0, *_pair("file", "/write")),
        part("sqlite, reading: cost beside bare Tornado's whole request", 0.25, Cell(OURS, Setup("sqlite")), _tornado),
        part(
            "sqlite, writing: cost beside bare Tornado's whole request",
            0.6,
            Cell(OURS, Setup("sqlite"), "/write"),
            _tornado,
        ),
        *(
            cost(
                f"{driver}, {path[1:]}: cost beside redis's",
                limit,
                Cell(OURS, Setup(driver), path),
                Cell(OURS, Setup("redis"), path),
            )
            for path, limits in _BESIDE_REDIS.items()
            for driver, limit in limits.items()
        ),
    ],
)

_sizes = Group(
    "sizes",
    "Sessions of 4 and 64 KB",
    [
        *_bares(_BARES),
        *(cell for size in (4_000, 64_000) for driver in ("memory", "file") for cell in _both(driver, size=size)),
        *(Cell(OURS, Setup(driver, size=4_000), path) for driver in DRIVERS[2:] for path in ("/read", "/write")),
    ],
    [
        cost(f"64 KB, {driver}, {path[1:]}: cost beside the original's", 0.25, *_pair(driver, path, size=64_000))
        for driver in ("memory", "file")
        for path in ("/read", "/write")
    ],
)

_encryption = Group(
    "encryption",
    "Encrypted sessions of 0.3 KB",
    [*_bares(_BARES), *_both("memory", encrypt=True), *_both("file", encrypt=True)],
    [
        cost(f"encrypted, {driver}, {path[1:]}: cost beside the original's", 0.35, *_pair(driver, path, encrypt=True))
        for driver in ("memory", "file")
        for path in ("/read", "/write")
    ],
)

_connections = Group(
    "connections",
    "1 and 128 connections",
    [
        cell
        for number in (1, 128)
        for cell in (
            *_bares(_BARES, number),
            *_both("memory", connections=number),
            *_both("file", connections=number),
        )
    ],
    [],
)


def _stored(name: str, driver: str, number: int) -> Cell:
    return Cell(name, Setup(driver, stored=number, replayed=10))


_store = Group(
    "stored",
    "With many sessions in the store, and the lottery on",
    [
        *_bares(_BARES),
        *(_stored(OURS, driver, number) for driver in ("memory", "file") for number in (10, 100_000)),
        *(_stored(ORIGINAL, "file", number) for number in (10, 10_000)),
    ],
    [
        cost(
            f"{driver}: cost with 100,000 stored sessions beside that with 10",
            1.1,
            _stored(OURS, driver, 100_000),
            _stored(OURS, driver, 10),
        )
        for driver in ("memory", "file")
    ],
)

_PEERS = {
    "memory": ["starsessions", "torndsession", "Flask-Session", "Django sessions"],
    "file": ["torndsession", "Flask-Session", "Django sessions"],
    "sqlite": ["Django sessions"],
    "redis": ["aiohttp-session", "starsessions", "torndsession", "Flask-Session", "Django sessions", "express-session"],
    "postgresql": ["Flask-Session", "Django sessions", "express-session"],
    "mongodb": ["Flask-Session", "express-session"],
}

_peers = Group(
    "peers",
    "Other session libraries, 0.3 KB, 32 connections",
    [
        *_bares(["Tornado, bare", *_PEER_BARES]),
        *(
            Cell(name, Setup(driver), path)
            for driver, names in _PEERS.items()
            for name in (OURS, *names)
            for path in ("/read", "/write")
        ),
    ],
    [
        cost(
            f"{driver}, {path[1:]}: cost beside {name}'s",
            0.6 if driver == "redis" and name in ("aiohttp-session", "starsessions") else 1.0,
            Cell(OURS, Setup(driver), path),
            Cell(name, Setup(driver), path),
        )
        for driver, names in _PEERS.items()
        for name in names
        for path in ("/read", "/write")
    ],
)

GROUPS = [_drivers, _sizes, _encryption, _connections, _store, _peers, *LOAD_GROUPS]

_smoke = Group(
    "smoke",
    "Memory",
    [_tornado, _signed, Cell(OURS, Setup("memory")), Cell(OURS, Setup("memory"), "/write")],
    _drivers.targets[2:4],
)

# For the tests that the benchmarks run.
SMOKES = [_smoke, LOAD_SMOKE]

QUICK = Group(
    "quick",
    "A session of 0.3 KB, 32 connections",
    [*_bares(_BARES), _signed, *_both("memory"), *_both("file")],
    _drivers.targets[:7],
)
