"""What a sweep of the file driver costs the requests beside it: make bench-sweeps.

32 tasks save new sessions in one process, while nothing is swept, while `gc` removes expired files without a rest, and
while they are removed in steps, as after requests. Shown are sessions saved, and files removed, a second.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from secrets import token_urlsafe

from node_session import Session
from node_session.drivers import FileDriver
from node_session.records import Records

FILES = 40_000
SECONDS = 2.0
ROUNDS = 4


def fill(folder: Path, count: int) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    for _ in range(count):
        file = folder / token_urlsafe(30)
        file.write_text('{"_token":"' + "x" * 40 + '","flash":{"old":[],"new":[]}}')
        os.utime(file, (1, 1))


async def sweep_in_steps(driver: FileDriver, removed: list[int]) -> None:
    """Rest after each step as `node_session.background` does."""
    started = time.monotonic()
    async for count in driver.gc_in_steps(300_000):
        removed.append(count)
        await asyncio.sleep(min(driver.longest_rest, 9 * (time.monotonic() - started)))
        started = time.monotonic()


async def sweep_whole(driver: FileDriver, removed: list[int]) -> None:
    removed.append(await driver.gc(300_000))


async def measure(driver: FileDriver, sweep: object) -> tuple[float, float]:
    """Sessions saved and files removed a second."""
    saved, removed, ended = 0, [], False
    records = Records(driver)

    async def save() -> None:
        nonlocal saved
        while not ended:
            session = Session("s", records, None)
            await session.start()
            session.put("a", 1)
            await session.save()
            saved += 1

    tasks = [asyncio.ensure_future(save()) for _ in range(32)]
    started = time.monotonic()
    sweeping = asyncio.ensure_future(sweep(driver, removed) if callable(sweep) else asyncio.sleep(SECONDS))
    await asyncio.wait([sweeping], timeout=None if sweep is sweep_whole else SECONDS)
    seconds = time.monotonic() - started
    result = saved / seconds, sum(removed) / seconds
    ended = True
    sweeping.cancel()
    await asyncio.wait([sweeping, *tasks])
    return result


async def main() -> None:
    sweeps = {"none": None, "without a rest": sweep_whole, "in steps": sweep_in_steps}
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in sweeps}
    for _ in range(ROUNDS):
        for name, sweep in sweeps.items():
            with tempfile.TemporaryDirectory() as folder:
                fill(Path(folder) / "sessions", FILES // 4 if sweep is sweep_whole else FILES // 2 if sweep else 0)
                results[name].append(await measure(FileDriver(Path(folder) / "sessions", 300_000), sweep))
    print("| sweep | saved a second | removed a second |\n|---|---:|---:|")
    for name, found in results.items():
        saved, removed = (sum(column) / len(found) for column in zip(*found, strict=True))
        print(f"| {name} | {saved:,.0f} | {removed:,.0f} |")


if __name__ == "__main__":
    asyncio.run(main())
