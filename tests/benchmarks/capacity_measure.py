"""What a session costs in a store, by the library's own drivers: bytes, CPU time, bytes of log.

Sessions are made, changed, renewed and read, by 32 tasks concurrently, as a busy process does, and by one alone. The
texts are random, so that no database compresses them; that is the worst case, and what an encrypted session is.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from capacity_model import OPERATIONS
from capacity_store import Store

from node_session import ids
from node_session.drivers import Driver

SIZES = (300, 4000)
CONCURRENT = 32
ROUNDS = 3
ALONE = 300  # operations of one task by itself, in each round

# For stores that would take too long, and for partitions, which PostgreSQL reads from end to end as long as they are
# small: how many of the sessions.
_PARTS = {"mongodb": 0.1, "file": 0.5, "redis cluster": 0.2, "postgresql, partitioned": 4}

Phase = dict[str, float]
"""Of one operation: microseconds of CPU in this process ("process") and in the server ("server"), bytes of log
("log"), and microseconds until the answer ("time")."""


def text(size: int, choose: random.Random) -> str:
    """Make a session's stored text of so many bytes."""
    around = '{"_token":"","flash":{"old":[],"new":[]},"data":""}'
    noise = base64.b64encode(choose.randbytes(size)).decode()
    token, data = noise[:40], noise[40 : size - len(around)]
    return json.dumps({"_token": token, "flash": {"old": [], "new": []}, "data": data}, separators=(",", ":"))


async def each(jobs: Sequence[Callable[[], Awaitable[Any]]], concurrent: int) -> list[Any]:
    """Do all the jobs, so many concurrently; gives their results in order."""
    results: list[Any] = [None] * len(jobs)
    numbers = iter(range(len(jobs)))

    async def work() -> None:
        for number in numbers:
            results[number] = await jobs[number]()

    await asyncio.gather(*(work() for _ in range(concurrent)))
    return results


async def timed(store: Store, jobs: Sequence[Callable[[], Awaitable[Any]]], concurrent: int) -> tuple[Phase, list[Any]]:
    """Do all the jobs; gives the cost of one of them, and the results."""
    log, server, process, start = store.log(), store.cpu(), time.process_time(), time.perf_counter()
    results = await each(jobs, concurrent)
    elapsed, own = time.perf_counter() - start, time.process_time() - process
    spent, written = store.cpu() - server, store.log() - log
    number = len(jobs)
    phase = {"process": own / number * 1e6, "server": spent / number * 1e6, "log": written / number}
    return {**phase, "time": elapsed / number * concurrent * 1e6}, results


class Sessions:
    """The sessions of one size in a store."""

    def __init__(self, driver: Driver, size: int, number: int) -> None:
        self.driver = driver
        self.size = size
        self.number = number
        self.versions: dict[str, Any] = {}
        self.choose = random.Random(size)

    def sample(self, number: int) -> list[str]:
        return self.choose.sample(list(self.versions), min(number, len(self.versions)))

    def new_ids(self, number: int) -> list[str]:
        return [ids.generate() for _ in range(number)]

    def jobs(self, kind: str, of: Sequence[str]) -> list[Callable[[], Awaitable[Any]]]:
        """The jobs of a kind on so many records."""
        if kind in ("write", "create"):
            return [self._write(id, self.versions.get(id)) for id in of]
        method = self.driver.read if kind == "read" else self.driver.touch
        return [lambda id=id: method(id) for id in of]

    def _write(self, id: str, version: object) -> Callable[[], Awaitable[Any]]:
        payload = text(self.size, self.choose)
        return lambda: self.driver.write(id, payload, version)


async def measure(store: Store, table: str, size: int, sessions: int) -> dict[str, Any]:
    """Measure a store with so many sessions of a size."""
    driver = await store.make_driver(table)
    try:
        await driver.read(ids.generate())  # connects
        return await _measure(store, table, Sessions(driver, size, max(50, int(sessions * _PARTS.get(store.name, 1)))))
    finally:
        await driver.close()


async def _measure(store: Store, table: str, sessions: Sessions) -> dict[str, Any]:
    traced = store.name == "memory"
    if traced:
        tracemalloc.start()
    create = await phase(store, sessions, "create", sessions.number, CONCURRENT)
    sizes = {"memory": float(tracemalloc.get_traced_memory()[0])} if traced else store.sizes(table)
    tracemalloc.stop()
    number = len(sessions.versions)
    new = {part: total / number for part, total in sizes.items()}
    store.settle()
    after_checkpoint = await phase(store, sessions, "write", sessions.number // 50, CONCURRENT)
    concurrent: dict[str, list[Phase]] = {"create": [create], "read": [], "write": [], "touch": []}
    alone: dict[str, list[Phase]] = {kind: [] for kind in OPERATIONS}
    for _ in range(ROUNDS):
        for kind in OPERATIONS:
            if kind != "create":
                concurrent[kind].append(await phase(store, sessions, kind, min(sessions.number // 3, 7000), CONCURRENT))
            alone[kind].append(await phase(store, sessions, kind, ALONE, 1))
    number = len(sessions.versions)
    used = {part: total / number for part, total in (sizes if traced else store.sizes(table)).items()}
    return {
        "sessions": sessions.number,
        "new": new,
        "used": new if traced else used,
        "concurrent": concurrent,
        "alone": alone,
        "log after a checkpoint": after_checkpoint["log"],
        "log name": store.log_name,
    }


async def phase(store: Store, sessions: Sessions, kind: str, number: int, concurrent: int) -> Phase:
    """Do so many operations of a kind; gives the cost of one."""
    number = max(number, 1)
    chosen = sessions.new_ids(number) if kind == "create" else sessions.sample(number)
    measured, results = await timed(store, sessions.jobs(kind, chosen), concurrent)
    if kind in ("write", "create"):
        sessions.versions.update(zip(chosen, results, strict=True))
    elif kind == "read" and None in results:
        raise RuntimeError(f"{store.name} has lost a session")
    return measured
