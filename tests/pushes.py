"""Concurrent pushes onto the list of one session, and what they ask of the driver."""

from __future__ import annotations

import asyncio
from collections import Counter

from world import start_session_of

from node_session import NodeSession


async def push_concurrently(sessions: NodeSession, number: int) -> Counter[str]:
    """Load a session so often, push a value in each, and save all concurrently.

    Returns:
        How often these saves called each method of the driver.

    Raises:
        AssertionError: A value is lost.
    """
    first = await start_session_of(sessions, None)
    await first.save()
    tabs = [await start_session_of(sessions, first.get_id()) for _ in range(number)]
    for each, tab in enumerate(tabs):
        tab.push("list", each)
    driver, counts = await sessions.driver(), Counter()
    for name in ("read", "write", "touch", "destroy"):
        setattr(driver, name, _counting(getattr(driver, name), name, counts))
    await asyncio.gather(*(tab.save() for tab in tabs))
    counted = Counter(counts)
    last = await start_session_of(sessions, first.get_id())
    assert sorted(last.get("list")) == list(range(number))
    return counted


def _counting(method, name: str, counts: Counter[str]):
    async def counting(*args):
        counts[name] += 1
        return await method(*args)

    return counting
