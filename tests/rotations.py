"""Requests of one session that change its id, log in and log out, in any order: what must hold after a log-out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from world import start_session_of

from node_session import NodeSession
from node_session.drivers import Driver

Choose = Callable[[int], int]
"""Gives a number from 0 to below another one; who calls it decides how the requests interleave."""


async def logged_in(driver: Driver) -> list[dict]:
    """Every record that a cookie could be logged in with."""
    records = [json.loads(entry.payload) async for entry in driver.scan()]
    return [each for each in records if "_left" not in each and "user" in each]


async def log_out_against_rotations(sessions: NodeSession, choose: Choose) -> str:
    """Log in, and then let up to three tabs rotate the id while one logs out, all with the same cookie.

    Returns:
        The id of the log-out's session, which is nobody's.

    Raises:
        AssertionError: A record is logged in after the log-out was answered.
    """
    first = await start_session_of(sessions, None)
    first.put("user", "Ann")
    await first.save()
    cookie = first.get_id()

    async def pause() -> None:
        for _ in range(choose(7)):
            await asyncio.sleep(0)

    async def rotate() -> None:
        await pause()
        id = cookie
        for _ in range(1 + choose(2)):
            tab = await start_session_of(sessions, id)
            await pause()
            tab.regenerate(True)
            await tab.save()
            id = tab.get_id()

    async def log_out() -> str:
        await pause()
        tab = await start_session_of(sessions, cookie)
        await pause()
        tab.invalidate()
        await tab.save()
        return tab.get_id()

    tasks = [asyncio.ensure_future(rotate()) for _ in range(1 + choose(3))]
    ended = await log_out()
    await asyncio.gather(*tasks)  # they were under way; none of them may bring the session back
    driver = first.get_handler()
    left = await logged_in(getattr(driver, "memory", driver))
    assert left == [], f"{len(left)} records are logged in after a log-out"
    return ended
