"""The measurements under load, far from the database, and beside an older checkout (bench.py's --package)."""

from __future__ import annotations

from contestants import Setup
from goals import BEFORE, OURS, Cell, Group, Target, rate

_DATABASES = ["redis", "postgresql", "mysql", "mongodb"]
_DRIVERS = [*_DATABASES, "sqlite", "file"]
_PATHS = ["/read", "/write"]
_CONNECTIONS = [1, 32, 128, 512]


def _cells(driver: str, connections: list[int]) -> list[Cell]:
    # More sessions than connections, so that no two requests of one session meet.
    return [Cell(OURS, Setup(driver, replayed=1024), path, number) for number in connections for path in _PATHS]


def _none_fails(driver: str) -> Target:
    busy = _cells(driver, [128, 512])
    return Target(f"{driver}, 128 and 512 connections: failed requests", 0, lambda results: results.failed(busy))


def _is_even(driver: str) -> Target:
    busy = _cells(driver, [128, 512])
    text = f"{driver}, 128 and 512 connections: 99th percentile beside the median"
    return Target(text, 5, lambda results: results.unevenness(busy))


_load = Group(
    "load",
    "Under load: 1 to 512 connections, 0.3 KB",
    [
        *(Cell("Tornado, bare", connections=number) for number in _CONNECTIONS),
        *(cell for driver in _DRIVERS for cell in _cells(driver, _CONNECTIONS)),
    ],
    [target(driver) for driver in _DRIVERS for target in (_none_fails, _is_even)],
    length=5,  # a request that has no answer when its turn ends is not seen
    counts_failures=True,
)


def _beside_before(driver: str, path: str, connections: int, delay: int = 0) -> tuple[Cell, Cell]:
    return tuple(Cell(name, Setup(driver, delay=delay), path, connections) for name in (OURS, BEFORE))


_far = Group(
    "far",
    "10 ms between program and database, 128 connections, 0.3 KB",
    [
        Cell("Tornado, bare", connections=128),
        *(cell for driver in _DATABASES for path in _PATHS for cell in _beside_before(driver, path, 128, 10)),
    ],
    [
        rate(f"{driver}, 10 ms away, {path[1:]}: requests a second beside before", 5, *pair)
        for driver in _DATABASES[1:]  # redis's commands went out together before
        for path in _PATHS
        for pair in [_beside_before(driver, path, 128, 10)]
    ],
    length=2,
    counts_failures=True,
)

_one = Group(
    "one",
    "One connection, 0.3 KB",
    [
        Cell("Tornado, bare", connections=1),
        *(cell for driver in _DATABASES for path in _PATHS for cell in _beside_before(driver, path, 1)),
    ],
    [
        # A twentieth less is noise.
        rate(f"{driver}, one connection, {path[1:]}: requests a second beside before", 0.95, *pair)
        for driver in _DATABASES
        for path in _PATHS
        for pair in [_beside_before(driver, path, 1)]
    ],
)

LOAD_GROUPS = [_load, _far, _one]

# For the test that a group runs on a database, beside another checkout and with a delay.
LOAD_SMOKE = Group(
    "load-smoke",
    "PostgreSQL, 2 ms away",
    [Cell("Tornado, bare", connections=8), *_beside_before("postgresql", "/write", 8, 2)],
    [
        rate(
            "postgresql, 2 ms away: requests a second beside before",
            0.95,
            *_beside_before("postgresql", "/write", 8, 2),
        )
    ],
    counts_failures=True,
)
