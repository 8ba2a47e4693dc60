"""The time for which a large session keeps other requests waiting: make bench-stalls.

Each session is loaded, changed, merged with what another request has saved meanwhile, and written, while a clock in the
same event loop ticks each millisecond. What is shown is the longest time between two ticks, in milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Callable
from datetime import date
from typing import Any

from node_session import Session
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.drivers import MemoryDriver
from node_session.records import Records

SIZES = (64_000, 1_000_000, 4_000_000)
ENCRYPTER = AuthenticatedEncrypter(["x" * 32])


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


SHAPES: dict[str, Callable[[int], Any]] = {
    "a text": lambda size: "x" * size,
    "rows of a table": lambda size: [
        {"id": number, "name": f"product number {number}", "price": 1.25, "tags": ["a", "b"]}
        for number in range(size // 72)
    ],
    "keys": lambda size: {f"key {number}": 1 for number in range(size // 15)},
    "whole floats": lambda size: [1.0] * (size // 2),
    "dates": lambda size: [date(2026, 11, 22)] * (size // 27),
    "nested 60 deep": lambda size: [_nested(number, 60) for number in range(size // 130)],
    "empty dicts": lambda size: [{} for _ in range(size // 3)],
    "empty lists": lambda size: [[] for _ in range(size // 3)],
}


async def request(driver: MemoryDriver, id: str | None, change: Callable[[Session], Any]) -> str:
    """Load a session, change it, and save it."""
    session = Session("s", Records(driver, encrypter=ENCRYPTER), id)
    await session.start()
    change(session)
    await session.save()
    return session.get_id()


async def longest_stall(shape: Callable[[int], Any], size: int) -> float:
    """Milliseconds."""
    driver = MemoryDriver(300_000)
    id = await request(driver, None, lambda session: session.put("value", shape(size)))
    session = Session("s", Records(driver, encrypter=ENCRYPTER), id)
    gc.collect()
    ticks = [time.perf_counter()]

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.001)
            ticks.append(time.perf_counter())

    clock = asyncio.ensure_future(tick())
    await session.start()
    session.get("value")
    session.put("mine", 1)
    await request(driver, id, lambda other: other.put("theirs", 1))
    await session.save()
    await asyncio.sleep(0.01)
    clock.cancel()
    return max(after - before for before, after in itertools.pairwise(ticks)) * 1e3


async def main() -> None:
    print("| | " + " | ".join(f"{size // 1000:,} KB" for size in SIZES) + " |\n|---|" + "---:|" * len(SIZES))
    for name, shape in SHAPES.items():
        stalls = [min([await longest_stall(shape, size) for _ in range(2)]) for size in SIZES]
        print(f"| {name} | " + " | ".join(f"{stall:.0f}" for stall in stalls) + " |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
